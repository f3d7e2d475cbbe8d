"""Netlink as it is on the wire: requests, dumps, and attributes as bytes. Source: netlink(7), rtnetlink(7).

Whole namespaces are read on every container start, and much of what is read is only sent again elsewhere:
so attributes stay bytes until somebody needs to know one. What the kernel says when it refuses (its
extended acknowledgement) comes with the error.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

ROUTE = 0
"""NETLINK_ROUTE."""
NETFILTER = 12
"""NETLINK_NETFILTER."""

CREATE = 0x400
"""NLM_F_CREATE."""
EXCLUSIVE = 0x200
"""NLM_F_EXCL."""
REPLACE = 0x100
"""NLM_F_REPLACE."""
APPEND = 0x800
"""NLM_F_APPEND."""

_REQUEST = 0x1
_ACKNOWLEDGE = 0x4
_DUMP = 0x300
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: something changed between two parts of the answer
_EXPLAINED = 0x200  # NLM_F_ACK_TLVS: an error with attributes

_MESSAGE = 1  # NLMSGERR_ATTR_MSG

_ERROR = 2  # NLMSG_ERROR
_DONE = 3  # NLMSG_DONE

_SOL_NETLINK = 270
_CAP_ACK = 10  # errors come without the request that they are about
_EXT_ACK = 11
_ATTEMPTS = 5
"""Dumps that were interrupted are repeated that often. Source: netlinksafe of the CNI plugins."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_NESTED = 0x8000
_LONGEST = 1 << 16

Attributes = Mapping[int, bytes]


class Netlink:
    """A socket in the network namespace of the calling thread. Every call may raise `OSError`."""

    def __init__(self, protocol: int = ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_CAP_ACK, _EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all that answer; some kinds only look at the first byte of `body`, the family."""
        answers: list[bytes] = []
        for _ in range(_ATTEMPTS):
            answers, is_whole = self._ask(kind, _DUMP, body)
            if is_whole:
                break
        return answers

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Have something changed."""
        self._ask(kind, _ACKNOWLEDGE | flags, body)

    def _ask(self, kind: int, flags: int, body: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        answers: list[bytes] = []
        is_whole = True
        while True:
            for answer, marks, sequence, payload in _messages(self._socket.recv(_LONGEST)):
                if sequence != self._sequence:
                    continue
                is_whole = is_whole and not marks & _INTERRUPTED
                if answer in (_ERROR, _DONE):
                    _check(payload, marks, 4 if answer == _DONE else 4 + _HEADER.size)
                    return answers, is_whole
                answers.append(payload)


def attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from there on, by number."""
    return dict(pairs(body, offset))


def pairs(body: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from there on, where a number may come several times."""
    unpack, end = _ATTRIBUTE.unpack_from, len(body) - _ATTRIBUTE.size
    while offset <= end:
        length, kind = unpack(body, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NUMBER, body[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def attribute(number: int, value: bytes) -> bytes:
    """An attribute for a request."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), number) + value + bytes(-len(value) % 4)


def nested(number: int, *parts: bytes) -> bytes:
    """An attribute that consists of attributes."""
    return attribute(number | _NESTED, b"".join(parts))


def packed(items: Attributes) -> bytes:
    """Attributes again as they came."""
    return b"".join(attribute(number, value) for number, value in items.items())


def text(value: bytes) -> str:
    """A string of the kernel."""
    return value.rstrip(b"\0").decode(errors="surrogateescape")


def from_text(value: str) -> bytes:
    """A string for the kernel."""
    return value.encode(errors="surrogateescape") + b"\0"


def number(value: bytes) -> int:
    """A number in the byte order of this machine; nothing is 0."""
    return int.from_bytes(value, sys.byteorder)


def u8(value: int) -> bytes:
    """A number of one byte for the kernel."""
    return struct.pack("=B", value)


def u16(value: int) -> bytes:
    """A number of two bytes for the kernel."""
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    """A number of four bytes for the kernel."""
    return struct.pack("=I", value & 0xFFFFFFFF)


def reason(error: Exception) -> str:
    """Why the kernel, or a tool, refused."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _check(payload: bytes, flags: int, explanation: int) -> None:
    """Raise what the kernel answered, if it is an error; it explains itself from that offset on."""
    number = -struct.unpack_from("=i", payload)[0] if payload else 0
    if number == 0:
        return
    told = attributes(payload, explanation).get(_MESSAGE, b"") if flags & _EXPLAINED else b""
    plain = os.strerror(number)
    raise OSError(number, f"{text(told).rstrip('.')} ({plain})" if told else plain)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
