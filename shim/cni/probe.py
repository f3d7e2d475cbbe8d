"""Which versions of the specification a plugin speaks.

Source: CNI specification 1.1.0, section 2, "VERSION"; for plugins older than that verb, libcni
`pkg/invoke/raw_exec.go` and `pkg/version/plugin.go`.
"""

import json
import os
from pathlib import Path

from shim.cni import versions
from shim.cni.errors import PluginError, ResultError
from shim.cni.exec import Exec
from shim.cni.members import Members, parse

_UNKNOWN_COMMAND = "unknown CNI_COMMAND: VERSION"
"""What plugins of version 0.1.0 say, which has no VERSION."""
_UNUSED = dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"), "dummy")
"""Plugins of old ask for these even where they do not use them."""

_Identity = tuple[int, int, int, int]


class Probe:
    """Asks plugins for their versions, each once for as long as its file stays the same."""

    def __init__(self, plugin_exec: Exec, deadline: float) -> None:
        self._exec = plugin_exec
        self._deadline = deadline
        self._known: dict[Path, tuple[_Identity, tuple[str, ...]]] = {}

    async def versions(self, path: Path, *, network: str) -> tuple[str, ...]:
        """The versions that the plugin at `path` says it speaks, in its order. Raises `PluginError`."""
        try:
            identity = _identity(path)
        except OSError as error:
            raise PluginError(f"{path}: {error.strerror}", plugin=path.name, network=network) from error
        known = self._known.get(path)
        if known is None or known[0] != identity:
            known = identity, await self._ask(path, network)
            self._known[path] = known
        return known[1]

    async def _ask(self, path: Path, network: str) -> tuple[str, ...]:
        environment = {**os.environ, **_UNUSED, "CNI_COMMAND": "VERSION", "CNI_ARGS": ""}
        request = json.dumps({"cniVersion": versions.SUPPORTED[-1]}).encode()
        try:
            answer = await self._exec.run(path, environment, request, self._deadline, network=network)
        except PluginError as error:
            if _UNKNOWN_COMMAND in error.reason:
                return versions.SUPPORTED[:1]
            raise
        try:
            return _spoken(Members(parse(answer, "the answer", ResultError), "the answer", ResultError))
        except ResultError as error:
            raise PluginError(error.cause, plugin=path.name, network=network, command="VERSION") from error


def _spoken(answer: Members) -> tuple[str, ...]:
    spoken = tuple(answer.texts("supportedVersions"))
    if not spoken and answer.text("cniVersion") == "0.2.0":  # whose VERSION knew no list
        spoken = "0.1.0", "0.2.0"
    if not spoken:
        answer.refuse("supportedVersions", "the versions the plugin speaks")
    return spoken


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
