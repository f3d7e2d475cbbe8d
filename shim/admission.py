"""What an endpoint asks of its chain: from the engine's request to the record of the endpoint.

Here it is decided who chooses the addresses, which host ports are free, and that everything asked for can be
done; nothing has run when something is refused.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shim import leases, publish, reservations, translate
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.result import IP, Result
from shim.engine import Engine
from shim.errors import ConflictError, InvalidRequestError
from shim.inplace import InPlace
from shim.model import Endpoint, EndpointState, Ipam, Mode, Network, PortMapping, Reservation
from shim.options import (
    ENGINES_OWN,
    ENGINES_OWN_OF_NETWORKS,
    IPS,
    MAC,
    OF_IPAM,
    EndpointOptions,
    NetworkOptions,
    endpoint_options,
    mac_of_link,
    network_options,
    refuse_numbered,
)
from shim.publish import HostPorts
from shim.reservations import Reservations
from shim.store import Store
from shim.translate import Asked
from shim.wire.messages import CreateEndpointRequest, PortBinding


class Admission:
    """Admits endpoints. The journal has the record when a call returns."""

    def __init__(
        self, store: Store, engine: Engine, in_place: InPlace, addresses: Reservations, ports: HostPorts
    ) -> None:
        self._store = store
        self._engine = engine
        self._in_place = in_place
        self._reservations = addresses
        self._host_ports = ports
        self._admitting = asyncio.Lock()

    async def admit(
        self, request: CreateEndpointRequest, network: Network, conflist: NetworkConfigList, staging: str
    ) -> Endpoint:
        """The endpoint to be, with all that ADD needs, or all but what Join tells; its host ports are taken.

        Raises `ShimError`; then nothing is taken.
        """
        of_network = network_options(network.options)
        options = endpoint_options(request.options, of_network.defaults)
        if of_network.mode is Mode.HANDOVER:
            refuse_numbered(options.ifname)
        mac_address = _mac_address(request, options)
        await self._refuse_of_engine("endpoint option", options.of_engine, ENGINES_OWN, of_network.mode)
        if network.internal:
            conflist = translate.internal(conflist)
        if of_network.mode is Mode.INPLACE and not mac_address:
            mac_address = await self._in_place.foretold_mac(conflist)
        conflist, held, wanted = await self._addressed(request, network, conflist, options)
        try:
            async with self._admitting:
                others = [
                    item
                    for item in await self._store.endpoints()
                    if item.state is not EndpointState.LEFT and item.id != request.endpoint_id
                ]
                _refuse_taken_mac(mac_address, others, conflist.name)
                taken = [
                    mapping for other in others for mapping in other.capability_args.get("portMappings", ())
                ]
                bindings, shared_ports = _shared(request, others)
                ports = self._host_ports.take(request.endpoint_id, bindings, taken)
                asked = translate.asked(
                    conflist, options, mac_address, wanted, ports, shared_ports=shared_ports
                )
                endpoint = Endpoint(
                    id=request.endpoint_id,
                    network_id=network.id,
                    state=EndpointState.PLANNED if of_network.adds_at_join else EndpointState.ADDING,
                    conflist=asked.conflist.to_json(),
                    ifname=_ifname(request, of_network.mode, asked),
                    netns=staging,
                    mode=of_network.mode,
                    cni_args=asked.cni_args,
                    capability_args=asked.capability_args,
                    mac_address=asked.mac_address,
                    shared_ports=tuple(shared_ports),
                    reservations=tuple(item.id for item in held),
                    boot_id=boot_id(),
                    created_at=time.time(),
                )
                await self._store.save_endpoint(endpoint, durable=endpoint.state is EndpointState.ADDING)
        except BaseException:
            self._host_ports.release(request.endpoint_id)
            await self._reservations.drop([item.id for item in held])
            raise
        return endpoint

    async def _addressed(
        self,
        request: CreateEndpointRequest,
        network: Network,
        conflist: NetworkConfigList,
        options: EndpointOptions,
    ) -> tuple[NetworkConfigList, Sequence[Reservation], Sequence[str]]:
        """The chain with the addresses chosen already, where they are reserved, and those wanted of it."""
        given = [address for address in (request.address, request.address_ipv6) if address]
        if given:
            _refuse_wishes(network, options, cure="use docker run --ip, or --ip6")
            held = await self._reservations.of(conflist.name, given)
            if held or network.ipam is Ipam.CNI:
                ips = _ips(network, held, request)
                return ipam.settled(conflist, ips, reservations.answer(held[0])), held, ()
            answer = ipam.chosen(conflist, given, network.gateways)
            return ipam.settled(conflist, answer.ips, answer), (), ()
        wanted = [translate.with_prefix(address, conflist) for address in options.ips]
        if not network_options(network.options).adds_at_join:
            return conflist, (), wanted
        if not ipam.kind(conflist):
            _refuse_wishes(
                network,
                options,
                cure="leave it out, or make the network without cni.identity and cni.mode=inplace",
            )
            return conflist, (), ()
        _refuse_wishes(network, replace(options, ips=()), cure=f"use {IPS}")
        reservation = await self._reservations.take(conflist, wanted, options.cni_args)
        answer = reservations.answer(reservation)
        return ipam.settled(conflist, answer.ips, answer), [reservation], ()

    async def refuse_of_engine(self, options: NetworkOptions) -> None:
        """Refuse options of a network that this engine would pass on without carrying them out."""
        await self._refuse_of_engine("option", options.of_engine, ENGINES_OWN_OF_NETWORKS, options.mode)

    async def _refuse_of_engine(
        self, what: str, keys: Sequence[str], first: Mapping[str, int], mode: Mode
    ) -> None:
        """Refuse options whose `first` version of the engine is later than this one, and all in place.

        The engine carries them out on links that it moves.
        """
        if not keys:
            return
        if mode is Mode.INPLACE:
            raise InvalidRequestError(
                f"{what} {keys[0]}: the engine carries it out on links that it moves, in place it moves none",
                cure="leave it out; the plugin tuning sets sysctls",
            )
        version = (await self._engine.identity()).version
        major = version.partition(".")[0]
        for key in keys:
            if not major.isdecimal() or int(major) < first[key]:
                raise InvalidRequestError(
                    f"{what} {key}: engine {version} does not carry it out",
                    cure=f"engines from {first[key]} do",
                )


def refuse_other_addresses(endpoint: Endpoint, result: Result) -> None:
    """Raises `InvalidRequestError` when the chain gave others than those it was asked for."""
    wanted = [*endpoint.capability_args.get("ips", ())]
    wanted += [item for key, value in endpoint.cni_args if key == "IP" for item in value.split(",")]
    given = {reservations.bare(ip.address) for ip in result.addresses(endpoint.ifname)}
    for address in map(reservations.bare, wanted):
        if address not in given:
            raise InvalidRequestError(
                f"network {endpoint.conflist['name']}: its plugins gave "
                f"{', '.join(sorted(given)) or 'no address'} where {address} was asked for",
                cure=f"leave {IPS} out, or use an IPAM plugin that honours `ips`, as host-local",
            )


def _shared(
    request: CreateEndpointRequest, others: Iterable[Endpoint]
) -> tuple[Sequence[PortBinding], Sequence[PortMapping]]:
    """The bindings to publish, and the ports that an endpoint on another network publishes already.

    The engine passes all ports of a container to each of its networks, and says no sooner than at Join which
    container it is: it may be the same one.
    """
    for other in others:
        if other.sandbox_key and other.network_id != request.network_id:
            published = other.capability_args.get("portMappings", ())
            bindings, found = publish.shared(request.port_bindings, published)
            if found:
                return bindings, found
    return request.port_bindings, ()


def boot_id() -> str:
    """The kernel's ID of this boot. Source: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _ips(network: Network, held: Sequence[Reservation], request: CreateEndpointRequest) -> list[IP]:
    """The addresses of this endpoint: the engine's, and one of IPv6 that came along unasked."""
    given = {reservations.bare(address) for address in (request.address, request.address_ipv6) if address}
    ips = [
        ip for item in held for ip in reservations.answer(item).ips if reservations.bare(ip.address) in given
    ]
    if {reservations.bare(ip.address) for ip in ips} != given:
        raise InvalidRequestError(
            f"network {network.cni_network}: {', '.join(sorted(given))} was not reserved by the CNI driver",
            cure="start the container again",
        )
    if not (request.address_ipv6 or network.ipv6):
        ips += [ip for item in held for ip in reservations.free(item) if ":" in ip.address]
    return ips


def _ifname(request: CreateEndpointRequest, mode: Mode, asked: Asked) -> str:
    """The link's name at ADD; in place it depends on the sandbox, unless the user has chosen one."""
    if asked.ifname or mode is Mode.INPLACE:
        return asked.ifname
    return leases.ifname(request.endpoint_id, asked.conflist)


def _mac_address(request: CreateEndpointRequest, options: EndpointOptions) -> str:
    if not request.mac_address:
        return options.mac_address
    given = mac_of_link(f"--mac-address {request.mac_address}", request.mac_address)
    if options.mac_address not in {"", given}:
        raise InvalidRequestError(
            f"--mac-address {given} and {MAC}={options.mac_address} differ", cure="leave one out"
        )
    return given


def _refuse_taken_mac(mac_address: str, others: Sequence[Endpoint], name: str) -> None:
    for other in others:
        leaving = other.state is EndpointState.LEAVING
        if (
            mac_address
            and other.mac_address == mac_address
            and other.conflist["name"] == name
            and not leaving
        ):
            raise ConflictError(
                f"network {name}: MAC address {mac_address} is taken by endpoint {other.id[:12]}",
                cure="see `cnm-cni endpoint ls`",
            )


def _refuse_wishes(network: Network, options: EndpointOptions, cure: str) -> None:
    """Refuse to be told addresses where they are chosen before the chain runs."""
    wishes = [IPS] * bool(options.ips) + [f"cni.args.{key}" for key, _ in options.cni_args if key in OF_IPAM]
    for wish in wishes:
        raise InvalidRequestError(
            f"network {network.cni_network}: {wish} has no say here, since the address is chosen beforehand",
            cure=cure,
        )
