"""The handover: a link made in a staging namespace, given to the engine, and taken back for DEL.

Engines before 28.0 have no network namespace yet when they ask for a link, and the only moment to
report an address is earlier still. So the chain's ADD runs in a namespace of our own, and the engine
moves the finished link into the container's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from shim import attached, firewall, spans
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import PluginError
from shim.cni.runtime import Attachment, Runtime
from shim.errors import ShimError
from shim.model import Endpoint, EndpointID, JSONObject, Mode
from shim.net.links import Links
from shim.net.namespaces import Namespaces, is_namespace
from shim.net.snapshot import Link, Snapshot
from shim.net.thread import KernelError
from shim.translate import host_link_name

_log = logging.getLogger(__name__)


class Handover:
    """Moves links between the chain, the engine and the sandbox.

    Every call may raise `PluginError`, `KernelError` or `FirewallError`, and may be repeated after it did.
    """

    def __init__(self, runtime: Runtime, namespaces: Namespaces, links: Links) -> None:
        self._runtime = runtime
        self._namespaces = namespaces
        self._links = links
        self._ready: dict[str, NetworkConfigList] = {}
        """Conflists whose plugins have said that they are ready, by name."""
        self._releases: dict[EndpointID, asyncio.Task[Snapshot]] = {}
        """Those under way, and those that nobody has asked for yet."""

    def require(self, conflist: NetworkConfigList) -> None:
        """Raises `PluginError` when a plugin of the chain is not installed."""
        self._runtime.require(conflist)

    async def prepare(self, conflist: NetworkConfigList) -> NetworkConfigList:
        """The conflist in the version that its plugins speak, once they have said that they are ready.

        They are asked before the first ADD since the start or since the conflist changed, not before each.
        May raise `ConfError` as well.
        """
        conflist = await self._runtime.negotiated(conflist)
        if self._ready.get(conflist.name) != conflist:
            await self._runtime.status(conflist)
            self._ready[conflist.name] = conflist
        return conflist

    def staging(self, endpoint_id: EndpointID) -> str:
        """Path of the endpoint's staging namespace."""
        return str(self._namespaces.path(endpoint_id))

    async def attach(self, endpoint: Endpoint) -> Endpoint:
        """Run the chain's ADD in the staging namespace, or in place; the endpoint comes back with the result.

        After an error nothing is left, unless it is a `PluginError` that says so (`left_behind`).
        """
        namespace = Path(endpoint.netns)
        if endpoint.mode is Mode.HANDOVER:
            namespace = await self._namespaces.create(endpoint.id)
        try:
            result = await self._runtime.add(_conflist(endpoint), _attachment(endpoint, namespace))
        except PluginError as error:
            if error.left_behind:
                error.cleanup_error = await self._delete_without_link(endpoint)
            if not error.left_behind:
                await self._namespaces.remove(endpoint.id)
            raise
        except ShimError:
            await self._namespaces.remove(endpoint.id)
            raise
        return replace(endpoint, result=result.to_json())

    async def snapshot(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with what ADD made in its namespace and links; in place, with the links that it names.

        There nothing else has to be known, as it stays where it is. `release` completes the others.
        """
        namespace = Path(endpoint.netns)
        if endpoint.mode is Mode.INPLACE:
            made = attached.result(endpoint).interfaces
            seen = await self._links.outline(namespace)
            snapshot = seen.of_links({item.name for item in made if item.sandbox == endpoint.netns})
        else:
            snapshot = await self._links.snapshot(namespace)
        return replace(endpoint, snapshot=snapshot.to_json())

    async def publish(self, endpoint: Endpoint) -> None:
        """Let other machines in to the published ports."""
        if _is_guarded(endpoint):
            await firewall.accept(
                endpoint.id, attached.addresses(endpoint), endpoint.capability_args["portMappings"]
            )

    async def release(self, endpoint: Endpoint) -> Endpoint:
        """Put the link into the host's namespace, where the engine looks for it.

        The endpoint comes back with the whole snapshot. The staging namespace stays until the engine is
        through (`end_staging`): further links go from there into the sandbox, and while the kernel ends it
        the engine's own move would wait.
        """
        begun = self._releases.pop(endpoint.id, None)
        snapshot = await (begun or self._released(endpoint))
        return replace(endpoint, snapshot=snapshot.to_json())

    def begin_release(self, endpoint: Endpoint) -> None:
        """Let `release` begin: the engine asks for it next, and to move a link takes the kernel some time."""
        task = asyncio.create_task(self._released(endpoint), name=f"release {endpoint.id}")
        self._releases[endpoint.id] = task

    async def end_staging(self, endpoint: Endpoint) -> None:
        """Remove the staging namespace; harmless when there is none."""
        await self._namespaces.remove(endpoint.id)

    async def in_sandbox(self, endpoint: Endpoint) -> Link | None:
        """The link as it is in the sandbox; None when it is not there, or the sandbox not within reach."""
        link = attached.link(endpoint)
        sandbox = Path(endpoint.sandbox_key)
        if link is None or not endpoint.sandbox_key or not is_namespace(sandbox):
            return None
        found = await self._links.find(sandbox, replace(link, mac=attached.mac(endpoint)))
        if found is None and attached.mac(endpoint) != link.mac:  # in place, it may not have got it yet
            found = await self._links.find(sandbox, link)
        return found

    async def detach(
        self, endpoint: Endpoint, found: Link | None, give_back: Callable[[], Awaitable[None]]
    ) -> None:
        """Run the chain's DEL where the link is, or where it can be put, and leave nothing behind.

        `found` is what `in_sandbox` says. In the live sandbox, if the link is there under the name the
        plugins know: that needs no move. Otherwise the link goes back into the staging namespace, as it
        was after ADD. DEL without it would report success, and leak all that is keyed on its addresses
        (masquerade chains, say).

        `give_back` gives addresses back that were reserved before: when plugins do that themselves, at the
        beginning of the last DEL, that of the list's first plugin.
        """
        if begun := self._releases.pop(endpoint.id, None):
            await asyncio.gather(begun, return_exceptions=True)
        if _is_guarded(endpoint):
            await firewall.withdraw(endpoint.id, attached.addresses(endpoint))
        link = attached.link(endpoint)
        if found and link and found.name == endpoint.ifname and _has_addresses(found, link):
            if found.mac != link.mac:
                await self._give_mac_back(endpoint, found, link)
            await self._delete(endpoint, Path(endpoint.sandbox_key), give_back)
        else:
            staging = await self._namespaces.create(endpoint.id)
            if link is None:
                await self._delete_unfinished(endpoint, staging)
            else:
                await self._take_back(endpoint, link, found, staging)
                await self._delete(endpoint, staging, give_back)
        await self._namespaces.remove(endpoint.id)

    async def _released(self, endpoint: Endpoint) -> Snapshot:
        """The whole snapshot: what is left of it is read while the kernel moves the link."""
        subject = f"{endpoint.conflist['name']}/{endpoint.id[:12]}"
        with spans.span(spans.Kind.WORK, "Release", subject=subject):
            reading = asyncio.create_task(
                self._links.completed(Path(endpoint.netns), attached.snapshot(endpoint))
            )
            try:
                await self._put_on_host(endpoint)
            finally:
                snapshot = await reading
        return snapshot

    async def _put_on_host(self, endpoint: Endpoint) -> None:
        name = host_link_name(endpoint.id)
        try:
            await self._links.move(Path(endpoint.netns), endpoint.ifname, None, name)
        except KernelError:
            if not await self._links.exists(None, name):  # moved before, when this was tried already
                raise

    async def _delete_unfinished(self, endpoint: Endpoint, staging: Path) -> None:
        """DEL after an ADD that never ended, with a result as far as its link shows one.

        Without it `firewall` would leave its rules, which are about addresses.
        """
        in_place = endpoint.mode is Mode.INPLACE and is_namespace(Path(endpoint.netns))
        namespace = Path(endpoint.netns) if in_place else staging
        link = (await self._links.outline(namespace)).link(endpoint.ifname)
        seen = _result_of(link, namespace) if link else None
        try:
            await self._delete(replace(endpoint, netns=str(namespace), result=seen), namespace, _nothing)
        except PluginError:
            if failure := await self._delete_without_link(endpoint):
                raise failure from None

    async def _delete_without_link(self, endpoint: Endpoint) -> ShimError | None:
        """DEL in an empty namespace, after one with the link in it failed; what went wrong again.

        Some plugins insist on removing what their ADD did not come to make (bridge its masquerade rules),
        unless the link is gone.
        """
        try:
            await self._namespaces.remove(endpoint.id)
            await self._delete(endpoint, await self._namespaces.create(endpoint.id), _nothing)
        except ShimError as error:
            return error
        return None

    async def _give_mac_back(self, endpoint: Endpoint, found: Link, link: Link) -> None:
        """A device of the host goes back as it was; one that refuses goes back none the less."""
        try:
            await self._links.set_mac(Path(endpoint.sandbox_key), found.name, link.mac)
        except KernelError as error:
            _log.warning("endpoint %s: %s", endpoint.id[:12], error)

    async def _take_back(self, endpoint: Endpoint, link: Link, found: Link | None, staging: Path) -> None:
        host_name = host_link_name(endpoint.id)
        if found is not None:
            await self._links.move(Path(endpoint.sandbox_key), found.name, staging, link.name)
        elif await self._links.exists(None, host_name):
            await self._links.move(None, host_name, staging, link.name)
        elif not await self._links.exists(staging, link.name):
            _log.warning(
                "endpoint %s: its link is gone; a stand-in takes its place for DEL", endpoint.id[:12]
            )
            await self._links.stand_in(staging, link)
        await self._links.restore(staging, link)

    async def _delete(
        self, endpoint: Endpoint, namespace: Path, give_back: Callable[[], Awaitable[None]]
    ) -> None:
        result = None
        if endpoint.result is not None:
            result = attached.result(endpoint).relocated(
                endpoint.netns, endpoint.ifname, str(namespace), endpoint.ifname
            )
        conflist, attachment = _conflist(endpoint), _attachment(endpoint, namespace)
        first, others = replace(conflist, plugins=conflist.plugins[:1]), conflist.plugins[1:]
        await self._runtime.delete(replace(conflist, plugins=others), attachment, result)
        await _both(self._runtime.delete(first, attachment, result), give_back())


async def _nothing() -> None:
    """Give nothing back."""


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Wait until both have ended, also when one fails. Raises its error."""
    for outcome in await asyncio.gather(one, other, return_exceptions=True):
        if outcome is not None:
            raise outcome


def _is_guarded(endpoint: Endpoint) -> bool:
    """Whether the endpoint publishes ports, and the `firewall` plugin stands before them."""
    types = {plugin["type"] for plugin in endpoint.conflist["plugins"]}
    return "firewall" in types and bool(endpoint.capability_args.get("portMappings"))


def _result_of(link: Link, namespace: Path) -> JSONObject:
    """What a chain would have answered that made this link and no more."""
    return {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": link.name, "mac": link.mac, "sandbox": str(namespace)}],
        "ips": [{"address": address, "interface": 0} for address in link.addresses],
    }


def _has_addresses(found: Link, link: Link) -> bool:
    """Whether DEL finds all it needs: a prefix length may differ, an address may not be missing."""
    return {ip_interface(item).ip for item in link.addresses} <= {
        ip_interface(item).ip for item in found.addresses
    }


def _conflist(endpoint: Endpoint) -> NetworkConfigList:
    return NetworkConfigList.from_json(endpoint.conflist, "the journal")


def _attachment(endpoint: Endpoint, namespace: Path) -> Attachment:
    return Attachment(
        container_id=endpoint.id,
        netns=str(namespace),
        ifname=endpoint.ifname,
        args=endpoint.cni_args,
        capability_args=endpoint.capability_args,
    )
