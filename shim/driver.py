"""The network driver: one method for each call of the engine.

Every action is journalled before it starts and after it is done, under the endpoint's own lock; so a
call may be repeated, may come out of order, and the shim may die at any moment.
"""

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from shim import attached, lifecycle, publish, telemetry, translate
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.errors import InvalidRequestError, ShimError
from shim.handover import Handover
from shim.lifecycle import Step
from shim.logical import LogicalNetworks
from shim.model import Endpoint, EndpointID, EndpointState, Network, NetworkID
from shim.net.snapshot import Link
from shim.resolve import Resolver
from shim.store import Store
from shim.wire import messages as m

_log = logging.getLogger(__name__)

_ATTACHED = (EndpointState.CREATED, EndpointState.JOINING, EndpointState.JOINED)


class Driver:
    """The CNI driver of one engine; `name` is what the user types after `-d`."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        logical_networks: LogicalNetworks,
        handover: Handover,
        name: str,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._logical_networks = logical_networks
        self._handover = handover
        self._name = name
        self._naming = asyncio.Lock()
        self._locks: WeakValueDictionary[EndpointID, asyncio.Lock] = WeakValueDictionary()
        self._ports = asyncio.Lock()

    async def activate(self, _request: m.EmptyRequest) -> m.ActivateResponse:
        """Say what this socket serves."""
        return m.ActivateResponse(("NetworkDriver",))

    async def get_capabilities(self, _request: m.EmptyRequest) -> m.CapabilitiesResponse:
        """Say that networks are local to the engine."""
        return m.CapabilitiesResponse()

    async def gw_alloc_check(self, _request: m.EmptyRequest) -> m.GwAllocCheckResponse:
        """Say that Docker's IPAM need not reserve a gateway."""
        return m.GwAllocCheckResponse()

    async def allocate_network(self, _request: m.NetworkRequest) -> m.EmptyResponse:
        """Refuse: only a swarm manager asks, for networks that span engines."""
        raise InvalidRequestError(
            "CNI networks belong to one engine, not to a swarm",
            cure="create the network on each engine, without --scope swarm",
        )

    async def free_network(self, _request: m.NetworkRequest) -> m.EmptyResponse:
        """Accept: nothing was allocated."""
        return m.EmptyResponse()

    async def discover(self, _request: m.EmptyRequest) -> m.EmptyResponse:
        """Accept: what other engines do is of no interest."""
        return m.EmptyResponse()

    async def create_network(self, request: m.CreateNetworkRequest) -> m.EmptyResponse:
        """Bind the Docker network to a CNI network, which must be fit for use when it was given by option."""
        options = translate.network_options(request.options)
        telemetry.about(options.cni_network or request.network_id[:12])
        translate.refuse_docker_addresses(request.pools, self._name, options.cni_network)
        network = Network(
            id=request.network_id,
            cni_network=options.cni_network,
            options=request.options,
            internal=request.internal,
            created_at=time.time(),
        )
        if network.cni_network:
            network = await self._logical_networks.bind(network)
            self._require_plugins(network, self._logical_networks.conflist(network))
        await self._journal(network, is_new=True)
        return m.EmptyResponse()

    async def delete_network(self, request: m.NetworkRequest) -> m.EmptyResponse:
        """Forget the network, as the engine does in any case, and remove what a crash may have left on it."""
        network = await self._store.network(request.network_id)
        telemetry.about(network.cni_network if network else request.network_id[:12])
        await self._store.delete_network(request.network_id)
        failures: list[ShimError] = []
        for endpoint in await self._store.endpoints():
            if endpoint.network_id == request.network_id:
                try:
                    await self.remove(endpoint.id)
                except ShimError as error:  # noted in the journal, and no reason to leave the others
                    failures.append(error)
        if failures:
            raise failures[0]
        return m.EmptyResponse()

    async def create_endpoint(self, request: m.CreateEndpointRequest) -> m.CreateEndpointResponse:
        """Run the chain's ADD in a staging namespace; reply with the address it gave."""
        async with self._lock(request.endpoint_id):
            known = await self._store.endpoint(request.endpoint_id)
            if known is not None and known.state in _ATTACHED:
                return _created(known)
            if known is not None:
                await self._remove(known)
            network, conflist = await self.network(request.network_id)
            telemetry.about(f"{conflist.name}/{request.endpoint_id[:12]}")
            translate.refuse_endpoint_options(request.options)
            conflist = await self._handover.prepare(conflist)
            endpoint = await self._attach(await self._admit(request, network, conflist))
            reply = _created(endpoint)
            if lost := translate.not_carried(attached.snapshot(endpoint), endpoint, reply):
                _log.warning(
                    "network %s: the engine does not carry over: %s", network.cni_network, ", ".join(lost)
                )
            return reply

    async def join(self, request: m.JoinRequest) -> m.JoinResponse:
        """Put the link where the engine fetches it; reply with its name and the routes of the chain."""
        async with self._lock(request.endpoint_id):
            endpoint = await self._store.endpoint(request.endpoint_id)
            if endpoint is None:
                raise InvalidRequestError(
                    f"endpoint {request.endpoint_id[:12]} is unknown to the CNI driver",
                    cure="start the container again",
                )
            telemetry.about(f"{endpoint.conflist['name']}/{endpoint.id[:12]}")
            network = await self._store.network(endpoint.network_id)
            if endpoint.state is not EndpointState.JOINED or endpoint.sandbox_key != request.sandbox_key:
                endpoint = await self._advance(endpoint, Step.JOIN, sandbox_key=request.sandbox_key)
                await self._handover.release(endpoint)
                endpoint = await self._advance(endpoint, Step.JOINED)
            internal = network is not None and network.internal
            return translate.joined(attached.snapshot(endpoint), endpoint, internal=internal)

    async def leave(self, request: m.EndpointRequest) -> m.EmptyResponse:
        """Run DEL while the sandbox lives, which saves moving the link; else DeleteEndpoint does it."""
        async with self._lock(request.endpoint_id):
            endpoint = await self._store.endpoint(request.endpoint_id)
            if endpoint is not None:
                telemetry.about(f"{endpoint.conflist['name']}/{endpoint.id[:12]}")
                if endpoint.state in _ATTACHED and (found := await self._handover.in_sandbox(endpoint)):
                    await self._detach(endpoint, found)
        return m.EmptyResponse()

    async def delete_endpoint(self, request: m.EndpointRequest) -> m.EmptyResponse:
        """Run DEL if Leave could not, and forget the endpoint."""
        await self.remove(request.endpoint_id)
        return m.EmptyResponse()

    async def endpoint_oper_info(self, _request: m.EndpointRequest) -> m.OperInfoResponse:
        """Say nothing: no engine shows what a remote driver answers, and old ones fail on an error."""
        return m.OperInfoResponse()

    async def program_external_connectivity(self, _request: m.EndpointRequest) -> m.EmptyResponse:
        """Accept: the chain published the ports at ADD."""
        return m.EmptyResponse()

    async def revoke_external_connectivity(self, _request: m.EndpointRequest) -> m.EmptyResponse:
        """Accept: the chain takes the ports back at DEL."""
        return m.EmptyResponse()

    async def network(self, network_id: NetworkID) -> tuple[Network, NetworkConfigList]:
        """A network and its conflist as they are now; what is new of it is journalled. Raises `ShimError`."""
        stored = await self._store.network(network_id)
        network = self._logical_networks.current(await self._resolver.network(network_id, stored))
        conflist = self._logical_networks.conflist(network)
        if network != stored:
            await self._journal(network, is_new=stored is None)
        return network, conflist

    async def remove(self, endpoint_id: EndpointID, seen: Endpoint | None = None) -> None:
        """Detach the endpoint wherever it is, and forget it; harmless when there is none.

        With `seen`, only if its record is still that one: the engine may have used it again since.
        When DEL fails the record stays, with the reason, and is tried again later. Raises `ShimError`.
        """
        async with self._lock(endpoint_id):
            endpoint = await self._store.endpoint(endpoint_id)
            if endpoint is not None and seen in (None, endpoint):
                telemetry.about(f"{endpoint.conflist['name']}/{endpoint.id[:12]}")
                await self._remove(endpoint)

    async def _journal(self, network: Network, *, is_new: bool) -> None:
        """Store a network, unless its CNI name is that of another definition.

        One that is not new may have been deleted meanwhile, and stays so.
        """
        async with self._naming:
            self._logical_networks.refuse_collision(network, await self._store.networks())
            save = self._store.save_network if is_new else self._store.update_network
            await save(network)

    def _require_plugins(self, network: Network, conflist: NetworkConfigList) -> None:
        try:
            self._handover.require(conflist)
        except PluginError as error:
            raise self._logical_networks.explained(network, error) from error

    async def _admit(
        self, request: m.CreateEndpointRequest, network: Network, conflist: NetworkConfigList
    ) -> Endpoint:
        """Journal the endpoint to be, with all that ADD needs and the host ports it takes."""
        mac_capability, mac_args = translate.mac_request(request.mac_address, conflist.capabilities)
        cni_args = translate.network_options(network.options).cni_args + mac_args
        async with self._ports:
            taken = [
                mapping
                for other in await self._store.endpoints()
                if other.state is not EndpointState.LEFT
                for mapping in other.capability_args.get("portMappings", ())
            ]
            ports = translate.port_request(
                publish.port_mappings(request.port_bindings, taken),
                conflist.capabilities,
                network.cni_network,
            )
            endpoint = Endpoint(
                id=request.endpoint_id,
                network_id=network.id,
                state=EndpointState.ADDING,
                conflist=conflist.to_json(),
                ifname=translate.IFNAME,
                staging=self._handover.staging(request.endpoint_id),
                cni_args=cni_args,
                capability_args={**mac_capability, **ports},
                mac_address=request.mac_address,
                boot_id=boot_id(),
                created_at=time.time(),
            )
            await self._store.save_endpoint(endpoint)
        return endpoint

    async def _attach(self, endpoint: Endpoint) -> Endpoint:
        try:
            attached = await self._handover.attach(endpoint)
        except ShimError as error:
            if isinstance(error, PluginError) and error.left_behind:
                await self._advance(endpoint, Step.DETACH, last_error=str(error.cleanup_error))
            else:
                await self._store.delete_endpoint(endpoint.id)
            raise
        await self._store.save_endpoint(attached)  # from here on, what undoes it needs the result
        try:
            attached = await self._handover.snapshot(attached)
            await self._handover.publish(attached)
        except ShimError:
            await self._remove(attached)
            raise
        return await self._advance(attached, Step.ADDED)

    async def _remove(self, endpoint: Endpoint) -> None:
        if endpoint.state is not EndpointState.LEFT:
            await self._detach(endpoint, await self._handover.in_sandbox(endpoint))
        await self._store.delete_endpoint(endpoint.id)

    async def _detach(self, endpoint: Endpoint, found: Link | None) -> None:
        endpoint = await self._advance(endpoint, Step.DETACH)
        try:
            await self._handover.detach(endpoint, found)
        except ShimError as error:
            await self._store.save_endpoint(replace(endpoint, last_error=str(error)))
            raise
        await self._advance(endpoint, Step.DETACHED, last_error="")

    async def _advance(self, endpoint: Endpoint, step: Step, **changes: str) -> Endpoint:
        state = lifecycle.advance(endpoint.id, endpoint.state, step)
        endpoint = replace(endpoint, state=state, **changes)  # type: ignore[arg-type]
        await self._store.save_endpoint(endpoint)
        return endpoint

    def _lock(self, endpoint_id: EndpointID) -> asyncio.Lock:
        return self._locks.setdefault(endpoint_id, asyncio.Lock())


def boot_id() -> str:
    """The kernel's ID of this boot. Source: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _created(endpoint: Endpoint) -> m.CreateEndpointResponse:
    return translate.created(attached.result(endpoint), attached.snapshot(endpoint), endpoint)
