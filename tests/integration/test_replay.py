"""What plugins set in a staging namespace is in the sandbox too, once the engine has had its turn."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shim.net.links import Links
from shim.net.replay import Replay, Replayed
from shim.net.thread import NetlinkThread
from tests.integration.host import links, run
from tests.integration.staged import ADDRESSES, attach, carry, inside, shown

NAMES = {"eth0": "eth1"}


@pytest.fixture
def staging(sandbox: Path) -> Iterator[Path]:
    """Where the plugins work."""
    assert sandbox.exists(), "it lives longer, since links are taken back from both"
    run("ip", "netns", "add", "staging")
    yield Path("/run/netns/staging")
    for name in links():
        if name.startswith("p-"):  # with the other end, wherever that is
            run("ip", "link", "delete", name)
    run("ip", "netns", "delete", "staging")


@pytest.fixture
async def thread() -> AsyncIterator[NetlinkThread]:
    thread = NetlinkThread()
    yield thread
    thread.close()


@pytest.fixture
def net(thread: NetlinkThread) -> Links:
    return Links(thread)


@pytest.fixture
def replay(thread: NetlinkThread) -> Replay:
    return Replay(thread)


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
SHOW_LINK = "ip -details link show dev $L"
SHOW_TRAFFIC = "tc -d qdisc show dev $L; tc -d class show dev $L; tc filter show dev $L"

CASES = {
    "flags, MTU, queue, alias and further names of the link": Case(
        "ip link set eth0 promisc on allmulticast on multicast off arp off mtu 1400 txqueuelen 77 alias 'the web';"
        "ip link property add dev eth0 altname uplink-of-web",
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
        "ip address add 10.1.0.6/16 broadcast + dev eth0 label eth0:six;"
        "ip address add 10.2.0.5 peer 10.2.0.1/32 dev eth0 scope link;"
        "ip address add 10.3.0.5/24 broadcast + dev eth0 noprefixroute;"
        "ip address add 10.4.0.5/24 broadcast 10.4.0.7 dev eth0 metric 77;"
        "ip address add fd00:2::5/64 dev eth0 nodad noprefixroute home;"
        "ip address add fd00:3::5/64 dev eth0 nodad metric 99;"
        "ip address add fe80::77/64 dev eth0 nodad",
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
        "ip address add 10.2.0.5/24 broadcast + dev eth0; ip route delete 10.2.0.0/24 dev eth0",
        SHOW_ROUTES,
        ("address 10.2.0.5/24 dev eth1",),
    ),
    "routes of the main table with attributes": Case(
        "ip address add 10.1.0.6/16 broadcast + dev eth0;"
        "ip route add 10.9.0.0/16 via 10.1.0.1 src 10.1.0.6 metric 7 mtu 1300 advmss 1200 proto static;"
        "ip route add 10.8.0.0/16 via 172.16.0.1 dev eth0 onlink;"
        "ip route add 10.7.0.0/16 nexthop via 10.1.0.1 weight 3 nexthop via 10.1.0.2;"
        "ip route add 10.6.0.0/16 via inet6 fd00:1::1 dev eth0;"
        "ip route add blackhole 10.5.0.0/16; ip route add unreachable 10.5.1.0/24 metric 4;"
        "ip route add prohibit fd00:5::/64; ip route add throw 10.5.2.0/24;"
        "ip route add fd00:9::/64 via fd00:1::1 metric 7 mtu 1300 pref high;"
        "ip route add fd00:8::/64 nexthop via fd00:1::1 nexthop via fd00:1::2 weight 2;"
        "ip route add fd00:7::/64 from fd00:1::/64 via fd00:1::1;"
        "ip route add 10.4.0.0/16 tos 0x10 dev eth0; ip route add 10.3.0.0/16 dev eth0 scope global",
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
        "ip route add default via 10.1.0.1 table 100; ip route add 10.1.0.0/16 dev eth0 table 100 proto kernel;"
        "ip route add default via fd00:1::1 dev eth0 table 100000;"
        "ip route add local 10.77.0.0/16 dev lo; ip route add local fd00:77::/64 dev lo",
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
        "ip rule add from 10.1.0.5 table 100; ip rule add not to 10.9.0.0/16 fwmark 1/255 table 1000 priority 7;"
        "ip -6 rule add from fd00:1::5/128 to fd00:9::/64 iif eth0 oif lo prohibit;"
        "ip rule add ipproto tcp sport 80 dport 1000-2000 uidrange 5-6 tos 0x10 goto 32766 priority 9;"
        "ip rule add table main suppress_prefixlength 0 priority 8; ip rule add iif gone0 blackhole",
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
        "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent;"
        "ip neigh add fd00:1::9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent router proto static;"
        "ip neigh add proxy 10.1.0.10 dev eth0; ip neigh add proxy fd00:1::10 dev eth0;"
        "bridge fdb add 02:00:00:00:00:11 dev eth0 self permanent",
        "ip neigh show nud permanent; ip -6 neigh show nud permanent; ip neigh show proxy;"
        "ip -6 neigh show proxy; bridge fdb show dev $L",
        (
            "neighbour 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth1",
            "neighbour fd00:1::9 lladdr 02:00:00:00:00:09 dev eth1 router proto static",
            "neighbour proxy 10.1.0.10 dev eth1",
            "neighbour proxy fd00:1::10 dev eth1",
            "fdb 02:00:00:00:00:11 dev eth1 self permanent",
        ),
    ),
    "sysctls of the namespace and of the link": Case(
        "cd /proc/sys/net; echo 1 > ipv4/ip_forward; echo 1024 > core/somaxconn; echo 1 > ipv4/conf/all/arp_ignore;"
        "echo '10000 20000' > ipv4/ip_local_port_range; echo 1 > ipv4/conf/eth0/arp_notify;"
        "echo 2 > ipv4/conf/eth0/rp_filter; echo 0 > ipv6/conf/eth0/accept_ra; echo 1300 > ipv6/conf/eth0/mtu;"
        "echo 77 > ipv4/neigh/eth0/gc_stale_time; echo 5 > ipv6/neigh/eth0/mcast_solicit;"
        "echo 1 > ipv4/conf/lo/arp_announce; echo fd00::1 > ipv6/conf/eth0/stable_secret;"
        "echo 1 > ipv6/conf/default/disable_ipv6",
        "cd /proc/sys/net; grep -r . . 2>/dev/null | grep -v '/taken0/\\|nf_conntrack_count'",
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
        "tc qdisc add dev eth0 root handle 1: htb default 20;"
        "tc class add dev eth0 parent 1: classid 1:1 htb rate 10mbit burst 15k;"
        "tc class add dev eth0 parent 1:1 classid 1:20 htb rate 5mbit ceil 8mbit prio 3;"
        "tc qdisc add dev eth0 parent 1:20 handle 20: tbf rate 4mbit burst 32kbit latency 50ms;"
        "tc filter add dev eth0 parent 1: protocol ip prio 5 u32 match ip dst 10.9.0.0/16 flowid 1:1;"
        "tc filter add dev eth0 parent 1: protocol ip prio 6 handle 2: u32 divisor 4;"
        "tc filter add dev eth0 parent 1: protocol ipv6 prio 7 u32 match ip6 dport 80 0xffff flowid 1:20;"
        "tc qdisc add dev eth0 clsact;"
        "tc filter add dev eth0 ingress protocol all u32 match u32 0 0 action mirred egress mirror dev eth0",
        "tc -d qdisc show dev $L; tc -d class show dev $L; tc filter show dev $L;"
        "tc filter show dev $L ingress",
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
        "iptables -N OURS; iptables -A OURS -i eth0 -p tcp --dport 80 -m comment --comment 'the web' -j ACCEPT;"
        "iptables -A INPUT -j OURS; iptables -P FORWARD DROP; ip6tables -t nat -A OUTPUT -d fd00::1 -j RETURN;"
        "iptables-legacy -t mangle -A POSTROUTING -o eth0 -j MARK --set-mark 7;"
        'nft add table inet ours; nft add set inet ours few "{ type ipv4_addr; elements = { 10.1.0.1, 10.1.0.2 }; }";'
        'nft add chain inet ours input "{ type filter hook input priority 0; policy drop; }";'
        'nft add rule inet ours input ip saddr @few iifname "{ eth0, lo }" counter accept',
        "iptables-save; ip6tables-save; iptables-legacy-save; nft -s list table inet ours",
        (
            "iptables -t filter -P FORWARD DROP",
            "iptables -t filter -N OURS",
            "iptables -t filter -A INPUT -j OURS",
            'iptables -t filter -A OURS -i eth1 -p tcp -m tcp --dport 80 -m comment --comment "the web" -j ACCEPT',
            "ip6tables -t nat -A OUTPUT -d fd00::1/128 -j RETURN",
            "iptables-legacy -t mangle -A POSTROUTING -o eth1 -j MARK --set-xmark 0x7/0xffffffff",
            "nft add table inet ours",
            "nft add chain inet ours input { type filter hook input priority filter; policy drop; }",
            "nft add set inet ours few { type ipv4_addr elements = { 10.1.0.1, 10.1.0.2 } }",
            'nft add rule inet ours input ip saddr @few iifname { "eth1", "lo" } counter accept',
        ),
    ),
    "the loopback link": Case(
        "ip link set lo up; ip address add 10.66.0.1/32 dev lo; ip address add fd00:66::1/128 dev lo nodad;"
        "ip link set lo mtu 9000; echo 1 > /proc/sys/net/ipv4/conf/lo/accept_local",
        "ip -oneline address show dev lo; ip link show dev lo; cat /proc/sys/net/ipv4/conf/lo/accept_local",
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
    snapshot = await net.snapshot(staging)
    carry(staging, sandbox, "eth0", "eth1")

    compared = await replay.compare(sandbox, snapshot, NAMES, default_route=True)
    first = await replay.replay(sandbox, snapshot, NAMES, default_route=True)
    after = shown(sandbox, f"L=eth1; {case.show}", NAMES)
    second = await replay.replay(sandbox, snapshot, NAMES, default_route=True)

    assert first.lost == ()
    assert first.yielded == ()
    assert after == before
    assert compared == Replayed(
        first.carried, (), (), tuple((what, "it is not there") for what, _ in compared.lost)
    )
    assert {what for what, _ in compared.lost} == set(first.replayed)
    assert sorted(first.replayed) == sorted(case.replayed)
    assert second == Replayed((*second.carried,))
    assert set(second.carried) >= {*first.carried, *first.replayed}
