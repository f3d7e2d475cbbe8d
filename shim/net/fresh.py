"""What a new network namespace has by itself, so that it is not taken for a plugin's work."""

from collections.abc import Iterable
from dataclasses import dataclass

from shim.net import devices, libc, rules, sysctls
from shim.net.netlink import Netlink
from shim.net.snapshot import Link, Rule
from shim.net.thread import in_new_thread


@dataclass(frozen=True, slots=True)
class Fresh:
    """A new namespace."""

    rules: frozenset[Rule]
    sysctls: sysctls.Fresh


_LINK = Link("fresh", "", 0, ())

_kept: list[Fresh] = []


def namespace() -> Fresh:
    """A new namespace as it was when last looked at: that takes milliseconds, so it is done once."""
    if not _kept or not sysctls.is_current(_kept[0].sysctls):
        _kept[:] = [in_new_thread(_look)]
    return _kept[0]


def values(paths: Iterable[str]) -> dict[str, str | None]:
    """What those sysctls have in a namespace made right now; that of a link as when it has just been made.

    Some are inherited from the host, where they may change at any time.
    """

    def look() -> dict[str, str | None]:
        libc.unshare_network()
        with Netlink() as sockets:
            devices.make(sockets, _LINK, _LINK.name)
        return {path: sysctls.read(sysctls.of_link(path, _LINK.name)) for path in paths}

    return in_new_thread(look)


def _look() -> Fresh:
    libc.unshare_network()
    with Netlink() as sockets:
        devices.make(sockets, _LINK, _LINK.name)
        found = devices.devices(sockets)
        loopback = next(device for device in found.values() if device.is_loopback)
        link = next(device for device in found.values() if device.name == _LINK.name)
        return Fresh(frozenset(rules.rules(sockets)), sysctls.read_fresh(sockets, loopback, link))
