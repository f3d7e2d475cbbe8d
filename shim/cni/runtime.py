"""ADD and DEL over a chain of plugins.

Source: CNI specification 1.1.0, section 3 "Execution of Network Configurations", and
`CONVENTIONS.md` for `runtimeConfig` and `CNI_ARGS`.
"""

import asyncio
import json
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim.cni.conf import NAME, VERSIONS, NetworkConfigList
from shim.cni.errors import ConfError, PluginError, ResultError
from shim.cni.exec import Exec
from shim.cni.members import parse
from shim.cni.result import Result
from shim.errors import ShimError
from shim.model import JSONObject

_log = logging.getLogger(__name__)

_CONTAINER_UNKNOWN = 3
"""The error code by which a plugin says that there is nothing to clean."""
_FIRST_WITH_RESULT_AT_DELETE = "0.4.0"
_IFNAME_LIMIT = 15
"""Bytes of an interface name in Linux."""


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


class Runtime:
    """Runs chains with plugins from `plugin_path`; the deadlines, in seconds, are for each plugin run.

    Two calls for one container must not run at once (specification, "Lifecycle & Ordering").
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

    async def add(self, conf: NetworkConfigList, attachment: Attachment) -> Result:
        """Attach the container; the result of the last plugin.

        When a plugin fails, or the task is cancelled, DEL of the whole chain follows before the error is
        raised; `PluginError.left_behind` says when that failed too. A cancelled task does not learn it:
        its caller does DEL again, which is harmless. Raises `PluginError`, or `ConfError` before anything
        has run.
        """
        if not attachment.netns:
            raise ConfError(f'network "{conf.name}": ADD needs a network namespace')
        paths = [self._find(conf, plugin) for plugin in conf.plugins]
        results: list[Result] = []
        try:
            for path, plugin in zip(paths, conf.plugins, strict=True):
                request = _request(conf, plugin, attachment, _last(results))
                answer = await self._run("ADD", path, attachment, request)
                results.append(_result(answer, path.name, conf))
        except BaseException as error:
            cleanup_error = await _uninterrupted(self._clean_up(conf, attachment, results, error))
            if isinstance(error, PluginError):
                error.cleanup_error = cleanup_error
            raise
        return results[-1]

    async def delete(self, conf: NetworkConfigList, attachment: Attachment, result: Result | None) -> None:
        """Detach the container, given the result of its ADD; harmless when repeated.

        Stops at the first plugin that fails, so that it is asked again before those it depends on.
        Raises `PluginError`.
        """
        for index in reversed(range(len(conf.plugins))):
            await self._delete(conf, index, attachment, result)

    async def _delete(
        self, conf: NetworkConfigList, index: int, attachment: Attachment, result: Result | None
    ) -> None:
        plugin = conf.plugins[index]
        request = _request(conf, plugin, attachment, result if _takes_result_at_delete(conf) else None)
        try:
            await self._run("DEL", self._find(conf, plugin), attachment, request)
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
        for index in reversed(range(len(conf.plugins))):
            try:
                await self._delete(conf, index, attachment, _last(results))
            except PluginError as error:
                if index < failed or (index == failed and not _is_same_refusal(error, failure)):
                    _log.warning("cleaning up after a failed ADD failed too: %s", error)
                    return error
        return None

    def _find(self, conf: NetworkConfigList, plugin: JSONObject) -> Path:
        return self._exec.find(plugin["type"], self._plugin_path, network=conf.name)

    async def _run(
        self, command: str, path: Path, attachment: Attachment, request: Mapping[str, Any]
    ) -> bytes:
        return await self._exec.run(
            path,
            self._environment(command, attachment),
            json.dumps(request).encode(),
            self._add_deadline if command == "ADD" else self._delete_deadline,
            network=request["name"],
        )

    def _environment(self, command: str, attachment: Attachment) -> dict[str, str]:
        args = (("IgnoreUnknown", "1"), *attachment.args)
        return {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": attachment.netns,
            "CNI_IFNAME": attachment.ifname,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args),
            "CNI_PATH": os.pathsep.join(map(str, self._plugin_path)),
        }


def _request(
    conf: NetworkConfigList, plugin: JSONObject, attachment: Attachment, previous: Result | None
) -> dict[str, Any]:
    """What a plugin reads: its configuration with the members that only the runtime knows."""
    request = {key: value for key, value in plugin.items() if key != "capabilities"}
    request |= {"name": conf.name, "cniVersion": conf.cni_version}
    runtime_config = {
        capability: attachment.capability_args[capability]
        for capability, declared in (plugin.get("capabilities") or {}).items()
        if declared and capability in attachment.capability_args
    }
    if runtime_config:
        request["runtimeConfig"] = runtime_config
    if previous is not None:
        request["prevResult"] = previous.to_json()
    return request


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


def _takes_result_at_delete(conf: NetworkConfigList) -> bool:
    return VERSIONS.index(conf.cni_version) >= VERSIONS.index(_FIRST_WITH_RESULT_AT_DELETE)


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
