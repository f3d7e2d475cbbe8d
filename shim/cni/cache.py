"""What was attached, with which configuration and which result, kept on disk for DEL, CHECK and GC.

Source: libcni `api.go`, `cachedInfo`: same folder, names and format, so that other tools can read it. Unlike
libcni's, an entry is on the disk in whole before the call returns, and a broken one stands in nobody's way.
"""

import base64
import binascii
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.cni.conf import NetworkConfigList
from shim.cni.errors import CacheError, ConfError
from shim.cni.members import Members, parse
from shim.cni.result import Result
from shim.cni.runtime import Attachment
from shim.errors import ShimError

_log = logging.getLogger(__name__)

_KIND = "cniCacheV1"
_FOLDER = Path("/var/lib/cni")


@dataclass(frozen=True, slots=True)
class CachedAttachment:
    """An attachment as it was at ADD."""

    network: str
    attachment: Attachment
    conf: NetworkConfigList | None
    """None in the entries of libcni before 0.8, which have the result only."""
    result: Result | None
    """None when the entry has none that can be read."""


class Cache:
    """The attachments stored below `folder`."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder
        self._results = folder / "results"

    def save(self, conf: NetworkConfigList, attachment: Attachment, result: Result) -> None:
        """Store an attachment in place of an older one; it is on the disk afterwards. Raises `CacheError`."""
        entry: dict[str, Any] = {
            "kind": _KIND,
            "containerId": attachment.container_id,
            "config": base64.b64encode(json.dumps(conf.to_json()).encode()).decode(),
            "ifName": attachment.ifname,
            "networkName": conf.name,
            "netns": attachment.netns,
            "cniArgs": [list(pair) for pair in attachment.args],
            "capabilityArgs": dict(attachment.capability_args),
            "result": result.to_json(),
        }
        path = self._path(conf.name, attachment.container_id, attachment.ifname)
        try:
            self._results.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(path, json.dumps({key: value for key, value in entry.items() if value}).encode())
        except OSError as error:
            raise CacheError(f"{path}: cannot be written: {error.strerror}") from error

    def load(self, network: str, container_id: str, ifname: str) -> CachedAttachment | None:
        """The attachment, if it is stored. A broken entry counts as none; a warning names it."""
        path = self._path(network, container_id, ifname)
        try:
            entry = _read(path)
            if entry.text("kind") != _KIND:
                return _legacy(entry, network, Attachment(container_id, "", ifname))
            cached = _cached(entry)
        except FileNotFoundError:
            return None
        except (OSError, ShimError) as error:
            _log.warning("%s: broken, so it counts as absent: %s", path, error)
            return None
        found = cached.network, cached.attachment.container_id, cached.attachment.ifname
        if found != (network, container_id, ifname):
            _log.warning("%s: is of another attachment, so it counts as absent: %s", path, " ".join(found))
            return None
        return cached

    def remove(self, network: str, container_id: str, ifname: str) -> None:
        """Forget an attachment; harmless when it is not stored. Raises `CacheError`."""
        path = self._path(network, container_id, ifname)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(f"{path}: cannot be removed: {error.strerror}") from error

    def attachments(self, network: str) -> list[CachedAttachment]:
        """The attachments to a network, by file name; entries that do not say whose they are are left out.

        Raises `CacheError` when the folder cannot be read.
        """
        try:
            paths = sorted(self._results.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CacheError(f"{self._results}: {error.strerror}") from error
        found = []
        for path in paths:
            try:
                entry = _read(path)
                if entry.text("kind") == _KIND:
                    found.append(_cached(entry))
            except (OSError, ShimError) as error:
                _log.warning("%s: broken, so it is left out: %s", path, error)
        return [cached for cached in found if cached.network == network]

    def _path(self, network: str, container_id: str, ifname: str) -> Path:
        return self._results / f"{network}-{container_id}-{ifname}"

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all, even when the machine stops meanwhile. Raises `OSError`.

        The unfinished file is outside the folder of results, where other tools would read it.
        """
        descriptor, unfinished = tempfile.mkstemp(dir=self._folder, prefix=".result-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).rename(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        for folder in (self._results, self._folder):
            _sync(folder)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Members:
    """Raises `OSError`, or `ConfError` for what is no JSON object."""
    return Members(parse(path.read_bytes(), "entry", ConfError), "entry", ConfError)


def _cached(entry: Members) -> CachedAttachment:
    """Raises `ShimError` unless the entry has all that DEL needs."""
    conf = NetworkConfigList.from_json(parse(_config(entry), "entry: config", ConfError), "entry: config")
    attachment = Attachment(
        entry.text("containerId"),
        entry.text("netns"),
        entry.text("ifName"),
        _args(entry),
        entry.object("capabilityArgs").all,
    )
    return CachedAttachment(entry.text("networkName"), attachment, conf, _result(entry.all.get("result")))


def _legacy(entry: Members, network: str, attachment: Attachment) -> CachedAttachment:
    """An entry that is a bare result. Raises `ResultError`."""
    return CachedAttachment(network, attachment, None, Result.from_json(entry.all, "entry"))


def _config(entry: Members) -> bytes:
    try:
        return base64.b64decode(entry.text("config"), validate=True)
    except binascii.Error:
        entry.refuse("config", "base64")


def _args(entry: Members) -> tuple[tuple[str, str], ...]:
    pairs = entry.all.get("cniArgs") or []
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        entry.refuse("cniArgs", "a list of pairs of strings")
    return tuple((key, value) for key, value in pairs)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and [type(item) for item in value] == [str, str]


def _result(value: object) -> Result | None:
    """None for a result that cannot be read: DEL goes on without (as libcni since 1.3)."""
    if value is None:
        return None
    try:
        return Result.from_json(value, "entry: result")
    except ShimError as error:
        _log.warning("a stored result is left out: %s", error)
        return None
