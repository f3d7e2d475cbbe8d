"""`cnm-cni cni`: one CNI operation from the command line, as with cnitool.

Source: `cnitool/cmd` of containernetworking/cni: same arguments, environment variables, container IDs, cache
and output. It differs where cnitool does harm: ADD is undone when it fails, DEL and CHECK use the
configuration of ADD, and GC spares the attachments whose namespace still exists, and the daemon's.
"""

import hashlib
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim import config, reservations
from shim.cni.cache import Cache, CachedAttachment
from shim.cni.conf import NetworkConfigList, find
from shim.cni.errors import CacheError, ConfError, GCError, PluginError
from shim.cni.exec import Exec
from shim.cni.members import Members, parse
from shim.cni.runtime import Attachment, Runtime
from shim.cni.versions import SUPPORTED
from shim.errors import ShimError
from shim.model import JSONObject
from shim.store import Store

_IFNAME = "eth0"
_ID_BYTES = 10

_INVALID_CONFIGURATION = 7
_INTERNAL_ERROR = 999


@dataclass(frozen=True, slots=True)
class Call:
    """What the command line and the environment ask for."""

    network: str
    conf_dirs: tuple[Path, ...]
    attachment: Attachment
    runtime: Runtime
    cache: Cache
    journal: Store
    """The daemon's; empty where there is none."""
    as_json: bool
    """Wanted of commands that else print for people."""

    async def conf(self) -> NetworkConfigList:
        """The network as its file has it now, in a version that its plugins speak. Raises `ShimError`."""
        return await self.runtime.negotiated(find(self.network, self.conf_dirs))

    def cached(self) -> CachedAttachment | None:
        """The attachment as ADD left it on record."""
        return self.cache.load(self.network, self.attachment.container_id, self.attachment.ifname)

    def forget(self, attachment: Attachment) -> None:
        """Take an attachment to the network off the record. Raises `CacheError`."""
        self.cache.remove(self.network, attachment.container_id, attachment.ifname)


def prepare(network: str, netns: str, ifname: str, *, as_json: bool) -> Call:
    """The call that the environment describes; what it does not say is as for the daemon.

    Raises `ConfError`, naming the variable that is wrong, or `ConfigError`.
    """
    settings = config.load(None, {})
    sandbox = os.path.abspath(netns)  # noqa: PTH100 - unlike pathlib it folds "..", as cnitool does
    digest = hashlib.sha512(sandbox.encode()).digest()
    plugin_path = [Path(folder) for folder in os.environ.get("CNI_PATH", "").split(os.pathsep) if folder]
    conf_dir = os.environ.get("NETCONFPATH")
    return Call(
        network=network,
        conf_dirs=(Path(conf_dir),) if conf_dir else settings.conf_dirs,
        attachment=Attachment(
            f"cnitool-{digest[:_ID_BYTES].hex()}",
            sandbox,
            ifname or os.environ.get("CNI_IFNAME") or _IFNAME,
            _args(os.environ.get("CNI_ARGS", "")),
            _capability_args(os.environ.get("CAP_ARGS", "")),
        ),
        runtime=Runtime(
            Exec(lambda *_: None),
            plugin_path or settings.plugin_path,
            add_deadline=settings.deadlines.add,
            delete_deadline=settings.deadlines.delete,
        ),
        cache=Cache(),
        journal=Store(settings.state_dir, read_only=True),
        as_json=as_json,
    )


def failure(error: ShimError) -> str:
    """The error as CNI writes one, for programs. Source: CNI specification 1.1.0, section 5 "Error"."""
    code = _INTERNAL_ERROR
    if isinstance(error, ConfError):
        code = _INVALID_CONFIGURATION
    elif isinstance(error, PluginError):
        code = error.code or _INTERNAL_ERROR
    return _json({"cniVersion": SUPPORTED[-1], "code": code, "msg": error.cause, "details": error.cure})


async def add(call: Call) -> str:
    """ADD; the result. What cannot be recorded is deleted again. Raises `ShimError`."""
    conf = await call.conf()
    if call.cached():
        raise ConfError(
            f'network "{call.network}": ADD: {call.attachment.netns} already has an attachment '
            f"{call.attachment.ifname}",
            cure=f"cnm-cni cni del {call.network} {call.attachment.netns}",
        )
    result = await call.runtime.add(conf, call.attachment)
    try:
        call.cache.save(conf, call.attachment, result)
    except CacheError:
        await call.runtime.delete(conf, call.attachment, result)
        raise
    return _json(result.to_json())


async def delete(call: Call) -> str:
    """DEL, with the configuration and arguments of ADD when they are on record. Raises `ShimError`."""
    cached = call.cached()
    if cached and cached.conf:
        await call.runtime.delete(cached.conf, cached.attachment, cached.result)
    else:
        await call.runtime.delete(await call.conf(), call.attachment, cached.result if cached else None)
    call.forget(call.attachment)
    return ""


async def check(call: Call) -> str:
    """CHECK, with the configuration and arguments of ADD, which must be on record. Raises `ShimError`."""
    cached = call.cached()
    if cached is None or cached.result is None:
        raise ConfError(
            f'network "{call.network}": CHECK: no ADD of {call.attachment.ifname} in '
            f"{call.attachment.netns} is on record",
            cure=f"cnm-cni cni add {call.network} {call.attachment.netns}",
        )
    conf, attachment = (
        (cached.conf, cached.attachment) if cached.conf else (await call.conf(), call.attachment)
    )
    await call.runtime.check(conf, attachment, cached.result)
    return ""


async def collect(call: Call) -> str:
    """DEL of the attachments on record whose namespace is gone, then GC. Raises `ShimError`."""
    conf = await call.conf()
    if conf.disables_gc:
        return ""
    valid = await _daemons(call)
    errors: list[PluginError] = []
    for cached in call.cache.attachments(call.network):
        attachment = cached.attachment
        if _may_be_alive(attachment):
            valid.append(attachment)
            continue
        try:
            await call.runtime.delete(cached.conf or conf, attachment, cached.result)
            call.forget(attachment)
        except PluginError as error:
            errors.append(error)
            valid.append(attachment)
    try:
        await call.runtime.gc(conf, valid)
    except GCError as error:
        errors += error.errors
    if errors:
        raise GCError(errors)
    return ""


async def status(call: Call) -> str:
    """STATUS. Raises `ShimError`."""
    await call.runtime.status(await call.conf())
    return ""


async def version(call: Call) -> str:
    """The versions that each plugin of the network speaks. Raises `ShimError`."""
    conf = find(call.network, call.conf_dirs)
    kinds = dict.fromkeys(plugin["type"] for plugin in conf.plugins)
    spoken = {kind: await call.runtime.versions(kind, network=call.network) for kind in kinds}
    if call.as_json:
        return _json(spoken)
    return "".join(f"{kind}: {', '.join(known)}\n" for kind, known in spoken.items())


COMMANDS: dict[str, Callable[[Call], Coroutine[Any, Any, str]]] = {
    "add": add,
    "del": delete,
    "check": check,
    "gc": collect,
    "status": status,
    "version": version,
}
"""The commands by name; each returns what to print, if anything."""


async def _daemons(call: Call) -> list[Attachment]:
    """The daemon's attachments to the network, and those that its reservations are to an IPAM plugin."""
    try:
        await call.journal.open()
        endpoints = await call.journal.endpoints()
        reserved = await call.journal.reservations()
    finally:
        await call.journal.close()
    return [
        Attachment(endpoint.id, endpoint.netns, endpoint.ifname)
        for endpoint in endpoints
        if endpoint.conflist["name"] == call.network
    ] + [
        reservations.attachment(reservation, "")
        for reservation in reserved
        if reservation.conflist["name"] == call.network
    ]


def _may_be_alive(attachment: Attachment) -> bool:
    return not attachment.netns or Path(attachment.netns).exists()


def _args(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(pair.split("=")) for pair in text.split(";")] if text else []
    if any(len(pair) != 2 or not all(pair) for pair in pairs):  # noqa: PLR2004 - key and value
        raise ConfError(f"CNI_ARGS {text!r}: expected KEY=VALUE;KEY=VALUE...")
    return tuple((key, value) for key, value in pairs)


def _capability_args(text: str) -> JSONObject:
    return Members(parse(text.encode(), "CAP_ARGS", ConfError), "CAP_ARGS", ConfError).all if text else {}


def _json(value: object) -> str:
    """JSON as cnitool prints it."""
    return json.dumps(value, indent=4, sort_keys=True) + "\n"
