"""From Docker's words to CNI's and back."""

from dataclasses import replace
from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.ipam import SETTLED
from shim.cni.result import Result
from shim.errors import InvalidRequestError
from shim.model import Endpoint, EndpointID, EndpointState, Mode, NetworkID
from shim.net.snapshot import Link, Route, Snapshot
from shim.options import EndpointOptions
from shim.translate import (
    Asked,
    asked,
    created,
    default_routes,
    further_defaults,
    host_link_name,
    internal,
    joined,
    names_not_carried,
    news,
    planned,
    routes_each_address,
    told,
    with_prefix,
)
from shim.wire.messages import CreateEndpointRequest, CreateEndpointResponse, JoinResponse, StaticRoute

IFNAME = "eth0"
MAC = "02:42:ac:11:00:02"
MAPPING = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
HOST_LOCAL = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]]}
NO_OPTIONS = EndpointOptions()
ENDPOINT = Endpoint(
    id=EndpointID("0123456789abcdef" * 4),
    network_id=NetworkID("a" * 64),
    state=EndpointState.CREATED,
    conflist={"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge"}]},
    ifname=IFNAME,
    netns="/run/staging",
)
IN_PLACE = replace(ENDPOINT, mode=Mode.INPLACE)
LINK = Link(IFNAME, MAC, 1500, ("10.1.0.5/16", "fd00:1::5/64"))
CONNECTED = (
    Route("10.1.0.0/16", "", IFNAME, by_kernel=True),
    Route("fd00:1::/64", "", IFNAME, by_kernel=True),
)
DEFAULT_V4 = Route("0.0.0.0/0", "10.1.0.1", IFNAME, by_kernel=False)
DEFAULT_V6 = Route("::/0", "fd00:1::1", IFNAME, by_kernel=False)


def result(*addresses: str) -> Result:
    return Result.from_json(
        {
            "interfaces": [
                {"name": "cni0", "mac": "aa:aa:aa:aa:aa:aa"},
                {"name": IFNAME, "mac": MAC, "sandbox": "/run/staging"},
            ],
            "ips": [{"address": address, "interface": 1} for address in addresses],
        },
        "test",
    )


def seen(*routes: Route, link: Link = LINK) -> Snapshot:
    return Snapshot((link,), (*CONNECTED, *routes))


def chain(*plugins: dict[str, Any]) -> NetworkConfigList:
    value = {"cniVersion": "1.0.0", "name": "web", "plugins": list(plugins)}
    return NetworkConfigList.from_json(value, "test")


def able(kind: str, *capabilities: str, **members: Any) -> dict[str, Any]:
    """A plugin that declares these capabilities."""
    return {"type": kind, "capabilities": dict.fromkeys(capabilities, True), **members}


def bare(kind: str = "bridge", **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


# What is asked of a chain


def test_nothing_asked_for_leaves_the_chain_as_it_is() -> None:
    conflist = chain(bare(ipam=HOST_LOCAL))

    assert asked(conflist, NO_OPTIONS, "", [], []) == Asked(conflist, "", "", (), {})


def test_a_mac_address_goes_by_capability_where_the_chain_declares_it() -> None:
    found = asked(chain(able("bridge", "mac", "portMappings")), NO_OPTIONS, MAC, [], [])

    assert (found.mac_address, found.capability_args, found.cni_args) == (MAC, {"mac": MAC}, ())


def test_a_mac_address_goes_by_cni_args_otherwise() -> None:
    options = EndpointOptions(cni_args=(("ZONE", "b"), ("AREA", "a")))

    found = asked(chain(able("bridge", "portMappings")), options, MAC, [], [])

    assert found.capability_args == {}
    assert found.cni_args == (("AREA", "a"), ("MAC", MAC), ("ZONE", "b"))


def test_the_link_has_the_name_that_was_asked_for() -> None:
    assert asked(chain(bare()), EndpointOptions(ifname="lan0"), "", [], []).ifname == "lan0"


def test_ports_go_by_capability() -> None:
    found = asked(chain(able("portmap", "portMappings")), NO_OPTIONS, "", [], [MAPPING])

    assert found.capability_args == {"portMappings": [MAPPING]}


def test_ports_that_no_plugin_would_publish_are_refused_with_the_plugin_to_add() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        asked(chain(able("bridge", "mac")), NO_OPTIONS, "", [], [MAPPING])

    assert str(refusal.value) == (
        "network web: no plugin of the chain can publish ports (-p) "
        '(add {"type": "portmap", "capabilities": {"portMappings": true}} to its conflist)'
    )


def test_ports_that_are_left_to_another_endpoint_are_not_asked_for_but_could_be() -> None:
    found = asked(chain(able("portmap", "portMappings")), NO_OPTIONS, "", [], [], shared_ports=[MAPPING])

    assert found.capability_args == {}
    with pytest.raises(InvalidRequestError, match=r"no plugin of the chain can publish ports"):
        asked(chain(bare()), NO_OPTIONS, "", [], [], shared_ports=[MAPPING])


@pytest.mark.parametrize(
    ("rate", "burst"),
    [(8_000, 256_000), (2_560_000, 256_000), (10_000_000, 1_000_000), (10**13, 2**31 - 1)],
)
def test_a_rate_goes_by_capability_with_a_tenth_of_a_second_as_its_burst(rate: int, burst: int) -> None:
    conflist = chain(able("bandwidth", "bandwidth"))

    in_ = asked(conflist, EndpointOptions(ingress=rate), "", [], [])
    out = asked(conflist, EndpointOptions(egress=rate), "", [], [])

    assert in_.capability_args == {"bandwidth": {"ingressRate": rate, "ingressBurst": burst}}
    assert out.capability_args == {"bandwidth": {"egressRate": rate, "egressBurst": burst}}


@pytest.mark.parametrize("options", [EndpointOptions(ingress=8_000), EndpointOptions(egress=8_000)])
def test_a_rate_that_no_plugin_would_hold_is_refused_with_the_plugin_to_add(options: EndpointOptions) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        asked(chain(able("portmap", "portMappings")), options, "", [], [])

    assert str(refusal.value) == (
        "network web: no plugin of the chain can limit bandwidth (cni.bandwidth) "
        '(add {"type": "bandwidth", "capabilities": {"bandwidth": true}} to its conflist)'
    )


def test_addresses_are_asked_of_the_plugin_that_gives_them() -> None:
    addresses = ["10.1.0.9/16", "fd00:1::9/64"]

    found = asked(chain(bare(ipam=HOST_LOCAL), bare("portmap")), NO_OPTIONS, "", addresses, [])

    assert found.capability_args == {"ips": addresses}
    assert found.conflist.plugins == (able("bridge", "ips", ipam=HOST_LOCAL), bare("portmap"))


def test_an_address_goes_by_cni_args_to_a_plugin_that_may_not_know_the_capability() -> None:
    conflist = chain(bare(ipam={"type": "other"}))

    found = asked(conflist, EndpointOptions(cni_args=(("ZONE", "b"),)), "", ["10.1.0.9/16"], [])

    assert (found.conflist, found.capability_args) == (conflist, {})
    assert found.cni_args == (("IP", "10.1.0.9/16"), ("ZONE", "b"))


def test_a_chain_without_ipam_plugin_is_asked_where_it_declares_that_it_hears() -> None:
    found = asked(chain(able("bridge", "ips")), NO_OPTIONS, "", ["10.1.0.9/16"], [])

    assert found.capability_args == {"ips": ["10.1.0.9/16"]}


def test_an_address_that_no_plugin_could_give_is_refused() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^network web: it has no IPAM plugin that could give 10\.1\.0\.9"
    ):
        asked(chain(bare()), NO_OPTIONS, "", ["10.1.0.9/16"], [])


def test_all_that_is_asked_for_is_asked_at_once() -> None:
    conflist = chain(able("bridge", "mac", "ips", ipam=HOST_LOCAL), able("portmap", "portMappings"))
    options = EndpointOptions(ifname="lan0", cni_args=(("ZONE", "b"),))

    assert asked(conflist, options, MAC, ["10.1.0.9/16"], [MAPPING]) == Asked(
        conflist=conflist,
        ifname="lan0",
        mac_address=MAC,
        cni_args=(("ZONE", "b"),),
        capability_args={"mac": MAC, "portMappings": [MAPPING], "ips": ["10.1.0.9/16"]},
    )


def test_nothing_masquerades_on_an_internal_network() -> None:
    conflist = chain(bare(ipMasq=True, mtu=1400), bare("portmap"), bare("ptp", ipMasq=False))

    assert internal(conflist).plugins == (
        bare(ipMasq=False, mtu=1400),
        bare("portmap"),
        bare("ptp", ipMasq=False),
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.0.9", "10.1.0.9/16"),
        ("fd00:1::9", "fd00:1::9/64"),
        ("10.1.0.9/24", "10.1.0.9/24"),
        ("192.0.2.9", "192.0.2.9/32"),
        ("2001:db8::9", "2001:db8::9/128"),
    ],
)
def test_an_address_gets_the_prefix_length_of_its_subnet(address: str, expected: str) -> None:
    assert with_prefix(address, chain(bare(ipam=HOST_LOCAL))) == expected


def test_the_engine_is_told_an_address_without_subnet_where_the_chain_routes_each() -> None:
    assert routes_each_address(chain(bare("ptp")))
    assert not routes_each_address(chain(bare("bridge"), bare("ptp")))
    assert told("10.1.0.9/16", chain(bare("ptp"))) == "10.1.0.9/32"
    assert told("fd00:1::9/64", chain(bare("ptp"))) == "fd00:1::9/128"
    assert told("10.1.0.9/16", chain(bare("bridge"))) == "10.1.0.9/16"


# What the engine is told


def test_the_host_link_name_is_as_long_as_the_kernel_allows() -> None:
    assert host_link_name(ENDPOINT.id) == "cni0123456789ab"


def test_created_tells_both_addresses_and_the_mac_address() -> None:
    assert created(result("10.1.0.5/16", "fd00:1::5/64"), seen(), ENDPOINT) == CreateEndpointResponse(
        "10.1.0.5/16", "fd00:1::5/64", MAC
    )


def test_created_tells_an_ipv6_address_alone() -> None:
    assert created(result("fd00:1::5/64"), seen(), ENDPOINT) == CreateEndpointResponse(
        "", "fd00:1::5/64", MAC
    )


def test_created_tells_the_first_address_of_each_family() -> None:
    told = created(result("10.1.0.5/16", "fd00:1::5/64", "10.1.0.6/16", "fd00:1::6/64"), seen(), ENDPOINT)

    assert (told.address, told.address_ipv6) == ("10.1.0.5/16", "fd00:1::5/64")


def test_created_tells_no_address_where_the_chain_gave_none() -> None:
    assert created(result(), seen(), ENDPOINT) == CreateEndpointResponse("", "", MAC)


def test_created_tells_the_bare_host_address_where_the_plugin_removed_the_connected_route() -> None:
    routes = (
        Route("10.1.0.1/32", "", IFNAME, by_kernel=False),
        Route("10.1.0.0/16", "10.1.0.1", IFNAME, by_kernel=False),
    )

    told = created(result("10.1.0.5/16", "fd00:1::5/64"), Snapshot((LINK,), routes), ENDPOINT)

    assert (told.address, told.address_ipv6) == ("10.1.0.5/32", "fd00:1::5/128")


def test_created_tells_the_mac_address_that_was_asked_for() -> None:
    other = "02:00:00:00:00:01"

    assert created(result("10.1.0.5/16"), seen(), replace(ENDPOINT, mac_address=other)).mac_address == other


def test_created_tells_no_mac_address_of_a_link_without_one() -> None:
    assert created(result(), Snapshot(), ENDPOINT).mac_address == ""


def settled(kind: str, *addresses: str) -> NetworkConfigList:
    """A chain whose first plugin gives these addresses."""
    section = {"type": SETTLED, "addresses": [{"address": address} for address in addresses]}
    return chain(bare(kind, ipam=section), bare("portmap"))


def test_before_add_the_engine_is_told_the_addresses_that_are_settled() -> None:
    endpoint = replace(ENDPOINT, mac_address=MAC)

    assert planned(settled("bridge", "10.1.0.5/16", "fd00:1::5/64", "10.1.0.6/16"), endpoint) == (
        CreateEndpointResponse("10.1.0.5/16", "fd00:1::5/64", MAC)
    )
    assert planned(settled("ptp", "10.1.0.5/16"), ENDPOINT) == CreateEndpointResponse("10.1.0.5/32")


@pytest.mark.parametrize(
    "plugin",
    [bare(), bare(ipam=HOST_LOCAL), bare(ipam={"type": SETTLED}), bare(ipam={"type": SETTLED, "dns": {}})],
)
def test_before_add_the_engine_is_told_nothing_where_nothing_is_settled(plugin: dict[str, Any]) -> None:
    assert planned(chain(plugin), ENDPOINT) == CreateEndpointResponse()


REPLY = CreateEndpointResponse("10.1.0.5/16", "fd00:1::5/64", MAC)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("", "", ""), REPLY),
        (("10.1.0.5/16", "", ""), replace(REPLY, address="")),
        (("", "fd00:1::5/64", ""), replace(REPLY, address_ipv6="")),
        (("", "", MAC), replace(REPLY, mac_address="")),
        (("10.1.0.5/16", "fd00:1::5/64", MAC), CreateEndpointResponse()),
    ],
)
def test_the_engine_is_not_told_what_it_asked_for(
    given: tuple[str, str, str], expected: CreateEndpointResponse
) -> None:
    request = CreateEndpointRequest(ENDPOINT.network_id, ENDPOINT.id, *given, (), {})

    assert news(REPLY, request) == expected


def test_in_place_joined_tells_the_gateways_and_nothing_to_move_or_to_route() -> None:
    other = Route("10.9.0.0/16", "10.1.0.1", IFNAME, by_kernel=False)

    reply = joined(seen(DEFAULT_V4, DEFAULT_V6, other), IN_PLACE)

    assert reply == JoinResponse(gateway="10.1.0.1", gateway_ipv6="fd00:1::1")


def test_in_place_the_default_routes_by_a_gateway_are_left_to_the_engine() -> None:
    second = replace(DEFAULT_V4, gateway="10.1.0.9")
    others = (
        replace(DEFAULT_V4, destination="10.9.0.0/16"),
        replace(DEFAULT_V4, link="net7"),
        replace(DEFAULT_V4, gateway=""),
    )

    found = default_routes(seen(DEFAULT_V4, second, DEFAULT_V6, *others), IFNAME)

    assert found == [DEFAULT_V4, second, DEFAULT_V6]


def test_joined_names_the_link_on_the_host() -> None:
    assert joined(seen(), ENDPOINT) == JoinResponse(host_link_name(ENDPOINT.id))


@pytest.mark.parametrize(
    ("ifname", "prefix"),
    [
        ("eth0", "eth"),
        ("lan0", "lan"),
        ("lan10", "lan1"),
        ("lan7", "lan"),
        (host_link_name(ENDPOINT.id), "eth"),  # which nobody has asked for
    ],
)
def test_joined_tells_the_name_in_the_sandbox_without_the_number_that_the_engine_adds(
    ifname: str, prefix: str
) -> None:
    assert joined(seen(), replace(ENDPOINT, ifname=ifname)).prefix == prefix


def test_joined_tells_the_gateways_and_not_the_default_routes_again() -> None:
    told = joined(seen(DEFAULT_V4, DEFAULT_V6), ENDPOINT)

    assert (told.gateway, told.gateway_ipv6, told.static_routes) == ("10.1.0.1", "fd00:1::1", ())


def test_joined_tells_the_routes_of_the_plugins_in_their_order() -> None:
    to_gateway = Route("10.1.0.1/32", "", IFNAME, by_kernel=False)
    behind_it = Route("10.2.0.0/16", "10.1.0.1", IFNAME, by_kernel=False)

    told = joined(seen(to_gateway, behind_it, DEFAULT_V4), ENDPOINT)

    assert told.static_routes == (StaticRoute("10.1.0.1/32"), StaticRoute("10.2.0.0/16", "10.1.0.1"))


def test_joined_tells_a_default_route_on_the_link_itself_as_a_static_one() -> None:
    told = joined(seen(replace(DEFAULT_V4, gateway="")), ENDPOINT)

    assert (told.gateway, told.static_routes) == ("", (StaticRoute("0.0.0.0/0"),))


def test_joined_tells_the_first_of_two_gateways() -> None:
    told = joined(seen(DEFAULT_V4, replace(DEFAULT_V4, gateway="10.1.0.2")), ENDPOINT)

    assert (told.gateway, told.static_routes) == ("10.1.0.1", ())


def test_joined_tells_no_route_of_another_link() -> None:
    elsewhere = Route("10.9.0.0/16", "10.1.0.1", "eth1", by_kernel=False)

    assert joined(seen(elsewhere), ENDPOINT).static_routes == ()


@pytest.mark.parametrize("gateway", ["10.1.0.1", ""])
def test_joined_tells_an_internal_network_no_default_route_but_the_others(gateway: str) -> None:
    other = Route("10.2.0.0/16", "10.1.0.1", IFNAME, by_kernel=False)

    told = joined(
        seen(replace(DEFAULT_V4, gateway=gateway), DEFAULT_V6, other), ENDPOINT, default_route=False
    )

    assert (told.gateway, told.gateway_ipv6) == ("", "")
    assert told.static_routes == (StaticRoute("10.2.0.0/16", "10.1.0.1"),)


def test_the_default_routes_beside_the_first_of_each_family_are_further_ones() -> None:
    second = replace(DEFAULT_V4, gateway="10.1.0.2")
    elsewhere = replace(DEFAULT_V4, link="net1")

    assert further_defaults(seen(DEFAULT_V4, DEFAULT_V6), IFNAME) == []
    assert further_defaults(seen(DEFAULT_V4, second, DEFAULT_V6, elsewhere), IFNAME) == [second]


@pytest.mark.parametrize(
    ("dns", "words"),
    [
        (
            {"nameservers": ["10.1.0.53"]},
            "DNS of the conflist (nameservers 10.1.0.53; cure: --dns 10.1.0.53)",
        ),
        (
            {
                "nameservers": ["10.1.0.53", "fd00:1::53"],
                "domain": "a.test",
                "search": ["b.test"],
                "options": ["ndots:2"],
            },
            (
                "DNS of the conflist (nameservers 10.1.0.53 fd00:1::53; domain a.test; search b.test; "
                "options ndots:2; cure: --dns 10.1.0.53 --dns fd00:1::53 --dns-search a.test "
                "--dns-search b.test --dns-option ndots:2)"
            ),
        ),
        ({"search": "b.test"}, "DNS of the conflist (search b.test; cure: --dns-search b.test)"),
        ({"nameservers": [], "domain": "", "search": None}, ""),
        ({}, ""),
    ],
    ids=["server", "all", "text", "empty", "none"],
)
def test_the_dns_of_a_result_is_named_with_the_flags_that_give_it(dns: dict[str, Any], words: str) -> None:
    assert names_not_carried(dns) == words
