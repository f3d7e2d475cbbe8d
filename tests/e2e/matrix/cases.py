"""The cases of the matrix: chains, and the properties that their plugins give to a container."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tests.e2e.matrix import world
from tests.e2e.matrix.cells import BRIDGE, HOST_PORT, Cell
from tests.e2e.matrix.checks import (
    Condition,
    appears_as,
    bridge_link,
    flagged,
    host_end,
    host_end_shapes,
    host_lacks_gift,
    host_route,
    is_pinged,
    kind,
    lease_released,
    lease_renewed,
    leased,
    leaves_nothing,
    passes_check,
    pings,
    reaches_neighbour,
    receives_at,
    seen,
    sends_at,
    serves_host,
    serves_itself,
    serves_outside,
    sysctl,
    told,
    told_mac,
    unseen,
)
from tests.e2e.matrix.columns import CARRIED, NEW_PLUGINS, OLD_PLUGINS, PLUGINS, REPLAYED
from tests.e2e.matrix.world import DHCP_ROUTER, GIFT, GIFT_MAC, GIFT_ROUTER, LAN, LAN_LINK, LAN_ROUTER, World
from tests.e2e.publishing import HOST, HOST_V6

ADDRESS, ROUTER = "10.61.0.2", "10.61.0.1"
ADDRESS_V6, ROUTER_V6 = "fd00:61::2", "fd00:61::1"
SECOND, SECOND_ROUTER = "10.61.1.2", "10.61.1.1"
SECOND_V6 = "fd00:62::2"
OTHER_ROUTER = "10.61.0.9"
LAN_ADDRESS = "10.62.0.2"
GIFT_ADDRESS = "10.63.0.2"
MAC = "02:00:00:00:00:61"
RATE = 16_000_000
"""Bits per second: a megabyte takes half a second."""

_PROMISC, _ALLMULTI = 0x100, 0x200


@dataclass(frozen=True, slots=True)
class Property:
    """Something that a plugin gave, and how one sees that it is there."""

    name: str
    conditions: tuple[Condition, ...]
    handover: str = CARRIED
    """How it comes to the container that is handed over: `CARRIED` or `REPLAYED`."""
    plugins: tuple[str, ...] = PLUGINS
    """The sets that can give it."""

    def holds(self, cell: Cell) -> bool:
        """Whether it is there."""
        return all(condition(cell) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Case:
    """A chain, and what it gives."""

    name: str
    chain: tuple[Mapping[str, Any], ...]
    properties: tuple[Property, ...]
    afterwards: tuple[Property, ...] = ()
    """What is so when the container is gone."""
    options: tuple[str, ...] = ()
    """Of `docker run`."""
    surroundings: Callable[[World], AbstractContextManager[None]] = lambda _: nullcontext()
    version: str = "1.0.0"

    def all_properties(self) -> tuple[Property, ...]:
        """In the order of the page."""
        return (*self.properties, CHECKED, *self.afterwards, CLEAN)

    def properties_of(self, plugins: str) -> list[Property]:
        """Those that a set gives, as long as the container runs."""
        return [item for item in (*self.properties, CHECKED) if plugins in item.plugins]

    def afterwards_of(self, plugins: str) -> list[Property]:
        """Those that a set gives, when the container is gone."""
        return [item for item in (*self.afterwards, CLEAN) if plugins in item.plugins]


def _carried(name: str, *conditions: Condition, plugins: tuple[str, ...] = PLUGINS) -> Property:
    return Property(name, conditions, CARRIED, plugins)


def _replayed(name: str, *conditions: Condition, plugins: tuple[str, ...] = PLUGINS) -> Property:
    return Property(name, conditions, REPLAYED, plugins)


def _host_local(*pools: str, routes: tuple[Mapping[str, Any], ...] = ()) -> Mapping[str, Any]:
    return {"type": "host-local", "ranges": [[{"subnet": pool}] for pool in pools], "routes": routes}


_DEFAULT, _DEFAULT_V6 = {"dst": "0.0.0.0/0"}, {"dst": "::/0"}
_V4 = _host_local("10.61.0.0/24", routes=(_DEFAULT,))
_DUAL = _host_local("10.61.0.0/24", "fd00:61::/64", routes=(_DEFAULT, _DEFAULT_V6))
_GATEWAY = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": _V4}
_PORT = {"type": "bridge", "bridge": BRIDGE}
"""On a bridge that is there, with the addresses of gateways."""
_FIREWALL = {"type": "firewall"}
_PORTMAP = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
_PUBLISHED = ("-p", f"{HOST_PORT}:80")

_ADDRESS = _carried("address", seen(rf"inet {ADDRESS}/24 "), told(IPAddress=ADDRESS))
_BARE_ADDRESS = _carried("address", seen(rf"inet {ADDRESS}/"), told(IPAddress=ADDRESS))
_PREFIX = _replayed("length of the address's prefix", seen(rf"inet {ADDRESS}/24 "))
_IPV6_ADDRESS = _carried("IPv6 address", seen(rf"inet6 {ADDRESS_V6}/64 "), told(GlobalIPv6Address=ADDRESS_V6))
_MAC = _carried("MAC address in docker inspect", told_mac)
_DEFAULT_ROUTE = _carried(
    "default route", seen(rf"default via {ROUTER} dev eth0"), told(Gateway=ROUTER), pings(ROUTER)
)
_IPV6_DEFAULT_ROUTE = _carried(
    "IPv6 default route",
    seen(rf"default via {ROUTER_V6} dev eth0"),
    told(IPv6Gateway=ROUTER_V6),
    pings(ROUTER_V6),
)
_FORWARDED = _carried("neighbour reached through the engine's FORWARD policy", reaches_neighbour)
_MASQUERADED = _carried("others see the host's address", appears_as(HOST, source=ADDRESS))
_NOT_MASQUERADED = _carried("others see the container's own address", appears_as(ADDRESS, source=ADDRESS))
_PUBLISHED_PORT = _carried("published port, asked from another machine", serves_outside(HOST))
_SHAPED = _carried("queueing on the host's end", host_end_shapes)
_SLOW_IN = _carried("rate to the container", receives_at(RATE))
_SLOW_OUT = _carried("rate from the container", sends_at(RATE, ADDRESS))
_MTU = _carried("MTU", seen("mtu = 1380$"))
CHECKED = _carried("CHECK passes", passes_check)
"""A property of every case."""
CLEAN = _carried("nothing left after DEL", leaves_nothing)
"""A property of every case."""

CASES = (
    Case(
        "bridge",
        ({**_GATEWAY, "mtu": 1380, "ipam": _DUAL},),
        (_ADDRESS, _IPV6_ADDRESS, _MAC, _DEFAULT_ROUTE, _IPV6_DEFAULT_ROUTE, _MTU),
    ),
    Case(
        "bridge with ipMasq",
        ({**_GATEWAY, "ipMasq": True}, _FIREWALL),
        (_ADDRESS, _DEFAULT_ROUTE, _MASQUERADED, _FORWARDED),
    ),
    Case("bridge without ipMasq", (_GATEWAY, _FIREWALL), (_ADDRESS, _DEFAULT_ROUTE, _NOT_MASQUERADED)),
    Case(
        "bridge with hairpinMode",
        ({**_GATEWAY, "hairpinMode": True}, _PORTMAP, _FIREWALL),
        (
            _ADDRESS,
            _carried("hairpin mode on the host's end", host_end(hairpin=True)),
            _carried("own published port reached", serves_itself(HOST)),
        ),
        options=_PUBLISHED,
    ),
    Case(
        "bridge with promiscMode",
        ({**_GATEWAY, "promiscMode": True},),
        (_ADDRESS, _carried("promiscuous bridge", bridge_link("PROMISC"))),
    ),
    Case(
        "ptp",
        ({"type": "ptp", "ipMasq": True, "mtu": 1380, "ipam": _V4}, _FIREWALL),
        (
            _BARE_ADDRESS,
            _PREFIX,
            _MAC,
            _DEFAULT_ROUTE,
            _MTU,
            _carried("route to the gateway", seen(rf"{ROUTER} dev eth0 +scope link")),
            _carried(
                "route to the subnet by the gateway",
                seen(rf"10\.61\.0\.0/24 via {ROUTER} dev eth0"),
                unseen(r"10\.61\.0\.0/24 dev eth0 +scope link"),
            ),
            _carried("host's route to the container", host_route(ADDRESS)),
            _MASQUERADED,
        ),
    ),
    Case(
        "macvlan",
        (
            {
                "type": "macvlan",
                "master": LAN_LINK,
                "mode": "bridge",
                "mtu": 1380,
                "ipam": _host_local(LAN, routes=(_DEFAULT,)),
            },
        ),
        (
            _carried("address", seen(rf"inet {LAN_ADDRESS}/24 "), told(IPAddress=LAN_ADDRESS)),
            _MAC,
            _carried(
                "default route",
                seen(rf"default via {LAN_ROUTER} dev eth0"),
                told(Gateway=LAN_ROUTER),
                pings(LAN_ROUTER),
            ),
            _MTU,
            _carried("kind of the link", kind("macvlan", mode="bridge")),
            _carried("reached from the LAN", is_pinged(LAN_ADDRESS)),
        ),
    ),
    Case(
        "host-device",
        (
            {
                "type": "host-device",
                "device": GIFT,
                "ipam": {
                    "type": "static",
                    "addresses": [{"address": f"{GIFT_ADDRESS}/24", "gateway": GIFT_ROUTER}],
                    "routes": [_DEFAULT],
                },
            },
        ),
        (
            _carried("address", seen(rf"inet {GIFT_ADDRESS}/24 "), told(IPAddress=GIFT_ADDRESS)),
            _carried("the device itself", seen(f"address = {GIFT_MAC}$"), host_lacks_gift),
            _MAC,
            _carried(
                "default route",
                seen(rf"default via {GIFT_ROUTER} dev eth0"),
                told(Gateway=GIFT_ROUTER),
                pings(GIFT_ROUTER),
            ),
        ),
        surroundings=world.gift,
    ),
    Case(
        "tap",
        ({"type": "tap", "multiQueue": True, "mtu": 1380, "ipam": _V4},),
        (
            _ADDRESS,
            _MAC,
            _MTU,
            _carried("kind of the link", kind("tun", type="tap", multi_queue=True, persist=True)),
            _carried("default route", seen(rf"default via {ROUTER} dev eth0"), told(Gateway=ROUTER)),
        ),
    ),
    Case(
        "loopback",
        ({"type": "loopback"}, _GATEWAY),
        (_ADDRESS, _carried("loopback address", seen(r"inet 127\.0\.0\.1/8 "), pings("127.0.0.1"))),
    ),
    Case(
        "portmap",
        ({**_GATEWAY, "ipam": _DUAL}, _PORTMAP, _FIREWALL),
        (
            _ADDRESS,
            _IPV6_ADDRESS,
            _PUBLISHED_PORT,
            _carried("published port, asked by IPv6", serves_outside(HOST_V6)),
            _carried("published port, asked on the host", serves_host),
        ),
        options=_PUBLISHED,
    ),
    Case(
        "bandwidth",
        (
            _GATEWAY,
            _FIREWALL,
            {
                "type": "bandwidth",
                "ingressRate": RATE,
                "ingressBurst": 500_000,
                "egressRate": RATE,
                "egressBurst": 500_000,
            },
        ),
        (_ADDRESS, _SHAPED, _SLOW_IN, _SLOW_OUT),
    ),
    Case(
        "firewall",
        ({**_GATEWAY, "ipam": _DUAL}, _FIREWALL),
        (
            _ADDRESS,
            _FORWARDED,
            _carried(
                "other machine reached by IPv6",
                appears_as(ADDRESS_V6, source=ADDRESS_V6, to=world.OUTSIDE_V6),
            ),
        ),
    ),
    Case(
        "tuning",
        (
            _GATEWAY,
            {
                "type": "tuning",
                "sysctl": {
                    "net.core.somaxconn": "500",
                    "net.ipv4.conf.all.log_martians": "1",
                    "net.ipv4.conf.IFNAME.arp_filter": "1",
                },
                "mac": MAC,
                "mtu": 1380,
                "promisc": True,
                "allmulti": True,
                "txQLen": 500,
            },
        ),
        (
            _ADDRESS,
            _replayed("sysctl", sysctl("net/core/somaxconn", "500")),
            _replayed("sysctl of all links", sysctl("net/ipv4/conf/all/log_martians", "1")),
            _replayed("sysctl of the link", sysctl("net/ipv4/conf/eth0/arp_filter", "1")),
            _carried("MAC address", seen(f"address = {MAC}$")),
            _MAC,
            _MTU,
            _carried("promiscuous link", flagged(_PROMISC)),
            _carried("link that takes all multicasts", flagged(_ALLMULTI)),
            _carried("length of the transmit queue", seen("tx_queue_len = 500$"), plugins=(NEW_PLUGINS,)),
        ),
    ),
    Case(
        "sbr",
        (_GATEWAY, _FIREWALL, {"type": "sbr"}),
        (
            _BARE_ADDRESS,
            _PREFIX,
            _replayed("rule", seen(rf"\d+:\s+from {ADDRESS} lookup 100")),
            _replayed("table's default route", seen(rf"default via {ROUTER} dev eth0 table 100")),
            _replayed("table's route to the subnet", seen(r"10\.61\.0\.0/24 dev eth0 table 100")),
            _replayed("others reached by the table", appears_as(ADDRESS, source=ADDRESS)),
        ),
    ),
    Case(
        "host-local with several ranges",
        (
            {
                **_PORT,
                "ipam": _host_local(
                    "10.61.0.0/24",
                    "10.61.1.0/24",
                    "fd00:61::/64",
                    "fd00:62::/64",
                    routes=(_DEFAULT, _DEFAULT_V6, {"dst": "10.99.0.0/16", "gw": OTHER_ROUTER}),
                ),
            },
        ),
        (
            _ADDRESS,
            _replayed("second address", seen(rf"inet {SECOND}/24 "), pings(SECOND_ROUTER, source=SECOND)),
            _IPV6_ADDRESS,
            _replayed("second IPv6 address", seen(rf"inet6 {SECOND_V6}/64 ")),
            _DEFAULT_ROUTE,
            _IPV6_DEFAULT_ROUTE,
            _carried("static route", seen(rf"10\.99\.0\.0/16 via {OTHER_ROUTER} dev eth0")),
        ),
        surroundings=world.bridge,
    ),
    Case(
        "host-local with several default routes",
        (
            {
                **_PORT,
                "ipam": _host_local(
                    "10.61.0.0/24",
                    routes=({**_DEFAULT, "gw": ROUTER}, {**_DEFAULT, "gw": OTHER_ROUTER}),
                ),
            },
        ),
        (
            _ADDRESS,
            # The kernel puts a route before others that are like it.
            _carried(
                "default route that counts",
                seen(rf"default via {OTHER_ROUTER} dev eth0"),
                told(Gateway=OTHER_ROUTER),
            ),
            _replayed(
                "default route behind it",
                seen(rf"default via {OTHER_ROUTER} dev eth0 *\n *default via {ROUTER} dev eth0"),
            ),
        ),
        surroundings=world.bridge,
    ),
    Case(
        "host-local with routes of CNI 1.1",
        (
            {
                **_GATEWAY,
                "ipam": _host_local(
                    "10.61.0.0/24",
                    routes=(
                        _DEFAULT,
                        {"dst": "10.98.0.0/16", "gw": OTHER_ROUTER, "priority": 50},
                        {"dst": "10.96.0.0/16", "gw": OTHER_ROUTER, "table": 77},
                    ),
                ),
            },
        ),
        (
            _ADDRESS,
            _DEFAULT_ROUTE,
            _replayed("route's priority", seen(rf"10\.98\.0\.0/16 via {OTHER_ROUTER} dev eth0 +metric 50")),
            _replayed("second table", seen(rf"10\.96\.0\.0/16 via {OTHER_ROUTER} dev eth0 table 77")),
        ),
        version="1.1.0",
    ),
    Case(
        "static with several addresses",
        (
            {
                **_PORT,
                "ipam": {
                    "type": "static",
                    "addresses": [
                        {"address": f"{ADDRESS}/24", "gateway": ROUTER},
                        {"address": f"{SECOND}/24", "gateway": SECOND_ROUTER},
                        {"address": f"{ADDRESS_V6}/64", "gateway": ROUTER_V6},
                    ],
                    "routes": [
                        _DEFAULT,
                        _DEFAULT_V6,
                        {"dst": "10.99.0.0/16", "gw": OTHER_ROUTER},
                    ],
                },
            },
        ),
        (
            _ADDRESS,
            _replayed("second address", seen(rf"inet {SECOND}/24 "), pings(SECOND_ROUTER, source=SECOND)),
            _IPV6_ADDRESS,
            _DEFAULT_ROUTE,
            _IPV6_DEFAULT_ROUTE,
            _carried("static route", seen(rf"10\.99\.0\.0/16 via {OTHER_ROUTER} dev eth0")),
        ),
        surroundings=world.bridge,
    ),
    Case(
        "dhcp",
        (
            {
                "type": "macvlan",
                "master": LAN_LINK,
                "ipam": {"type": "dhcp", "daemonSocketPath": str(world.DHCP_SOCKET)},
            },
        ),
        (
            _carried("leased address", leased),
            _carried(
                "default route",
                seen(rf"default via {DHCP_ROUTER} dev eth0"),
                told(Gateway=DHCP_ROUTER),
                pings(DHCP_ROUTER),
            ),
            _carried("renewed lease", lease_renewed),
        ),
        (
            # The server does not take the newest plugin's word for it, whichever runtime runs that.
            _carried("released lease", lease_released, plugins=(OLD_PLUGINS,)),
        ),
        surroundings=world.dhcp_server,
    ),
    Case(
        "all in one chain",
        (
            {**_GATEWAY, "ipMasq": True, "hairpinMode": True, "ipam": _DUAL},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}, "mac": MAC, "mtu": 1380},
            _PORTMAP,
            _FIREWALL,
            {"type": "bandwidth", "egressRate": RATE, "egressBurst": 500_000},
            {"type": "sbr"},
        ),
        (
            _BARE_ADDRESS,
            _carried("MAC address", seen(f"address = {MAC}$")),
            _MAC,
            _MTU,
            _replayed("sysctl", sysctl("net/core/somaxconn", "500")),
            _replayed("rule", seen(rf"\d+:\s+from {ADDRESS} lookup 100")),
            _replayed("others see the host's address", appears_as(HOST, source=ADDRESS)),
            _replayed("published port, asked from another machine", serves_outside(HOST)),
            _replayed("rate from the container", sends_at(RATE, ADDRESS)),
        ),
        options=_PUBLISHED,
    ),
)
