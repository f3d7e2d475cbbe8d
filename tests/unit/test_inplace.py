"""Where the chain runs in place, and under which name and MAC address its link stands."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.engine import Engine
from shim.errors import ConflictError, InvalidRequestError
from shim.inplace import InPlace
from shim.model import EndpointState, Mode
from shim.net.snapshot import Link, Snapshot
from tests.unit.standins import ENDPOINT_ID, LINK, NETWORK_ID, EngineStandIn, SeenLinks, endpoint

LIVE = "/proc/self/ns/net"
MAC = "02:00:00:00:00:09"
PLANNED = endpoint(EndpointState.PLANNED, ifname="", mode=Mode.INPLACE)


@pytest.fixture
def links() -> SeenLinks:
    return SeenLinks()


@pytest.fixture
def in_place(docker: EngineStandIn, links: SeenLinks) -> InPlace:
    """An engine that lists the endpoint as that of container "shop", which is on network "web" alone."""
    docker.add(NETWORK_ID, "web", {ENDPOINT_ID: "shop"})
    docker.run("c" * 64, "shop", "web")
    return InPlace(Engine(docker.socket, 2.0), links)


def having(*names: str) -> Snapshot:
    """A namespace with links of those names."""
    return Snapshot(links=tuple(Link(name, "", 1500, ()) for name in names))


async def test_the_chain_runs_in_a_sandbox_that_is_a_namespace(in_place: InPlace) -> None:
    assert await in_place.prepare(PLANNED, LIVE) == replace(
        PLANNED, netns=LIVE, sandbox_key=LIVE, ifname="eth0"
    )


@pytest.mark.parametrize("ifname", ["", "lan7"])
async def test_a_sandbox_that_is_no_namespace_yet_gets_its_link_by_handover_which_is_logged(
    in_place: InPlace, tmp_path: Path, caplog: pytest.LogCaptureFixture, ifname: str
) -> None:
    planned = replace(PLANNED, ifname=ifname)

    prepared = await in_place.prepare(planned, str(tmp_path))

    assert prepared == replace(planned, mode=Mode.HANDOVER, ifname=ifname or "eth0")
    assert "endpoint eeeeeeeeeeee: not in place but by handover" in caplog.text


@pytest.mark.parametrize("names", [{"eth0"}, {"eth1"}, {"lan0"}])
async def test_beside_other_links_a_name_is_taken_that_the_engine_gives_to_none(
    in_place: InPlace, links: SeenLinks, names: set[str]
) -> None:
    links.seen = having(*names)

    assert (await in_place.prepare(PLANNED, LIVE)).ifname == "net1"


async def test_a_name_that_is_taken_is_not_taken_again(in_place: InPlace, links: SeenLinks) -> None:
    links.seen = having("net1", "net2", "net4")

    assert (await in_place.prepare(PLANNED, LIVE)).ifname == "net3"


async def test_a_container_that_has_yet_to_join_another_network_leaves_eth0_to_the_engine(
    in_place: InPlace, docker: EngineStandIn
) -> None:
    docker.run("c" * 64, "shop", "web", "other")

    assert (await in_place.prepare(PLANNED, LIVE)).ifname == "net1"


async def test_while_the_engine_says_nothing_an_empty_sandbox_counts_as_one_with_a_single_network(
    in_place: InPlace, docker: EngineStandIn
) -> None:
    await docker.stop()

    assert (await in_place.prepare(PLANNED, LIVE)).ifname == "eth0"


async def test_a_name_that_was_asked_for_is_taken(in_place: InPlace, links: SeenLinks) -> None:
    links.seen = having("eth0")

    assert (await in_place.prepare(replace(PLANNED, ifname="lan7"), LIVE)).ifname == "lan7"


async def test_a_name_that_another_link_has_is_refused_before_a_plugin_could_touch_that_link(
    in_place: InPlace, links: SeenLinks
) -> None:
    links.seen = having("eth0")

    with pytest.raises(ConflictError, match=r"network web: the container has a link eth0 already"):
        await in_place.prepare(replace(PLANNED, ifname="eth0"), LIVE)


def chain(*plugins: dict[str, Any]) -> NetworkConfigList:
    return NetworkConfigList.from_json({"cniVersion": "1.0.0", "name": "web", "plugins": [*plugins]}, "test")


async def test_the_mac_address_of_a_link_to_come_is_the_one_in_the_conflist(in_place: InPlace) -> None:
    tuned = chain({"type": "ptp"}, {"type": "tuning", "mac": MAC.upper()}, {"type": "portmap"})

    assert await in_place.foretold_mac(tuned) == MAC


@pytest.mark.parametrize(
    "plugin",
    [
        {"type": "bridge"},
        {"type": "macvlan"},
        {"type": "ptp"},
        {"type": "other", "capabilities": {"mac": True}},
    ],
)
async def test_a_link_that_a_plugin_will_make_gets_a_mac_address_of_ours(
    in_place: InPlace, plugin: dict[str, Any]
) -> None:
    first, second = [await in_place.foretold_mac(chain(plugin)) for _ in range(2)]

    assert re.fullmatch("02(:[0-9a-f]{2}){5}", first)
    assert first != second


@pytest.mark.parametrize(
    ("plugin", "mac"),
    [
        ({"type": "host-device", "device": "uplink"}, MAC),
        ({"type": "host-device", "hwaddr": MAC.upper()}, MAC),
        ({"type": "host-device", "device": "gone"}, ""),
        ({"type": "host-device", "pciBusID": "0000:00:1f.6"}, ""),
        ({"type": "other", "device": "uplink"}, ""),
    ],
)
async def test_a_device_of_the_host_keeps_its_mac_address(
    in_place: InPlace, links: SeenLinks, plugin: dict[str, Any], mac: str
) -> None:
    links.seen = Snapshot(links=(Link("uplink", MAC, 1500, ()),))

    assert await in_place.foretold_mac(chain(plugin)) == mac


@pytest.mark.parametrize(("known", "given"), [(MAC, [f"eth0 {MAC}"]), (LINK.mac, []), ("", [])])
async def test_a_link_gets_the_mac_address_that_the_engine_knows_of_where_no_plugin_took_it(
    in_place: InPlace, links: SeenLinks, known: str, given: list[str]
) -> None:
    await in_place.settle_mac(endpoint(EndpointState.CREATED, mac_address=known))

    assert links.mac_addresses == given


async def test_a_link_that_takes_no_mac_address_is_refused_with_the_cure(
    in_place: InPlace, links: SeenLinks
) -> None:
    links.refuses_mac_addresses = True

    with pytest.raises(InvalidRequestError) as refused:
        await in_place.settle_mac(endpoint(EndpointState.CREATED, mac_address=MAC))

    assert str(refused.value) == (
        f"network web: cannot give eth0 MAC address {MAC}: Operation not supported "
        "(leave --mac-address, or cni.mac, out)"
    )
