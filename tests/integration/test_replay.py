"""What plugins set in a staging namespace is in the sandbox too, once the engine has had its turn.

`attach` plays the plugin that makes the link, and `carry` the engine.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shim.net.links import Links
from shim.net.replay import Replay, Replayed
from shim.net.thread import KernelError
from tests.integration.host import links
from tests.integration.staged import ADDRESSES, attach, carry, inside, shown, whole

NAMES = {"eth0": "eth1"}


@dataclass(frozen=True, slots=True)
class Case:
    """Something that a plugin may set, and what shows it."""

    plugin: str
    """A shell script in the staging namespace, which has `eth0`."""
    show: str
    """A shell script whose output is the same before and after; `$L` is the link."""
    replayed: tuple[str, ...]
    carried: tuple[str, ...] = ()


SHOW_ADDRESSES = "ip -details -oneline address show dev $L"
SHOW_ROUTES = "ip -details route show table all; ip -details -6 route show table all"

CASES = {
    "flags, MTU, queue, alias and further names of the link": Case(
        """
            ip link set eth0 promisc on allmulticast on multicast off arp off
            ip link set eth0 mtu 1400 txqueuelen 77 alias 'the web'
            ip link property add dev eth0 altname uplink-of-web
            """,
        "ip link show dev $L",
        (),
        (
            "link eth1",
            "link eth1 alias the web",
            "link eth1 altname uplink-of-web",
            "link eth1 promisc on",
            "link eth1 allmulticast on",
            "link eth1 arp off",
            "link eth1 multicast off",
        ),
    ),
    "further addresses with their attributes": Case(
        """
            ip address add 10.1.0.6/16 broadcast + dev eth0 label eth0:six
            ip address add 10.2.0.5 peer 10.2.0.1/32 dev eth0 scope link
            ip address add 10.3.0.5/24 broadcast + dev eth0 noprefixroute
            ip address add 10.4.0.5/24 broadcast 10.4.0.7 dev eth0 metric 77
            ip address add fd00:2::5/64 dev eth0 nodad noprefixroute home
            ip address add fd00:3::5/64 dev eth0 nodad metric 99
            ip address add fe80::77/64 dev eth0 nodad
            """,
        f"{SHOW_ADDRESSES}; {SHOW_ROUTES}",
        (
            "address 10.2.0.5/32 peer 10.2.0.1/32 dev eth1 scope link",
            "address 10.3.0.5/24 dev eth1 noprefixroute",
            "address 10.4.0.5/24 broadcast 10.4.0.7 dev eth1 metric 77",
            "address 10.1.0.6/16 dev eth1 label eth1:six",
            "address fd00:3::5/64 dev eth1 nodad metric 99",
            "address fd00:2::5/64 dev eth1 nodad home noprefixroute",
            "address fe80::77/64 dev eth1 nodad",
        ),
    ),
    "addresses whose subnets' routes were removed": Case(
        """
            ip address add 10.2.0.5/24 broadcast + dev eth0
            ip route delete 10.2.0.0/24 dev eth0
            """,
        SHOW_ROUTES,
        ("address 10.2.0.5/24 dev eth1",),
    ),
    "routes of the main table with attributes": Case(
        """
            ip address add 10.1.0.6/16 broadcast + dev eth0
            ip route add 10.9.0.0/16 via 10.1.0.1 src 10.1.0.6 metric 7 mtu 1300 advmss 1200 proto static
            ip route add 10.8.0.0/16 via 172.16.0.1 dev eth0 onlink
            ip route add 10.7.0.0/16 nexthop via 10.1.0.1 weight 3 nexthop via 10.1.0.2
            ip route add 10.6.0.0/16 via inet6 fd00:1::1 dev eth0
            ip route add blackhole 10.5.0.0/16
            ip route add unreachable 10.5.1.0/24 metric 4
            ip route add prohibit fd00:5::/64
            ip route add throw 10.5.2.0/24
            ip route add fd00:9::/64 via fd00:1::1 metric 7 mtu 1300 pref high
            ip route add fd00:8::/64 nexthop via fd00:1::1 nexthop via fd00:1::2 weight 2
            ip route add fd00:7::/64 from fd00:1::/64 via fd00:1::1
            ip route add 10.4.0.0/16 tos 0x10 dev eth0
            ip route add 10.3.0.0/16 dev eth0 scope global
            """,
        SHOW_ROUTES,
        (
            "address 10.1.0.6/16 dev eth1",
            "route 10.3.0.0/16 dev eth1 scope global",
            "route 10.4.0.0/16 dev eth1 tos 16",
            "route 10.6.0.0/16 via fd00:1::1",
            "route 10.8.0.0/16 via 172.16.0.1 dev eth1 onlink",
            "route 10.9.0.0/16 via 10.1.0.1 proto static src 10.1.0.6 metric 7 mtu 1300 advmss 1200",
            "route fd00:7::/64 via fd00:1::1 from fd00:1::/64",
            "route fd00:9::/64 via fd00:1::1 metric 7 mtu 1300 pref high",
            "route blackhole 10.5.0.0/16",
            "route unreachable 10.5.1.0/24 metric 4",
            "route throw 10.5.2.0/24",
            "route 10.7.0.0/16 nexthop via 10.1.0.1 weight 3 nexthop via 10.1.0.2 weight 1",
            "route prohibit fd00:5::/64",
            "route fd00:8::/64 nexthop via fd00:1::1 weight 1 nexthop via fd00:1::2 weight 2",
        ),
    ),
    "routes of other tables, and of the local one": Case(
        """
            ip route add default via 10.1.0.1 table 100
            ip route add 10.1.0.0/16 dev eth0 table 100 proto kernel
            ip route add default via fd00:1::1 dev eth0 table 100000
            ip route add local 10.77.0.0/16 dev lo
            ip route add local fd00:77::/64 dev lo
            """,
        SHOW_ROUTES,
        (
            "route default via 10.1.0.1 table 100",
            "route 10.1.0.0/16 dev eth1 table 100 proto kernel",
            "route local 10.77.0.0/16 dev lo table local",
            "route ::/0 via fd00:1::1 table 100000",
            "route local fd00:77::/64 dev lo table local",
        ),
    ),
    "rules of both families": Case(
        """
            ip rule add from 10.1.0.5 table 100
            ip rule add not to 10.9.0.0/16 fwmark 1/255 table 1000 priority 7
            ip -6 rule add from fd00:1::5/128 to fd00:9::/64 iif eth0 oif lo prohibit
            ip rule add ipproto tcp sport 80 dport 1000-2000 uidrange 5-6 tos 0x10 goto 32766 priority 9
            ip rule add table main suppress_prefixlength 0 priority 8
            ip rule add iif gone0 blackhole
            """,
        "ip rule; ip -6 rule",
        (
            "rule from all iif gone0 blackhole priority 6",
            "rule not from all to 10.9.0.0/16 fwmark 1 fwmask 255 lookup 1000 priority 7",
            "rule from all suppress_prefixlength 0 lookup main priority 8",
            "rule from all tos 16 goto 32766 uidrange 5-6 ipproto 6 sport 80 dport 1000-2000 priority 9",
            "rule from 10.1.0.5 lookup 100 priority 32765",
            "rule from fd00:1::5 to fd00:9::/64 iif eth1 oif lo prohibit priority 32765",
        ),
    ),
    "permanent and proxy neighbours, and forwarding entries": Case(
        """
            ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
            ip neigh add fd00:1::9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent router proto static
            ip neigh add proxy 10.1.0.10 dev eth0
            ip neigh add proxy fd00:1::10 dev eth0
            bridge fdb add 02:00:00:00:00:11 dev eth0 self permanent
            """,
        """
            ip neigh show nud permanent
            ip -6 neigh show nud permanent
            ip neigh show proxy
            ip -6 neigh show proxy
            bridge fdb show dev $L
            """,
        (
            "neighbour 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth1",
            "neighbour fd00:1::9 lladdr 02:00:00:00:00:09 dev eth1 router proto static",
            "neighbour proxy 10.1.0.10 dev eth1",
            "neighbour proxy fd00:1::10 dev eth1",
            "fdb 02:00:00:00:00:11 dev eth1 self permanent",
        ),
    ),
    "sysctls of the namespace and of the link": Case(
        """
            cd /proc/sys/net
            echo 1 > ipv4/ip_forward
            echo 1024 > core/somaxconn
            echo 1 > ipv4/conf/all/arp_ignore
            echo '10000 20000' > ipv4/ip_local_port_range
            echo 1 > ipv4/conf/eth0/arp_notify
            echo 2 > ipv4/conf/eth0/rp_filter
            echo 0 > ipv6/conf/eth0/accept_ra
            echo 1300 > ipv6/conf/eth0/mtu
            echo 77 > ipv4/neigh/eth0/gc_stale_time
            echo 5 > ipv6/neigh/eth0/mcast_solicit
            echo 1 > ipv4/conf/lo/arp_announce
            echo fd00::1 > ipv6/conf/eth0/stable_secret
            echo 1 > ipv6/conf/default/disable_ipv6
            """,
        """
            cd /proc/sys/net
            grep -r . . 2>/dev/null | grep -v '/taken0/\\|nf_conntrack_count'
            """,
        (
            "sysctl net.core.somaxconn = 1024",
            "sysctl net.ipv4.conf.all.accept_redirects = 0",
            "sysctl net.ipv4.conf.all.arp_ignore = 1",
            "sysctl net.ipv4.conf.all.forwarding = 1",
            "sysctl net.ipv4.conf.default.forwarding = 1",
            "sysctl net.ipv4.ip_forward = 1",
            "sysctl net.ipv4.ip_local_port_range = 10000 20000",
            "sysctl net.ipv6.conf.default.disable_ipv6 = 1",
            "sysctl net.ipv4.conf.eth1.arp_notify = 1",
            "sysctl net.ipv4.conf.eth1.forwarding = 1",
            "sysctl net.ipv4.conf.eth1.rp_filter = 2",
            "sysctl net.ipv4.conf.lo.arp_announce = 1",
            "sysctl net.ipv4.conf.lo.forwarding = 1",
            "sysctl net.ipv4.neigh.eth1.gc_stale_time = 77",
            "sysctl net.ipv6.conf.eth1.accept_ra = 0",
            "sysctl net.ipv6.conf.eth1.mtu = 1300",
            "sysctl net.ipv6.conf.eth1.stable_secret = fd00:0000:0000:0000:0000:0000:0000:0001",
            "sysctl net.ipv6.neigh.eth1.mcast_solicit = 5",
            "sysctl net.ipv6.conf.eth1.addr_gen_mode = 2",
        ),
    ),
    "queueing disciplines, classes and filters": Case(
        """
            tc qdisc add dev eth0 root handle 1: htb default 20
            tc class add dev eth0 parent 1: classid 1:1 htb rate 10mbit burst 15k
            tc class add dev eth0 parent 1:1 classid 1:20 htb rate 5mbit ceil 8mbit prio 3
            tc qdisc add dev eth0 parent 1:20 handle 20: tbf rate 4mbit burst 32kbit latency 50ms
            tc filter add dev eth0 parent 1: protocol ip prio 5 u32 match ip dst 10.9.0.0/16 flowid 1:1
            tc filter add dev eth0 parent 1: protocol ip prio 6 handle 2: u32 divisor 4
            tc filter add dev eth0 parent 1: protocol ipv6 prio 7 u32 match ip6 dport 80 0xffff flowid 1:20
            tc qdisc add dev eth0 clsact
            tc filter add dev eth0 ingress protocol all u32 match u32 0 0 action mirred egress mirror dev eth0
            """,
        """
            tc -d qdisc show dev $L
            tc -d class show dev $L
            tc filter show dev $L
            tc filter show dev $L ingress
            """,
        (
            "qdisc htb 1: root dev eth1",
            "qdisc clsact ffff: ingress dev eth1",
            "class htb 1:1 root dev eth1",
            "class htb 1:20 parent 1:1 dev eth1",
            "filter u32 dev eth1 parent 1: protocol ip pref 5 handle 0x80000800",
            "filter u32 dev eth1 parent 1: protocol ip pref 6 handle 0x200000",
            "filter u32 dev eth1 parent 1: protocol ipv6 pref 7 handle 0x80200800",
            "filter u32 dev eth1 ingress protocol all pref 49152 handle 0x80000800",
            "qdisc tbf 20: parent 1:20 dev eth1",
        ),
    ),
    "netfilter rules of every tool": Case(
        """
            iptables -N OURS
            iptables -A OURS -i eth0 -m comment --comment 'the web' -j ACCEPT
            iptables -A INPUT -j OURS
            iptables -P FORWARD DROP
            ip6tables -t nat -A OUTPUT -d fd00::1 -j RETURN
            iptables-legacy -t mangle -A POSTROUTING -o eth0 -j MARK --set-mark 7
            nft add table inet ours
            nft add set inet ours few "{ type ipv4_addr; elements = { 10.1.0.1, 10.1.0.2 }; }"
            nft add chain inet ours input "{ type filter hook input priority 0; policy drop; }"
            nft add rule inet ours input ip saddr @few iifname "{ eth0, lo }" counter accept
            """,
        """
            iptables-save
            ip6tables-save
            iptables-legacy-save
            nft -s list table inet ours
            """,
        (
            "iptables -t filter -P FORWARD DROP",
            "iptables -t filter -N OURS",
            "iptables -t filter -A INPUT -j OURS",
            'iptables -t filter -A OURS -i eth1 -m comment --comment "the web" -j ACCEPT',
            "ip6tables -t nat -A OUTPUT -d fd00::1/128 -j RETURN",
            "iptables-legacy -t mangle -A POSTROUTING -o eth1 -j MARK --set-xmark 0x7/0xffffffff",
            "nft add table inet ours",
            "nft add chain inet ours input { type filter hook input priority filter; policy drop; }",
            "nft add set inet ours few { type ipv4_addr elements = { 10.1.0.1, 10.1.0.2 } }",
            'nft add rule inet ours input ip saddr @few iifname { "eth1", "lo" } counter accept',
        ),
    ),
    "the loopback link": Case(
        """
            ip link set lo up
            ip address add 10.66.0.1/32 dev lo
            ip address add fd00:66::1/128 dev lo nodad
            ip link set lo mtu 9000
            echo 1 > /proc/sys/net/ipv4/conf/lo/accept_local
            """,
        """
            ip -oneline address show dev lo
            ip link show dev lo
            cat /proc/sys/net/ipv4/conf/lo/accept_local
            """,
        (
            "link lo mtu 9000",
            "sysctl net.ipv4.conf.lo.accept_local = 1",
            "address 10.66.0.1/32 dev lo",
            "address fd00:66::1/128 dev lo nodad",
        ),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_the_sandbox_shows_what_the_staging_namespace_showed(
    net: Links, replay: Replay, staging: Path, sandbox: Path, case: Case
) -> None:
    attach(staging)
    inside(staging, case.plugin)
    before = shown(staging, f"L=eth0; {case.show}")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    first = await replay.replay(sandbox, snapshot, NAMES, default_route=True)
    after = shown(sandbox, f"L=eth1; {case.show}", NAMES)
    second = await replay.replay(sandbox, snapshot, NAMES, default_route=True)

    assert first.lost == ()
    assert first.yielded == ()
    assert after == before
    assert sorted(first.replayed) == sorted(case.replayed)
    assert set(case.carried) <= set(first.carried)
    assert second == Replayed((*second.carried,))
    assert set(second.carried) >= {*first.carried, *first.replayed}


# What is there already


async def test_what_engine_and_user_set_stays_and_is_what_the_snapshot_yields_to(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(
        staging,
        """
            ip address add 10.2.0.5/24 dev eth0 label eth0:two
            ip route add 10.9.0.0/16 via 10.1.0.1
            echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter
            echo 5 > /proc/sys/net/core/somaxconn
            iptables -t nat -A OUTPUT -d 10.9.0.1 -j RETURN
            """,
    )
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1", (*ADDRESSES, "10.2.0.5/24"))
    theirs = """
            ip route add 10.9.0.0/16 via 10.1.0.2
            echo 1 > /proc/sys/net/ipv4/conf/eth1/rp_filter
            echo 1 > /proc/sys/net/ipv6/conf/eth1/disable_ipv6
            echo 6 > /proc/sys/net/core/somaxconn
            iptables -t nat -N DOCKER_OUTPUT
            iptables -t nat -A OUTPUT -d 127.0.0.11 -j DOCKER_OUTPUT
            """
    inside(sandbox, theirs)
    everything = """
            ip link show eth1
            ip address show dev eth1
            ip route show table all
            iptables-save | grep -v 10.9.0.1
            cd /proc/sys/net
            cat ipv4/conf/eth1/rp_filter ipv6/conf/eth1/disable_ipv6 core/somaxconn
            """
    before = shown(sandbox, everything)

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=True)

    assert shown(sandbox, everything) == before
    assert set(report.yielded) == {
        ("address 10.2.0.5/24 dev eth1 label eth1:two", "there is address 10.2.0.5/24 dev eth1 already"),
        ("route 10.9.0.0/16 via 10.1.0.1", "there is route 10.9.0.0/16 via 10.1.0.2 already"),
        ("sysctl net.ipv4.conf.eth1.rp_filter = 2", "it has been set to 1 since"),
        ("sysctl net.core.somaxconn = 5", "it has been set to 6 since"),
    }
    assert report.replayed == ("iptables -t nat -A OUTPUT -d 10.9.0.1/32 -j RETURN",)


async def test_a_route_that_the_engine_carried_gets_the_attributes_that_it_lost(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(
        staging,
        """
            ip route add default via 10.1.0.1 mtu 1300 src 10.1.0.5
            ip route add 10.9.0.0/16 via 10.1.0.1 advmss 900
            ip route add fd00:9::/64 via fd00:1::1 mtu 1300
            """,
    )
    before = shown(staging, SHOW_ROUTES)
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")
    inside(
        sandbox,
        """
            ip route add default via 10.1.0.1
            ip route add 10.9.0.0/16 via 10.1.0.1
            ip route add fd00:9::/64 via fd00:1::1
            """,
    )

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=False)

    assert shown(sandbox, SHOW_ROUTES, NAMES) == before
    assert report.replayed == (
        "route default via 10.1.0.1 src 10.1.0.5 mtu 1300",
        "route 10.9.0.0/16 via 10.1.0.1 advmss 900",
        "route fd00:9::/64 via fd00:1::1 mtu 1300",
    )
    again = await replay.replay(sandbox, snapshot, NAMES, default_route=False)
    assert again.replayed == ()


async def test_an_address_that_the_engine_carried_gets_the_attributes_that_the_kernel_can_change(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging, addresses=("10.1.0.5/16",))
    inside(
        staging,
        """
            ip address change 10.1.0.5/16 dev eth0 valid_lft 1000 preferred_lft 0 metric 50
            ip address add fd00:1::5/64 dev eth0 nodad noprefixroute
            """,
    )
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=False)
    again = await replay.replay(sandbox, snapshot, NAMES, default_route=False)

    (ipv4,) = shown(sandbox, "ip -4 -oneline address show dev eth1")
    assert re.search(
        r"10.1.0.5/16 metric 50 .* deprecated dynamic .* valid_lft \d+sec preferred_lft 0sec", ipv4
    )
    assert "noprefixroute" in inside(sandbox, "ip -6 -oneline address show dev eth1 scope global")
    assert (report.yielded, report.lost) == ((), ())
    assert (again.replayed, again.yielded) == ((), ())


async def test_an_address_that_the_engine_set_without_its_subnet_gets_it_back_without_its_route(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(staging, "ip route delete 10.1.0.0/16 dev eth0; ip route add 10.1.0.1 dev eth0")
    inside(staging, "ip -6 route delete fd00:1::/64 dev eth0")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1", ("10.1.0.5/32", "fd00:1::5/128"))

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=False)

    lengthened = ("address 10.1.0.5/16 dev eth1", "address fd00:1::5/64 dev eth1 nodad")
    assert report.replayed == (*lengthened, "route 10.1.0.1/32 dev eth1")
    assert (report.yielded, report.lost) == ((), ())
    found = (await whole(net, sandbox)).link("eth1")
    assert found
    assert found.addresses == ("10.1.0.5/16", "fd00:1::5/64")
    assert inside(sandbox, "ip -o route show dev eth1") == "10.1.0.1 scope link \n"
    assert (await replay.replay(sandbox, snapshot, NAMES, default_route=False)).replayed == ()


@pytest.mark.parametrize("family", ["10.1.0.1", "fd00:1::1"])
async def test_a_default_route_is_set_only_where_the_caller_says_so(
    net: Links, replay: Replay, staging: Path, sandbox: Path, family: str
) -> None:
    attach(staging)
    inside(staging, f"ip route add default via {family} metric 5")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    without = await replay.replay(sandbox, snapshot, NAMES, default_route=False)
    assert [why for _, why in without.yielded] == ["the engine decides where the default route leads"]
    assert "default" not in inside(sandbox, "ip route; ip -6 route")

    await replay.replay(sandbox, snapshot, NAMES, default_route=True)
    assert f"default via {family} dev eth1 metric 5" in inside(sandbox, "ip route; ip -6 route")


async def test_a_default_route_of_the_engine_with_another_metric_is_the_snapshots(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(staging, "ip route add default via 10.1.0.1 metric 5")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")
    inside(sandbox, "ip route add default via 10.1.0.1")

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=True)

    assert report.carried[-1] == "route default via 10.1.0.1 metric 5"
    assert inside(sandbox, "ip route show default").splitlines() == ["default via 10.1.0.1 dev eth1 "]


async def test_a_link_that_the_plugins_left_down_is_up_as_the_engine_wants_it(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(staging, "ip link set eth0 down")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    report = await replay.replay(sandbox, snapshot, NAMES, default_route=True)

    assert report.yielded == (("link eth1 down", "the engine brings links up"),)
    assert "UP" in links(sandbox)["eth1"]["flags"]


# What cannot be


async def test_what_the_kernel_refuses_is_told_in_its_words_and_keeps_nothing_else_back(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(
        staging,
        """
            ip link set eth0 mtu 1400
            ip route add 10.9.0.0/16 via 10.1.0.1
            ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0
            ip route add 10.8.0.0/16 via 172.16.0.1 dev eth0 onlink
            iptables -A INPUT -s 10.9.0.1 -j DROP
            """,
    )
    snapshot = await whole(net, staging)
    impossible = replace(
        snapshot,
        routes=tuple(replace(route, flags=()) for route in snapshot.routes),
        sysctls=(("ipv4/conf/eth0/no_such", "1"), ("ipv4/conf/eth0/arp_notify", "1")),
        netfilter=(
            replace(snapshot.netfilter[0], rules=snapshot.netfilter[0].rules + "\n-A INPUT -j NOSUCH"),
        ),
        unread=(("nft table inet ours", "nft is not installed"),),
    )
    carry(staging, sandbox, "eth0", "eth1")

    report = await replay.replay(sandbox, impossible, NAMES, default_route=False)

    assert [what for what, _ in report.lost] == [
        "nft table inet ours",
        "sysctl net.ipv4.conf.eth1.no_such = 1",
        "route 10.8.0.0/16 via 172.16.0.1",
        "iptables -t filter -A INPUT -j NOSUCH",
    ]
    reasons = dict(report.lost)
    assert reasons["nft table inet ours"] == "nft is not installed"
    assert reasons["sysctl net.ipv4.conf.eth1.no_such = 1"] == "No such file or directory"
    assert reasons["route 10.8.0.0/16 via 172.16.0.1"] == (
        "Nexthop has invalid gateway (Network is unreachable)"
    )
    assert "NOSUCH" in reasons["iptables -t filter -A INPUT -j NOSUCH"]
    assert set(report.replayed) == {
        "sysctl net.ipv4.conf.eth1.arp_notify = 1",
        "neighbour 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth1",
        "route 10.9.0.0/16 via 10.1.0.1",
        "iptables -t filter -A INPUT -s 10.9.0.1/32 -j DROP",
    }


async def test_what_belongs_to_a_link_without_a_name_in_the_sandbox_is_lost_and_says_so(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(
        staging,
        """
            ip link add net1 type veth peer name net2
            ip link set net1 up
            ip link set net2 up
            ip address add 10.5.0.1/24 dev net1
            ip route add 10.6.0.0/16 dev net1
            echo 1 > /proc/sys/net/ipv4/conf/net1/arp_notify
            ip rule add iif net1 table 7
            """,
    )
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    report = await replay.replay(sandbox, snapshot, {**NAMES, "net2": "net2"}, default_route=False)

    assert report.lost == (
        ("link net1", "its link net1 is not in the sandbox"),
        ("route 10.5.0.0/24 dev net1", "its link net1 is not in the sandbox"),
        ("route 10.6.0.0/16 dev net1", "its link net1 is not in the sandbox"),
        ("sysctl net.ipv4.conf.net1.arp_notify = 1", "its link net1 is not in the sandbox"),
        ("link net2", "it is not in the sandbox"),
    )
    assert report.replayed == ("rule from all iif net1 lookup 7 priority 32765",)


async def test_a_missing_sandbox_is_an_error(
    net: Links, replay: Replay, staging: Path, tmp_path: Path
) -> None:
    attach(staging)
    inside(staging, "ip link add net1 type veth peer name net2")
    snapshot = await whole(net, staging)

    for attempt in (
        replay.replay(tmp_path / "gone", snapshot, NAMES, default_route=True),
        replay.move_rest(staging, tmp_path / "gone", snapshot, {"eth0"}),
    ):
        with pytest.raises(KernelError, match=r"^cannot (replay|move).*gone.*No such file"):
            await attempt
