"""Leases of the dhcp plugin, which have to follow a link that the engine moves.

The plugin's daemon renews and releases a lease by a thread in the namespace where the link was at ADD. By
handover that was the staging namespace; so, once the link is in the sandbox, the IPAM plugin alone is run
once more there. The server knows a client by container ID, network name and link name, and gives the address
again: the engine cannot be told of another one.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from shim import attached
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.runtime import Attachment, Runtime
from shim.errors import ConflictError, ShimError
from shim.model import Endpoint, EndpointID, Mode
from shim.net.replay import Replayed
from shim.net.snapshot import Link
from shim.store import Store

_log = logging.getLogger(__name__)

_WHAT = "renewal of the DHCP lease"


class Leases:
    """The leases of this node's containers."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._moving: dict[EndpointID, asyncio.Task[Replayed]] = {}

    async def follow(self, endpoint: Endpoint, found: Link) -> Replayed:
        """Have the lease kept where the link is `found` now, and say what became of that.

        It is not interrupted when the caller is: the daemon would take the lease all the same, for nobody.
        Nothing is done for other IPAM plugins. Raises `StoreError`.
        """
        if not _is_followed(endpoint):
            return Replayed()
        task = asyncio.create_task(self._moved(endpoint, found), name=f"lease {endpoint.id}")
        self._moving[endpoint.id] = task
        task.add_done_callback(lambda _: self._moving.pop(endpoint.id, None))
        return await asyncio.shield(task)

    async def settled(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with what is noted of its lease, once nothing is under way. Raises `StoreError`."""
        if not _is_followed(endpoint):
            return endpoint
        if task := self._moving.get(endpoint.id):
            await asyncio.wait({task})
        present = await self._store.endpoint(endpoint.id)
        return replace(endpoint, lease_ifname=present.lease_ifname) if present else endpoint

    async def end(self, endpoint: Endpoint) -> None:
        """Give the lease back, as long as the link is in the sandbox; harmless when repeated.

        Raises `PluginError`.
        """
        if endpoint.lease_ifname:
            await self._release(endpoint, {endpoint.lease_ifname})

    async def _moved(self, endpoint: Endpoint, found: Link) -> Replayed:
        await self._note(endpoint, found.name)
        alone = ipam.alone(_conflist(endpoint))
        try:
            # The daemon gives a lease that it has without a look at the namespace.
            await self._release(endpoint, {endpoint.ifname, endpoint.lease_ifname, found.name} - {""})
            answer = await self._runtime.add(alone, _attachment(endpoint, found.name))
            given = {ip.address for ip in answer.ips}
            if not given <= set(attached.addresses(endpoint)):
                await self._release(endpoint, {found.name})
                raise ConflictError(
                    f"the server gives {', '.join(sorted(given))} to the client that is now called {found.name}",
                    cure="give the link a name of its own by -o cni.ifname, or attach this network first",
                )
        except ShimError as error:
            return Replayed(lost=((_WHAT, str(error)),))
        return Replayed(replayed=(_WHAT,))

    async def _note(self, endpoint: Endpoint, ifname: str) -> None:
        """Write down under which name the lease is about to be taken: whatever happens, DEL needs it."""
        present = await self._store.endpoint(endpoint.id) or endpoint
        await self._store.save_endpoint(replace(present, lease_ifname=ifname))

    async def _release(self, endpoint: Endpoint, ifnames: Iterable[str]) -> None:
        alone = ipam.alone(_conflist(endpoint))
        for ifname in sorted(ifnames):
            await self._runtime.delete(alone, _attachment(endpoint, ifname), None)


def _is_followed(endpoint: Endpoint) -> bool:
    """Whether its lease has to follow its link; in place the link stays where it is."""
    return endpoint.mode is Mode.HANDOVER and ipam.kind(_conflist(endpoint)) == ipam.DHCP


def _conflist(endpoint: Endpoint) -> NetworkConfigList:
    return NetworkConfigList.from_json(endpoint.conflist, "the journal")


def _attachment(endpoint: Endpoint, ifname: str) -> Attachment:
    return Attachment(endpoint.id, endpoint.sandbox_key, ifname, endpoint.cni_args)
