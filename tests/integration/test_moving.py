"""Links that the engine knows nothing of: into the sandbox, with all that is on them."""

from pathlib import Path

import pytest

from shim.net import devices
from shim.net.links import Links
from shim.net.replay import Moved, Replay, Replayed
from tests.integration.host import links
from tests.integration.staged import attach, carry, inside, settings, shown, whole

NAMES = {"eth0": "eth1"}


async def test_further_links_come_along_with_all_that_is_on_them(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    attach(staging, "net1", "02:42:0a:05:00:05", ("10.5.0.5/24", "fd00:5::5/64"))
    inside(
        staging,
        """
            ip tuntap add tap0 mode tap
            ip link set tap0 up mtu 1300
            ip address add 10.7.0.1/24 broadcast + dev tap0
            ip link add mac0 link net1 type macvlan mode bridge
            ip link set mac0 up
            ip address add 10.5.0.6/24 broadcast + dev mac0
            ip link add inner0 type veth peer name inner1
            ip link set inner0 up
            ip link set inner1 alias 'the end'
            ip link add tunnel0 type vxlan id 7 dstport 4789 local 10.5.0.5
            ip link set tunnel0 up
            bridge fdb append 02:00:00:00:00:09 dev tunnel0 dst 10.5.0.9
            ip route add 10.8.0.0/16 via 10.5.0.1
            ip route add default via 10.5.0.1 table 5
            ip neigh add 10.5.0.1 lladdr 02:00:00:00:00:01 dev net1
            echo 1 > /proc/sys/net/ipv4/conf/net1/proxy_arp
            tc qdisc add dev net1 root tbf rate 1mbit burst 10k latency 9ms
            ip rule add from 10.5.0.5 table 5
            """,
    )
    show = """
            for link in net1 tap0 mac0 inner0 inner1 tunnel0; do
              ip -details -oneline address show dev $link
              tc qdisc show dev $link
              bridge fdb show dev $link | grep -v 33:33: || true
            done
            ip route show table all | grep -v taken0
            ip -6 route show table all
            ip rule
            ip neigh show nud permanent
            cat /proc/sys/net/ipv4/conf/net1/proxy_arp
            """
    before = shown(staging, show)
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    moved = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})
    names = {**NAMES, **moved.names}
    rest = await replay.replay(sandbox, snapshot, names, default_route=True)
    again = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})

    assert shown(sandbox, show, NAMES) == before
    further = ["inner0", "inner1", "mac0", "net1", "tap0", "tunnel0"]
    assert sorted(moved.names) == further
    assert moved.names == {name: name for name in further}
    report = moved.replayed.followed_by(rest)
    assert (report.lost, report.yielded) == ((), ())
    assert {f"link {name}" for name in further} <= set(report.replayed)
    assert {"address 10.5.0.5/24 dev net1", "route default via 10.5.0.1 table 5"} <= set(report.replayed)
    assert again.names == moved.names
    assert (again.replayed.replayed, again.replayed.lost) == ((), ())


async def test_a_link_gets_another_name_where_its_own_is_taken_or_the_engine_may_want_it(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    inside(
        staging,
        """
            ip link add eth1 type veth peer name net0
            ip link add tap0 type veth peer name inner1
            ip address add 10.5.0.1/24 broadcast + dev tap0 label tap0:five
            ip link set tap0 up
            echo 1 > /proc/sys/net/ipv4/conf/tap0/proxy_arp
            ip link set inner1 up
            ip rule add iif tap0 table 7
            """,
    )
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth0")
    inside(sandbox, "ip link add tap0 type veth peer name net1")

    moved = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})
    again = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})
    await replay.replay(sandbox, snapshot, {**moved.names, "eth0": "eth0"}, default_route=False)

    assert moved.names == {"eth1": "net2", "net0": "net0", "tap0": "net3", "inner1": "inner1"}
    assert again.names == moved.names
    assert {"link eth1 as net2", "link tap0 as net3", "address 10.5.0.1/24 dev net3 label net3:five"} <= set(
        moved.replayed.replayed
    )
    assert "iif net3 lookup 7" in inside(sandbox, "ip rule")
    assert inside(sandbox, "cat /proc/sys/net/ipv4/conf/net3/proxy_arp") == "1\n"


async def test_a_bridge_is_made_again_with_its_settings_and_its_ports(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging, addresses=())
    inside(
        staging,
        """
            ip link add inner0 address 02:00:00:00:00:77 type bridge stp_state 1 priority 7
            ip link set inner0 type bridge ageing_time 1000 forward_delay 500
            ip link set inner0 type bridge group_fwd_mask 8 mcast_snooping 0
            ip tuntap add tap0 mode tap
            ip link set tap0 master inner0 up
            ip link set eth0 master inner0
            bridge link set dev tap0 hairpin on isolated on cost 7 learning off
            ip link set inner0 up mtu 1400
            ip address add 10.1.0.5/16 broadcast + dev inner0
            ip route add 10.9.0.0/16 via 10.1.0.1
            bridge fdb add 02:00:00:00:00:78 dev tap0 master static
            echo 1 > /proc/sys/net/ipv4/conf/inner0/proxy_arp
            """,
    )
    show = """
            ip -details -json link show dev inner0
            ip -json -details link show dev tap0
            ip -oneline address show dev inner0
            bridge fdb show dev tap0 | grep static
            ip route
            cat /proc/sys/net/ipv4/conf/inner0/proxy_arp
            """
    before = sorted(map(settings, shown(staging, show)))
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1", ())

    moved = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})
    again = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})
    report = await replay.replay(sandbox, snapshot, {**NAMES, **moved.names}, default_route=False)

    assert sorted(map(settings, shown(sandbox, show, NAMES))) == before
    assert (moved.replayed.lost, report.lost) == ((), ())
    assert {"link inner0", "link tap0", "link tap0 master inner0"} <= set(moved.replayed.replayed)
    assert report.replayed == ("link eth1 master inner0",)
    assert again.replayed.replayed == ()
    assert links(sandbox)["eth1"]["master"] == "inner0"


async def test_a_link_that_can_neither_move_nor_be_made_again_is_lost_in_the_kernels_words(
    net: Links, replay: Replay, staging: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MADE_AGAIN", set())
    attach(staging)
    inside(staging, "ip link add inner0 type bridge; ip address add 10.5.0.1/24 dev inner0")
    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")

    moved = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})

    assert moved.names == {}
    ((what, why),) = moved.replayed.lost
    assert what == "link inner0"
    assert "Invalid argument" in why


async def test_without_further_links_nothing_is_moved(
    net: Links, replay: Replay, staging: Path, sandbox: Path
) -> None:
    attach(staging)
    snapshot = await whole(net, staging)

    moved = await replay.move_rest(staging, sandbox, snapshot, {"eth0"})

    assert moved == Moved({}, Replayed())
    assert "eth0" in links(staging)
