"""The daemon's settings: defaults, then `/etc/cnm-cni/config.yaml`, then flags.

Every mistake is refused as a `ConfigError` that names the file, the key, and what was expected.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from shim.errors import ConfigError

DEFAULT_FILE = Path("/etc/cnm-cni/config.yaml")

_DEADLINE = "_deadline"

_LONGEST = 3600
"""Seconds that a deadline may be at most."""

_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the shim waits for others, in seconds. The engine itself waits for ever."""

    add: float = 60.0
    """One plugin run at ADD."""
    delete: float = 60.0
    """One plugin run at DEL."""
    engine: float = 2.0
    """One question to the Docker Engine API."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon is told. Paths are absolute."""

    driver_name: str = "cni"
    """The name after `docker network create -d`."""
    socket: Path | None = None
    """Where the engine finds the driver; None means `/run/docker/plugins/<driver_name>.sock`."""
    plugin_path: tuple[Path, ...] = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
    """`CNI_PATH`: the folders searched for plugins, in order."""
    conf_dirs: tuple[Path, ...] = (Path("/etc/cni/net.d"),)
    """The folders searched for network configurations, in order."""
    state_dir: Path = Path("/var/lib/cnm-cni")
    """Where the journal is kept; must survive a reboot."""
    run_dir: Path = Path("/run/cnm-cni")
    """Where staging namespaces stand; should not survive a reboot."""
    docker_socket: Path = Path("/run/docker.sock")
    """The engine's API, asked for network and container names only."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    log_level: str = "info"

    @property
    def listen(self) -> Path:
        """The path of the driver's socket."""
        return self.socket or Path("/run/docker/plugins") / f"{self.driver_name}.sock"


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings from `path`, with `overrides` on top: keys of `Settings`, or `add_deadline` and so on.

    Without `path` the default file is read, and may be missing. Raises `ConfigError`.
    """
    settings = _from_file(path or DEFAULT_FILE, required=path is not None)
    for key, value in (overrides or {}).items():
        flag = f"--{key.replace('_', '-')}"
        if key.endswith(_DEADLINE):
            changed = {key.removesuffix(_DEADLINE): _seconds(flag, value)}
            settings = replace(settings, deadlines=replace(settings.deadlines, **changed))
        else:
            settings = replace(settings, **{key: _SETTINGS[key](flag, value)})
    return settings


def _from_file(path: Path, *, required: bool) -> Settings:
    import yaml  # noqa: PLC0415 - the command line needs no YAML

    try:
        text = path.read_text()
    except FileNotFoundError:
        if not required:
            return Settings()
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-45
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    return Settings(**_known(str(path), {} if content is None else content, _SETTINGS))


def _known(where: str, content: object, parsers: Mapping[str, Callable[[str, Any], Any]]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, found {_shown(content)}")
    for key in content:
        if key not in parsers:
            raise ConfigError(f"{where}: unknown key {_shown(key)}; expected one of: {', '.join(parsers)}")
    return {key: parsers[key](f"{where}: {key}", value) for key, value in content.items()}


def _path(where: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ConfigError(f"{where}: expected an absolute path, found {_shown(value)}")
    return Path(value)


def _paths(where: str, value: object) -> tuple[Path, ...]:
    if isinstance(value, str):  # as CNI_PATH writes a list
        value = value.split(":")
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: expected a list of absolute paths, found {_shown(value)}")
    return tuple(_path(where, item) for item in value)


def _seconds(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST:
        raise ConfigError(
            f"{where}: expected a number of seconds above 0 and up to {_LONGEST}, found {_shown(value)}"
        )
    return float(value)


def _deadlines(where: str, value: object) -> Deadlines:
    return Deadlines(**_known(where, value, {item.name: _seconds for item in fields(Deadlines)}))


def _driver_name(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.replace("-", "").isalnum():
        raise ConfigError(f"{where}: expected letters, digits and '-', found {_shown(value)}")
    return value


def _log_level(where: str, value: object) -> str:
    if value not in _LOG_LEVELS:
        raise ConfigError(f"{where}: expected one of {', '.join(_LOG_LEVELS)}, found {_shown(value)}")
    return str(value)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r}"


_SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    "driver_name": _driver_name,
    "socket": _path,
    "plugin_path": _paths,
    "conf_dirs": _paths,
    "state_dir": _path,
    "run_dir": _path,
    "docker_socket": _path,
    "deadlines": _deadlines,
    "log_level": _log_level,
}
