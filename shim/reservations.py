"""Addresses that an IPAM plugin gives before there is an endpoint to attach: taken, found, and given back.

An IPAM plugin knows an address by container ID alone, and the engine asks for addresses without saying for
which endpoint; so each reservation is a container of its own to the plugin, and the endpoint that gets the
address refers to it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_interface

from shim import translate
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.result import IP, Result
from shim.cni.runtime import Attachment, Runtime
from shim.errors import ConflictError, InvalidRequestError, ShimError
from shim.model import EndpointID, Reservation
from shim.net.namespaces import Namespaces
from shim.options import OF_IPAM
from shim.store import Store

_IFNAME = "eth0"


class Reservations:
    """The reservations of this node. Every call may raise `StoreError`."""

    def __init__(self, store: Store, runtime: Runtime, namespaces: Namespaces) -> None:
        self._store = store
        self._runtime = runtime
        self._namespaces = namespaces
        self._changing = asyncio.Lock()
        self._under_way: set[str] = set()

    async def take(
        self,
        conflist: NetworkConfigList,
        wanted: Sequence[str] = (),
        cni_args: tuple[tuple[str, str], ...] = (),
    ) -> Reservation:
        """What the chain's IPAM plugin gives when it is asked alone, for the `wanted` addresses if any.

        Raises `PluginError`, `KernelError`, `ConflictError` for an address that the plugin gave twice, and
        `InvalidRequestError` when there is no IPAM plugin or it gives others than those wanted. Nothing is
        left then, or the reservation stays in the journal with the reason.
        """
        if not ipam.kind(conflist):
            raise InvalidRequestError(
                f"network {conflist.name}: it has no IPAM plugin that could give addresses",
                cure="create the Docker network with --ipam-driver null",
            )
        addresses = [translate.with_prefix(address, conflist) for address in wanted]
        asked, capability_args, asked_args = ipam.asking_for(ipam.alone(conflist), addresses)
        reservation = Reservation(
            id=secrets.token_hex(32),
            conflist=asked.to_json(),
            cni_args=tuple(sorted({**dict(cni_args), **dict(asked_args)}.items())),
            capability_args=capability_args,
            created_at=time.time(),
        )
        self._under_way.add(reservation.id)
        try:
            await self._store.save_reservation(reservation)
            reservation = await self._added(reservation)
        finally:
            self._under_way.discard(reservation.id)
        try:
            await self._check(conflist, reservation, wanted)
        except ShimError:
            await self.give_back(reservation)
            raise
        return reservation

    async def taken_with(self, network_name: str, version: int) -> Reservation | None:
        """The last reservation on a CNI network that has an address of that family nobody was given yet.

        The engine asks for an endpoint's addresses family by family, and the plugin has given both at once.
        """
        used = await self._used()
        for reservation in reversed(await self._store.reservations()):
            if (
                reservation.held
                and not reservation.network_id
                and reservation.id not in used
                and reservation.conflist["name"] == network_name
                and any(ip_interface(ip.address).version == version for ip in free(reservation))
            ):
                return reservation
        return None

    async def retake(
        self, reservation: Reservation, conflist: NetworkConfigList, address: str
    ) -> Reservation:
        """The same with another address beside those that the engine was given already. Raises as `take`."""
        await self.give_back(reservation)
        args = tuple(item for item in reservation.cni_args if item[0] not in OF_IPAM)
        taken = await self.take(conflist, (*reservation.held, address), args)
        taken = replace(taken, held=reservation.held)
        await self._store.save_reservation(taken)
        return taken

    async def of(self, network_name: str, addresses: Sequence[str]) -> list[Reservation]:
        """The reservations that hold these addresses for the engine, in this order, each once."""
        wanted = [bare(address) for address in addresses]
        known = [item for item in await self._store.reservations() if item.conflist["name"] == network_name]
        return list({item.id: item for address in wanted for item in known if address in item.held}.values())

    async def hold(self, reservation: Reservation, address: str, pool_id: str) -> None:
        """Note that the engine was given the address, as one of that pool."""
        async with self._changing:
            held = {**reservation.held, bare(address): pool_id}
            await self._store.save_reservation(replace(reservation, held=held))

    async def set_aside(self, network_name: str, addresses: Sequence[str], network_id: str) -> None:
        """Note that these addresses are for no endpoint, as long as the Docker network exists."""
        for reservation in await self.of(network_name, addresses):
            await self._store.save_reservation(replace(reservation, network_id=network_id))

    async def release(self, address: str, pool_id: str) -> None:
        """Note that the engine does not use the address any more, and give it back unless an endpoint does.

        Harmless when there is none. Raises `PluginError`; the reservation stays then, and is tried again
        later.
        """
        await self._release(lambda held, pool: (held, pool) == (bare(address), pool_id))

    async def release_all(self, pool_id: str) -> None:
        """The same for all addresses of a pool.

        An engine that could not have one `--aux-address` does not release those it has got before.
        """
        await self._release(lambda _held, pool: pool == pool_id)

    async def drop(self, reservation_ids: Sequence[str], *, of: EndpointID | None = None) -> None:
        """Give back those that neither the engine nor an endpoint uses any more, `of` left aside.

        Raises `PluginError`.
        """
        used = await self._used(but=of)
        for reservation in await self._store.reservations():
            if reservation.id in reservation_ids and not reservation.held and reservation.id not in used:
                await self.give_back(reservation)

    async def left_over(self, older_than: float) -> list[Reservation]:
        """Those made before `older_than` (seconds since the epoch) that neither endpoint nor network uses."""
        used = await self._used() | {network.id for network in await self._store.networks()}
        return [
            item
            for item in await self._store.reservations()
            if item.created_at < older_than
            and not {item.id, item.network_id} & used
            and item.id not in self._under_way
        ]

    async def give_back(self, reservation: Reservation) -> None:
        """Run the IPAM plugin's DEL, and forget the reservation. Raises `PluginError`; it stays then."""
        conflist = NetworkConfigList.from_json(reservation.conflist, "the journal")
        result = Result.from_json(reservation.result, "the journal") if reservation.result else None
        try:
            await self._runtime.delete(conflist, attachment(reservation, ""), result)
        except PluginError as error:
            await self._store.save_reservation(replace(reservation, last_error=str(error)))
            raise
        await self._store.delete_reservation(reservation.id)

    async def _release(self, is_released: Callable[[str, str], bool]) -> None:
        async with self._changing:
            released = [
                replace(
                    item,
                    held={key: pool for key, pool in item.held.items() if not is_released(key, pool)},
                )
                for item in await self._store.reservations()
                if any(is_released(key, pool) for key, pool in item.held.items())
            ]
            for reservation in released:
                await self._store.save_reservation(reservation)
        await self.drop([reservation.id for reservation in released])

    async def _added(self, reservation: Reservation) -> Reservation:
        conflist = NetworkConfigList.from_json(reservation.conflist, "the journal")
        try:
            # An IPAM plugin has nothing to do in a namespace, but is refused without one.
            netns = await self._namespaces.empty()
            result = await self._runtime.add(conflist, attachment(reservation, str(netns)))
        except ShimError as error:
            if isinstance(error, PluginError) and error.left_behind:
                await self._store.save_reservation(replace(reservation, last_error=str(error.cleanup_error)))
            else:
                await self._store.delete_reservation(reservation.id)
            raise
        reservation = replace(reservation, result=result.to_json())
        # From here on, whatever fails, DEL is to follow.
        await self._store.save_reservation(reservation, durable=False)
        return reservation

    async def _check(
        self, conflist: NetworkConfigList, reservation: Reservation, wanted: Sequence[str]
    ) -> None:
        given = {bare(ip.address) for ip in answer(reservation).ips}
        for address in map(bare, wanted):
            if address not in given:
                raise InvalidRequestError(
                    f"network {conflist.name}: its IPAM plugin {ipam.kind(conflist)} gives "
                    f"{', '.join(sorted(given)) or 'nothing'} where {address} was asked for",
                    cure="leave the address out, or use an IPAM plugin that honours `ips`, as host-local",
                )
        for other in await self._store.reservations():
            if other.id == reservation.id or other.conflist["name"] != conflist.name:
                continue
            if twice := given & {bare(ip.address) for ip in answer(other).ips}:
                raise ConflictError(
                    f"network {conflist.name}: {', '.join(sorted(twice))} is taken by another container",
                    cure="see `cnm-cni reservation ls`",
                )

    async def _used(self, *, but: EndpointID | None = None) -> set[str]:
        endpoints = [endpoint for endpoint in await self._store.endpoints() if endpoint.id != but]
        return {item for endpoint in endpoints for item in endpoint.reservations}


def answer(reservation: Reservation) -> Result:
    """What the IPAM plugin answered; an empty result before it has."""
    return Result.from_json(reservation.result, "the journal")


def free(reservation: Reservation) -> list[IP]:
    """Those that the engine was not given."""
    return [ip for ip in answer(reservation).ips if bare(ip.address) not in reservation.held]


def bare(address: str) -> str:
    """An address without prefix length."""
    return str(ip_interface(address).ip)


def attachment(reservation: Reservation, netns: str) -> Attachment:
    """What a reservation is to the IPAM plugin."""
    return Attachment(
        container_id=reservation.id,
        netns=netns,
        ifname=_IFNAME,
        args=reservation.cni_args,
        capability_args=reservation.capability_args,
    )
