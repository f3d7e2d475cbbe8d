"""Moves links that no engine knows of into a sandbox."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

from shim.net import devices, netlink, sysctls
from shim.net.devices import Device
from shim.net.netlink import Netlink
from shim.net.snapshot import Link
from shim.net.thread import inside, open_descriptor

_OF_ENGINE = re.compile(r"eth\d+")
"""How the engine numbers its links. It does not look whether a name is taken, and fails when it is."""
_OURS = "net{}"
_IPV6 = 6


@dataclass(frozen=True, slots=True)
class Arrived:
    """Which links are in the target."""

    names: dict[str, str] = field(default_factory=dict)
    """Their names there, by those they had."""
    moved: list[str] = field(default_factory=list)
    """Those that were not there before, in words."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Those that could not be moved, nor made again, and why."""


def move(source: Path, target: Path, links: Sequence[Link]) -> Arrived:
    """Move those links, or make again what cannot move; what has arrived already stays as it is.

    They come without their addresses, and down. May raise `OSError`.
    """
    there = inside(target, _named)
    arrived = Arrived({link.name: there_name for link in links if (there_name := _already(link, there))})
    waiting = _free_names([link for link in links if link.name not in arrived.names], there)
    if not waiting:
        return arrived
    refused = inside(source, lambda: _move(waiting, target))
    again = [link for link in links if link.name in refused and link.kind in devices.MADE_AGAIN]
    unmade = inside(target, lambda: _make(again, waiting))
    for link in links:
        name = waiting.get(link.name, "")
        if link.name in unmade:
            why = f"{refused[link.name]}; and when made again: {unmade[link.name]}"
            arrived.lost.append((f"link {link.name}", why))
        elif link.name in refused and link not in again:
            arrived.lost.append((f"link {link.name}", refused[link.name]))
        elif name:
            arrived.names[link.name] = name
            arrived.moved.append(f"link {name}" if name == link.name else f"link {link.name} as {name}")
    ipv6 = [arrived.names[link.name] for link in links if link.name in arrived.names and _has_ipv6(link)]
    inside(target, lambda: _enable_ipv6(ipv6))
    return arrived


def _named() -> dict[str, Device]:
    with Netlink() as sockets:
        return {device.name: device for device in devices.devices(sockets).values()}


def _already(link: Link, there: Mapping[str, Device]) -> str:
    """The name of the link in the target; empty if it is not there."""
    names = [link.name, *(name for name in there if re.fullmatch(_OURS.format(r"\d+"), name))]
    for name in names:
        device = there.get(name)
        if (
            device is not None
            and (device.mac, device.kind) == (link.mac, link.kind)
            and not _OF_ENGINE.fullmatch(name)
        ):
            return name
    return ""


def _free_names(links: Sequence[Link], there: Mapping[str, Device]) -> dict[str, str]:
    """A name in the target for each link: its own, if that is free and the engine will not want it."""
    taken = {*there, *(link.name for link in links)}
    names = {}
    for link in links:
        name = link.name
        if name in there or _OF_ENGINE.fullmatch(name):
            name = next(new for n in range(len(taken) + 1) if (new := _OURS.format(n)) not in taken)
            taken.add(name)
        names[link.name] = name
    return names


def _move(names: Mapping[str, str], target: Path) -> dict[str, str]:
    """Why it was refused, by name."""
    refused = {}
    with Netlink() as sockets, open_descriptor(target) as descriptor:
        found = {device.name: device.index for device in devices.devices(sockets).values()}
        for name, new_name in names.items():
            if name not in found:
                refused[name] = "it is gone"
                continue
            try:
                devices.move(sockets, found[name], descriptor, new_name)
            except OSError as error:
                refused[name] = netlink.reason(error)
    return refused


def _make(links: Iterable[Link], names: Mapping[str, str]) -> dict[str, str]:
    """Why it was refused, by name."""
    refused = {}
    with Netlink() as sockets:
        for link in links:
            try:
                devices.make(sockets, link, names[link.name])
            except OSError as error:
                refused[link.name] = netlink.reason(error)
    return refused


def _has_ipv6(link: Link) -> bool:
    return any(ip_interface(address).version == _IPV6 for address in link.addresses)


def _enable_ipv6(names: Iterable[str]) -> None:
    """Engines before 26.0 turn IPv6 off for all links but those that they give an address."""
    for name in names:
        sysctls.write(f"ipv6/conf/{name}/disable_ipv6", "0")
