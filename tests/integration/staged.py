"""A staging namespace and a sandbox, what an engine does between them, and what commands show of both."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from shim.net.links import Links
from shim.net.snapshot import Snapshot
from tests.integration.host import links, run

MAC = "02:42:0a:01:00:05"
ADDRESSES = ("10.1.0.5/16", "fd00:1::5/64")


def inside(namespace: Path, script: str) -> str:
    """What a shell script prints there. Raises `AssertionError` with its complaint when it fails."""
    return run("ip", "netns", "exec", namespace.name, "sh", "-ec", script)


async def whole(net: Links, namespace: Path) -> Snapshot:
    """All of a namespace, in the two parts in which the shim reads it."""
    return await net.completed(namespace, await net.snapshot(namespace))


def attach(namespace: Path, name: str = "eth0", mac: str = MAC, addresses: Sequence[str] = ADDRESSES) -> None:
    """What a bridge plugin does: a link to the host, up, with addresses and their routes; and `lo` up."""
    peer = f"p-{name}"
    run("ip", "link", "add", peer, "type", "veth", "peer", "name", "staged0", "address", mac)
    run("ip", "link", "set", "staged0", "netns", namespace.name, "name", name)
    run("ip", "link", "set", peer, "up")
    inside(namespace, "ip link set lo up")
    _address(namespace, name, addresses)


def carry(source: Path, target: Path, name: str, new_name: str, addresses: Sequence[str] = ADDRESSES) -> None:
    """What an engine does: move the link, rename it, number it, and bring it up.

    The link's index is taken there, so that it gets another.
    """
    index = links(source)[name]["ifindex"]
    run("ip", "-n", target.name, "link", "add", "taken0", "index", str(index), "type", "bridge")
    run("ip", "-n", source.name, "link", "set", name, "netns", target.name, "name", new_name)
    inside(target, "ip link set lo up")
    _address(target, new_name, addresses)


def _address(namespace: Path, name: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        more = "nodad" if ":" in address else "broadcast +"
        inside(namespace, f"ip address add {address} dev {name} {more}")
    inside(namespace, f"ip link set {name} up")


def shown(namespace: Path, script: str, names: dict[str, str] | None = None) -> list[str]:
    """The lines that a script prints, in no order, with the links' names in the staging namespace.

    What counts, runs or is numbered anew is left out.
    """
    text = inside(namespace, script)
    for old, new in (names or {}).items():
        text = re.sub(rf"\b{new}\b", old, text)
    for changing in _CHANGING:
        text = changing.sub("", text)
    return sorted(line.rstrip() for line in text.splitlines())


_CHANGING = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^\d+: ",
        r"@if\d+",
        r" link-netns\S* \S+",
        r"^# .*\n",
        r"\[\d+:\d+\]",
        r" refcnt \d+",
        r" index \d+",
        r"(?<=direct_packets_stat )\d+",
    )
]


def settings(line: str) -> str:
    """A line of JSON about a link without what counts, runs or is numbered anew; others as they are."""
    if not line.startswith("[{"):
        return line
    (link,) = json.loads(line)
    info = link["linkinfo"]
    for part in (link, info.get("info_data", {}), info.get("info_slave_data", {})):
        for key in [key for key in part if _RUNNING.search(key)]:
            del part[key]
    return json.dumps(link, sort_keys=True)


_RUNNING = re.compile(
    r"ifindex|link_index|operstate|^flags|promiscuity|allmulti|timer|_id$|^state|path_cost|topology"
    r"|^root|^no$|^designated|config_pending"
)
