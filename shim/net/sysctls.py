"""Sysctls below `/proc/sys/net`, which are those of the calling thread's network namespace.

There are some eight hundred, and a container's start waits for the reading. What each link has comes with
the netlink messages about it: only a value that differs there makes its file be read. The files of the
namespace itself have to be read one by one, which takes milliseconds.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shim.net import netlink
from shim.net.devices import SETTINGS, Device
from shim.net.netlink import Netlink, attributes

_ROOT = Path("/proc/sys/net")
_PORTION = 512
_OF_LINKS = ("conf", "neigh")
_NO_LINKS = ("all", "default")
_DEPTH = 4
_WRITABLE = 0o200

_IPV4_FILES = """
    forwarding mc_forwarding proxy_arp accept_redirects secure_redirects send_redirects shared_media
    rp_filter accept_source_route bootp_relay log_martians tag arp_filter medium_id disable_xfrm
    disable_policy force_igmp_version arp_announce arp_ignore promote_secondaries arp_accept arp_notify
    accept_local src_valid_mark proxy_arp_pvlan route_localnet igmpv2_unsolicited_report_interval
    igmpv3_unsolicited_report_interval ignore_routes_with_linkdown drop_unicast_in_l2_multicast
    drop_gratuitous_arp bc_forwarding arp_evict_nocarrier
"""
"""Those of each link below `ipv4/conf`, in the order of netlink's numbers. Source: linux/ip.h."""

_IPV6_FILES = """
    forwarding hop_limit mtu accept_ra accept_redirects autoconf dad_transmits router_solicitations
    router_solicitation_interval router_solicitation_delay use_tempaddr temp_valid_lft temp_prefered_lft
    regen_max_retry max_desync_factor max_addresses force_mld_version accept_ra_defrtr accept_ra_pinfo
    accept_ra_rtr_pref router_probe_interval accept_ra_rt_info_max_plen proxy_ndp optimistic_dad
    accept_source_route mc_forwarding disable_ipv6 accept_dad force_tllao ndisc_notify
    mldv1_unsolicited_report_interval mldv2_unsolicited_report_interval suppress_frag_ndisc
    accept_ra_from_local use_optimistic accept_ra_mtu stable_secret use_oif_addrs_only
    accept_ra_min_hop_limit ignore_routes_with_linkdown drop_unicast_in_l2_multicast drop_unsolicited_na
    keep_addr_on_down router_solicitation_max_interval seg6_enabled seg6_require_hmac enhanced_dad
    addr_gen_mode disable_policy accept_ra_rt_info_min_plen ndisc_tclass rpl_seg_enabled ra_defrtr_metric
    ioam6_enabled ioam6_id ioam6_id_wide ndisc_evict_nocarrier accept_untracked_na accept_ra_min_lft
    force_forwarding
"""
"""Those below `ipv6/conf`. Source: linux/ipv6.h."""

_CONF: Mapping[str, tuple[int, int, str]] = {
    "ipv4": (2, 1, _IPV4_FILES),
    "ipv6": (10, 2, _IPV6_FILES),
}
"""The address family, and the attribute with a link's values of those files."""

_GET_TABLES = 66  # RTM_GETNEIGHTBL
_TABLES = struct.Struct("=Bxxx")
_PARAMETERS = 6
_LINK = 1
_NEIGH = {
    4: "base_reachable_time_ms",
    5: "retrans_time_ms",
    6: "gc_stale_time",
    7: "delay_first_probe_time",
    9: "app_solicit",
    10: "ucast_solicit",
    11: "mcast_solicit",
    12: "anycast_delay",
    13: "proxy_delay",
    14: "proxy_qlen",
    15: "locktime",
    16: "unres_qlen_bytes",
    17: "mcast_resolicit",
    19: "interval_probe_time_ms",
}
"""Attributes and their files. Source: linux/neighbour.h."""

_SAID_OTHERWISE = {"base_reachable_time", "retrans_time", "unres_qlen", "stable_secret"}
"""Files with the value of another one in another unit; and one that makes another one change."""

_LOCKED = {"addr_gen_mode", "stable_secret"}
"""Files that cannot be read while a link moves. Source: the kernel's `net/ipv6/addrconf.c` (rtnl_trylock)."""

_NAMES: Mapping[str, Mapping[int, str]] = {
    f"{protocol}/{folder}": names
    for protocol, (_, _, files) in _CONF.items()
    for folder, names in (("conf", dict(enumerate(files.split()))), ("neigh", _NEIGH))
}

Numbers = Mapping[str, Mapping[int, bytes]]
"""What netlink says of a link: values by folder (such as `ipv4/conf`) and by number."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The sysctls of a new namespace."""

    listing: frozenset[str]
    """What files come and go with: it differs when the kernel has got a new module since."""
    values: Mapping[str, Mapping[str, bytes]]
    """What every file has that can be read and written, by folder and name; without those of links."""
    loopback: Numbers
    link: Numbers
    """Of a link just made."""
    untold: Mapping[str, str]
    """What that link has in the files of which netlink does not tell, by folder and name."""

    def numbers(self, device: Device) -> Numbers:
        """Those of a new link of that sort."""
        return self.loopback if device.is_loopback else self.link


def read_fresh(sockets: Netlink, loopback: Device, link: Device) -> Fresh:
    """Read those of the calling thread's namespace, which is new and has a link just made."""
    tables = _neighbour_tables(sockets)
    return Fresh(
        listing=_listing(),
        values={folder: _read_folder(folder, names) for folder, names in _folders()},
        loopback=_numbers(loopback, tables),
        link=_numbers(link, tables),
        untold=dict(_untold(link.name)),
    )


def is_current(fresh: Fresh) -> bool:
    """Whether there are the same files still."""
    return fresh.listing == _listing()


def of_namespace(fresh: Fresh) -> dict[str, str]:
    """The files of the namespace itself that differ from those of `fresh`, by path below `/proc/sys/net`.

    But for a few, which `of_links` reads: they wait for the kernel's routing lock.
    """
    return _of_namespace(fresh, lambda name: name not in _LOCKED)


def of_links(sockets: Netlink, devices: Iterable[Device], fresh: Fresh) -> dict[str, str]:
    """Those of links that do, and those of the namespace that `of_namespace` leaves out."""
    found = _of_namespace(fresh, lambda name: name in _LOCKED)
    tables = _neighbour_tables(sockets)
    for device in devices:
        for path in _suspects(device, _numbers(device, tables), fresh.numbers(device)):
            if (value := read(path)) is not None:
                found[path] = value
        for file, usual in fresh.untold.items():
            path = of_link(file, device.name)
            if (value := read(path)) is not None and value != usual:
                found[path] = value
    return found


def read(path: str) -> str | None:
    """The value of the file at that path below `/proc/sys/net`; None if it cannot be read."""
    try:
        return _decoded((_ROOT / path).read_bytes())
    except OSError:  # some have no value until they are set
        return None


def write(path: str, value: str) -> None:
    """Set the value. May raise `OSError`."""
    with (_ROOT / path).open("w") as file:  # that the kernel refuses a value shows when it is flushed
        file.write(value)


def of_link(path: str, link: str) -> str:
    """The path of the same sysctl of that link, unless it is the namespace's own, or of `lo`."""
    protocol, kind, old, name = path.split("/") if link_of(path) else ("", "", "lo", "")
    return path if old == "lo" else f"{protocol}/{kind}/{link}/{name}"


def link_of(path: str) -> str:
    """The link whose sysctl it is, empty for the namespace's own."""
    parts = path.split("/")
    is_of_link = len(parts) == _DEPTH and parts[1] in _OF_LINKS and parts[2] not in _NO_LINKS
    return parts[2] if is_of_link else ""


def _of_namespace(fresh: Fresh, is_meant: Callable[[str], bool]) -> dict[str, str]:
    return {
        f"{folder}/{name}": _decoded(value)
        for folder, values in fresh.values.items()
        for name, value in _read_folder(folder, filter(is_meant, values)).items()
        if value != values[name]
    }


def _folders() -> Iterator[tuple[str, list[str]]]:
    for root, folders, files in os.walk(_ROOT):
        if Path(root).name in _OF_LINKS:
            folders[:] = [name for name in folders if name in _NO_LINKS]
        writable = [name for name in files if (Path(root) / name).stat().st_mode & _WRITABLE]
        if writable:
            yield str(Path(root).relative_to(_ROOT)), writable


def _untold(link: str) -> Iterator[tuple[str, str]]:
    for folder, names in _NAMES.items():
        told = {*names.values(), *_SAID_OTHERWISE}
        for file in _files(_ROOT / folder / link):
            path = f"{folder}/{link}/{file.name}"
            if file.name not in told and file.stat().st_mode & _WRITABLE and (value := read(path)):
                yield path, value


def _read_folder(folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """The values of those files. Opened from their folder, which saves a third of the time."""
    found = {}
    try:
        descriptor = os.open(_ROOT / folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return {}
    try:
        for name in names:
            with suppress(OSError):  # some have no value until they are set
                found[name] = _contents(os.open(name, os.O_RDONLY, dir_fd=descriptor))
    finally:
        os.close(descriptor)
    return found


def _contents(descriptor: int) -> bytes:
    """All that there is, read in small portions: the kernel clears as much memory as it is asked for."""
    try:
        value = part = os.read(descriptor, _PORTION)
        while len(part) == _PORTION:
            part = os.read(descriptor, _PORTION)
            value += part
        return value
    finally:
        os.close(descriptor)


def _listing() -> frozenset[str]:
    return frozenset(file.name for folder in (_ROOT, _ROOT / "netfilter") for file in _files(folder))


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.exists() else ()


def _numbers(device: Device, tables: Mapping[tuple[str, int], Mapping[int, bytes]]) -> Numbers:
    settings = attributes(device.attributes.get(SETTINGS, b""))
    found: dict[str, Mapping[int, bytes]] = {}
    for protocol, (family, attribute, _) in _CONF.items():
        values = attributes(settings.get(family, b"")).get(attribute, b"")
        found[f"{protocol}/conf"] = dict(enumerate(values[at : at + 4] for at in range(0, len(values), 4)))
        found[f"{protocol}/neigh"] = tables.get((protocol, device.index), {})
    return found


def _neighbour_tables(sockets: Netlink) -> dict[tuple[str, int], Mapping[int, bytes]]:
    """The neighbour parameters of each link, by protocol and the link's number."""
    protocols = {family: protocol for protocol, (family, _, _) in _CONF.items()}
    found: dict[tuple[str, int], Mapping[int, bytes]] = {}
    for message in sockets.dump(_GET_TABLES, _TABLES.pack(0)):
        parameters = attributes(attributes(message, _TABLES.size).get(_PARAMETERS, b""))
        if _LINK in parameters and message[0] in protocols:
            found[protocols[message[0]], netlink.number(parameters[_LINK])] = parameters
    return found


def _suspects(device: Device, numbers: Numbers, usual_numbers: Numbers) -> Iterator[str]:
    """The paths of what netlink says is unlike a new link's."""
    for folder, values in numbers.items():
        names = _NAMES[folder]
        for number, value in values.items():
            if number not in names or value == usual_numbers[folder].get(number):
                continue
            name = names[number]
            if name == "mtu" and netlink.number(value) == device.mtu:  # it follows the link's
                continue
            yield f"{folder}/{device.name}/{name}"
            if name == "addr_gen_mode":  # set by its secret, too, which netlink does not show
                yield f"{folder}/{device.name}/stable_secret"


def _decoded(value: bytes) -> str:
    return value.decode(errors="surrogateescape").strip()
