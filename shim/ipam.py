"""The IPAM driver: one method for each call of the engine, answered by the IPAM plugins of conflists.

A pool is a subnet of a conflist, an address what its IPAM plugin gives when it runs alone. Which network and
which endpoint a call is about, the engine does not say.
"""

import asyncio
from ipaddress import ip_interface, ip_network

from shim import telemetry, translate
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.errors import InvalidRequestError, ShimError
from shim.logical import LogicalNetworks
from shim.model import Ipam, Network, NetworkID, Reservation
from shim.net.links import Links
from shim.networks import Networks
from shim.options import network_options, pool_options
from shim.pools import Pool, Pools, everything
from shim.reservations import Reservations, free
from shim.store import Store
from shim.subnets import fitting, refuse_other_gateway, refuse_other_range, refuse_without_link
from shim.wire import ipam as m
from shim.wire.messages import EmptyRequest, EmptyResponse

_IPV6 = 6
_Args = tuple[tuple[str, str], ...]


class IpamDriver:
    """The IPAM driver of one engine, beside its network driver; `name` is what follows `--ipam-driver`."""

    def __init__(
        self,
        *,
        store: Store,
        logical_networks: LogicalNetworks,
        reservations: Reservations,
        pools: Pools,
        links: Links,
        networks: Networks,
        name: str,
    ) -> None:
        self._store = store
        self._logical_networks = logical_networks
        self._reservations = reservations
        self._pools = pools
        self._links = links
        self._networks = networks
        self._name = name
        self._pairing = asyncio.Lock()

    async def get_capabilities(self, _request: EmptyRequest) -> m.IpamCapabilitiesResponse:
        """Say that nothing special is needed."""
        return m.IpamCapabilitiesResponse()

    async def get_default_address_spaces(self, _request: EmptyRequest) -> m.AddressSpacesResponse:
        """Say the name by which CreateNetwork knows our pools."""
        return m.AddressSpacesResponse(self._name)

    async def request_pool(self, request: m.PoolRequest) -> m.PoolResponse:
        """Give the subnet of the CNI network that is named, or check that the user's is one of its subnets.

        Where it is not named to the IPAM driver, it will be to the network driver, which checks it then.
        """
        version = _IPV6 if request.v6 else 4
        announced = self._pools.announced()
        name = pool_options(request.options) or announced
        telemetry.about(name or request.pool)
        if not name:
            subnet = request.pool or everything(version)
            return _opened(self._pools.open("", subnet, said=bool(request.pool)), "")
        try:
            return await self._pool_of(request, name, version)
        except ShimError:
            self._pools.withdraw(announced)
            raise

    async def release_pool(self, request: m.PoolReleaseRequest) -> EmptyResponse:
        """Forget the pool, and give back what is left of its addresses."""
        self._pools.close(request.pool_id)
        await self._reservations.release_all(request.pool_id)
        return EmptyResponse()

    async def request_address(self, request: m.AddressRequest) -> m.AddressResponse:
        """Run the IPAM plugin's ADD; for the gateway, which is in the conflist, nothing is run."""
        pool = Pool.parse(request.pool_id)
        telemetry.about(pool.cni_network or pool.subnet)
        if request.for_gateway:
            return m.AddressResponse(await self._gateway(pool, request.address))
        if request.address and not pool.holds(request.address):
            raise InvalidRequestError(
                f"network {pool.cni_network}: {request.address} is not in its subnet {pool.subnet}",
                cure="choose one that is, or leave it out",
            )
        conflist, args = await self._source(pool)
        telemetry.about(conflist.name)
        length = ip_network(pool.subnet).prefixlen
        wanted = f"{request.address}/{length}" if request.address and length else request.address
        if pool.version == _IPV6:
            async with self._pairing:
                given = await self._given(conflist, args, pool, wanted)
        else:
            given = await self._given(conflist, args, pool, wanted)
        return m.AddressResponse(translate.told(given, conflist))

    async def release_address(self, request: m.AddressReleaseRequest) -> EmptyResponse:
        """Run the IPAM plugin's DEL, unless an endpoint that has the address could not be removed."""
        if not request.pool_id:  # an address that the chain gave beside those of the engine's pools
            return EmptyResponse()
        pool = Pool.parse(request.pool_id)
        telemetry.about(pool.cni_network or pool.subnet)
        if request.address:
            await self._reservations.release(request.address, pool.id)
        return EmptyResponse()

    async def _pool_of(self, request: m.PoolRequest, name: str, version: int) -> m.PoolResponse:
        network = await self._logical_networks.bind(Network(NetworkID(""), name))
        conflist = self._logical_networks.conflist(network)
        refuse_without_link(conflist)
        subnet = fitting(ipam.subnets(conflist), request.pool, version, name)
        refuse_other_range(subnet, request.sub_pool, name)
        if not (request.pool or request.v6):
            await self._refuse_in_use(subnet.network, name)
        pool = self._pools.open(network.cni_network, subnet.network, said=bool(request.pool))
        return _opened(pool, subnet.gateway)

    async def _gateway(self, pool: Pool, wanted: str) -> str:
        length = ip_network(pool.subnet).prefixlen
        if not pool.cni_network:
            first = ip_network(pool.subnet).network_address + (1 if length else 0)
            return f"{wanted or first}/{length}"
        network = await self._logical_networks.bind(Network(NetworkID(""), pool.cni_network))
        known = ipam.subnets(self._logical_networks.conflist(network))
        subnet = fitting(known, pool.subnet, pool.version, pool.cni_network)
        refuse_other_gateway(subnet, wanted, pool.cni_network)
        if not (wanted or subnet.gateway):
            raise InvalidRequestError(
                f"network {pool.cni_network}: its conflist has no gateway, and this engine demands one",
                cure="say one with --gateway, or create the Docker network with --ipam-driver null",
            )
        return f"{wanted or subnet.gateway}/{length}"

    async def _source(self, pool: Pool) -> tuple[NetworkConfigList, _Args]:
        """The conflist that a pool is of and its `CNI_ARGS`, by the Docker network or one bound alike."""
        networks = await self._store.networks()
        own = [network for network in networks if pool.id in network.pool_ids]
        if not (own or pool.cni_network):
            raise InvalidRequestError(
                "an address was asked for before the engine said which CNI network it is of",
                cure="name the network to the IPAM driver as well: --ipam-opt cni.network=NAME",
            )
        alike = [
            network
            for network in networks
            if network.ipam is Ipam.CNI and network.cni_network == pool.cni_network
        ]
        for network in own or alike:
            args = network_options(network.options).defaults.cni_args
            return await self._networks.ready(network.id), args
        bound = await self._logical_networks.bind(Network(NetworkID(""), pool.cni_network))
        return self._logical_networks.conflist(bound), ()

    async def _given(self, conflist: NetworkConfigList, args: _Args, pool: Pool, wanted: str) -> str:
        reservation = await self._reserved(conflist, args, pool, wanted)
        address = _answer(reservation, pool, wanted)
        if address:
            await self._reservations.hold(reservation, address, pool.id)
            return address
        await self._reservations.drop([reservation.id])
        raise InvalidRequestError(
            f"network {conflist.name}: its IPAM plugin {ipam.kind(conflist)} gives no address in "
            f"{pool.subnet}",
            cure="compare --subnet with the conflist",
        )

    async def _reserved(
        self, conflist: NetworkConfigList, args: _Args, pool: Pool, wanted: str
    ) -> Reservation:
        if pool.version == _IPV6:
            earlier = await self._reservations.taken_with(conflist.name, _IPV6)
            if earlier and (not wanted or _answer(earlier, pool, wanted)):
                return earlier
            if earlier:
                return await self._reservations.retake(earlier, conflist, wanted)
        return await self._reservations.take(conflist, [wanted] if wanted else [], args)

    async def _refuse_in_use(self, subnet: str, name: str) -> None:
        """Refuse an IPv4 subnet that the engine would not take: it would ask for another one, for ever.

        Source: libnetwork `network.go` (`requestPoolHelper`), later `ipams/remote/remote.go`.
        """
        for route in (await self._links.outline(None)).routes:
            other, mine = ip_network(route.destination), ip_network(subnet)
            on_link = not route.gateway and other.prefixlen
            if on_link and other.version == mine.version and other.overlaps(mine):
                raise InvalidRequestError(
                    f"network {name}: its subnet {subnet} is in use on this host already, by {route.link}",
                    cure=f"if that is as it should be, add --subnet {subnet}",
                )


def _opened(pool: Pool, gateway: str) -> m.PoolResponse:
    length = ip_network(pool.subnet).prefixlen
    return m.PoolResponse(pool.id, pool.subnet, f"{gateway}/{length}" if gateway else "")


def _answer(reservation: Reservation, pool: Pool, wanted: str) -> str:
    """The address to give out of a reservation; empty when there is none."""
    for ip in free(reservation):
        if pool.holds(ip.address) and (not wanted or ip_interface(ip.address).ip == ip_interface(wanted).ip):
            return ip.address
    return ""
