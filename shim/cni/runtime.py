"""The verbs of CNI over a chain of plugins.

Source: CNI specification 1.1.0, section 3 "Execution of Network Configurations", and
`CONVENTIONS.md` for `runtimeConfig` and `CNI_ARGS`.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shim.cni import capabilities, ipam, request, versions
from shim.cni.conf import NAME, NetworkConfigList
from shim.cni.errors import ConfError, GCError, PluginError, ResultError
from shim.cni.exec import Exec
from shim.cni.members import parse
from shim.cni.probe import Probe
from shim.cni.result import Result
from shim.cni.turns import Turns
from shim.errors import ShimError
from shim.model import JSONObject

_log = logging.getLogger(__name__)

_NOT_READY = {50, 51}
"""The error codes of STATUS by which a plugin answers, instead of failing to."""
_CONTAINER_UNKNOWN = 3
"""The error code by which a plugin says that there is nothing to clean."""
_TRY_LATER = 11
"""The error code by which a plugin says that the same call may soon succeed."""
_PAUSES = (0.1, 0.5, 2.0)
"""Seconds to wait before each further attempt then."""
_IFNAME_LIMIT = 15
"""Bytes of an interface name in Linux."""
_ARGS_LIMIT = 100_000
"""Bytes of `CNI_ARGS`. Linux takes 131,071 in an environment variable, its name included."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's attachment to a network, the same at DEL as at ADD.

    Raises `ConfError` for a value that the specification or the form of `CNI_ARGS` does not allow.
    """

    container_id: str
    netns: str
    """Path of the sandbox; empty at DEL when it is gone."""
    ifname: str
    args: tuple[tuple[str, str], ...] = ()
    """`CNI_ARGS`, in order; `IgnoreUnknown=1` is put before them."""
    capability_args: JSONObject = field(default_factory=dict)
    """`runtimeConfig` by capability; each plugin gets those it declares."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.container_id):
            raise ConfError(f"container ID {self.container_id!r}: expected letters, digits, '_', '.' and '-'")
        if not _is_ifname(self.ifname):
            raise ConfError(
                f"interface name {self.ifname!r}: at most {_IFNAME_LIMIT} bytes without '/', ':', blanks"
            )
        for key, value in self.args:
            if not key or set(";=") & set(key + value) or not (key + value).isprintable():
                raise ConfError(
                    f"CNI_ARGS {key!r}={value!r}: ';', '=', control characters and an empty key are refused",
                    cure="plugins cut CNI_ARGS at these characters; put the value into the conflist instead",
                )
        if (length := sum(len(f"{key}={value};".encode()) for key, value in self.args)) > _ARGS_LIMIT:
            raise ConfError(f"CNI_ARGS of {length} bytes: at most {_ARGS_LIMIT} can be passed to a plugin")


class Runtime:
    """Runs chains with plugins from `plugin_path`; the deadlines, in seconds, are for each plugin run.

    `delete_deadline` is that of every verb but ADD. Calls for one container wait for each other, and GC
    waits for all and lets none begin (specification, "Lifecycle & Ordering").
    """

    def __init__(
        self,
        plugin_exec: Exec,
        plugin_path: Sequence[Path],
        *,
        add_deadline: float,
        delete_deadline: float,
    ) -> None:
        self._exec = plugin_exec
        self._plugin_path = tuple(plugin_path)
        self._add_deadline = add_deadline
        self._delete_deadline = delete_deadline
        self._probe = Probe(plugin_exec, delete_deadline)
        self._turns = Turns()
        self._attached: set[tuple[str, str]] = set()
        """Container ID and interface name of what was added here and not deleted since."""

    async def add(self, conf: NetworkConfigList, attachment: Attachment) -> Result:
        """Attach the container; the result of the last plugin.

        When a plugin fails, or the task is cancelled, DEL of the whole chain follows before the error is
        raised; `PluginError.left_behind` says when that failed too. A cancelled task does not learn it:
        its caller does DEL again, which is harmless. Raises `PluginError`, or `ConfError` before anything
        has run: for capabilities that no plugin declares, and for an attachment that has to be deleted
        first.
        """
        _check_namespace("ADD", conf, attachment)
        capabilities.check(attachment.capability_args, conf)
        async with self._turns.container(attachment.container_id):
            key = attachment.container_id, attachment.ifname
            if key in self._attached:
                raise ConfError(
                    f'network "{conf.name}": ADD: container {attachment.container_id} already has an '
                    f"attachment {attachment.ifname}",
                    cure="delete that first",
                )
            paths = [self._find(conf, plugin) for plugin in conf.plugins]
            self._attached.add(key)
            return await self._add(conf, attachment, paths)

    async def delete(self, conf: NetworkConfigList, attachment: Attachment, result: Result | None) -> None:
        """Detach the container, given the result of its ADD; harmless when repeated.

        Stops at the first plugin that fails, so that it is asked again before those it depends on. A
        result that has no form in the list's version is left out. Raises `PluginError`.
        """
        async with self._turns.container(attachment.container_id):
            previous = _at_delete(conf, result)
            for index in reversed(range(len(conf.plugins))):
                await self._delete(conf, index, attachment, previous)
            self._attached.discard((attachment.container_id, attachment.ifname))

    async def check(self, conf: NetworkConfigList, attachment: Attachment, result: Result) -> None:
        """Ask the plugins whether the attachment still is as ADD left it, whose result is given.

        Nothing is asked when the list disables that. Raises `PluginError` when it is not, and `ConfError`
        when the list's version has no CHECK.
        """
        if conf.disables_check:
            return
        if not versions.at_least(conf.cni_version, versions.FIRST_WITH_CHECK):
            raise ConfError(
                f'network "{conf.name}": CNI version {conf.cni_version} has no CHECK',
                cure=f"it came with {versions.FIRST_WITH_CHECK}",
            )
        _check_namespace("CHECK", conf, attachment)
        previous = _converted(result, conf)
        async with self._turns.container(attachment.container_id):
            for plugin in conf.plugins:
                asked = request.for_attachment(conf, plugin, attachment.capability_args, previous)
                await self._run("CHECK", self._find(conf, plugin), asked, attachment)

    async def status(self, conf: NetworkConfigList) -> None:
        """Ask the plugins whether they are ready for ADD; versions that have no STATUS always are.

        Raises `PluginError`; its code says why (50: not available; 51: and neither are existing containers).
        """
        if not versions.at_least(conf.cni_version, versions.FIRST_WITH_GC):
            return
        for plugin in conf.plugins:
            path = self._find(conf, plugin)
            try:
                await self._run("STATUS", path, request.for_network(conf, plugin))
            except PluginError as error:
                if error.code not in _NOT_READY and (unspoken := await self._unspoken(conf, path)):
                    raise unspoken from error
                raise

    async def gc(self, conf: NetworkConfigList, valid: Iterable[Attachment]) -> None:
        """Let the plugins clean up what belongs to none of the `valid` attachments to this network.

        These must be all there are, those of other runtimes included; they are gone through once nothing
        else runs. Nothing is asked when the list disables that, nor of versions that have no GC. Raises
        `GCError` when all plugins have been asked.
        """
        if conf.disables_gc or not versions.at_least(conf.cni_version, versions.FIRST_WITH_GC):
            return
        errors: list[PluginError] = []
        async with self._turns.alone():
            attachments = [{"containerID": item.container_id, "ifname": item.ifname} for item in valid]
            # An earlier text of the specification has the second name, so libcni gives both (cni#1101).
            members = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
            for plugin in conf.plugins:
                asked = request.for_network(conf, plugin) | members
                try:
                    await self._run("GC", self._find(conf, plugin), asked)
                except PluginError as error:
                    errors.append(error)
        if errors:
            raise GCError(errors)

    async def _unspoken(self, conf: NetworkConfigList, path: Path) -> PluginError | None:
        """The error of a plugin that is too old for the list, whose own words about STATUS would mislead."""
        try:
            known = await self._probe.versions(path, network=conf.name)
        except PluginError:
            return None
        if conf.cni_version in known:
            return None
        return PluginError(
            f"speaks CNI versions {', '.join(known)}, not {conf.cni_version}",
            plugin=path.name,
            network=conf.name,
            cure="install newer plugins, or give the conflist a lower cniVersion",
        )

    def require(self, conf: NetworkConfigList) -> None:
        """Raises `PluginError` unless all plugins of the list are installed, those for IPAM included."""
        for plugin in conf.plugins:
            self._find(conf, plugin)
            ipam = plugin.get("ipam")
            if isinstance(ipam, dict) and ipam.get("type"):
                self._find(conf, ipam)

    async def versions(self, kind: str, *, network: str) -> tuple[str, ...]:
        """The versions that the plugin of that type says it speaks, in its order.

        It is asked once for as long as its file stays the same. Raises `PluginError`.
        """
        path = self._exec.find(kind, self._plugin_path, network=network)
        return await self._probe.versions(path, network=network)

    async def negotiated(self, conf: NetworkConfigList) -> NetworkConfigList:
        """The list in the highest version it offers that all its plugins speak.

        They are only asked when the list offers several. Raises `PluginError`, or `ConfError` when there is
        no such version.
        """
        if len(conf.offered) <= 1:
            return conf
        kinds = dict.fromkeys(plugin["type"] for plugin in conf.plugins)
        spoken = {kind: await self.versions(kind, network=conf.name) for kind in kinds}
        for version in reversed(conf.offered):
            if all(version in known for known in spoken.values()):
                return replace(conf, cni_version=version)
        said = "; ".join(f"{kind} speaks {', '.join(known)}" for kind, known in spoken.items())
        raise ConfError(
            f'network "{conf.name}": no version that it offers ({", ".join(conf.offered)}) is spoken by all '
            f"its plugins: {said}"
        )

    async def _add(self, conf: NetworkConfigList, attachment: Attachment, paths: Sequence[Path]) -> Result:
        results: list[Result] = []
        try:
            for path, plugin in zip(paths, conf.plugins, strict=True):
                asked = request.for_attachment(conf, plugin, attachment.capability_args, _last(results))
                answer = await self._run("ADD", path, asked, attachment)
                results.append(_result(answer, path.name, conf))
        except BaseException as error:
            cleanup_error = await _uninterrupted(self._clean_up(conf, attachment, results, error))
            if cleanup_error is None:
                self._attached.discard((attachment.container_id, attachment.ifname))
            if isinstance(error, PluginError):
                error.cleanup_error = cleanup_error
            raise
        return results[-1]

    async def _delete(
        self, conf: NetworkConfigList, index: int, attachment: Attachment, previous: Result | None
    ) -> None:
        plugin = conf.plugins[index]
        asked = request.for_attachment(conf, plugin, attachment.capability_args, previous)
        try:
            await self._run("DEL", self._find(conf, plugin), asked, attachment)
        except PluginError as error:
            if error.code != _CONTAINER_UNKNOWN:
                raise

    async def _clean_up(
        self,
        conf: NetworkConfigList,
        attachment: Attachment,
        results: Sequence[Result],
        failure: BaseException,
    ) -> ShimError | None:
        """DEL of the whole chain after a failed ADD; what keeps it from being complete.

        It is given the last result there was: some plugins find their rules by it. Two errors must not keep
        the other plugins from their DEL, nor be tried again for ever: that of a plugin whose ADD never
        ran, and that of a plugin which fails at DEL just as it did at ADD, since what it refuses then is
        its configuration (or its version).
        """
        failed = len(results)
        previous = _at_delete(conf, _last(results))
        for index in reversed(range(len(conf.plugins))):
            try:
                await self._delete(conf, index, attachment, previous)
            except PluginError as error:
                if index < failed or (index == failed and not _is_same_refusal(error, failure)):
                    _log.warning("cleaning up after a failed ADD failed too: %s", error)
                    return error
        return None

    def _find(self, conf: NetworkConfigList, plugin: JSONObject) -> Path:
        return self._exec.find(plugin["type"], self._plugin_path, network=conf.name)

    async def _run(
        self, command: str, path: Path, asked: Mapping[str, Any], attachment: Attachment | None = None
    ) -> bytes:
        """The plugin's answer; one that says to try later is tried again, all within one deadline."""
        limit = self._add_deadline if command == "ADD" else self._delete_deadline
        end = time.monotonic() + limit
        environment = self._environment(command, attachment)
        environment |= ipam.environment(command, asked, self._plugin_path)
        stdin = json.dumps(asked).encode()
        for pause in _PAUSES:
            try:
                return await self._exec.run(path, environment, stdin, limit, network=asked["name"])
            except PluginError as error:
                limit = end - time.monotonic() - pause
                if error.code != _TRY_LATER or limit <= 0:
                    raise
            await asyncio.sleep(pause)
        return await self._exec.run(path, environment, stdin, limit, network=asked["name"])

    def _environment(self, command: str, attachment: Attachment | None) -> dict[str, str]:
        """All parameters are always set; those that a verb does not use are empty."""
        args = (("IgnoreUnknown", "1"), *attachment.args) if attachment else ()
        return {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": attachment.container_id if attachment else "",
            "CNI_NETNS": attachment.netns if attachment else "",
            "CNI_IFNAME": attachment.ifname if attachment else "",
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args),
            "CNI_PATH": os.pathsep.join(map(str, self._plugin_path)),
        }


def _check_namespace(command: str, conf: NetworkConfigList, attachment: Attachment) -> None:
    if not attachment.netns:
        raise ConfError(f'network "{conf.name}": {command} needs a network namespace')


def _result(answer: bytes, plugin: str, conf: NetworkConfigList) -> Result:
    try:
        value = parse(answer, "the answer", ResultError)
        return Result.from_json(value, "the answer").converted(conf.cni_version)
    except ResultError as error:
        raise PluginError(
            error.cause, plugin=plugin, network=conf.name, command="ADD", cure=error.cure
        ) from error


def _is_same_refusal(error: PluginError, failure: BaseException) -> bool:
    """Whether a plugin said the same twice; one that crashes or hangs has said nothing (code 0)."""
    said = error.code, error.reason
    return error.code != 0 and isinstance(failure, PluginError) and said == (failure.code, failure.reason)


def _last(results: Sequence[Result]) -> Result | None:
    return results[-1] if results else None


def _at_delete(conf: NetworkConfigList, result: Result | None) -> Result | None:
    """What DEL is given as `prevResult`: nothing in old versions, nor a result it could not read."""
    if result is None or not versions.at_least(conf.cni_version, versions.FIRST_WITH_CHECK):
        return None
    try:
        return result.converted(conf.cni_version)
    except ResultError as error:
        _log.warning('network "%s": DEL goes without the result of ADD: %s', conf.name, error)
        return None


def _converted(result: Result, conf: NetworkConfigList) -> Result:
    try:
        return result.converted(conf.cni_version)
    except ResultError as error:
        raise ConfError(f'network "{conf.name}": CHECK: {error.cause}', cure=error.cure) from error


def _is_ifname(name: str) -> bool:
    """Source: CNI `pkg/utils`, after the kernel's `dev_valid_name`."""
    return (
        name.isprintable()
        and 0 < len(name.encode()) <= _IFNAME_LIMIT
        and name not in {".", ".."}
        and not set("/: ") & set(name)
    )


async def _uninterrupted(work: Coroutine[Any, Any, ShimError | None]) -> ShimError | None:
    """Finish `work` even when the task is cancelled meanwhile, and pass the cancellation on afterwards."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()
