"""Docker networks: from what `docker network create` says to what is fit for use, and as they are now."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_interface

from shim import subnets, telemetry
from shim.admission import Admission
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.handover import Handover
from shim.logical import LogicalNetworks
from shim.model import Ipam, Network, NetworkID
from shim.options import network_options
from shim.pools import Pools
from shim.reservations import Reservations
from shim.resolve import Resolver
from shim.store import Store
from shim.wire.messages import CreateNetworkRequest


class Networks:
    """The networks of one engine; `name` is what the user types after `-d`. Calls may raise `ShimError`."""

    def __init__(
        self,
        *,
        store: Store,
        resolver: Resolver,
        logical_networks: LogicalNetworks,
        handover: Handover,
        admission: Admission,
        pools: Pools,
        reservations: Reservations,
        name: str,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._logical_networks = logical_networks
        self._handover = handover
        self._admission = admission
        self._pools = pools
        self._reservations = reservations
        self._name = name
        self._naming = asyncio.Lock()

    async def create(self, request: CreateNetworkRequest) -> None:
        """Bind the Docker network to a CNI network, which must be fit for use when it was given by option."""
        options = network_options(request.options)
        telemetry.about(options.cni_network or request.network_id[:12])
        self._pools.withdraw(options.cni_network)
        network = Network(
            id=request.network_id,
            cni_network=options.cni_network,
            options=request.options,
            internal=request.internal,
            ipam=subnets.chooser(request.pools, options, self._name),
            ipv6=any(":" in pool.pool for pool in request.pools),
            gateways=tuple(str(ip_interface(pool.gateway).ip) for pool in request.pools if pool.gateway),
            created_at=time.time(),
        )
        await self._admission.refuse_of_engine(options)
        if not request.ipv4:
            subnets.refuse_no_ipv4(network.ipam)
        if network.cni_network:
            network = await self._logical_networks.bind(network)
        if network.ipam is Ipam.CNI:
            network = await self._claimed(network, [pool.pool for pool in request.pools])
        if network.cni_network:
            conflist = self._logical_networks.conflist(network)
            self._require_plugins(network, conflist)
            subnets.check(request.pools, conflist, network)
            if options.adds_at_join and ipam.kind(conflist):
                subnets.refuse_without_link(conflist)
            auxiliary = [address for pool in request.pools for address in pool.auxiliary]
            await self._reservations.set_aside(conflist.name, auxiliary, network.id)
        await self._journal(network, is_new=True)

    async def current(self, network_id: NetworkID) -> tuple[Network, NetworkConfigList]:
        """A network and its conflist as they are now; what is new of it is journalled."""
        stored = await self._store.network(network_id)
        network = self._logical_networks.current(await self._resolver.network(network_id, stored))
        conflist = self._logical_networks.conflist(network)
        if network != stored:
            await self._journal(network, is_new=stored is None)
        return network, conflist

    async def ready(self, network_id: NetworkID) -> NetworkConfigList:
        """The conflist of a network as it is now, whose plugins are ready for ADD."""
        _, conflist = await self.current(network_id)
        return await self._handover.prepare(conflist)

    async def _journal(self, network: Network, *, is_new: bool) -> None:
        """Store a network, unless its CNI name is that of another definition.

        One that is not new may have been deleted meanwhile, and stays so.
        """
        async with self._naming:
            self._logical_networks.refuse_collision(network, await self._store.networks())
            save = self._store.save_network if is_new else self._store.update_network
            await save(network)

    def _require_plugins(self, network: Network, conflist: NetworkConfigList) -> None:
        """Raises `ConfError` unless all that will run is installed."""
        try:
            self._handover.require(conflist)
        except PluginError as error:
            raise self._logical_networks.explained(network, error) from error

    async def _claimed(self, network: Network, subnets: Sequence[str]) -> Network:
        """The network with its pools of our IPAM driver, and the name that was said there."""
        name, pool_ids = self._pools.claim(subnets, network.cni_network)
        network = replace(network, cni_network=network.cni_network or name, pool_ids=pool_ids)
        if name and network.definition is None:
            network = await self._logical_networks.bind(network)
        return network
