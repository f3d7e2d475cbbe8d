"""The daemon's settings: defaults, then `/etc/cnm-cni/config.yaml`, then flags.

Every mistake is refused as a `ConfigError` that names the file, the key, and what was expected.
"""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from shim.errors import ConfigError

DEFAULT_FILE = Path("/etc/cnm-cni/config.yaml")

_LONGEST = 3600
"""Seconds that anything may take at most."""

_LOG_LEVELS = ("debug", "info", "warning", "error")

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
"""The name of a Kubernetes namespace. Source: RFC 1123."""
_NODE = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?", re.ASCII)
"""A node's name that can be a label's value as well."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the shim waits for others, in seconds. The engine itself waits for ever."""

    add: float = 60.0
    """One plugin run at ADD."""
    delete: float = 60.0
    """One plugin run at DEL."""
    engine: float = 2.0
    """One question to the Docker Engine API."""
    kubernetes: float = 2.0
    """What `docker network create` waits for the Kubernetes API at most."""


def _host_name() -> str:
    """The host's name as a node's: lower case as kubelet has it, and with `-` for what no label can have."""
    return re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower())[:63].strip("-.") or "node"


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """How to reach Kubernetes, and what to do there.

    It is used when `kubeconfig` or `server` is given, when the environment has KUBECONFIG, or in a pod.
    """

    enabled: bool = True
    """False: not even then."""
    kubeconfig: Path | None = None
    server: str = ""
    """URL of the API server, in place of a kubeconfig."""
    token_file: Path | None = None
    """The token for `server`; read again whenever it changes."""
    ca_file: Path | None = None
    """The certificates that `server` is trusted by; None means the system's."""
    node: str = field(default_factory=_host_name)
    """This engine's name in Kubernetes; no two engines may share one."""
    namespace: str = "cnm-cni"
    """Where the nodes' leases are."""
    default_namespace: str = "default"
    """Where a network given without namespace is looked for, and where bindings to conflists are written."""
    namespaces: tuple[str, ...] = ()
    """The namespaces that this node may use; empty means all."""
    heartbeat: float = 15.0
    """Seconds between two renewals of the node's lease; after four without any the node counts as lost."""
    forget_after: float = 300.0
    """Seconds of silence after which a node's bindings are removed by another node."""
    status_interval: float = 10.0
    """Seconds between two updates of a binding's status at least."""


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
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    log_level: str = "info"

    @property
    def listen(self) -> Path:
        """The path of the driver's socket."""
        return self.socket or Path("/run/docker/plugins") / f"{self.driver_name}.sock"


def load(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from `path`, with `flags`, by their names in `FLAGS`, on top.

    Without `path` the default file is read, and may be missing. Raises `ConfigError`.
    """
    settings = _from_file(path or DEFAULT_FILE, required=path is not None)
    for flag, value in (flags or {}).items():
        section, _, key = FLAGS[flag].rpartition(".")
        if section:
            changed = replace(getattr(settings, section), **{key: _SECTIONS[section][key](flag, value)})
            settings = replace(settings, **{section: changed})
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
    return Deadlines(**_known(where, value, _SECTIONS["deadlines"]))


def _kubernetes(where: str, value: object) -> Kubernetes:
    kubernetes = Kubernetes(**_known(where, value, _SECTIONS["kubernetes"]))
    if kubernetes.kubeconfig and kubernetes.server:
        raise ConfigError(f"{where}: kubeconfig and server exclude each other: give one of them")
    if kubernetes.server and not kubernetes.token_file:
        raise ConfigError(f"{where}: server needs a token_file")
    if not kubernetes.server and (kubernetes.token_file or kubernetes.ca_file):
        raise ConfigError(f"{where}: token_file and ca_file need a server")
    return kubernetes


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: expected true or false, found {_shown(value)}")
    return value


def _server(where: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https://[^\s/]+/?", value):
        raise ConfigError(f"{where}: expected https://HOST[:PORT], found {_shown(value)}")
    return value.rstrip("/")


def _namespace(where: str, value: object) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise ConfigError(f"{where}: expected the name of a namespace, found {_shown(value)}")
    return value


def _namespaces(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list of namespaces, found {_shown(value)}")
    return tuple(dict.fromkeys(_namespace(where, item) for item in value))


def _node(where: str, value: object) -> str:
    if not isinstance(value, str) or not _NODE.fullmatch(value):
        raise ConfigError(
            f"{where}: expected up to 63 lower case letters, digits, '-' and '.', found {_shown(value)}"
        )
    return value


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


_Parsers = dict[str, Callable[[str, Any], Any]]

_SECTIONS: dict[str, _Parsers] = {
    "deadlines": {item.name: _seconds for item in fields(Deadlines)},
    "kubernetes": {
        "enabled": _flag,
        "kubeconfig": _path,
        "server": _server,
        "token_file": _path,
        "ca_file": _path,
        "node": _node,
        "namespace": _namespace,
        "default_namespace": _namespace,
        "namespaces": _namespaces,
        "heartbeat": _seconds,
        "forget_after": _seconds,
        "status_interval": _seconds,
    },
}

_SETTINGS: _Parsers = {
    "driver_name": _driver_name,
    "socket": _path,
    "plugin_path": _paths,
    "conf_dirs": _paths,
    "state_dir": _path,
    "run_dir": _path,
    "docker_socket": _path,
    "deadlines": _deadlines,
    "kubernetes": _kubernetes,
    "log_level": _log_level,
}

FLAGS = {
    **{
        f"--{key.replace('_', '-')}": key
        for key in (
            *("driver_name", "socket", "plugin_path", "conf_dirs", "state_dir", "run_dir"),
            *("docker_socket", "log_level"),
        )
    },
    **{f"--{item.name}-deadline": f"deadlines.{item.name}" for item in fields(Deadlines)},
    "--kubeconfig": "kubernetes.kubeconfig",
    "--node": "kubernetes.node",
}
"""The settings that have a flag, by the flag."""
