"""A DNS server for one name, which notes what it is asked: `nameserver.py ADDRESS NAME ANSWER LOG`."""

import socket
import sys
from pathlib import Path

_A_RECORD = b"\0\1"


def main() -> None:
    """Serve until killed. Source: RFC 1035, section 4."""
    address, name, answer, log = sys.argv[1:]
    wanted = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    Path(log).touch()
    while True:
        query, client = server.recvfrom(512)
        end = query.index(0, 12) + 5
        asked, kind = query[12 : end - 4], query[end - 4 : end - 2]
        with Path(log).open("a") as lines:
            lines.write(asked.decode(errors="replace") + "\n")
        known = asked.lower() == wanted
        told = known and kind == _A_RECORD
        header = query[:2] + (b"\x81\x80" if known else b"\x81\x83") + bytes([0, 1, 0, told, 0, 0, 0, 0])
        reply = header + query[12:end]
        if told:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(answer)
        server.sendto(reply, client)


if __name__ == "__main__":
    main()
