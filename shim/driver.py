"""The network driver: one method for each call of the engine.

Every action is journalled before it starts and after it is done, under the endpoint's own lock; so a
call may be repeated, may come out of order, and the shim may die at any moment.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from shim import attached, lifecycle, publish, replays, telemetry, translate
from shim.admission import Admission, refuse_other_addresses
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.errors import InvalidRequestError, ShimError
from shim.handover import Handover
from shim.identity import Identities
from shim.inplace import InPlace
from shim.leases import Leases
from shim.lifecycle import Step
from shim.model import Endpoint, EndpointID, EndpointState, Ipam, Mode, Network
from shim.net.snapshot import Link
from shim.networks import Networks
from shim.options import network_options
from shim.pools import Pools
from shim.publish import HostPorts
from shim.replays import Replays
from shim.reservations import Reservations
from shim.store import Store
from shim.wire import messages as m

_log = logging.getLogger(__name__)

_ATTACHED = (EndpointState.CREATED, EndpointState.JOINING, EndpointState.JOINED)
_CREATED = (EndpointState.PLANNED, *_ATTACHED)


class Driver:
    """The CNI driver of one engine."""

    def __init__(
        self,
        *,
        store: Store,
        networks: Networks,
        handover: Handover,
        in_place: InPlace,
        admission: Admission,
        identities: Identities,
        replays: Replays,
        leases: Leases,
        pools: Pools,
        reservations: Reservations,
        ports: HostPorts,
    ) -> None:
        self._store = store
        self.networks = networks
        self._handover = handover
        self._in_place = in_place
        self._admission = admission
        self._identities = identities
        self._replays = replays
        self._leases = leases
        self._pools = pools
        self._reservations = reservations
        self._ports = ports
        self._locks: WeakValueDictionary[EndpointID, asyncio.Lock] = WeakValueDictionary()

    async def activate(self, _request: m.EmptyRequest) -> m.ActivateResponse:
        """Say what this socket serves."""
        return m.ActivateResponse(("NetworkDriver", "IpamDriver"))

    async def get_capabilities(self, _request: m.EmptyRequest) -> m.CapabilitiesResponse:
        """Say that networks are local to the engine."""
        return m.CapabilitiesResponse()

    async def gw_alloc_check(self, request: m.GwAllocCheckRequest) -> m.GwAllocCheckResponse:
        """Say that no gateway need be set aside, unless Docker's IPAM is to give out the other addresses."""
        options = network_options(request.options)
        self._pools.announce(options.cni_network)
        return m.GwAllocCheckResponse(skip=options.ipam is not Ipam.DOCKER)

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
        await self.networks.create(request)
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
        """Run the chain's ADD in a staging namespace, unless it waits for Join; reply with the address."""
        async with self._lock(request.endpoint_id):
            known = await self._store.endpoint(request.endpoint_id)
            if known is not None and known.state in _CREATED:
                return translate.news(_created(known), request)
            if known is not None:
                await self._remove(known)
            network, conflist = await self.networks.current(request.network_id)
            telemetry.about(f"{conflist.name}/{request.endpoint_id[:12]}")
            conflist = await self._handover.prepare(conflist)
            staging = self._handover.staging(request.endpoint_id)
            endpoint = await self._admission.admit(request, network, conflist, staging)
            if endpoint.state is EndpointState.ADDING:
                endpoint = await self._attach(endpoint)
                self._handover.begin_release(endpoint)
            return translate.news(_created(endpoint), request)

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
            await self._refuse_unshared(endpoint, request.sandbox_key)
            network = await self._store.network(endpoint.network_id)
            if endpoint.state is EndpointState.PLANNED:
                endpoint = await self._add_at_join(endpoint, network, request.sandbox_key)
            snapshot = attached.snapshot(endpoint)
            default_route = not (network and network.internal) and not _publishes_elsewhere(endpoint, request)
            reply = translate.joined(snapshot, endpoint, default_route=default_route)
            if endpoint.state is not EndpointState.JOINED or endpoint.sandbox_key != request.sandbox_key:
                endpoint = await self._advance(endpoint, Step.JOIN, sandbox_key=request.sandbox_key)
                if endpoint.mode is Mode.INPLACE:
                    defaults = translate.default_routes(snapshot, endpoint.ifname)
                    await self._in_place.leave_to_engine(endpoint, defaults)
                else:
                    endpoint = await self._handover.release(endpoint)
                endpoint = await self._advance(endpoint, Step.JOINED)
            return reply

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

    async def endpoint_oper_info(self, request: m.EndpointRequest) -> m.OperInfoResponse:
        """Put back what the engine has not taken along: the link is in the sandbox, and nothing runs there.

        Nothing is answered: no engine shows what a remote driver says here, and old ones fail on an error.
        """
        async with self._lock(request.endpoint_id):
            endpoint = await self._store.endpoint(request.endpoint_id)
            if endpoint is not None:
                await self._replays.replay(endpoint)
        return m.OperInfoResponse()

    async def program_external_connectivity(self, request: m.EndpointRequest) -> m.EmptyResponse:
        """Hold the container's ports, which the chain published at ADD: it is for us to serve them."""
        joined = await self._store.endpoint(request.endpoint_id)
        if joined is not None and joined.sandbox_key:
            for endpoint in await self._in_sandbox(joined.sandbox_key):
                async with self._lock(endpoint.id):
                    await self._hold_ports(endpoint.id)
        return m.EmptyResponse()

    async def revoke_external_connectivity(self, request: m.EndpointRequest) -> m.EmptyResponse:
        """Let go of the container's ports: another driver, Docker's bridge, is about to publish them itself.

        The chain's rules stay until DEL, and lead to the same container.
        """
        async with self._lock(request.endpoint_id):
            self._ports.release(request.endpoint_id)
        return m.EmptyResponse()

    async def replay(self) -> None:
        """Put back what is missing where the shim, or the engine, died before that was done."""
        for endpoint in await self._store.endpoints():
            if replays.is_due(endpoint) and await self._handover.in_sandbox(endpoint):
                async with self._lock(endpoint.id):
                    await self._replays.replay(endpoint)

    async def hold_ports(self) -> None:
        """Hold the host ports of the endpoints there are; to be called before any call is served."""
        for endpoint in await self._store.endpoints():
            await self._hold_ports(endpoint.id)

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

    async def _refuse_unshared(self, endpoint: Endpoint, sandbox_key: str) -> None:
        """Raises `ConflictError` when ports were left to an endpoint that is not of the same container."""
        if endpoint.shared_ports:
            siblings = await self._in_sandbox(sandbox_key)
            published = [
                mapping for item in siblings for mapping in item.capability_args.get("portMappings", ())
            ]
            publish.refuse_unshared(endpoint.shared_ports, published)

    async def _in_sandbox(self, sandbox_key: str) -> list[Endpoint]:
        return [
            item
            for item in await self._store.endpoints()
            if item.state is EndpointState.JOINED and item.sandbox_key == sandbox_key
        ]

    async def _hold_ports(self, endpoint_id: EndpointID) -> None:
        endpoint = await self._store.endpoint(endpoint_id)
        if endpoint is not None and endpoint.state is not EndpointState.LEFT:
            self._ports.retake(endpoint.id, endpoint.capability_args.get("portMappings", ()))

    async def _add_at_join(self, endpoint: Endpoint, network: Network | None, sandbox_key: str) -> Endpoint:
        """Run the ADD that waited for what only Join tells: the sandbox, and whose it is."""
        if network and network_options(network.options).identity:
            identity = await self._identities.of(endpoint, sandbox_key)
            args = tuple(sorted({**identity, **dict(endpoint.cni_args)}.items()))
            endpoint = replace(endpoint, cni_args=args)
        if endpoint.mode is Mode.INPLACE:
            endpoint = await self._in_place.prepare(endpoint, sandbox_key)
        return await self._attach(await self._advance(endpoint, Step.ADD))

    async def _attach(self, endpoint: Endpoint) -> Endpoint:
        """Run ADD, and take note of what it made; what the engine will not take along is logged."""
        try:
            endpoint = await self._handover.attach(endpoint)
        except ShimError as error:
            if isinstance(error, PluginError) and error.left_behind:
                await self._advance(endpoint, Step.DETACH, last_error=str(error.cleanup_error))
            else:
                await self._forget_after_failure(endpoint)
            raise
        # From here on, what undoes it needs the result.
        await self._store.save_endpoint(endpoint, durable=False)
        try:
            _check(endpoint)
            endpoint = await self._handover.snapshot(endpoint)
            if endpoint.mode is Mode.INPLACE:
                await self._in_place.settle_mac(endpoint)
            await self._handover.publish(endpoint)
        except ShimError:
            await self._remove(endpoint)
            raise
        if lost := translate.names_not_carried(attached.result(endpoint).dns):
            _log.warning("network %s: the engine does not carry over: %s", endpoint.conflist["name"], lost)
        return await self._advance(endpoint, Step.ADDED)

    async def _remove(self, endpoint: Endpoint) -> None:
        if endpoint.state not in {EndpointState.PLANNED, EndpointState.LEFT}:
            await self._detach(endpoint, await self._handover.in_sandbox(endpoint))
        await self._forget(endpoint)

    async def _forget(self, endpoint: Endpoint) -> None:
        """Let go of all that was taken for an endpoint whose DEL is done."""
        self._ports.release(endpoint.id)
        await self._store.delete_endpoint(endpoint.id)
        await self._reservations.drop(endpoint.reservations)

    async def _forget_after_failure(self, endpoint: Endpoint) -> None:
        """The same where the user is to hear of another error, that of ADD."""
        try:
            await self._forget(endpoint)
        except ShimError as error:  # noted with the reservation, which is given back later
            _log.warning("network %s: %s", endpoint.conflist["name"], error)

    async def _detach(self, endpoint: Endpoint, found: Link | None) -> None:
        await self._replays.cancel(endpoint.id)
        endpoint = await self._leases.settled(endpoint)
        endpoint = await self._advance(endpoint, Step.DETACH)
        try:
            await self._leases.end(endpoint)
            await self._handover.detach(endpoint, found, partial(self._give_back, endpoint))
        except ShimError as error:
            await self._store.save_endpoint(replace(endpoint, last_error=str(error)), durable=False)
            await self._hold_ports(endpoint.id)  # the engine has revoked them, and the rules still stand
            raise
        self._ports.release(endpoint.id)
        await self._advance(endpoint, Step.DETACHED, last_error="")

    async def _give_back(self, endpoint: Endpoint) -> None:
        """Give back what was reserved for it; where that fails, `_forget` tries once more, and says why."""
        with contextlib.suppress(ShimError):
            await self._reservations.drop(endpoint.reservations, of=endpoint.id)

    async def _advance(self, endpoint: Endpoint, step: Step, **changes: Any) -> Endpoint:
        state = lifecycle.advance(endpoint.id, endpoint.state, step)
        endpoint = replace(endpoint, state=state, **changes)
        await self._store.save_endpoint(endpoint, durable=step is Step.ADD)
        return endpoint

    def _lock(self, endpoint_id: EndpointID) -> asyncio.Lock:
        return self._locks.setdefault(endpoint_id, asyncio.Lock())


def _check(endpoint: Endpoint) -> None:
    """Raises `InvalidRequestError` when the chain did not do what it was asked for."""
    refuse_other_addresses(endpoint, attached.result(endpoint))
    publish.refuse_unreachable(
        endpoint.capability_args.get("portMappings", ()),
        attached.addresses(endpoint),
        endpoint.conflist["name"],
    )


def _publishes_elsewhere(endpoint: Endpoint, request: m.JoinRequest) -> bool:
    """Whether another driver, Docker's bridge, publishes the sandbox's ports.

    The engine tells us none of them then. If we took the default route, it would take them from that driver.
    """
    ours = endpoint.capability_args.get("portMappings") or endpoint.shared_ports
    return bool(request.port_bindings) and not ours


def _created(endpoint: Endpoint) -> m.CreateEndpointResponse:
    if endpoint.state is EndpointState.PLANNED:
        return translate.planned(NetworkConfigList.from_json(endpoint.conflist, "the journal"), endpoint)
    return translate.created(attached.result(endpoint), attached.snapshot(endpoint), endpoint)
