"""From Docker's words to CNI's and back."""

from dataclasses import replace

import pytest

from shim.cni.result import Result
from shim.errors import InvalidRequestError
from shim.model import Endpoint, EndpointID, EndpointState, NetworkID
from shim.net.snapshot import Link, Route, Snapshot
from shim.translate import (
    IFNAME,
    NetworkOptions,
    created,
    host_link_name,
    joined,
    mac_request,
    network_options,
    not_carried,
    port_request,
    refuse_docker_addresses,
    refuse_endpoint_options,
)
from shim.wire.messages import AddressPool, CreateEndpointResponse, JoinResponse, StaticRoute

MAC = "02:42:ac:11:00:02"
MAPPING = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
ENDPOINT = Endpoint(
    id=EndpointID("0123456789abcdef" * 4),
    network_id=NetworkID("a" * 64),
    state=EndpointState.CREATED,
    conflist={"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge"}]},
    ifname=IFNAME,
    staging="/run/staging",
)
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


def test_a_network_without_options_is_allowed() -> None:
    assert network_options({}) == NetworkOptions("", "handover", ())


def test_options_name_the_cni_network_and_the_cni_args_in_a_fixed_order() -> None:
    options = {"cni.args.ZONE": "b", "cni.network": "web", "cni.args.IP": "10.1.0.9", "cni.mode": "handover"}

    assert network_options(options) == NetworkOptions("web", "handover", (("IP", "10.1.0.9"), ("ZONE", "b")))


def test_options_that_the_engine_carries_out_itself_are_allowed() -> None:
    assert network_options({"com.docker.network.advertise_addr_nmsgs": "3"}) == NetworkOptions(
        "", "handover", ()
    )


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("cni.netwrok", "did you mean cni.network?"),
        ("cni.Network", "did you mean cni.network?"),
        ("network", "did you mean cni.network?"),
        ("cni.mod", "did you mean cni.mode?"),
        ("cni.arg.IP", "did you mean cni.args.KEY?"),
        ("com.docker.network.bridge.name", "it knows cni.network, cni.mode, cni.args.KEY"),
        ("parent", "it knows cni.network, cni.mode, cni.args.KEY"),
        ("", "it knows cni.network, cni.mode, cni.args.KEY"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one_known(key: str, cure: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        network_options({key: "web"})

    assert str(refusal.value) == f"option {key}: unknown to the CNI driver ({cure})"


@pytest.mark.parametrize("name", ["web", "Web_1.2-x", "team-a/blue", "a/b.c"])
def test_the_name_of_a_conflist_or_of_a_definition_is_accepted(name: str) -> None:
    assert network_options({"cni.network": name}).cni_network == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "Team/blue",
        "team_a/blue",
        "a/B",
        "a.b/c",
        "-a",
        "a b",
        "a\n",
        "a/b\n",
        "ä",
    ],
)
def test_what_cannot_name_a_network_is_refused(name: str) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"option cni\.network=.*: not the name of a network \(give "
    ):
        network_options({"cni.network": name})


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"option cni\.mode=fast: unknown mode \(the mode is handover"
    ):
        network_options({"cni.mode": "fast"})


@pytest.mark.parametrize("key", ["", "A;B", "A=B", "A B", "Ä", "A.B", "IgnoreUnknown"])
def test_a_key_that_cni_args_cannot_carry_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"cannot be a key of CNI_ARGS"):
        network_options({f"cni.args.{key}": "1"})


@pytest.mark.parametrize("value", ["a;b", "a=b", "a b", "a\nb", "a\tb", "a\x01b", "\x7f"])
def test_a_value_that_cni_args_cannot_carry_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"option cni\.args\.KEY: CNI_ARGS cannot carry"):
        network_options({"cni.args.KEY": value})


def test_an_endpoint_option_is_refused_with_the_place_where_it_belongs() -> None:
    with pytest.raises(InvalidRequestError, match=r"docker network create -o cni\.network=\.\.\."):
        refuse_endpoint_options({"cni.network": "web"})


def test_an_endpoint_without_options_is_allowed() -> None:
    refuse_endpoint_options({})


def test_addresses_of_the_null_ipam_driver_are_no_addresses() -> None:
    refuse_docker_addresses([AddressPool("null", "0.0.0.0/0"), AddressPool("null", "::/0")], "cni", "web")


@pytest.mark.parametrize(("cni_network", "option"), [("web", " -o cni.network=web"), ("", "")])
def test_docker_ipam_is_refused_with_the_exact_command_to_type(cni_network: str, option: str) -> None:
    pools = [AddressPool("null", "0.0.0.0/0"), AddressPool("LocalDefault", "172.18.0.0/16")]

    with pytest.raises(InvalidRequestError) as refusal:
        refuse_docker_addresses(pools, "mycni", cni_network)

    assert str(refusal.value) == (
        "Docker's IPAM wants to give out 172.18.0.0/16, but in a CNI network the chain's IPAM does "
        f"(type: docker network create -d mycni --ipam-driver null{option} NAME)"
    )


def test_no_mac_address_asks_for_nothing() -> None:
    assert mac_request("", frozenset({"mac"})) == ({}, ())


def test_a_mac_address_goes_by_capability_where_the_chain_declares_it() -> None:
    assert mac_request(MAC, frozenset({"mac", "portMappings"})) == ({"mac": MAC}, ())


def test_a_mac_address_goes_by_cni_args_otherwise() -> None:
    assert mac_request(MAC, frozenset({"portMappings"})) == ({}, (("MAC", MAC),))


def test_no_ports_ask_for_nothing_of_any_chain() -> None:
    assert port_request([], frozenset(), "web") == {}


def test_ports_go_by_capability() -> None:
    assert port_request([MAPPING], frozenset({"portMappings"}), "web") == {"portMappings": [MAPPING]}


def test_ports_that_no_plugin_would_publish_are_refused_with_the_plugin_to_add() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        port_request([MAPPING], frozenset({"mac"}), "web")

    assert str(refusal.value) == (
        "network web: -p cannot be honoured, no plugin of the chain publishes ports "
        '(add {"type": "portmap", "capabilities": {"portMappings": true}} to its conflist)'
    )


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


def test_created_leaves_the_mac_address_empty_when_the_engine_asked_for_it() -> None:
    told = created(result("10.1.0.5/16"), seen(), replace(ENDPOINT, mac_address=MAC))

    assert told.mac_address == ""


def test_joined_names_the_link_on_the_host() -> None:
    assert joined(seen(), ENDPOINT, internal=False) == JoinResponse(host_link_name(ENDPOINT.id))


def test_joined_tells_the_gateways_and_not_the_default_routes_again() -> None:
    told = joined(seen(DEFAULT_V4, DEFAULT_V6), ENDPOINT, internal=False)

    assert (told.gateway, told.gateway_ipv6, told.static_routes) == ("10.1.0.1", "fd00:1::1", ())


def test_joined_tells_the_routes_of_the_plugins_in_their_order() -> None:
    to_gateway = Route("10.1.0.1/32", "", IFNAME, by_kernel=False)
    behind_it = Route("10.2.0.0/16", "10.1.0.1", IFNAME, by_kernel=False)

    told = joined(seen(to_gateway, behind_it, DEFAULT_V4), ENDPOINT, internal=False)

    assert told.static_routes == (StaticRoute("10.1.0.1/32"), StaticRoute("10.2.0.0/16", "10.1.0.1"))


def test_joined_tells_a_default_route_on_the_link_itself_as_a_static_one() -> None:
    told = joined(seen(replace(DEFAULT_V4, gateway="")), ENDPOINT, internal=False)

    assert (told.gateway, told.static_routes) == ("", (StaticRoute("0.0.0.0/0"),))


def test_joined_tells_the_first_of_two_gateways() -> None:
    told = joined(seen(DEFAULT_V4, replace(DEFAULT_V4, gateway="10.1.0.2")), ENDPOINT, internal=False)

    assert (told.gateway, told.static_routes) == ("10.1.0.1", ())


def test_joined_tells_no_route_of_another_link() -> None:
    elsewhere = Route("10.9.0.0/16", "10.1.0.1", "eth1", by_kernel=False)

    assert joined(seen(elsewhere), ENDPOINT, internal=False).static_routes == ()


@pytest.mark.parametrize("gateway", ["10.1.0.1", ""])
def test_joined_tells_an_internal_network_no_default_route_but_the_others(gateway: str) -> None:
    other = Route("10.2.0.0/16", "10.1.0.1", IFNAME, by_kernel=False)

    told = joined(seen(replace(DEFAULT_V4, gateway=gateway), DEFAULT_V6, other), ENDPOINT, internal=True)

    assert (told.gateway, told.gateway_ipv6) == ("", "")
    assert told.static_routes == (StaticRoute("10.2.0.0/16", "10.1.0.1"),)


def test_nothing_is_lost_of_an_ordinary_attachment() -> None:
    reply = CreateEndpointResponse("10.1.0.5/16", "fd00:1::5/64", MAC)

    assert not_carried(seen(DEFAULT_V4, DEFAULT_V6), ENDPOINT, reply) == []


def test_a_shortened_address_is_not_lost() -> None:
    reply = CreateEndpointResponse("10.1.0.5/32", "fd00:1::5/128", MAC)

    assert not_carried(Snapshot((LINK,)), ENDPOINT, reply) == []


def test_what_the_engine_does_not_carry_is_named() -> None:
    link = replace(LINK, addresses=(*LINK.addresses, "10.1.0.6/16"))
    second = replace(DEFAULT_V4, gateway="10.1.0.2")
    snapshot = Snapshot((link, Link("net1", MAC, 1500, ())), (*CONNECTED, DEFAULT_V4, second, DEFAULT_V6))
    reply = CreateEndpointResponse("10.1.0.5/16", "fd00:1::5/64", MAC)

    assert not_carried(snapshot, ENDPOINT, reply) == [
        "address 10.1.0.6/16",
        "link net1",
        "a second default route 0.0.0.0/0",
    ]
