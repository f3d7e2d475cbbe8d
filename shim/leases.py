"""Leases of the dhcp plugin, which have to follow a link that the engine moves.

The plugin's daemon renews and releases a lease by a thread in the namespace where the link was at ADD. By
handover that was the staging namespace; so, once the link is in the sandbox, the IPAM plugin alone is run
once more there. It must be given the same address, since the engine cannot be told of another one; and the
server knows its client by container ID, network name and link name. So at ADD the link has a name that no
other link in the sandbox will have, and by which the plugin finds it there again, whatever the engine has
called it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from shim import attached
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.runtime import Attachment, Runtime
from shim.errors import ConflictError, ShimError
from shim.model import Endpoint, EndpointID, Mode
from shim.net.links import Links
from shim.net.replay import Replayed
from shim.net.snapshot import Link
from shim.net.thread import KernelError
from shim.store import Store
from shim.translate import IFNAME, host_link_name

_WHAT = "renewal of the DHCP lease"


def ifname(endpoint_id: EndpointID, conflist: NetworkConfigList) -> str:
    """`CNI_IFNAME` of an ADD by handover for which the user has chosen none."""
    return host_link_name(endpoint_id) if ipam.kind(conflist) == ipam.DHCP else IFNAME


class Leases:
    """The leases of this node's containers."""

    def __init__(self, store: Store, runtime: Runtime, links: Links) -> None:
        self._store = store
        self._runtime = runtime
        self._links = links
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
        try:
            ifname = await self._name(endpoint, found)
            try:
                await self._take(endpoint, ifname)
            finally:
                if ifname != found.name:
                    await self._links.remove_altname(Path(endpoint.sandbox_key), found.name, ifname)
        except ShimError as error:
            return Replayed(lost=((_WHAT, str(error)),))
        return Replayed(replayed=(_WHAT,))

    async def _name(self, endpoint: Endpoint, found: Link) -> str:
        """The name by which the plugin finds the link: that of ADD, for a while, where it can have that.

        Otherwise its own: many servers know their clients by the MAC address as well.
        """
        if found.name == endpoint.ifname:
            return found.name
        try:
            await self._links.add_altname(Path(endpoint.sandbox_key), found.name, endpoint.ifname)
        except KernelError:
            return found.name
        return endpoint.ifname

    async def _take(self, endpoint: Endpoint, ifname: str) -> None:
        await self._note(endpoint, ifname)
        # The daemon gives a lease that it has once more, without a look at the namespace.
        await self._release(endpoint, {endpoint.ifname, endpoint.lease_ifname, ifname} - {""})
        answer = await self._runtime.add(ipam.alone(_conflist(endpoint)), _attachment(endpoint, ifname))
        given = {ip.address for ip in answer.ips}
        if not given <= set(attached.addresses(endpoint)):
            await self._release(endpoint, {ifname})
            raise ConflictError(
                f"the server gives {', '.join(sorted(given))} where the container has "
                f"{', '.join(attached.addresses(endpoint))}",
                cure="start the container again; Linux before 5.5 cannot keep its name for the server",
            )

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
