"""The driver with a real journal: every call may be repeated, come out of order, or fail."""

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.admission import boot_id
from shim.cni.errors import ConfError, PluginError
from shim.cni.ipam import SETTLED
from shim.driver import Driver
from shim.errors import ConflictError, InvalidRequestError, ShimError
from shim.model import Endpoint, EndpointID, EndpointState, Ipam, Mode, Network, NetworkID
from shim.net.snapshot import Link
from shim.net.thread import KernelError
from shim.publish import HostPorts
from shim.store import Store
from shim.wire import messages as m
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import HOST_LOCAL, Leases, conflist
from tests.unit.standins import (
    ENDPOINT_ID,
    LINK,
    MAC,
    NETWORK_ID,
    WHOLE_SNAPSHOT,
    ClusterStandIn,
    EngineStandIn,
    NotedReplays,
    ScriptedHandover,
    driver_of,
    drivers_of,
    endpoint,
)

SANDBOX = "/var/run/docker/netns/0123456789ab"
LIVE_SANDBOX = "/proc/self/ns/net"
CREATED = m.CreateEndpointResponse("10.1.0.5/16", "", MAC)
ABOUT = m.EndpointRequest(NETWORK_ID, ENDPOINT_ID)
ADD_FAILED = PluginError("no address left", plugin="host-local", network="web", command="ADD")
DEL_FAILED = PluginError("device busy", plugin="bridge", network="web", command="DEL")


@pytest.fixture
def conflists(tmp_path: Path) -> Path:
    """A folder with the network "web", whose chain publishes ports, and "plain", whose chain does not."""
    folder = tmp_path / "net.d"
    folder.mkdir()
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    for name, plugins in (("web", [{"type": "bridge"}, portmap]), ("plain", [{"type": "bridge"}])):
        conflist = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
        (folder / f"{name}.conflist").write_text(json.dumps(conflist))
    return folder


@pytest.fixture
def handover(store: Store) -> ScriptedHandover:
    return ScriptedHandover(store)


@pytest.fixture
def driver(
    store: Store, handover: ScriptedHandover, docker: EngineStandIn, conflists: Path, ports: HostPorts
) -> Driver:
    return driver_of(store, docker.socket, conflists, handover, ports=ports)


@pytest.fixture
async def network(store: Store) -> Network:
    """The Docker network that the endpoints are on, bound to "web"."""
    network = Network(NETWORK_ID, "web", options={"cni.network": "web"}, created_at=1.0)
    await store.save_network(network)
    return network


def creation(
    endpoint_id: str = ENDPOINT_ID, *ports: m.PortBinding, **changes: Any
) -> m.CreateEndpointRequest:
    request = m.CreateEndpointRequest(NETWORK_ID, EndpointID(endpoint_id), "", "", "", ports, {})
    return replace(request, **changes)


def joining(sandbox_key: str = SANDBOX) -> m.JoinRequest:
    return m.JoinRequest(NETWORK_ID, ENDPOINT_ID, sandbox_key)


def network_creation(options: dict[str, str] | None = None, **changes: Any) -> m.CreateNetworkRequest:
    request = m.CreateNetworkRequest(NETWORK_ID, options or {}, internal=False, pools=())
    return replace(request, **changes)


async def stored(store: Store) -> Endpoint:
    """The journal's only endpoint."""
    (record,) = await store.endpoints()
    return record


# Networks


async def test_a_network_given_by_option_is_bound_at_once(driver: Driver, store: Store) -> None:
    pools = (m.AddressPool("null", "0.0.0.0/0"),)
    options = {"cni.network": "web", "cni.args.A": "1"}

    await driver.create_network(network_creation(options, internal=True, pools=pools))

    (network,) = await store.networks()
    assert (network.id, network.cni_network, network.internal) == (NETWORK_ID, "web", True)
    assert network.options == options


async def test_a_network_without_option_is_bound_when_the_engine_can_be_asked(
    driver: Driver, store: Store, docker: EngineStandIn
) -> None:
    await driver.create_network(network_creation())
    docker.add(NETWORK_ID, "web")

    await driver.create_endpoint(creation())

    assert [network.cni_network for network in await store.networks()] == ["web"]


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (
            network_creation({"cni.network": "wbe"}),
            ConfError,
            'no CNI network "wbe" in .*found there: plain, web',
        ),
        (network_creation({"cni.netwrok": "web"}), InvalidRequestError, "did you mean cni.network"),
        (
            network_creation({"cni.network": "web"}, pools=(m.AddressPool("LocalDefault", "172.18.0.0/16"),)),
            InvalidRequestError,
            "type: docker network create -d cni --ipam-driver null -o cni.network=web NAME",
        ),
    ],
)
async def test_a_network_that_cannot_work_is_refused_and_not_stored(
    driver: Driver, store: Store, request_: m.CreateNetworkRequest, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await driver.create_network(request_)

    assert await store.networks() == []


@pytest.mark.usefixtures("network")
async def test_deleting_a_network_removes_the_endpoints_left_on_it_and_no_other(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    orphans = [EndpointID("1" * 64), EndpointID("2" * 64)]
    other = endpoint(EndpointState.JOINED, id=EndpointID("3" * 64), network_id=NetworkID("b" * 64))
    for endpoint_id in orphans:
        await store.save_endpoint(endpoint(EndpointState.JOINED, id=endpoint_id))
    await store.save_endpoint(other)

    await driver.delete_network(m.NetworkRequest(NETWORK_ID))

    assert handover.of("detach") == orphans
    assert await store.endpoints() == [other]
    assert await store.networks() == []


async def test_an_endpoint_that_cannot_be_removed_outlives_its_network(
    driver: Driver, store: Store, handover: ScriptedHandover, network: Network
) -> None:
    await store.save_endpoint(endpoint(EndpointState.JOINED))
    handover.failures["detach"] = [DEL_FAILED]

    with pytest.raises(PluginError):
        await driver.delete_network(m.NetworkRequest(network.id))
    (left,) = await store.endpoints()
    assert (await store.networks(), left.state) == ([], EndpointState.LEAVING)

    await driver.remove(left.id)
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_an_endpoint_that_cannot_be_removed_does_not_keep_the_others_of_its_network(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    other = EndpointID("d" * 64)
    await store.save_endpoint(endpoint(EndpointState.JOINED))
    await store.save_endpoint(endpoint(EndpointState.JOINED, id=other))
    handover.failures["detach"] = [DEL_FAILED]

    with pytest.raises(PluginError):
        await driver.delete_network(m.NetworkRequest(NETWORK_ID))

    assert [left.id for left in await store.endpoints()] == [ENDPOINT_ID]


async def test_a_network_whose_plugins_are_missing_is_refused_and_not_stored(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    missing = PluginError("not found in /x", plugin="bridge", network="web")
    handover.failures["require"] = [missing]

    with pytest.raises(PluginError, match="not found in /x"):
        await driver.create_network(network_creation({"cni.network": "web"}))

    assert await store.networks() == []


async def test_deleting_an_unknown_network_is_harmless(driver: Driver) -> None:
    await driver.delete_network(m.NetworkRequest(NETWORK_ID))


# CreateEndpoint


@pytest.mark.usefixtures("network")
async def test_an_endpoint_is_answered_and_stored_with_all_that_del_needs(
    driver: Driver, store: Store
) -> None:
    port = m.PortBinding("tcp", 80, "127.0.0.1", 0, 0)

    assert await driver.create_endpoint(creation(ENDPOINT_ID, port)) == CREATED

    record = await stored(store)
    (mapping,) = record.capability_args["portMappings"]
    assert record.state is EndpointState.CREATED
    assert record.conflist["name"] == "web"
    assert record.boot_id == boot_id()
    assert (mapping["containerPort"], mapping["hostIP"]) == (80, "127.0.0.1")


@pytest.mark.usefixtures("network")
async def test_a_repeated_create_endpoint_gives_the_same_answer_without_a_second_add(
    driver: Driver, handover: ScriptedHandover
) -> None:
    assert await driver.create_endpoint(creation()) == CREATED
    assert await driver.create_endpoint(creation()) == CREATED
    await driver.join(joining())
    assert await driver.create_endpoint(creation()) == CREATED

    assert handover.of("attach") == [ENDPOINT_ID]


@pytest.mark.usefixtures("network")
async def test_a_create_endpoint_repeated_while_the_first_runs_waits_for_its_answer(
    driver: Driver, handover: ScriptedHandover
) -> None:
    handover.gate.clear()
    calls = [asyncio.create_task(driver.create_endpoint(creation())) for _ in range(2)]
    await handover.started.get()
    handover.gate.set()

    assert await asyncio.gather(*calls) == [CREATED, CREATED]
    assert handover.of("attach") == [ENDPOINT_ID]


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("state", [EndpointState.ADDING, EndpointState.LEAVING])
async def test_an_endpoint_left_half_done_is_removed_before_it_is_made_again(
    driver: Driver, store: Store, handover: ScriptedHandover, state: EndpointState
) -> None:
    await store.save_endpoint(endpoint(state))

    assert await driver.create_endpoint(creation()) == CREATED

    assert [name for name, _ in handover.calls] == ["detach", "attach"]
    assert (await stored(store)).state is EndpointState.CREATED


@pytest.mark.usefixtures("network")
async def test_a_failed_add_leaves_no_record(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    handover.failures["attach"] = [ADD_FAILED]

    with pytest.raises(PluginError, match=r'plugin "host-local" \(network "web"\) ADD: no address left'):
        await driver.create_endpoint(creation())

    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("call", ["snapshot", "publish"])
async def test_an_add_that_cannot_be_followed_up_is_undone_with_its_result(
    driver: Driver, store: Store, handover: ScriptedHandover, call: str
) -> None:
    handover.failures[call] = [ShimError("not today")]

    with pytest.raises(ShimError, match="not today"):
        await driver.create_endpoint(creation())

    ((_, _), (detach, record)) = handover.journal
    assert detach == "detach"
    assert record is not None
    assert record.result is not None
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_the_result_is_in_the_journal_before_ports_are_published(
    driver: Driver, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())

    assert handover.published is not None
    assert handover.published.result is not None


@pytest.mark.usefixtures("network")
async def test_a_kernel_that_refuses_leaves_no_record(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    handover.failures["attach"] = [KernelError("cannot make the network namespace")]

    with pytest.raises(KernelError):
        await driver.create_endpoint(creation())

    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_a_failed_add_whose_clean_up_failed_too_stays_in_the_journal_until_a_removal_succeeds(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    error = PluginError("no address left", plugin="host-local", network="web", command="ADD")
    error.cleanup_error = DEL_FAILED
    handover.failures["attach"] = [error]

    with pytest.raises(PluginError, match="no address left"):
        await driver.create_endpoint(creation())

    record = await stored(store)
    assert (record.state, record.last_error) == (EndpointState.LEAVING, str(DEL_FAILED))

    await driver.remove(ENDPOINT_ID)

    assert handover.of("detach") == [ENDPOINT_ID]
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (creation(options={"cni.network": "plain"}), "endpoint option cni.network"),
        (creation(network_id=NetworkID("b" * 64)), "the Docker engine knows no networks/bbb"),
    ],
)
async def test_an_endpoint_that_cannot_work_is_refused_before_anything_is_done(
    driver: Driver, store: Store, handover: ScriptedHandover, request_: m.CreateEndpointRequest, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        await driver.create_endpoint(request_)

    assert handover.calls == []
    assert await store.endpoints() == []


async def test_a_port_is_refused_by_a_chain_that_publishes_none(
    driver: Driver, store: Store, handover: ScriptedHandover, network: Network
) -> None:
    await store.save_network(replace(network, cni_network="plain"))

    with pytest.raises(InvalidRequestError, match=r"network plain: no plugin of the chain can publish ports"):
        await driver.create_endpoint(creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "", 0, 0)))

    assert handover.calls == []
    assert await store.endpoints() == []


async def test_cni_args_are_those_of_the_network_and_the_mac_address_asked_for(
    driver: Driver, store: Store, network: Network
) -> None:
    await store.save_network(replace(network, options={"cni.args.IP": "10.1.0.5"}))

    reply = await driver.create_endpoint(creation(mac_address=MAC))

    record = await stored(store)
    assert record.cni_args == (("IP", "10.1.0.5"), ("MAC", MAC))
    assert record.mac_address == MAC
    assert reply.mac_address == ""


@pytest.mark.usefixtures("network")
async def test_the_engine_is_told_a_mac_address_that_it_does_not_know(driver: Driver) -> None:
    other = "02:00:00:00:00:01"

    reply = await driver.create_endpoint(creation(options={"cni.mac": other}))

    assert reply == replace(CREATED, mac_address=other)


@pytest.mark.usefixtures("network")
async def test_a_chain_that_gave_another_address_than_was_asked_for_is_undone(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"its plugins gave 10\.1\.0\.5 where 10\.1\.0\.9 was asked for"
    ):
        await driver.create_endpoint(creation(options={"cni.args.ip": "10.1.0.9"}))

    assert [name for name, _ in handover.calls] == ["attach", "detach"]
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_a_port_on_an_address_of_a_family_that_the_chain_did_not_give_is_refused_and_undone(
    driver: Driver, store: Store, handover: ScriptedHandover, ports: HostPorts
) -> None:
    with pytest.raises(InvalidRequestError, match="the container has no IPv6 address"):
        await driver.create_endpoint(creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "::1", 0, 0)))

    assert [name for name, _ in handover.calls] == ["attach", "detach"]
    assert (await store.endpoints(), ports._held) == ([], {})


@pytest.mark.usefixtures("network")
async def test_the_conflist_of_add_is_kept_for_del_whatever_the_files_say_then(
    driver: Driver, handover: ScriptedHandover, conflists: Path
) -> None:
    await driver.create_endpoint(creation())
    (conflists / "web.conflist").unlink()

    await driver.delete_endpoint(ABOUT)

    (_, record) = handover.journal[-1]
    assert record
    assert [plugin["type"] for plugin in record.conflist["plugins"]] == ["bridge", "portmap"]


@pytest.mark.usefixtures("network")
async def test_endpoints_made_at_once_never_get_the_same_host_port(
    driver: Driver, store: Store, handover: ScriptedHandover, free_ports: tuple[int, int]
) -> None:
    handover.gate.clear()
    first, last = free_ports
    port = m.PortBinding("tcp", 80, "127.0.0.1", first, last)
    calls = [asyncio.create_task(driver.create_endpoint(creation(digit * 64, port))) for digit in "123"]
    for _ in "12":
        await handover.started.get()
    handover.gate.set()

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    mappings = [item.capability_args["portMappings"][0]["hostPort"] for item in await store.endpoints()]
    assert sorted(mappings) == [first, last]
    assert [type(item) for item in outcomes].count(ConflictError) == 1


@pytest.mark.usefixtures("network")
async def test_the_port_of_an_endpoint_that_has_left_is_free_again(
    driver: Driver, store: Store, handover: ScriptedHandover, free_ports: tuple[int, int]
) -> None:
    port = m.PortBinding("tcp", 80, "127.0.0.1", free_ports[0], free_ports[0])
    await driver.create_endpoint(creation(ENDPOINT_ID, port))
    await driver.join(joining())
    handover.found = LINK
    await driver.leave(ABOUT)
    assert (await stored(store)).state is EndpointState.LEFT

    await driver.create_endpoint(creation("2" * 64, port))

    assert len(await store.endpoints()) == 2


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("end", ["deleted", "ADD failed", "undone", "refused"])
async def test_the_ports_of_an_endpoint_that_is_forgotten_are_free_again(
    driver: Driver, handover: ScriptedHandover, ports: HostPorts, end: str
) -> None:
    changes: dict[str, Any] = {"options": {"cni.bandwidth.egress": "1M"}} if end == "refused" else {}
    handover.failures["attach"] = [ADD_FAILED] if end == "ADD failed" else []
    handover.failures["publish"] = [ShimError("not today")] if end == "undone" else []
    request = creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "127.0.0.1", 0, 0), **changes)
    if end == "deleted":
        await driver.create_endpoint(request)
        assert list(ports._held) == [ENDPOINT_ID]
        await driver.delete_endpoint(ABOUT)
    else:
        with pytest.raises(ShimError):
            await driver.create_endpoint(request)

    assert ports._held == {}


@pytest.mark.usefixtures("network")
async def test_the_ports_of_an_endpoint_that_cannot_be_removed_stay_held(
    driver: Driver, handover: ScriptedHandover, ports: HostPorts
) -> None:
    await driver.create_endpoint(creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "127.0.0.1", 0, 0)))
    handover.failures["detach"] = [DEL_FAILED]

    with pytest.raises(PluginError):
        await driver.delete_endpoint(ABOUT)

    assert list(ports._held) == [ENDPOINT_ID]


async def test_after_a_restart_the_ports_of_all_endpoints_are_held_but_of_those_that_have_left(
    driver: Driver, store: Store, ports: HostPorts, free_ports: tuple[int, int]
) -> None:
    for port, state in zip(free_ports, (EndpointState.LEFT, EndpointState.JOINED), strict=True):
        mapping = {"hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
        args = {"portMappings": [mapping]}
        await store.save_endpoint(endpoint(state, id=EndpointID(f"{port}"), capability_args=args))
    await store.save_endpoint(endpoint(EndpointState.JOINED))

    await driver.hold_ports()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_ports[0]))
    with socket.socket() as probe, pytest.raises(OSError, match="already in use"):
        probe.bind(("127.0.0.1", free_ports[1]))
    assert ports._held[EndpointID(f"{free_ports[1]}")]


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two neighbouring ports that nobody on this machine has."""
    for first in range(20000, 30000, 2):
        try:
            for port in (first, first + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first, first + 1
    raise AssertionError("no two neighbouring ports are free")


@pytest.mark.usefixtures("network")
async def test_ports_are_let_go_of_while_another_driver_publishes_them(
    driver: Driver, ports: HostPorts
) -> None:
    await driver.create_endpoint(creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "127.0.0.1", 0, 0)))
    await driver.join(joining())

    for _ in range(2):
        await driver.revoke_external_connectivity(ABOUT)
        assert not ports._held.get(ENDPOINT_ID)
    for _ in range(2):
        await driver.program_external_connectivity(ABOUT)
        assert len(ports._held[ENDPOINT_ID]) == 1


async def test_programming_one_endpoint_holds_the_ports_of_its_container_and_of_no_other(
    driver: Driver, store: Store, ports: HostPorts, free_ports: tuple[int, int]
) -> None:
    sibling, stranger = EndpointID("1" * 64), EndpointID("2" * 64)
    await store.save_endpoint(endpoint(EndpointState.JOINED, sandbox_key=SANDBOX))
    for endpoint_id, port, sandbox in zip((sibling, stranger), free_ports, (SANDBOX, "/other"), strict=True):
        mapping = {"hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
        args = {"portMappings": [mapping]}
        record = endpoint(EndpointState.JOINED, id=endpoint_id, sandbox_key=sandbox, capability_args=args)
        await store.save_endpoint(record)

    await driver.program_external_connectivity(ABOUT)

    assert ports._held[sibling]
    assert stranger not in ports._held


@pytest.mark.parametrize("same", [True, False], ids=["same container", "another container"])
async def test_a_port_that_was_left_to_an_endpoint_must_be_of_the_same_container(
    driver: Driver,
    store: Store,
    handover: ScriptedHandover,
    same: bool,  # noqa: FBT001 - a parameter
) -> None:
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    other = endpoint(
        EndpointState.JOINED,
        id=EndpointID("1" * 64),
        sandbox_key=SANDBOX if same else "/other",
        capability_args={"portMappings": [mapping]},
    )
    await store.save_endpoint(other)
    await store.save_endpoint(endpoint(EndpointState.CREATED, shared_ports=(mapping,)))

    if same:
        assert (await driver.join(joining())).source_name == "cni" + "e" * 12
        return
    with pytest.raises(ConflictError, match=r"host port \*:8080/tcp is not free: a container publishes it"):
        await driver.join(joining())
    assert handover.calls == []


@pytest.mark.usefixtures("network")
async def test_ports_of_an_endpoint_whose_del_fails_are_held_again(
    driver: Driver, handover: ScriptedHandover, ports: HostPorts
) -> None:
    await driver.create_endpoint(creation(ENDPOINT_ID, m.PortBinding("tcp", 80, "127.0.0.1", 0, 0)))
    await driver.join(joining())
    await driver.revoke_external_connectivity(ABOUT)
    handover.failures["detach"] = [DEL_FAILED]

    with pytest.raises(PluginError):
        await driver.delete_endpoint(ABOUT)

    assert len(ports._held[ENDPOINT_ID]) == 1


# Join


@pytest.mark.usefixtures("network")
async def test_joining_twice_gives_the_same_answer_and_moves_the_link_once(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())

    first = await driver.join(joining())

    assert first == m.JoinResponse("cni" + "e" * 12, gateway="10.1.0.1")
    assert await driver.join(joining()) == first
    assert handover.begun == handover.of("release") == [ENDPOINT_ID]
    record = await stored(store)
    assert (record.state, record.sandbox_key) == (EndpointState.JOINED, SANDBOX)
    assert record.snapshot == WHOLE_SNAPSHOT.to_json()


async def test_an_endpoint_of_an_internal_network_is_told_no_gateway(
    driver: Driver, store: Store, network: Network
) -> None:
    await store.save_network(replace(network, internal=True))
    await driver.create_endpoint(creation())

    assert (await driver.join(joining())).gateway == ""


@pytest.mark.usefixtures("network")
async def test_a_join_that_failed_can_be_repeated(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    handover.failures["release"] = [KernelError("cannot move eth0")]
    with pytest.raises(KernelError):
        await driver.join(joining())
    assert (await stored(store)).state is EndpointState.JOINING

    assert (await driver.join(joining())).source_name == "cni" + "e" * 12

    assert (await stored(store)).state is EndpointState.JOINED


async def test_joining_an_unknown_endpoint_is_refused(driver: Driver) -> None:
    with pytest.raises(InvalidRequestError, match=r"endpoint eeeeeeeeeeee is unknown to the CNI driver"):
        await driver.join(joining())


@pytest.mark.parametrize("state", [EndpointState.ADDING, EndpointState.LEAVING, EndpointState.LEFT])
async def test_joining_an_endpoint_that_is_not_attached_is_refused(
    driver: Driver, store: Store, handover: ScriptedHandover, state: EndpointState
) -> None:
    await store.save_endpoint(endpoint(state))

    with pytest.raises(ConflictError, match=f"endpoint eeeeeeeeeeee is {state}: it cannot join"):
        await driver.join(joining())

    assert handover.calls == []


async def test_joining_a_second_sandbox_is_refused(driver: Driver, store: Store) -> None:
    await store.save_endpoint(endpoint(EndpointState.JOINED, sandbox_key="/var/run/docker/netns/other"))

    with pytest.raises(ConflictError):
        await driver.join(joining())


# Leave and DeleteEndpoint


@pytest.mark.usefixtures("network")
async def test_leave_runs_del_in_the_live_sandbox_and_delete_endpoint_only_forgets(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    await driver.join(joining())
    handover.found = LINK

    await driver.leave(ABOUT)

    assert (await stored(store)).state is EndpointState.LEFT
    await driver.leave(ABOUT)
    await driver.delete_endpoint(ABOUT)
    assert handover.of("detach in the sandbox") == [ENDPOINT_ID]
    assert handover.of("detach") == []
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_leave_without_the_link_in_the_sandbox_leaves_del_to_delete_endpoint(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    await driver.join(joining())

    await driver.leave(ABOUT)

    assert (await stored(store)).state is EndpointState.JOINED
    await driver.delete_endpoint(ABOUT)
    assert handover.of("detach") == [ENDPOINT_ID]
    assert await store.endpoints() == []


@pytest.mark.usefixtures("network")
async def test_leave_without_join_is_harmless(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    handover.found = LINK

    await driver.leave(ABOUT)

    assert handover.of("detach in the sandbox") == []
    assert (await stored(store)).state is EndpointState.CREATED


@pytest.mark.usefixtures("network")
async def test_deleting_an_endpoint_twice_runs_del_once(driver: Driver, handover: ScriptedHandover) -> None:
    await driver.create_endpoint(creation())

    await asyncio.gather(driver.delete_endpoint(ABOUT), driver.delete_endpoint(ABOUT))
    await driver.delete_endpoint(ABOUT)

    assert handover.of("detach") == [ENDPOINT_ID]


async def test_leaving_and_deleting_an_unknown_endpoint_succeed(
    driver: Driver, handover: ScriptedHandover
) -> None:
    await driver.leave(ABOUT)
    await driver.delete_endpoint(ABOUT)

    assert handover.calls == []


@pytest.mark.usefixtures("network")
async def test_deleting_an_endpoint_waits_for_its_add(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    handover.gate.clear()
    creating = asyncio.create_task(driver.create_endpoint(creation()))
    await handover.started.get()
    deleting = asyncio.create_task(driver.delete_endpoint(ABOUT))
    handover.gate.set()
    await asyncio.gather(creating, deleting)

    assert [name for name, _ in handover.calls] == ["attach", "detach"]
    assert await store.endpoints() == []


@pytest.mark.parametrize("is_noted", [True, False])
async def test_a_dhcp_lease_is_given_back_before_the_link_leaves_the_sandbox(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, plugins: ScriptedPlugins, *, is_noted: bool
) -> None:
    plugins.write("dhcp", "true")
    handover.found = LINK
    await store.save_endpoint(
        endpoint(
            EndpointState.JOINED,
            sandbox_key=SANDBOX,
            conflist=conflist({"type": "dhcp"}),
            lease_ifname="eth1" if is_noted else "",
        )
    )

    await with_ipam.leave(ABOUT)

    assert plugins.calls == ["dhcp DEL"] * is_noted
    assert [name for name, _ in handover.calls] == ["detach in the sandbox"]
    assert (await stored(store)).state is EndpointState.LEFT


@pytest.mark.usefixtures("network")
async def test_a_dhcp_lease_that_cannot_be_given_back_keeps_the_link_where_it_is(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, plugins: ScriptedPlugins
) -> None:
    plugins.write("dhcp", "exit 1")
    await store.save_endpoint(
        endpoint(EndpointState.JOINED, conflist=conflist({"type": "dhcp"}), lease_ifname="eth1")
    )

    with pytest.raises(PluginError):
        await with_ipam.delete_endpoint(ABOUT)

    assert handover.calls == []
    assert 'plugin "dhcp"' in (await stored(store)).last_error


@pytest.mark.usefixtures("network")
async def test_a_failed_del_keeps_the_record_with_its_reason_until_one_succeeds(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    await driver.join(joining())
    handover.found = LINK
    handover.failures["detach in the sandbox"] = [DEL_FAILED, DEL_FAILED]

    with pytest.raises(PluginError, match="device busy"):
        await driver.leave(ABOUT)
    record = await stored(store)
    assert (record.state, record.last_error) == (EndpointState.LEAVING, str(DEL_FAILED))

    await driver.leave(ABOUT)
    with pytest.raises(PluginError, match="device busy"):
        await driver.delete_endpoint(ABOUT)
    await driver.delete_endpoint(ABOUT)

    assert await store.endpoints() == []


async def test_a_removal_of_what_was_seen_spares_an_endpoint_that_was_used_since(
    driver: Driver, store: Store, handover: ScriptedHandover
) -> None:
    seen = endpoint(EndpointState.ADDING)
    used = endpoint(EndpointState.CREATED)
    await store.save_endpoint(used)

    await driver.remove(ENDPOINT_ID, seen=seen)

    assert handover.calls == []
    assert await store.endpoints() == [used]


# The journal, and the calls with nothing to do


@pytest.fixture
def durable(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[EndpointState]:
    """The states of the endpoint whose record was on disk before the driver went on."""
    states: list[EndpointState] = []
    save = store.save_endpoint

    async def noting(item: Endpoint, *, durable: bool = True) -> None:
        states.extend([item.state] * durable)
        await save(item, durable=durable)

    monkeypatch.setattr(store, "save_endpoint", noting)
    return states


@pytest.mark.usefixtures("network")
async def test_the_disk_is_waited_for_before_add_and_at_no_other_step(
    driver: Driver, durable: list[EndpointState]
) -> None:
    await driver.create_endpoint(creation())
    await driver.join(joining())
    await driver.delete_endpoint(ABOUT)

    assert durable == [EndpointState.ADDING]


@pytest.mark.usefixtures("with_identity")
async def test_the_disk_is_waited_for_at_join_where_add_waits_for_that(
    with_ipam: Driver, durable: list[EndpointState]
) -> None:
    await with_ipam.create_endpoint(creation())
    assert durable == []

    await with_ipam.join(joining())

    assert durable == [EndpointState.ADDING]


@pytest.mark.usefixtures("network")
async def test_every_intent_is_in_the_journal_before_the_action_starts(
    driver: Driver, handover: ScriptedHandover
) -> None:
    await driver.create_endpoint(creation())
    await driver.join(joining())
    await driver.delete_endpoint(ABOUT)

    assert [(call, record and (record.state, record.sandbox_key)) for call, record in handover.journal] == [
        ("attach", (EndpointState.ADDING, "")),
        ("release", (EndpointState.JOINING, SANDBOX)),
        ("detach", (EndpointState.LEAVING, SANDBOX)),
    ]


async def test_the_engine_is_told_what_the_driver_is(driver: Driver) -> None:
    empty = m.EmptyRequest()

    assert (await driver.activate(empty)).to_json() == {"Implements": ["NetworkDriver", "IpamDriver"]}
    assert (await driver.get_capabilities(empty)).to_json()["Scope"] == "local"


@pytest.mark.parametrize(
    ("options", "skip"),
    [({}, True), ({"cni.ipam": "cni"}, True), ({"cni.ipam": "null"}, True), ({"cni.ipam": "docker"}, False)],
)
async def test_a_gateway_is_set_aside_only_where_dockers_ipam_gives_out_the_addresses(
    driver: Driver,
    options: dict[str, str],
    skip: bool,  # noqa: FBT001 - from a table
) -> None:
    assert await driver.gw_alloc_check(m.GwAllocCheckRequest(options)) == m.GwAllocCheckResponse(skip=skip)


async def test_a_network_with_a_bad_option_is_refused_before_any_address_is_asked_for(driver: Driver) -> None:
    with pytest.raises(InvalidRequestError, match=r"did you mean cni\.network\?"):
        await driver.gw_alloc_check(m.GwAllocCheckRequest({"cni.netwrok": "web"}))


async def test_calls_with_nothing_to_do_succeed_also_for_unknown_ids(driver: Driver) -> None:
    nothing = m.EmptyResponse()

    assert await driver.program_external_connectivity(ABOUT) == nothing
    assert await driver.revoke_external_connectivity(ABOUT) == nothing
    assert await driver.free_network(m.NetworkRequest(NETWORK_ID)) == nothing
    assert await driver.discover(m.EmptyRequest()) == nothing
    assert (await driver.endpoint_oper_info(ABOUT)).to_json() == {"Value": {}}


async def test_a_swarm_network_is_refused(driver: Driver) -> None:
    with pytest.raises(InvalidRequestError, match="belong to one engine, not to a swarm"):
        await driver.allocate_network(m.NetworkRequest(NETWORK_ID))


# Who chooses the addresses

SUBNET = "10.1.0.0/24"


@pytest.fixture
def leases(plugins: ScriptedPlugins) -> Leases:
    return Leases(plugins)


@pytest.fixture
def with_ipam(  # noqa: PLR0917 - fixtures
    store: Store,
    handover: ScriptedHandover,
    docker: EngineStandIn,
    conflists: Path,
    plugins: ScriptedPlugins,
    leases: Leases,  # noqa: ARG001 - its plugin has to be there
) -> Driver:
    """A driver of networks whose IPAM plugins can be run: "leased", "routed" and "dhcp"."""
    for item in (
        conflist(HOST_LOCAL, name="leased"),
        conflist(HOST_LOCAL, name="routed", kind="ptp"),
        conflist({"type": "dhcp"}, name="dhcp"),
    ):
        (conflists / f"{item['name']}.conflist").write_text(json.dumps(item))
    driver, _ = drivers_of(store, docker.socket, conflists, handover, plugin_path=plugins.folder)
    return driver


def pool(space: str, gateway: str = "10.1.0.1/24", subnet: str = SUBNET) -> m.AddressPool:
    return m.AddressPool(space, subnet, gateway)


@pytest.mark.parametrize(
    ("option", "given", "ipam", "gateways"),
    [
        ("null", m.AddressPool("null", "0.0.0.0/0"), Ipam.NULL, ()),
        ("cni", pool("cni"), Ipam.CNI, ("10.1.0.1",)),
        ("docker", pool("LocalDefault"), Ipam.DOCKER, ("10.1.0.1",)),
        ("docker", pool("LocalDefault", ""), Ipam.DOCKER, ()),
    ],
)
async def test_a_network_is_stored_with_who_chooses_its_addresses(  # noqa: PLR0917 - fixtures
    with_ipam: Driver, store: Store, option: str, given: m.AddressPool, ipam: Ipam, gateways: tuple[str, ...]
) -> None:
    options = {"cni.network": "leased", "cni.ipam": option}

    await with_ipam.create_network(network_creation(options, pools=(given,)))

    (network,) = await store.networks()
    assert (network.ipam, network.gateways, network.pool_ids) == (ipam, gateways, ())


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({"cni.network": "leased", "cni.ipam": "cni"}, pool("null"), "contradicts --ipam-driver null"),
        (
            {"cni.network": "leased", "cni.ipam": "docker"},
            pool("LocalDefault", "10.1.0.9/24"),
            r"gateway 10\.1\.0\.9",
        ),
        (
            {"cni.network": "leased", "cni.ipam": "docker"},
            pool("x", "", "10.2.0.0/24"),
            r"--subnet 10\.2\.0\.0/24",
        ),
        (
            {"cni.network": "routed", "cni.ipam": "docker"},
            pool("LocalDefault"),
            "ptp needs addresses without",
        ),
        (
            {"com.docker.network.advertise_addr_ms": "5"},
            pool("null"),
            "engine 20.10.24 does not carry it out",
        ),
        ({"cni.ipam": "docker"}, pool("LocalDefault"), r"add -o cni\.network=NAME"),
        (
            {"cni.network": "dhcp", "cni.identity": "docker"},
            m.AddressPool("null", "0.0.0.0/0"),
            "dhcp needs the link",
        ),
    ],
)
async def test_a_network_whose_addresses_cannot_be_chosen_so_is_refused_and_not_stored(
    with_ipam: Driver, store: Store, options: dict[str, str], given: m.AddressPool, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        await with_ipam.create_network(network_creation(options, pools=(given,)))

    assert await store.networks() == []


@pytest.mark.parametrize(("space", "refused"), [("null", True), ("cni", False)])
async def test_a_network_without_ipv4_needs_an_ipam_driver_that_is_asked_for_ipv6_alone(
    with_ipam: Driver,
    store: Store,
    space: str,
    refused: bool,  # noqa: FBT001 - from a table
) -> None:
    request = network_creation(pools=(m.AddressPool(space, "fd00:1::/64"),), ipv4=False)

    if refused:
        with pytest.raises(InvalidRequestError, match=r"--ipv4=false needs --ipam-driver cni and --ipv6"):
            await with_ipam.create_network(request)
        return
    await with_ipam.create_network(request)

    assert [network.ipv6 for network in await store.networks()] == [True]


async def test_the_engine_is_not_told_the_address_that_its_ipam_chose_and_the_chain_gives_it(
    with_ipam: Driver, store: Store, plugins: ScriptedPlugins
) -> None:
    options = {"cni.network": "leased", "cni.ipam": "docker"}
    await with_ipam.create_network(network_creation(options, pools=(pool("LocalDefault"),)))

    reply = await with_ipam.create_endpoint(creation(address="10.1.0.5/24"))

    assert reply == replace(CREATED, address="")
    assert await with_ipam.create_endpoint(creation(address="10.1.0.5/24")) == reply
    (plugin,) = (await stored(store)).conflist["plugins"]
    assert plugin["ipam"] == {
        "type": SETTLED,
        "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}],
    }
    assert plugins.calls == []


# Identity

PLANNED = m.CreateEndpointResponse("10.1.0.2/24")


@pytest.fixture
async def with_identity(store: Store, docker: EngineStandIn) -> Network:
    """The Docker network, whose plugins are told whose link it is: that of container "shop"."""
    network = Network(NETWORK_ID, "leased", options={"cni.identity": "docker"}, created_at=1.0)
    await store.save_network(network)
    docker.add(NETWORK_ID, "leased", {ENDPOINT_ID: "shop"})
    docker.run("c" * 64, "shop")
    return network


@pytest.mark.usefixtures("with_identity")
async def test_add_waits_for_join_and_is_told_whose_link_it_is(
    with_ipam: Driver, store: Store, handover: ScriptedHandover
) -> None:
    assert await with_ipam.create_endpoint(creation(options={"cni.args.zone": "b"})) == PLANNED
    assert handover.calls == []
    assert (await stored(store)).state is EndpointState.PLANNED

    joined = await with_ipam.join(joining())

    assert joined.source_name == "cni" + "e" * 12
    assert [(call, record and record.state) for call, record in handover.journal] == [
        ("attach", EndpointState.ADDING),
        ("release", EndpointState.JOINING),
    ]
    (_, added), _ = handover.journal
    assert added
    assert added.cni_args == (
        ("K8S_POD_INFRA_CONTAINER_ID", "c" * 64),
        ("K8S_POD_NAME", "shop"),
        ("K8S_POD_NAMESPACE", "default"),
        ("ZONE", "b"),
    )
    assert await with_ipam.join(joining()) == joined
    assert handover.of("attach") == [ENDPOINT_ID]


@pytest.mark.usefixtures("with_identity")
async def test_an_argument_that_the_user_gave_goes_before_the_identity(
    with_ipam: Driver, handover: ScriptedHandover
) -> None:
    await with_ipam.create_endpoint(creation(options={"cni.args.k8s_pod_name": "mine"}))

    await with_ipam.join(joining())

    (_, added), _ = handover.journal
    assert added
    assert dict(added.cni_args)["K8S_POD_NAME"] == "mine"


@pytest.mark.usefixtures("with_identity")
async def test_a_planned_endpoint_is_asked_for_again_with_the_same_answer(
    with_ipam: Driver, plugins: ScriptedPlugins
) -> None:
    assert await with_ipam.create_endpoint(creation()) == PLANNED
    assert await with_ipam.create_endpoint(creation()) == PLANNED

    assert plugins.calls == ["host-local ADD"]


@pytest.mark.usefixtures("with_identity")
async def test_a_planned_endpoint_leaves_without_del_and_its_address_is_given_back(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, leases: Leases
) -> None:
    await with_ipam.create_endpoint(creation())
    assert leases.addresses == {"10.1.0.2"}
    handover.found = LINK

    await with_ipam.leave(ABOUT)
    assert (await stored(store)).state is EndpointState.PLANNED
    await with_ipam.delete_endpoint(ABOUT)

    assert (handover.calls, leases.given) == ([], {})
    assert (await store.endpoints(), await store.reservations()) == ([], [])


@pytest.mark.usefixtures("with_identity")
async def test_an_address_is_given_back_after_del(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, leases: Leases
) -> None:
    await with_ipam.create_endpoint(creation())
    await with_ipam.join(joining())
    handover.failures["detach"] = [DEL_FAILED]
    with pytest.raises(PluginError):
        await with_ipam.delete_endpoint(ABOUT)
    assert leases.addresses == {"10.1.0.2"}

    await with_ipam.delete_endpoint(ABOUT)

    assert leases.given == {}
    assert await store.reservations() == []


@pytest.mark.usefixtures("with_identity")
async def test_an_add_that_fails_at_join_gives_the_address_back(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, leases: Leases
) -> None:
    await with_ipam.create_endpoint(creation())
    handover.failures["attach"] = [ADD_FAILED]

    with pytest.raises(PluginError, match="no address left"):
        await with_ipam.join(joining())

    assert leases.given == {}
    assert (await store.endpoints(), await store.reservations()) == ([], [])


@pytest.mark.usefixtures("with_identity")
async def test_an_add_that_fails_is_the_error_also_when_the_address_cannot_be_given_back(
    with_ipam: Driver, handover: ScriptedHandover, leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    await with_ipam.create_endpoint(creation())
    handover.failures["attach"] = [ADD_FAILED]
    leases.fail()

    with pytest.raises(PluginError, match="no address left"):
        await with_ipam.join(joining())

    assert "device busy" in caplog.text


@pytest.mark.usefixtures("with_identity")
async def test_an_address_that_cannot_be_given_back_now_outlives_its_endpoint_and_is_left_over(
    with_ipam: Driver, store: Store, leases: Leases
) -> None:
    await with_ipam.create_endpoint(creation())
    leases.fail()

    with pytest.raises(PluginError, match="device busy"):
        await with_ipam.delete_endpoint(ABOUT)

    assert await store.endpoints() == []
    assert [item.held for item in await store.reservations()] == [{}]


@pytest.mark.usefixtures("with_identity")
async def test_an_endpoint_with_identity_joins_also_while_the_engine_cannot_be_asked(
    with_ipam: Driver, docker: EngineStandIn, handover: ScriptedHandover
) -> None:
    await with_ipam.create_endpoint(creation())
    await docker.stop()

    await with_ipam.join(joining())

    (_, added), _ = handover.journal
    assert added
    assert added.cni_args == ()


# Replay


async def test_what_the_engine_has_not_taken_along_is_put_back_before_the_process_starts(
    store: Store, docker: EngineStandIn, conflists: Path, handover: ScriptedHandover, network: Network
) -> None:
    replays = NotedReplays()
    driver = driver_of(store, docker.socket, conflists, handover, replays=replays)
    await driver.create_endpoint(creation())
    await driver.join(joining())
    assert replays.asked == []

    assert await driver.endpoint_oper_info(ABOUT) == m.OperInfoResponse()

    assert replays.asked == [ENDPOINT_ID]
    assert network.id == NETWORK_ID
    await driver.delete_endpoint(ABOUT)
    assert replays.cancelled == [ENDPOINT_ID]


async def test_of_an_unknown_endpoint_nothing_is_put_back(
    store: Store, docker: EngineStandIn, conflists: Path, handover: ScriptedHandover
) -> None:
    replays = NotedReplays()
    driver = driver_of(store, docker.socket, conflists, handover, replays=replays)

    assert await driver.endpoint_oper_info(ABOUT) == m.OperInfoResponse()

    assert replays.asked == []


@pytest.mark.parametrize(("found", "asked"), [(LINK, [ENDPOINT_ID]), (None, [])])
async def test_what_a_dead_shim_has_not_put_back_is_put_back_by_the_next(  # noqa: PLR0917 - fixtures
    store: Store,
    docker: EngineStandIn,
    conflists: Path,
    handover: ScriptedHandover,
    found: Link | None,
    asked: list[EndpointID],
) -> None:
    handover.found = found
    await store.save_endpoint(endpoint(EndpointState.JOINED, sandbox_key=SANDBOX))
    await store.save_endpoint(endpoint(EndpointState.JOINED, id="f" * 64, sandbox_key=SANDBOX, replayed={}))
    replays = NotedReplays()

    await driver_of(store, docker.socket, conflists, handover, replays=replays).replay()

    assert replays.asked == asked


# In place


@pytest.fixture
async def in_place(store: Store, docker: EngineStandIn) -> Network:
    """The Docker network, whose chain runs in the container's own namespace."""
    network = Network(NETWORK_ID, "leased", options={"cni.mode": "inplace"}, created_at=1.0)
    await store.save_network(network)
    docker.add(NETWORK_ID, "leased", {ENDPOINT_ID: "shop"})
    docker.run("c" * 64, "shop", "leased")
    return network


@pytest.mark.usefixtures("in_place")
async def test_in_place_the_chain_runs_in_the_sandbox_and_nothing_is_moved(
    with_ipam: Driver, store: Store, handover: ScriptedHandover
) -> None:
    told = await with_ipam.create_endpoint(creation())
    assert replace(told, mac_address="") == PLANNED
    assert handover.calls == []

    joined = await with_ipam.join(joining(LIVE_SANDBOX))

    assert joined == m.JoinResponse(gateway="10.1.0.1")
    ((call, added),) = handover.journal
    assert added
    assert (call, added.netns, added.sandbox_key, added.ifname) == (
        "attach",
        LIVE_SANDBOX,
        LIVE_SANDBOX,
        "eth0",
    )
    record = await stored(store)
    assert (record.state, record.mode) == (EndpointState.JOINED, Mode.INPLACE)
    assert ("MAC", told.mac_address) in record.cni_args
    assert await with_ipam.join(joining(LIVE_SANDBOX)) == joined
    assert handover.of("attach") == [ENDPOINT_ID]


@pytest.mark.usefixtures("in_place")
async def test_in_place_needs_a_live_sandbox_and_else_hands_the_link_over(
    with_ipam: Driver, store: Store, handover: ScriptedHandover
) -> None:
    await with_ipam.create_endpoint(creation())

    joined = await with_ipam.join(joining("/no/namespace/yet"))

    assert joined.source_name == "cni" + "e" * 12
    assert [call for call, _ in handover.calls] == ["attach", "release"]
    record = await stored(store)
    assert (record.state, record.mode) == (EndpointState.JOINED, Mode.HANDOVER)
    assert record.netns == f"/staging/{ENDPOINT_ID}"


@pytest.mark.usefixtures("in_place")
async def test_in_place_an_add_that_fails_gives_the_address_back(
    with_ipam: Driver, store: Store, handover: ScriptedHandover, leases: Leases
) -> None:
    await with_ipam.create_endpoint(creation())
    handover.failures["attach"] = [ADD_FAILED]

    with pytest.raises(PluginError, match="no address left"):
        await with_ipam.join(joining(LIVE_SANDBOX))

    assert leases.given == {}
    assert (await store.endpoints(), await store.reservations()) == ([], [])


async def test_in_place_an_ipam_plugin_that_needs_a_link_is_refused(with_ipam: Driver, store: Store) -> None:
    with pytest.raises(InvalidRequestError, match=r"dhcp needs the link, .* without .*cni\.mode=inplace"):
        await with_ipam.create_network(network_creation({"cni.network": "dhcp", "cni.mode": "inplace"}))

    assert await store.networks() == []


# Kubernetes


@pytest.fixture
def cluster() -> ClusterStandIn:
    """A cluster in which "blue" of two teams has the same CNI name."""
    cluster = ClusterStandIn()
    for team in ("team-a", "team-b"):
        cluster.define(team, "blue", {"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]})
    return cluster


@pytest.fixture
def with_kubernetes(
    store: Store, handover: ScriptedHandover, docker: EngineStandIn, conflists: Path, cluster: ClusterStandIn
) -> Driver:
    return driver_of(store, docker.socket, conflists, handover, cluster)


async def test_a_network_is_stored_with_its_definition(
    with_kubernetes: Driver, store: Store, cluster: ClusterStandIn
) -> None:
    await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))

    (network,) = await store.networks()
    assert (network.cni_network, network.definition) == ("team-a/blue", cluster.known["team-a", "blue"])


async def test_an_endpoint_runs_the_definition_as_it_is_now_which_the_journal_keeps(
    with_kubernetes: Driver, store: Store, cluster: ClusterStandIn
) -> None:
    await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))
    cluster.define("team-a", "blue", {"cniVersion": "1.0.0", "plugins": [{"type": "macvlan"}]})

    await with_kubernetes.create_endpoint(creation())

    assert (await stored(store)).conflist["plugins"] == [{"type": "macvlan"}]
    (network,) = await store.networks()
    assert network.definition == cluster.known["team-a", "blue"]


async def test_a_definition_that_became_bad_runs_nothing_and_the_journal_keeps_the_good_one(
    with_kubernetes: Driver, store: Store, handover: ScriptedHandover, cluster: ClusterStandIn
) -> None:
    await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))
    good = cluster.known["team-a", "blue"]
    cluster.define("team-a", "blue", "{")

    with pytest.raises(ConfError, match=r"team-a/blue: spec\.config: not JSON"):
        await with_kubernetes.create_endpoint(creation())

    assert handover.calls == []
    assert [network.definition for network in await store.networks()] == [good]


async def test_missing_plugins_of_a_definition_are_refused_with_its_name(
    with_kubernetes: Driver, handover: ScriptedHandover
) -> None:
    handover.failures["require"] = [PluginError("not found in /x", plugin="bridge", network="blue")]

    with pytest.raises(ConfError, match=r"NetworkAttachmentDefinition team-a/blue: plugin .*kubectl get"):
        await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))


async def test_a_second_definition_of_the_same_cni_name_is_refused_and_not_stored(
    with_kubernetes: Driver, store: Store
) -> None:
    other = network_creation({"cni.network": "team-b/blue"}, network_id=NetworkID("b" * 64))
    await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))

    with pytest.raises(ConflictError, match='its CNI name is "blue", as is that of team-a/blue'):
        await with_kubernetes.create_network(other)

    assert [network.id for network in await store.networks()] == [NETWORK_ID]
    await with_kubernetes.delete_network(m.NetworkRequest(NETWORK_ID))
    await with_kubernetes.create_network(other)


async def test_of_two_definitions_of_one_cni_name_at_once_one_is_refused(
    with_kubernetes: Driver, store: Store
) -> None:
    requests = (
        network_creation({"cni.network": "team-a/blue"}),
        network_creation({"cni.network": "team-b/blue"}, network_id=NetworkID("b" * 64)),
    )

    ends = await asyncio.gather(*map(with_kubernetes.create_network, requests), return_exceptions=True)

    assert sum(isinstance(end, ConflictError) for end in ends) == 1
    assert len(await store.networks()) == 1


async def test_a_definition_that_takes_anothers_cni_name_later_runs_nothing(
    with_kubernetes: Driver, handover: ScriptedHandover, cluster: ClusterStandIn
) -> None:
    cluster.define("team-b", "red", {"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]})
    await with_kubernetes.create_network(network_creation({"cni.network": "team-a/blue"}))
    red = network_creation({"cni.network": "team-b/red"}, network_id=NetworkID("b" * 64))
    await with_kubernetes.create_network(red)
    cluster.define("team-b", "red", {"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "bridge"}]})

    with pytest.raises(ConflictError, match='its CNI name is "blue"'):
        await with_kubernetes.create_endpoint(creation(network_id=NetworkID("b" * 64)))

    assert handover.calls == []


async def test_a_network_that_is_deleted_while_it_is_bound_does_not_come_back(
    with_kubernetes: Driver, store: Store, network: Network
) -> None:
    await with_kubernetes.delete_network(m.NetworkRequest(network.id))

    await with_kubernetes.networks._journal(network, is_new=False)

    assert await store.networks() == []
