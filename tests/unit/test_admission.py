"""What an endpoint asks of its chain: all of it can be done, or it is refused and nothing is taken."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.admission import Admission, boot_id, refuse_other_addresses
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.ipam import SETTLED
from shim.cni.result import Result
from shim.engine import Engine
from shim.errors import ConflictError, InvalidRequestError, UnavailableError
from shim.inplace import InPlace
from shim.model import Endpoint, EndpointID, EndpointState, Ipam, Network, NetworkID
from shim.options import network_options
from shim.publish import HostPorts
from shim.reservations import Reservations
from shim.store import Store
from shim.translate import host_link_name
from shim.wire.messages import CreateEndpointRequest, PortBinding
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import DUAL, HOST_LOCAL, Leases, conflist, runtime
from tests.unit.standins import (
    ENDPOINT_ID,
    MAC,
    NETWORK_ID,
    RESULT,
    EngineStandIn,
    NoNamespaces,
    SeenLinks,
    endpoint,
)

PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
WEB = NetworkConfigList.from_json(conflist(HOST_LOCAL, PORTMAP), "test")
NETWORK = Network(NETWORK_ID, "web")
OTHER = EndpointID("d" * 64)
SYSCTLS = "com.docker.network.endpoint.sysctls"
MESSAGES = "com.docker.network.advertise_addr_nmsgs"


@pytest.fixture
def leases(plugins: ScriptedPlugins) -> Leases:
    return Leases(plugins)


@pytest.fixture
def reservations(store: Store, plugins: ScriptedPlugins) -> Reservations:
    return Reservations(store, runtime(plugins), NoNamespaces())


@pytest.fixture
def admission(store: Store, docker: EngineStandIn, reservations: Reservations, ports: HostPorts) -> Admission:
    engine = Engine(docker.socket, 2.0)
    return Admission(store, engine, InPlace(engine, SeenLinks()), reservations, ports)


def request(*bindings: PortBinding, **changes: Any) -> CreateEndpointRequest:
    return replace(CreateEndpointRequest(NETWORK_ID, ENDPOINT_ID, "", "", "", bindings, {}), **changes)


async def admitted(
    admission: Admission,
    request: CreateEndpointRequest,
    network: Network = NETWORK,
    conf: NetworkConfigList = WEB,
) -> Endpoint:
    return await admission.admit(request, network, conf, "/staging/e")


def section(endpoint: Endpoint) -> Any:
    """The IPAM section that the chain will run with."""
    return endpoint.conflist["plugins"][0]["ipam"]


# The record


async def test_an_endpoint_that_asks_for_nothing_gets_the_chain_as_it_is(
    admission: Admission, store: Store
) -> None:
    record = await admitted(admission, request())

    assert record == Endpoint(
        id=ENDPOINT_ID,
        network_id=NETWORK_ID,
        state=EndpointState.ADDING,
        conflist=WEB.to_json(),
        ifname="eth0",
        netns="/staging/e",
        boot_id=boot_id(),
        created_at=record.created_at,
    )
    assert await store.endpoints() == [record]


async def test_a_link_with_a_dhcp_lease_has_a_name_of_its_own_unless_the_user_says_one(
    admission: Admission,
) -> None:
    leased = NetworkConfigList.from_json(conflist({"type": "dhcp"}), "a test")

    record = await admitted(admission, request(), conf=leased)
    named = await admitted(admission, request(options={"cni.ifname": "lan0"}), conf=leased)

    assert (record.ifname, named.ifname) == (host_link_name(ENDPOINT_ID), "lan0")


async def test_options_of_the_endpoint_and_of_its_network_are_in_the_record(admission: Admission) -> None:
    network = replace(NETWORK, options={"cni.args.ZONE": "b", "cni.ifname": "lan0", "cni.network": "web"})

    record = await admitted(
        admission,
        request(options={"cni.args.colour": "blue", "cni.ips": "10.1.0.9"}, mac_address=MAC),
        network,
    )

    assert record.cni_args == (("COLOUR", "blue"), ("MAC", MAC), ("ZONE", "b"))
    assert (record.ifname, record.mac_address) == ("lan0", MAC)
    assert record.capability_args == {"ips": ["10.1.0.9/24"]}
    assert record.conflist["plugins"][0]["capabilities"] == {"ips": True}


async def test_nothing_of_an_internal_network_masquerades(admission: Admission) -> None:
    conf = replace(WEB, plugins=({**WEB.plugins[0], "ipMasq": True},))

    record = await admitted(admission, request(), replace(NETWORK, internal=True), conf)

    assert record.conflist["plugins"][0]["ipMasq"] is False


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"options": {"cni.ip": "10.1.0.9"}}, InvalidRequestError, r"did you mean cni\.ips\?"),
        ({"options": {"cni.bandwidth.egress": "1M"}}, InvalidRequestError, "can limit bandwidth"),
        (
            {"options": {"cni.mac": "02:00:00:00:00:01"}, "mac_address": MAC},
            InvalidRequestError,
            rf"--mac-address {MAC} and cni\.mac=02:00:00:00:00:01 differ",
        ),
        (
            {"mac_address": "01:00:5e:00:00:01"},
            InvalidRequestError,
            r"--mac-address 01:00:5e:00:00:01: not the MAC address of a link",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_and_not_stored(
    admission: Admission, store: Store, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await admitted(admission, request(**changes))

    assert await store.endpoints() == []


async def test_a_mac_address_can_be_given_twice_alike(admission: Admission) -> None:
    record = await admitted(admission, request(options={"cni.mac": MAC}, mac_address=MAC))

    assert record.mac_address == MAC


@pytest.mark.parametrize("state", [EndpointState.PLANNED, EndpointState.JOINED])
async def test_a_mac_address_that_another_endpoint_of_the_network_has_is_refused(
    admission: Admission, store: Store, state: EndpointState
) -> None:
    await store.save_endpoint(endpoint(state, id=OTHER, mac_address=MAC))

    with pytest.raises(
        ConflictError, match=f"network web: MAC address {MAC} is taken by endpoint dddddddddddd"
    ):
        await admitted(admission, request(mac_address=MAC))


@pytest.mark.parametrize(
    "other",
    [
        endpoint(EndpointState.LEFT, id=OTHER, mac_address=MAC),
        endpoint(EndpointState.LEAVING, id=OTHER, mac_address=MAC),
        endpoint(EndpointState.JOINED, id=OTHER, mac_address="02:00:00:00:00:01"),
        endpoint(EndpointState.JOINED, id=OTHER, mac_address=MAC, conflist=conflist(name="db")),
        endpoint(EndpointState.JOINED, mac_address=MAC),
    ],
    ids=["left", "leaving", "other address", "other network", "itself"],
)
async def test_a_mac_address_is_free_where_no_other_endpoint_of_the_network_has_it(
    admission: Admission, store: Store, other: Endpoint
) -> None:
    await store.save_endpoint(other)

    assert (await admitted(admission, request(mac_address=MAC))).mac_address == MAC


# Ports


async def test_a_host_port_is_in_the_record_and_held(
    admission: Admission, store: Store, ports: HostPorts
) -> None:
    record = await admitted(admission, request(PortBinding("tcp", 80, "127.0.0.1", 0, 0)))

    (mapping,) = record.capability_args["portMappings"]
    with socket.socket() as other, pytest.raises(OSError, match="already in use"):
        other.bind(("127.0.0.1", mapping["hostPort"]))
    await store.delete_endpoint(record.id)
    ports.release(record.id)
    with socket.socket() as other:
        other.bind(("127.0.0.1", mapping["hostPort"]))


async def test_nothing_is_held_for_an_endpoint_that_is_refused(
    admission: Admission, store: Store, ports: HostPorts
) -> None:
    bridge = replace(WEB, plugins=WEB.plugins[:1])

    with pytest.raises(InvalidRequestError, match=r"can publish ports \(-p\)"):
        await admitted(admission, request(PortBinding("tcp", 80, "127.0.0.1", 0, 0)), conf=bridge)

    assert ports._held == {}
    assert await store.endpoints() == []


@pytest.mark.parametrize("state", [EndpointState.PLANNED, EndpointState.JOINED, EndpointState.LEAVING])
async def test_a_host_port_of_another_endpoint_is_refused(
    admission: Admission, store: Store, state: EndpointState
) -> None:
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    await store.save_endpoint(endpoint(state, id=OTHER, capability_args={"portMappings": [mapping]}))

    with pytest.raises(ConflictError, match="a container publishes it"):
        await admitted(admission, request(PortBinding("tcp", 80, "127.0.0.1", 8080, 8080)))


SHARED = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"network_id": NetworkID("b" * 64), "sandbox_key": "/sandbox"}, True),
        ({"network_id": NetworkID("b" * 64)}, False),
        ({"sandbox_key": "/sandbox"}, False),
    ],
    ids=["joined on another network", "not joined yet", "on the same network"],
)
async def test_a_port_is_left_to_an_endpoint_that_may_be_of_the_same_container(
    admission: Admission,
    store: Store,
    ports: HostPorts,
    changes: dict[str, Any],
    shared: bool,  # noqa: FBT001 - from a table
) -> None:
    args = {"portMappings": [SHARED]}
    await store.save_endpoint(endpoint(EndpointState.JOINED, id=OTHER, capability_args=args, **changes))
    asked = request(PortBinding("tcp", 80, "127.0.0.1", 8080, 8080))

    if not shared:
        with pytest.raises(ConflictError, match="a container publishes it"):
            await admitted(admission, asked)
        return
    record = await admitted(admission, asked)

    assert (record.shared_ports, record.capability_args) == ((SHARED,), {})
    assert not ports._held[ENDPOINT_ID]


# Options that the engine carries out


@pytest.mark.parametrize("version", ["27.0.1", "28.5.2", "29.0"])
async def test_an_option_that_the_engine_carries_out_is_left_to_it(
    admission: Admission, docker: EngineStandIn, version: str
) -> None:
    docker.version = version

    record = await admitted(admission, request(options={SYSCTLS: "net.ipv4.conf.IFNAME.forwarding=1"}))

    assert (record.ifname, record.cni_args) == ("eth0", ())


@pytest.mark.parametrize("version", ["26.1.5", "20.10.24", "dev"])
async def test_an_option_that_the_engine_would_forget_is_refused(
    admission: Admission, store: Store, docker: EngineStandIn, version: str
) -> None:
    docker.version = version

    with pytest.raises(InvalidRequestError) as refusal:
        await admitted(admission, request(options={SYSCTLS: "x"}))

    assert str(refusal.value) == (
        f"endpoint option {SYSCTLS}: engine {version} does not carry it out (engines from 27 do)"
    )
    assert await store.endpoints() == []


async def test_an_option_of_a_network_that_the_engine_would_forget_is_refused(
    admission: Admission, docker: EngineStandIn
) -> None:
    options = network_options({MESSAGES: "3"})
    docker.version = "28.5.2"
    await admission.refuse_of_engine(options)

    docker.version = "27.5.1"
    with pytest.raises(InvalidRequestError) as refusal:
        await admission.refuse_of_engine(options)

    assert str(refusal.value) == (
        f"option {MESSAGES}: engine 27.5.1 does not carry it out (engines from 28 do)"
    )


@pytest.mark.parametrize("options", [{MESSAGES: "3"}, {MESSAGES: "3", "cni.ifname": "lan7"}])
async def test_in_place_the_engine_has_no_link_to_carry_an_option_out_on(
    admission: Admission, docker: EngineStandIn, options: dict[str, str]
) -> None:
    docker.version = "28.5.2"

    with pytest.raises(InvalidRequestError, match="in place it moves none"):
        await admission.refuse_of_engine(network_options({**options, "cni.mode": "inplace"}))


async def test_an_option_of_the_engine_is_refused_while_it_cannot_be_asked(
    admission: Admission, docker: EngineStandIn
) -> None:
    await docker.stop()

    with pytest.raises(UnavailableError):
        await admitted(admission, request(options={SYSCTLS: "x=1"}))
    assert (await admitted(admission, request())).state is EndpointState.ADDING


# Addresses of Docker's IPAM


async def test_the_chain_gives_the_addresses_that_dockers_ipam_chose(
    admission: Admission, plugins: ScriptedPlugins
) -> None:
    network = replace(NETWORK, ipam=Ipam.DOCKER, gateways=("192.0.2.1", "fd00:9::1"))
    conf = NetworkConfigList.from_json(conflist({**HOST_LOCAL, "routes": [{"dst": "10.9.0.0/16"}]}), "test")

    record = await admitted(
        admission, request(address="10.1.0.77/24", address_ipv6="fd00:9::77/64"), network, conf
    )

    assert section(record) == {
        "type": SETTLED,
        "addresses": [
            {"address": "10.1.0.77/24", "gateway": "10.1.0.1"},
            {"address": "fd00:9::77/64", "gateway": "fd00:9::1"},
        ],
        "routes": [{"dst": "10.9.0.0/16"}],
    }
    assert (record.reservations, record.capability_args, plugins.calls) == ((), {}, [])


@pytest.mark.parametrize("ipam", [Ipam.DOCKER, Ipam.CNI])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cni.ips": "10.1.0.9"}, r"cni\.ips"),
        ({"cni.args.ip": "10.1.0.9"}, r"cni\.args\.IP"),
        ({"cni.args.GATEWAY": "10.1.0.1"}, r"cni\.args\.GATEWAY"),
    ],
)
async def test_an_address_beside_the_one_that_docker_asked_for_is_refused(
    admission: Admission, ipam: Ipam, options: dict[str, str], named: str
) -> None:
    with pytest.raises(
        InvalidRequestError, match=rf"network web: {named} has no say here.*\(use docker run --ip"
    ):
        await admitted(
            admission, request(address="10.1.0.77/24", options=options), replace(NETWORK, ipam=ipam)
        )


# Addresses of our IPAM driver


@pytest.mark.usefixtures("leases")
async def test_a_reserved_address_is_settled_and_the_reservation_is_in_the_record(
    admission: Admission, reservations: Reservations
) -> None:
    other, mine = await reservations.take(WEB), await reservations.take(WEB)
    for reservation, address in ((other, "10.1.0.2/24"), (mine, "10.1.0.3/24")):
        await reservations.hold(reservation, address, "pool")

    record = await admitted(admission, request(address="10.1.0.3/24"), replace(NETWORK, ipam=Ipam.CNI))

    assert record.reservations == (mine.id,)
    assert section(record)["addresses"] == [{"address": "10.1.0.3/24", "gateway": "10.1.0.1"}]


@pytest.mark.usefixtures("leases")
async def test_a_reservation_is_used_although_the_journal_forgot_whose_addresses_the_network_has(
    admission: Admission, reservations: Reservations
) -> None:
    mine = await reservations.take(WEB)
    await reservations.hold(mine, "10.1.0.2/24", "pool")

    record = await admitted(admission, request(address="10.1.0.2/24"), replace(NETWORK, ipam=Ipam.NULL))

    assert record.reservations == (mine.id,)


@pytest.mark.usefixtures("leases")
async def test_addresses_of_two_reservations_are_both_settled(
    admission: Admission, reservations: Reservations
) -> None:
    dual = NetworkConfigList.from_json(conflist(DUAL), "test")
    first, second = await reservations.take(dual), await reservations.take(dual)
    await reservations.hold(first, "10.1.0.2/24", "pool")
    await reservations.hold(second, "fd00:1::3/64", "pool-v6")

    record = await admitted(
        admission,
        request(address="10.1.0.2/24", address_ipv6="fd00:1::3/64"),
        replace(NETWORK, ipam=Ipam.CNI),
        dual,
    )

    assert set(record.reservations) == {first.id, second.id}
    assert [item["address"] for item in section(record)["addresses"]] == ["10.1.0.2/24", "fd00:1::3/64"]


async def test_a_reservation_that_the_engine_holds_outlives_a_refused_endpoint(
    admission: Admission, reservations: Reservations, leases: Leases
) -> None:
    reservation = await reservations.take(WEB)
    await reservations.hold(reservation, "10.1.0.2/24", "pool")

    with pytest.raises(InvalidRequestError, match="can limit bandwidth"):
        await admitted(
            admission,
            request(address="10.1.0.2/24", options={"cni.bandwidth.egress": "1M"}),
            replace(NETWORK, ipam=Ipam.CNI),
        )

    assert leases.addresses == {"10.1.0.2"}


# Identity

WITH_IDENTITY = replace(NETWORK, options={"cni.identity": "docker"})


async def test_an_endpoint_with_identity_is_planned_with_a_reserved_address(
    admission: Admission, leases: Leases
) -> None:
    record = await admitted(admission, request(options={"cni.ips": "10.1.0.9"}), WITH_IDENTITY)

    assert record.state is EndpointState.PLANNED
    assert section(record)["addresses"] == [{"address": "10.1.0.9/24", "gateway": "10.1.0.1"}]
    assert leases.given == {"10.1.0.9": record.reservations[0]}
    assert record.capability_args == {}


async def test_an_endpoint_with_identity_needs_no_ipam_plugin(admission: Admission) -> None:
    conf = NetworkConfigList.from_json(conflist({}), "test")

    record = await admitted(admission, request(), WITH_IDENTITY, conf)

    assert (record.state, record.reservations) == (EndpointState.PLANNED, ())


@pytest.mark.parametrize("wish", ["cni.args.IP", "cni.args.GATEWAY"])
async def test_an_endpoint_with_identity_is_told_how_to_ask_for_an_address(
    admission: Admission, leases: Leases, wish: str
) -> None:
    with pytest.raises(InvalidRequestError, match=rf"{wish} has no say here.*\(use cni\.ips\)"):
        await admitted(admission, request(options={wish: "10.1.0.9"}), WITH_IDENTITY)

    assert leases.given == {}


async def test_an_endpoint_with_identity_and_no_ipam_plugin_cannot_ask_for_an_address(
    admission: Admission,
) -> None:
    conf = NetworkConfigList.from_json(conflist({}), "test")

    with pytest.raises(InvalidRequestError, match=r"cni\.ips has no say here"):
        await admitted(admission, request(options={"cni.ips": "10.1.0.9"}), WITH_IDENTITY, conf)


async def test_the_ipam_plugin_is_told_the_arguments_of_an_endpoint_with_identity(
    admission: Admission, store: Store, leases: Leases
) -> None:
    await admitted(admission, request(options={"cni.args.ZONE": "b"}), WITH_IDENTITY)

    assert leases.addresses
    assert [item.cni_args for item in await store.reservations()] == [(("ZONE", "b"),)]


async def test_the_reservation_of_an_endpoint_with_identity_goes_when_it_is_refused(
    admission: Admission, store: Store, leases: Leases
) -> None:
    with pytest.raises(InvalidRequestError, match="can limit bandwidth"):
        await admitted(admission, request(options={"cni.bandwidth.egress": "1M"}), WITH_IDENTITY)

    assert leases.given == {}
    assert (await store.reservations(), await store.endpoints()) == ([], [])


async def test_an_endpoint_with_identity_gets_no_address_that_is_taken(
    admission: Admission, store: Store, leases: Leases
) -> None:
    leases.take("10.1.0.9")

    with pytest.raises(PluginError, match="is not available"):
        await admitted(admission, request(options={"cni.ips": "10.1.0.9"}), WITH_IDENTITY)

    assert await store.endpoints() == []


# What the chain gave

ASKED = endpoint(EndpointState.ADDING)
GIVEN = Result.from_json(RESULT, "test")


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        replace(ASKED, capability_args={"ips": ["10.1.0.5/16"]}),
        replace(ASKED, capability_args={"ips": ["10.1.0.5"]}),
        replace(ASKED, cni_args=(("IP", "10.1.0.5"), ("ZONE", "10.1.0.9"))),
    ],
)
def test_a_chain_that_gave_what_was_asked_for_is_fine(asked: Endpoint) -> None:
    refuse_other_addresses(asked, GIVEN)


@pytest.mark.parametrize(
    ("asked", "given", "words"),
    [
        (replace(ASKED, capability_args={"ips": ["10.1.0.9/16"]}), GIVEN, r"10\.1\.0\.5 where 10\.1\.0\.9"),
        (replace(ASKED, cni_args=(("IP", "10.1.0.5,10.1.0.9/16"),)), GIVEN, r"10\.1\.0\.5 where 10\.1\.0\.9"),
        (
            replace(ASKED, capability_args={"ips": ["10.1.0.5/16"]}),
            Result.from_json({}, "test"),
            r"no address where 10\.1\.0\.5",
        ),
    ],
)
def test_a_chain_that_gave_another_address_is_refused(asked: Endpoint, given: Result, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^network web: its plugins gave {words} was asked for "):
        refuse_other_addresses(asked, given)


def test_the_boot_is_that_of_this_kernel() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip() != ""
