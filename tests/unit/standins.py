"""Stand-ins for what a unit test cannot have: an engine, and a kernel with plugins that fail on demand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.driver import Driver
from shim.engine import Engine
from shim.handover import Handover
from shim.ipam import IpamDriver
from shim.kube.cluster import Cluster
from shim.kube.objects import Binding, Resource
from shim.leases import Leases
from shim.logical import LogicalNetworks
from shim.model import Definition, Endpoint, EndpointID, EndpointState, NetworkID
from shim.net.changes import Changed
from shim.net.links import Links
from shim.net.namespaces import Namespaces
from shim.net.snapshot import Link, Route, Snapshot
from shim.net.thread import KernelError
from shim.parts import drivers
from shim.publish import HostPorts
from shim.replays import Replays
from shim.reservations import Reservations
from shim.resolve import Resolver
from shim.store import Store

if TYPE_CHECKING:
    from shim.kube.errors import KubeError

NETWORK_ID = NetworkID("a" * 64)
ENDPOINT_ID = EndpointID("e" * 64)
MAC = "02:42:ac:11:00:02"
LINK = Link("eth0", MAC, 1500, ("10.1.0.5/16",))
SNAPSHOT = Snapshot(
    (LINK,),
    (
        Route("10.1.0.0/16", "", "eth0", by_kernel=True),
        Route("0.0.0.0/0", "10.1.0.1", "eth0", by_kernel=False),
    ),
)
WHOLE_SNAPSHOT = replace(SNAPSHOT, sysctls=(("core/somaxconn", "999"),))
RESULT: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": MAC, "sandbox": "/staging"}],
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0}],
}


class EngineStandIn:
    """The engine's API on a real unix socket, with the networks given."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.id = "ABCD:EFGH"
        self.version = "20.10.24"
        self.networks: dict[str, dict[str, Any]] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self._runner: web.AppRunner | None = None

    def add(self, network_id: str, name: str, endpoints: dict[str, str] | None = None) -> None:
        """Let the engine have a network; `endpoints` are container names by endpoint ID."""
        self.networks[network_id] = {
            "Id": network_id,
            "Name": name,
            "Internal": False,
            "Options": {},
            "Containers": {
                f"ep-{endpoint_id}": {"Name": container, "EndpointID": endpoint_id}
                for endpoint_id, container in (endpoints or {}).items()
            },
        }

    def run(self, container_id: str, name: str, *networks: str) -> None:
        """Let the engine have a container on these networks."""
        self.containers[container_id] = {
            "Id": container_id,
            "Names": [f"/{name}"],
            "NetworkSettings": {"Networks": {network: {} for network in networks}},
        }

    async def start(self) -> None:
        """Answer from now on."""
        app = web.Application()
        app.router.add_get("/info", self._info)
        app.router.add_get("/networks", self._list)
        app.router.add_get("/networks/{id}", self._inspect)
        app.router.add_get("/containers/json", self._list_containers)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.UnixSite(self._runner, self.socket).start()

    async def stop(self) -> None:
        """Be away from now on; harmless when repeated."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None
        self.socket.unlink(missing_ok=True)

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"ID": self.id, "ServerVersion": self.version})

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.networks.values()))

    async def _list_containers(self, request: web.Request) -> web.Response:
        (pattern,) = json.loads(request.query["filters"])["name"]
        found = [item for item in self.containers.values() if re.search(pattern, item["Names"][0])]
        return web.json_response(found)

    async def _inspect(self, request: web.Request) -> web.Response:
        network = self.networks.get(request.match_info["id"])
        return web.json_response(network or {"message": "no such network"}, status=200 if network else 404)


class ClusterStandIn(Cluster):
    """A cluster with the definitions and bindings given, and an API server that is away on demand."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Definition] = {}
        """What the watches have seen."""
        self.unseen: dict[tuple[str, str], Definition] = {}
        """What only the API server knows."""
        self.listed = True
        self.bindings: list[Binding] = []
        self.failure: KubeError | None = None
        self.asked: list[str] = []
        """The definitions that the API server was asked for."""

    def define(self, namespace: str, name: str, config: object, *, seen: bool = True) -> None:
        """Let there be a NetworkAttachmentDefinition; `config` is text or JSON."""
        text = config if isinstance(config, str) else json.dumps(config)
        (self.known if seen else self.unseen)[namespace, name] = Definition(namespace, name, text)

    def knows_all(self, _resource: Resource) -> bool:
        return self.listed

    def definition(self, namespace: str, name: str) -> Definition | None:
        return self.known.get((namespace, name))

    def definition_names(self, namespace: str) -> list[str]:
        return [name for place, name in self.known if place == namespace]

    async def ask_definition(self, namespace: str, name: str, _deadline: float) -> Definition | None:
        self.asked.append(f"{namespace}/{name}")
        if self.failure:
            raise self.failure
        return self.known.get((namespace, name)) or self.unseen.get((namespace, name))

    async def binding(self, network_id: NetworkID, _deadline: float) -> Binding | None:
        if self.failure:
            raise self.failure
        return next((item for item in self.bindings if item.id == network_id), None)


class ScriptedHandover(Handover):
    """A handover that touches no kernel: it notes its calls and the journal, and fails on demand."""

    def __init__(self, store: Store) -> None:
        self.calls: list[tuple[str, EndpointID]] = []
        self.journal: list[tuple[str, Endpoint | None]] = []
        """Each call with the endpoint's record at that moment."""
        self.failures: dict[str, list[Exception]] = {}
        """Errors by call; each is raised once."""
        self.found: Link | None = None
        """The link in the sandbox."""
        self.started: asyncio.Queue[str] = asyncio.Queue()
        """The calls again, to wait for."""
        self.gate = asyncio.Event()
        """Every action waits for it; open at first."""
        self.gate.set()
        self.begun: list[EndpointID] = []
        """The endpoints whose release began before it was asked for."""
        self.published: Endpoint | None = None
        """The record of the endpoint whose ports were published last, at that moment."""
        self._journal = store

    def of(self, call: str) -> list[EndpointID]:
        """The endpoints of all such calls, in order."""
        return [endpoint_id for name, endpoint_id in self.calls if name == call]

    def require(self, _conflist: NetworkConfigList) -> None:
        self._fail("require")

    async def prepare(self, conflist: NetworkConfigList) -> NetworkConfigList:
        return conflist

    def staging(self, endpoint_id: EndpointID) -> str:
        return f"/staging/{endpoint_id}"

    async def attach(self, endpoint: Endpoint) -> Endpoint:
        await self._act("attach", endpoint)
        return replace(endpoint, result=RESULT)

    async def snapshot(self, endpoint: Endpoint) -> Endpoint:
        self._fail("snapshot")
        return replace(endpoint, snapshot=SNAPSHOT.to_json())

    async def publish(self, endpoint: Endpoint) -> None:
        self.published = await self._journal.endpoint(endpoint.id)
        self._fail("publish")

    def begin_release(self, endpoint: Endpoint) -> None:
        self.begun.append(endpoint.id)

    async def release(self, endpoint: Endpoint) -> Endpoint:
        await self._act("release", endpoint)
        return replace(endpoint, snapshot=WHOLE_SNAPSHOT.to_json())

    async def end_staging(self, endpoint: Endpoint) -> None:
        self.calls.append(("end staging", endpoint.id))

    async def in_sandbox(self, endpoint: Endpoint) -> Link | None:
        return self.found if endpoint.sandbox_key else None

    async def detach(
        self, endpoint: Endpoint, found: Link | None, give_back: Callable[[], Awaitable[None]]
    ) -> None:
        await self._act("detach" if found is None else "detach in the sandbox", endpoint)
        await give_back()

    async def _act(self, call: str, endpoint: Endpoint) -> None:
        self.calls.append((call, endpoint.id))
        self.journal.append((call, await self._journal.endpoint(endpoint.id)))
        self.started.put_nowait(call)
        await self.gate.wait()
        self._fail(call)

    def _fail(self, call: str) -> None:
        if self.failures.get(call):
            raise self.failures[call].pop(0)


class NoNamespaces(Namespaces):
    """An empty namespace that is a path and nothing more."""

    def __init__(self) -> None:
        """Nothing is made."""

    async def empty(self) -> Path:
        return Path("/empty")


class SlowNamespaces(NoNamespaces):
    """One whose making waits until a test lets it end."""

    def __init__(self) -> None:
        self.started, self.gate = asyncio.Event(), asyncio.Event()

    async def empty(self) -> Path:
        self.started.set()
        await self.gate.wait()
        return await super().empty()


class SeenLinks(Links):
    """Links and routes as a test says, in any namespace."""

    def __init__(self) -> None:
        self.seen = Snapshot()
        self.removed: list[Route] = []
        self.mac_addresses: list[str] = []
        """Those that were given, behind the name of the link."""
        self.refuses_mac_addresses = False
        self.altnames: list[str] = []
        """Further names that were given, and with a `-` those that were taken."""
        self.refuses_altnames = False

    async def snapshot(self, _namespace: Path) -> Snapshot:
        return self.seen

    async def links(self, _namespace: Path | None) -> tuple[Link, ...]:
        return self.seen.links

    async def outline(self, _namespace: Path | None) -> Snapshot:
        return self.seen

    @asynccontextmanager
    async def watch(self, _namespace: Path) -> AsyncIterator[Changed]:
        yield partial(asyncio.sleep, 0.001)

    async def set_mac(self, _namespace: Path, name: str, mac: str) -> None:
        if self.refuses_mac_addresses:
            raise KernelError(f"cannot give {name} MAC address {mac}: Operation not supported")
        self.mac_addresses.append(f"{name} {mac}")

    async def add_altname(self, _namespace: Path, name: str, altname: str) -> None:
        if self.refuses_altnames:
            raise KernelError("cannot give the link a further name")
        self.altnames.append(f"{name} {altname}")

    async def remove_altname(self, _namespace: Path, name: str, altname: str) -> None:
        self.altnames.append(f"-{name} {altname}")

    async def remove_routes(self, _namespace: Path, routes: Sequence[Route]) -> None:
        self.removed += routes


class NotedReplays(Replays):
    """Replays that touch no kernel: they note for which endpoints they were asked."""

    def __init__(self) -> None:
        self.asked: list[EndpointID] = []
        self.cancelled: list[EndpointID] = []

    async def replay(self, endpoint: Endpoint) -> None:
        self.asked.append(endpoint.id)

    async def cancel(self, endpoint_id: EndpointID) -> None:
        self.cancelled.append(endpoint_id)


def drivers_of(
    store: Store,
    docker: Path,
    conf_dir: Path,
    handover: Handover,
    cluster: Cluster | None = None,
    *,
    plugin_path: Path = Path("/nowhere"),
    links: Links | None = None,
    replays: Replays | None = None,
    ports: HostPorts | None = None,
) -> tuple[Driver, IpamDriver]:
    """Drivers of the engine behind that socket, with conflists and IPAM plugins from those folders."""
    logical_networks = LogicalNetworks([conf_dir], cluster, deadline=2.0)
    engine = Engine(docker, 2.0)
    runtime = Runtime(Exec(lambda *_: None), [plugin_path], add_deadline=10.0, delete_deadline=10.0)
    return drivers(
        store=store,
        engine=engine,
        logical_networks=logical_networks,
        resolver=Resolver(engine, logical_networks, cluster, 2.0),
        handover=handover,
        reservations=Reservations(store, runtime, NoNamespaces()),
        links=links or SeenLinks(),
        replays=replays or NotedReplays(),
        leases=Leases(store, runtime, SeenLinks()),
        ports=ports or HostPorts(),
        name="cni",
    )


def driver_of(
    store: Store,
    docker: Path,
    conf_dir: Path,
    handover: Handover,
    cluster: Cluster | None = None,
    *,
    replays: Replays | None = None,
    ports: HostPorts | None = None,
) -> Driver:
    """The network driver alone."""
    return drivers_of(store, docker, conf_dir, handover, cluster, replays=replays, ports=ports)[0]


def endpoint(state: EndpointState, **changes: Any) -> Endpoint:
    """A record of an endpoint of network "web" in that state."""
    attached = (
        {}
        if state is EndpointState.ADDING
        else {"result": RESULT, "snapshot": json.loads(json.dumps(SNAPSHOT.to_json()))}
    )
    record = Endpoint(
        id=ENDPOINT_ID,
        network_id=NETWORK_ID,
        state=state,
        conflist={"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge"}]},
        ifname="eth0",
        netns=f"/staging/{ENDPOINT_ID}",
        **attached,
    )
    return replace(record, **changes)
