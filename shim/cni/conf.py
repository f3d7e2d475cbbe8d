"""Network configuration lists: reading, checking, and finding them by name.

Source: CNI specification 1.1.0, section 1 "Network configuration format"; for the order of files and
for folders of plugins, libcni `conf.go`. Unlike in libcni, a broken file does not hide the others.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim.cni import versions
from shim.cni.errors import ConfError
from shim.cni.members import Members, parse
from shim.model import JSONObject

_log = logging.getLogger(__name__)

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
"""What network names and container IDs consist of; both become parts of paths."""

_LIST_SUFFIX = ".conflist"
_PLUGIN_SUFFIXES = {".conf", ".json"}


@dataclass(frozen=True, slots=True)
class NetworkConfigList:
    """A network as its operator wrote it: the chain of plugins, in the order of ADD."""

    name: str
    cni_version: str
    """One of `versions.SUPPORTED`: the highest that is supported here, when the list offers several."""
    plugins: tuple[JSONObject, ...]
    """Each plugin's configuration, unknown members included."""
    options: JSONObject = field(default_factory=dict)
    """The list's other members, such as `disableCheck`."""
    offered: tuple[str, ...] = field(default=(), compare=False)
    """The supported versions that the list offers, oldest first."""

    @classmethod
    def from_json(cls, value: object, where: str) -> "NetworkConfigList":
        """A list, or a single plugin's configuration as a list of one; `where` names it in errors.

        Raises `ConfError`.
        """
        members = Members(value, where, ConfError)
        if "plugins" not in members.all:
            if "type" not in members.all:
                raise ConfError(f'{where}: has neither "plugins" (a list) nor "type" (a single plugin)')
            members = Members(_single_as_list(members.all), where, ConfError)
        name = members.text("name")
        if not NAME.fullmatch(name):
            members.refuse("name", "letters, digits, '_', '.' and '-', first a letter or digit")
        plugins = members.objects("plugins")
        if not plugins:
            members.refuse("plugins", "at least one plugin")
        for plugin in plugins:
            _check_plugin(plugin)
        for key in ("disableCheck", "disableGC", "loadOnlyInlinedPlugins"):
            members.flag(key)
        offered = _versions(members, where)
        return cls(
            name=name,
            cni_version=offered[-1],
            offered=offered,
            plugins=tuple(plugin.all for plugin in plugins),
            options={
                key: value
                for key, value in members.all.items()
                if key not in {"name", "cniVersion", "cniVersions", "plugins"}
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The list as `from_json` reads it back.

        The version chosen is the only one named, so that DEL speaks the version of ADD even when a later
        shim supports a higher one.
        """
        return {
            **self.options,
            "name": self.name,
            "cniVersion": self.cni_version,
            "plugins": [dict(plugin) for plugin in self.plugins],
        }

    @property
    def disables_check(self) -> bool:
        """Whether the operator forbids CHECK."""
        return Members(self.options, self.name, ConfError).flag("disableCheck")

    @property
    def disables_gc(self) -> bool:
        """Whether the operator forbids GC, as where other runtimes share the network."""
        return Members(self.options, self.name, ConfError).flag("disableGC")

    @property
    def capabilities(self) -> frozenset[str]:
        """The capabilities that any plugin of the chain declares."""
        return frozenset(
            capability
            for plugin in self.plugins
            for capability, declared in (plugin.get("capabilities") or {}).items()
            if declared
        )


def find(name: str, conf_dirs: Sequence[Path]) -> NetworkConfigList:
    """The first network of that name in the folders; a warning names the files of further ones.

    Raises `ConfError`; it names the folders, the networks found there, and the files that are broken.
    """
    found: dict[str, NetworkConfigList] = {}
    broken: list[str] = []
    chosen: Path | None = None
    for path, conf in _scan(conf_dirs):
        if isinstance(conf, ConfError):
            broken.append(str(conf))
            continue
        if conf.name == name and chosen:
            _log.warning('network "%s" is in two files: %s is used, %s is not', name, chosen, path)
        elif conf.name == name:
            chosen = path
        found.setdefault(conf.name, conf)
    if name in found:
        return found[name]
    folders = ", ".join(map(str, conf_dirs))
    cause = f'no CNI network "{name}" in {folders}; found there: {", ".join(found) or "none"}'
    cure = f"put a conflist of that name in {conf_dirs[0]}"
    raise ConfError(
        cause + (f"; broken: {'; '.join(broken)}" if broken else ""),
        cure=cure + (", or use one of those found" if found else ""),
    )


def _scan(conf_dirs: Sequence[Path]) -> Iterator[tuple[Path, NetworkConfigList | ConfError]]:
    """Every file of the folders that should hold a network, with it or with why it does not."""
    for folder in conf_dirs:
        try:
            files = _files(folder)
        except ConfError as error:
            yield folder, error
            continue
        lists = [path for path in files if path.suffix == _LIST_SUFFIX]
        singles = [path for path in files if path.suffix in _PLUGIN_SUFFIXES]
        for path in lists + singles:
            try:
                yield path, _load(path)
            except ConfError as error:
                yield path, error


def _load(path: Path) -> NetworkConfigList:
    value = _read(path)
    if path.suffix == _LIST_SUFFIX and isinstance(value, dict):
        value = _with_folder(value, path)
    return NetworkConfigList.from_json(value, str(path))


def _with_folder(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """The list with the plugins of the folder that bears its name, unless it declines them."""
    members = Members(value, str(path), ConfError)
    name = members.text("name")
    if members.flag("loadOnlyInlinedPlugins") or not NAME.fullmatch(name):
        return value
    inlined = [plugin.all for plugin in members.objects("plugins")]
    folder = path.parent / name
    return value | {"plugins": inlined + [_read(file) for file in _files(folder) if file.suffix == ".conf"]}


def _files(folder: Path) -> list[Path]:
    """The regular files of a folder in byte order; none when there is no such folder."""
    try:
        return sorted((path for path in folder.iterdir() if path.is_file()), key=bytes)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfError(f"{folder}: {error.strerror}") from error


def _read(path: Path) -> Any:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfError(f"{path}: {error.strerror}") from error
    return parse(text, str(path), ConfError)


def _single_as_list(plugin: Mapping[str, Any]) -> dict[str, Any]:
    """A single configuration as a list of one; the members that belong to a list are copied to it."""
    shared = {key: plugin[key] for key in ("name", "cniVersion", "cniVersions") if key in plugin}
    return shared | {"plugins": [dict(plugin)]}


def _check_plugin(plugin: Members) -> None:
    kind = plugin.text("type")
    if not kind or "/" in kind or not kind.isprintable():
        plugin.refuse("type", 'the name of a plugin, without "/"')
    capabilities = plugin.object("capabilities")
    for capability, declared in capabilities.all.items():
        if not isinstance(declared, bool):
            capabilities.refuse(capability, "true or false")


def _versions(members: Members, where: str) -> tuple[str, ...]:
    """The supported ones of the versions that the list offers, oldest first; at least one."""
    offered = [*filter(None, [members.text("cniVersion")]), *members.texts("cniVersions")]
    try:
        supported = versions.supported(offered or [versions.ASSUMED])
    except ValueError as reason:
        raise ConfError(f"{where}: cniVersion: {reason}") from None
    if not supported:
        raise ConfError(
            f"{where}: cniVersion {', '.join(offered)}: not supported",
            cure=f"supported are {', '.join(versions.SUPPORTED)}",
        )
    return supported
