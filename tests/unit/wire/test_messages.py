"""Messages in the shapes that engines 20.10 to 29 send, and answers in the shapes that they read."""

from typing import Any

import pytest

from shim.errors import InvalidRequestError
from shim.model import EndpointID, NetworkID
from shim.wire import messages
from shim.wire.fields import Fields

NETWORK_ID = "1f" * 32
ENDPOINT_ID = "2e" * 32
IDS = {"NetworkID": NETWORK_ID, "EndpointID": ENDPOINT_ID}


def port(**members: Any) -> dict[str, Any]:
    """One `-p 8080:80` as the engine writes it, with some members changed."""
    return {
        "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080
    } | members  # fmt: skip


def binding(**members: Any) -> messages.PortBinding:
    return messages.PortBinding.from_json(Fields(port(**members), "portmap[0]"))


def create_network(**members: Any) -> messages.CreateNetworkRequest:
    return messages.CreateNetworkRequest.from_json(
        Fields({"NetworkID": NETWORK_ID} | members, "CreateNetwork")
    )


def create_endpoint(**members: Any) -> messages.CreateEndpointRequest:
    return messages.CreateEndpointRequest.from_json(Fields(IDS | members, "CreateEndpoint"))


def test_a_network_of_the_null_ipam_with_options() -> None:
    request = create_network(
        Options={
            "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.generic": {"cni.network": "web", "com.docker.network.driver.mtu": "1400"},
        },
        IPv4Data=[{"AddressSpace": "null", "Pool": "0.0.0.0/0"}],
        IPv6Data=[],
    )

    assert request == messages.CreateNetworkRequest(
        network_id=NetworkID(NETWORK_ID),
        options={"cni.network": "web", "com.docker.network.driver.mtu": "1400"},
        internal=False,
        pools=(messages.AddressPool("null", "0.0.0.0/0"),),
    )


def test_a_network_of_dockers_own_ipam_shows_its_pools() -> None:
    request = create_network(
        Options={},
        IPv4Data=[
            {
                "AddressSpace": "LocalDefault",
                "Pool": "172.18.0.0/16",
                "Gateway": "172.18.0.1/16",
                "AuxAddresses": {"router": "172.18.0.5/16", "other": "172.18.0.6/16"},
            }
        ],
        IPv6Data=[
            {"AddressSpace": "LocalDefault", "Pool": "FD00:0::/64", "Gateway": "", "AuxAddresses": None}
        ],
    )

    assert request.pools == (
        messages.AddressPool(
            "LocalDefault", "172.18.0.0/16", "172.18.0.1/16", ("172.18.0.5/16", "172.18.0.6/16")
        ),
        messages.AddressPool("LocalDefault", "fd00::/64"),
    )


def test_the_check_for_gateways_reads_the_options_of_the_network_to_be() -> None:
    options = {"com.docker.network.generic": {"cni.network": "web"}, "com.docker.network.internal": True}

    for value, expected in ((options, {"cni.network": "web"}), (None, {})):
        fields = Fields({"Options": value}, "GwAllocCheck")
        assert messages.GwAllocCheckRequest.from_json(fields).options == expected


def test_a_network_has_ipv4_unless_its_option_says_no() -> None:
    assert create_network(Options={}).ipv4
    assert create_network(Options={"com.docker.network.enable_ipv4": True}).ipv4
    assert not create_network(Options={"com.docker.network.enable_ipv4": False}).ipv4


def test_an_internal_network_is_known_by_its_option() -> None:
    assert create_network(Options={"com.docker.network.internal": True}).internal
    assert not create_network(Options={"com.docker.network.internal": False}).internal


@pytest.mark.parametrize(
    ("options", "ipv4"), [({}, True), ({"com.docker.network.enable_ipv4": False}, False), (None, True)]
)
def test_a_network_has_ipv4_unless_said_otherwise(
    options: dict[str, bool] | None,
    ipv4: bool,  # noqa: FBT001 - from a table
) -> None:
    assert create_network(Options=options).ipv4 is ipv4


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"Options": None, "IPv4Data": None, "IPv6Data": None},
        {"Options": {"com.docker.network.generic": None, "com.docker.network.internal": None}},
    ],
)
def test_a_network_without_anything_is_accepted(members: dict[str, Any]) -> None:
    request = create_network(**members)

    assert (request.options, request.internal, request.pools) == ({}, False, ())


@pytest.mark.parametrize(
    "members",
    [
        {"NetworkID": None},
        {"NetworkID": ""},
        {"NetworkID": "../x"},
        {"Options": []},
        {"Options": {"com.docker.network.generic": {"cni.network": 5}}},
        {"Options": {"com.docker.network.internal": "yes"}},
        {"IPv4Data": {}},
        {"IPv6Data": [None]},
        {"IPv4Data": [{"Pool": 5}]},
        {"IPv4Data": [{"Pool": "10.1.0.5/16"}]},
        {"IPv4Data": [{"Pool": "10.1.0.0/16", "Gateway": "nowhere"}]},
        {"IPv4Data": [{"Pool": "10.1.0.0/16", "AuxAddresses": {"router": "nowhere"}}]},
    ],
)
def test_a_network_of_another_shape_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        create_network(**members)


def test_an_endpoint_of_the_null_ipam_with_published_ports() -> None:
    request = create_endpoint(
        Interface={"Address": "", "AddressIPv6": "", "MacAddress": ""},
        Options={
            "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 53}],
            "com.docker.network.endpoint.dnsservers": ["192.0.2.53"],
            "com.docker.network.endpoint.macaddress": "AkKsEQAC",
            "com.docker.network.portmap": [
                port(),
                port(Proto=17, Port=53, HostIP="127.0.0.1", HostPort=0, HostPortEnd=0),
                port(Proto=132, HostPort=9000, HostPortEnd=9010),
            ],
            "cni.args.COLOUR": "blue",
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1",
            "my.own": "1",
        },
    )

    assert request == messages.CreateEndpointRequest(
        network_id=NetworkID(NETWORK_ID),
        endpoint_id=EndpointID(ENDPOINT_ID),
        address="",
        address_ipv6="",
        mac_address="",
        port_bindings=(
            messages.PortBinding("tcp", 80, "", 8080, 8080),
            messages.PortBinding("udp", 53, "127.0.0.1", 0, 0),
            messages.PortBinding("sctp", 80, "", 9000, 9010),
        ),
        options={
            "cni.args.COLOUR": "blue",
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1",
            "my.own": "1",
        },
    )


def test_an_endpoint_with_addresses_from_docker() -> None:
    request = create_endpoint(
        Interface={
            "Address": "172.18.0.2/16",
            "AddressIPv6": "fd00::2/64",
            "MacAddress": "02:42:ac:12:00:02",
        },
    )

    assert (request.address, request.address_ipv6, request.mac_address) == (
        "172.18.0.2/16",
        "fd00::2/64",
        "02:42:ac:12:00:02",
    )


def test_addresses_and_mac_address_are_kept_in_their_one_spelling() -> None:
    request = create_endpoint(
        Interface={"Address": "172.18.0.2", "AddressIPv6": "FD00:0::2/64", "MacAddress": "02:42:AC:12:00:02"}
    )

    assert (request.address, request.address_ipv6) == ("172.18.0.2/32", "fd00::2/64")
    assert request.mac_address == "02:42:ac:12:00:02"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"Interface": None, "Options": None},
        {"Interface": {}, "Options": {}},
        {"Interface": {"Address": None}, "Options": {"com.docker.network.portmap": None}},
        {"Interface": {}, "Options": {"com.docker.network.portmap": [], "com.docker.future": {"a": [1]}}},
    ],
)
def test_an_endpoint_without_anything_is_accepted(members: dict[str, Any]) -> None:
    request = create_endpoint(**members)

    assert (request.address, request.mac_address, request.port_bindings, request.options) == ("", "", (), {})


@pytest.mark.parametrize(
    "members",
    [
        {"EndpointID": None},
        {"EndpointID": "../" + ENDPOINT_ID},
        {"NetworkID": 5},
        {"Interface": ""},
        {"Interface": {"Address": 5}},
        {"Options": {"com.docker.network.portmap": {}}},
        {"Options": {"com.docker.network.portmap": ["80"]}},
        {"Interface": {"Address": "10.1.0.5/33"}},
        {"Interface": {"AddressIPv6": "nowhere"}},
        {"Options": {"cni.args.X": "\0"}},
    ],
)
def test_an_endpoint_of_another_shape_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        create_endpoint(**members)


@pytest.mark.parametrize("number", [0, 1, 5, 58, -6, 256, None])
def test_a_port_of_another_protocol_is_refused(number: int | None) -> None:
    with pytest.raises(InvalidRequestError, match="unknown protocol number"):
        binding(Proto=number)


@pytest.mark.parametrize("number", [1, 80, 65535])
def test_the_first_and_the_last_port_are_ports(number: int) -> None:
    found = binding(Port=number, HostPort=number, HostPortEnd=number)

    assert (found.container_port, found.host_port, found.host_port_end) == (number, number, number)


@pytest.mark.parametrize("number", [0, -1, 65536, 10**30, None])
def test_a_container_port_is_1_to_65535(number: int | None) -> None:
    with pytest.raises(InvalidRequestError, match="no container port has the number"):
        binding(Port=number)


@pytest.mark.parametrize(
    ("first", "last"), [(-1, -1), (65536, 65536), (8080, 65536), (8081, 8080), (10**30, 10**30), (0, -1)]
)
def test_host_ports_are_a_rising_range_up_to_65535(first: int, last: int) -> None:
    with pytest.raises(InvalidRequestError, match="are no host ports"):
        binding(HostPort=first, HostPortEnd=last)


@pytest.mark.parametrize("value", ["80", 80.0, True, float("nan")])
def test_a_port_is_an_integer(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected an integer"):
        binding(HostPort=value)


def test_a_missing_end_of_the_range_is_its_start() -> None:
    assert binding(HostPort=8080, HostPortEnd=0).host_port_end == 8080


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("", ""), (None, ""), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0:0:0:0:0:0:0:1", "::1"),
     ("FD00::A", "fd00::a"), ("::", "::"), ("0.0.0.0", "0.0.0.0")],
)  # fmt: skip
def test_a_host_ip_is_kept_in_its_one_spelling(text: str | None, canonical: str) -> None:
    assert binding(HostIP=text).host_ip == canonical


@pytest.mark.parametrize(
    "text",
    ["[::1]", "localhost", "example.com", "127.0.0.1:80", "127.1", "127.0.0.1/8", "*", " ", "0x7f000001"],
)
def test_a_host_ip_that_is_no_address_is_refused_and_never_looked_up(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"HostIP: expected an IP address"):
        binding(HostIP=text)


def test_join_reads_the_sandbox_and_its_published_ports() -> None:
    request = messages.JoinRequest.from_json(
        Fields(
            IDS
            | {
                "SandboxKey": "/var/run/docker/netns/5c6f6a0b1b0f",
                "Options": {
                    "com.docker.network.portmap": [port()],
                    "com.docker.network.endpoint.exposedports": [],
                },
            },
            "Join",
        )
    )

    assert request == messages.JoinRequest(
        NetworkID(NETWORK_ID),
        EndpointID(ENDPOINT_ID),
        "/var/run/docker/netns/5c6f6a0b1b0f",
        (messages.PortBinding.from_json(Fields(port(), "")),),
    )


@pytest.mark.parametrize("key", ["", None, "netns/x", "./x", 5, "/run/\0"])
def test_join_needs_an_absolute_sandbox(key: Any) -> None:
    with pytest.raises(InvalidRequestError, match="SandboxKey"):
        messages.JoinRequest.from_json(Fields(IDS | {"SandboxKey": key}, "Join"))


def test_requests_about_one_endpoint_or_network_read_the_ids_only() -> None:
    fields = Fields(IDS | {"Options": None, "Added": "later"}, "Leave")

    assert messages.EndpointRequest.from_json(fields) == messages.EndpointRequest(
        NetworkID(NETWORK_ID), EndpointID(ENDPOINT_ID)
    )
    assert messages.NetworkRequest.from_json(fields) == messages.NetworkRequest(NetworkID(NETWORK_ID))


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (messages.EmptyResponse(), {}),
        (messages.ActivateResponse(("NetworkDriver",)), {"Implements": ["NetworkDriver"]}),
        (
            messages.CapabilitiesResponse(),
            {"Scope": "local", "ConnectivityScope": "local", "GwAllocChecker": True},
        ),
        (messages.GwAllocCheckResponse(skip=True), {"SkipIPv4": True, "SkipIPv6": True}),
        (messages.GwAllocCheckResponse(skip=False), {"SkipIPv4": False, "SkipIPv6": False}),
        (messages.OperInfoResponse(), {"Value": {}}),
        (
            messages.CreateEndpointResponse("10.89.0.2/24", mac_address="02:00:00:00:00:01"),
            {"Interface": {"Address": "10.89.0.2/24", "AddressIPv6": "", "MacAddress": "02:00:00:00:00:01"}},
        ),
        (
            messages.JoinResponse("cni1f09", gateway="10.89.0.1"),
            {
                "InterfaceName": {"SrcName": "cni1f09", "DstPrefix": "eth"},
                "Gateway": "10.89.0.1",
                "GatewayIPv6": "",
                "StaticRoutes": [],
                "DisableGatewayService": True,
            },
        ),
        (
            messages.JoinResponse("cni1f09", "lan"),
            {
                "InterfaceName": {"SrcName": "cni1f09", "DstPrefix": "lan"},
                "Gateway": "",
                "GatewayIPv6": "",
                "StaticRoutes": [],
                "DisableGatewayService": True,
            },
        ),
    ],
)
def test_an_answer_has_the_member_names_of_the_wire(response: Any, expected: dict[str, Any]) -> None:
    assert response.to_json() == expected


def test_a_route_has_a_next_hop_or_is_on_the_link() -> None:
    answer = messages.JoinResponse(
        "cni1f09",
        static_routes=(
            messages.StaticRoute("198.51.100.0/24", "10.89.0.9"),
            messages.StaticRoute("203.0.113.0/24"),
        ),
    )

    assert answer.to_json()["StaticRoutes"] == [
        {"Destination": "198.51.100.0/24", "RouteType": 0, "NextHop": "10.89.0.9"},
        {"Destination": "203.0.113.0/24", "RouteType": 1},
    ]
