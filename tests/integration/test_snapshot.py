"""What a snapshot holds of a namespace that commands and real plugins have worked in."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.runtime import Attachment, Runtime
from shim.net import fresh, netfilter, sysctls
from shim.net.links import Links
from shim.net.replay import Replay
from shim.net.snapshot import Address, Link, Neighbour, Route, Rule, Snapshot
from tests.integration.host import links, run
from tests.integration.staged import MAC, attach, carry, inside, shown, whole

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni-staged0",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.112.0.0/24"}], [{"subnet": "fd00:112::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    },
}

Add = Callable[[Sequence[dict[str, Any]]], Any]


@pytest.fixture
async def add(runtime: Runtime, staging: Path, tmp_path: Path) -> AsyncIterator[Add]:
    """Runs a chain's ADD in the staging namespace; DEL follows after the test, wherever the link is then."""
    done: list[tuple[NetworkConfigList, Attachment]] = []

    async def run_add(plugins: Sequence[dict[str, Any]]) -> None:
        first = {**plugins[0], "ipam": {**plugins[0]["ipam"], "dataDir": str(tmp_path)}}
        value = {"cniVersions": ["1.0.0", "1.1.0"], "name": "staged", "plugins": [first, *plugins[1:]]}
        network = await runtime.negotiated(NetworkConfigList.from_json(value, "staged"))
        attachment = Attachment("container", str(staging), "eth0")
        done.append((network, attachment))
        await runtime.add(network, attachment)

    yield run_add
    for network, attachment in done:
        await runtime.delete(network, attachment, None)
        run("ip", "link", "delete", "cni-staged0")


# By commands


async def test_a_snapshot_is_plain_data_that_says_what_is_not_usual(net: Links, staging: Path) -> None:
    attach(staging, addresses=("10.1.0.5/16",))
    inside(
        staging,
        """
        ip link set eth0 promisc on txqueuelen 7 alias web
        ip address add 10.2.0.5/24 dev eth0 noprefixroute label eth0:2 scope link
        ip route add 10.9.0.0/16 via 10.1.0.1 metric 3 mtu 1300
        ip route add blackhole 10.8.0.0/16 table 7
        ip rule add from 10.1.0.5 lookup 7 priority 9
        ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0
        echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify
        """,
    )

    snapshot = await whole(net, staging)

    second = Address("10.2.0.5/24", label="eth0:2", scope=253, flags=("noprefixroute",))
    assert snapshot == Snapshot(
        links=(
            Link(
                "eth0",
                MAC,
                1500,
                ("10.2.0.5/24", "10.1.0.5/16"),
                particular=(second,),
                flags=("promisc on",),
                queue=7,
                alias="web",
            ),
        ),
        routes=(
            Route("10.1.0.0/16", "", "eth0", by_kernel=True),
            Route("10.9.0.0/16", "10.1.0.1", "eth0", by_kernel=False, metric=3, metrics=(("mtu", 1300),)),
        ),
        further_routes=(Route("10.8.0.0/16", "", "", by_kernel=False, table=7, type="blackhole"),),
        rules=(Rule(4, 9, table=7, source="10.1.0.5/32"),),
        neighbours=(Neighbour("eth0", "10.1.0.9", "02:00:00:00:00:09"),),
        sysctls=(("ipv4/conf/eth0/arp_notify", "1"),),
    )
    assert Snapshot.from_json(json.loads(json.dumps(snapshot.to_json()))) == snapshot


async def test_a_loopback_link_that_is_only_up_is_as_usual(net: Links, staging: Path) -> None:
    inside(staging, "ip link set lo up")

    assert await whole(net, staging) == Snapshot()


async def test_of_the_host_a_snapshot_holds_the_links_and_routes_whatever_else_there_is(net: Links) -> None:
    run("ip", "rule", "add", "from", "10.1.0.5", "lookup", "7")
    run("iptables", "-A", "INPUT", "-s", "10.1.0.5", "-j", "ACCEPT")
    try:
        snapshot = await net.outline(None)
    finally:
        run("ip", "rule", "delete", "from", "10.1.0.5", "lookup", "7")
        run("iptables", "-D", "INPUT", "-s", "10.1.0.5", "-j", "ACCEPT")

    assert snapshot.rules == ()
    assert snapshot.netfilter == ()


async def test_what_cannot_be_read_is_said_and_keeps_nothing_else_back(
    net: Links, replay: Replay, staging: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netfilter, "_NFT", "nft-of-nobody")
    attach(staging)
    inside(staging, "nft add table inet ours; iptables -A INPUT -s 10.9.0.1 -j DROP")

    snapshot = await whole(net, staging)
    carry(staging, sandbox, "eth0", "eth1")
    report = await replay.replay(sandbox, snapshot, {"eth0": "eth1"}, default_route=False)

    assert snapshot.unread == (("nft table inet ours", "nft-of-nobody is not installed"),)
    assert report.lost == snapshot.unread
    assert report.replayed == ("iptables -t filter -A INPUT -s 10.9.0.1/32 -j DROP",)


async def test_rules_of_nft_and_of_iptables_in_tables_of_one_name_are_told_apart(
    net: Links, staging: Path
) -> None:
    inside(
        staging,
        """
        nft add table ip nat
        nft add chain ip nat ours '{ type nat hook output priority 0; }'
        iptables -A INPUT -s 10.9.0.1 -j DROP
        """,
    )

    snapshot = await whole(net, staging)

    assert [item.tool for item in snapshot.netfilter] == ["iptables-nft", "nft"]
    assert "table ip nat" in snapshot.netfilter[1].rules


# What is usual


async def test_a_new_namespace_is_looked_at_once_and_again_when_the_kernel_has_new_files(
    net: Links, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "_kept", [])
    await net.prepare()
    (known,) = fresh._kept
    await whole(net, staging)
    assert fresh.namespace() is known

    monkeypatch.setattr(sysctls, "_listing", lambda: frozenset({"another"}))

    again = fresh.namespace()
    assert again is not known
    assert fresh.namespace() is again
    assert again.sysctls.values == known.sysctls.values


async def test_a_value_that_a_new_namespace_would_have_by_now_is_not_the_plugins(
    net: Links, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(staging, "echo 77 > /proc/sys/net/core/somaxconn; echo 1 > /proc/sys/net/ipv4/ip_forward")
    now = fresh.values

    def inherited(paths: Sequence[str]) -> dict[str, str | None]:
        return {path: "77" if path == "core/somaxconn" else value for path, value in now(paths).items()}

    monkeypatch.setattr(fresh, "values", inherited)

    changed = dict((await whole(net, staging)).sysctls)

    assert "core/somaxconn" not in changed
    assert changed["ipv4/ip_forward"] == "1"


async def test_every_sysctl_of_a_link_is_seen_when_it_is_changed(net: Links, staging: Path) -> None:
    attach(staging, addresses=())
    folders = [
        f"/proc/sys/net/{part}/eth0" for part in ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh")
    ]
    files = inside(staging, f"find {' '.join(folders)} -type f -perm -200").split()
    expected = {}
    for file in files:
        path = file.removeprefix("/proc/sys/net/")
        try:
            value = int(inside(staging, f"cat {file}"))
            inside(staging, f"echo {value + 7} > {file}")
        except (AssertionError, ValueError):  # it takes no such number, or has none
            continue
        now = int(inside(staging, f"cat {file}"))
        if path.rsplit("/", 1)[1] not in OTHER_UNITS and now != value:
            expected[path] = str(now)

    changed = dict((await whole(net, staging)).sysctls)

    assert len(expected) > 100
    assert {path: value for path, value in expected.items() if changed.get(path) != value} == {}


OTHER_UNITS = {"base_reachable_time", "retrans_time", "unres_qlen"}
"""The same numbers as others, in other units."""


# By real plugins


async def test_of_an_ordinary_bridge_container_the_journal_holds_little(
    net: Links, staging: Path, add: Add
) -> None:
    await add([BRIDGE])

    written = (await whole(net, staging)).to_json()

    assert written.keys() == {"links", "routes", "sysctls"}
    by_plugin = {"ipv4/conf/eth0/arp_notify": "1", "ipv6/conf/eth0/accept_dad": "0"}
    assert dict(written["sysctls"]) in (by_plugin, by_plugin | {"ipv6/conf/eth0/keep_addr_on_down": "1"})
    (link,) = written["links"]
    assert link.keys() - {"queue"} == {"name", "mac", "mtu", "addresses"}  # older plugins make it 0
    assert {key for route in written["routes"] for key in route} == {
        "destination",
        "gateway",
        "link",
        "by_kernel",
    }


@dataclass(frozen=True, slots=True)
class Chain:
    """What follows the bridge plugin, the script that shows its work, and what of it is put back at least."""

    plugins: list[dict[str, Any]]
    show: str
    replayed: set[str]


CHAINS = {
    "tuning": Chain(
        [
            {
                "type": "tuning",
                "mtu": 1400,
                "promisc": True,
                "allmulti": True,
                "sysctl": {
                    "net.core.somaxconn": "500",
                    "net.ipv4.conf.IFNAME.arp_notify": "1",
                    "net.ipv4.conf.all.log_martians": "1",
                    "net.ipv6.conf.eth0.accept_ra": "0",
                },
            }
        ],
        """
        ip link show dev $L
        cd /proc/sys/net
        cat core/somaxconn ipv4/conf/$L/arp_notify ipv4/conf/all/log_martians ipv6/conf/$L/accept_ra
        """,
        {
            "sysctl net.core.somaxconn = 500",
            "sysctl net.ipv4.conf.all.log_martians = 1",
            "sysctl net.ipv4.conf.eth1.arp_notify = 1",
            "sysctl net.ipv6.conf.eth1.accept_ra = 0",
        },
    ),
    "sbr": Chain(
        [{"type": "sbr"}],
        "ip rule; ip -6 rule; ip -details route show table 100; ip -details -6 route show table 100",
        {
            "rule from 10.112.0.2 lookup 100 priority 32765",
            "route default via 10.112.0.1 table 100",
        },
    ),
    "bandwidth": Chain(
        [{"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000}],
        "tc qdisc show dev $L",
        set(),
    ),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_what_a_real_plugin_sets_is_in_the_sandbox_too(
    net: Links, replay: Replay, staging: Path, sandbox: Path, *, add: Add, chain: Chain
) -> None:
    await add([BRIDGE, *chain.plugins])
    before = shown(staging, f"L=eth0; {chain.show}")
    snapshot = await whole(net, staging)
    addresses = snapshot.links[0].addresses
    peer = next(link["ifname"] for link in links().values() if link.get("master") == "cni-staged0")
    shaped = run("tc", "qdisc", "show", "dev", peer)
    carry(staging, sandbox, "eth0", "eth1", addresses)

    report = await replay.replay(sandbox, snapshot, {"eth0": "eth1"}, default_route=True)
    again = await replay.replay(sandbox, snapshot, {"eth0": "eth1"}, default_route=True)

    assert shown(sandbox, f"L=eth1; {chain.show}", {"eth0": "eth1"}) == before
    assert (report.lost, report.yielded) == ((), ())
    assert set(report.replayed) >= chain.replayed
    assert again.replayed == ()
    assert run("tc", "qdisc", "show", "dev", peer) == shaped
    run("ip", "-n", sandbox.name, "link", "set", "eth1", "netns", staging.name, "name", "eth0")
