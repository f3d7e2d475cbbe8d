"""The way to the API server, and whose credentials are shown there."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shim.config import Kubernetes
from shim.kube.errors import AccessError

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Source: Kubernetes documentation, "Accessing the Kubernetes API from a Pod"."""


class Access(Protocol):
    """One way to the API server; its text names it in logs and errors."""

    async def load(self, scratch: Path) -> "Configuration":
        """Read the credentials as they are now; keys that are no files are put into the folder `scratch`.

        Raises `AccessError`.
        """

    def files(self, loaded: "Configuration") -> tuple[Path, ...]:
        """The files that were read; when one changes, the credentials have."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Access as kubectl has it, by one or several kubeconfig files."""

    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return f"kubeconfig {':'.join(map(str, self.paths))}"

    async def load(self, scratch: Path) -> "Configuration":
        """Read the files, the first of them first; a credential plugin that they name is run."""
        from kubernetes.aio.client import Configuration  # noqa: PLC0415 - loaded when it is first used
        from kubernetes.aio.config import load_kube_config  # noqa: PLC0415
        from kubernetes.aio.config.config_exception import ConfigException  # noqa: PLC0415
        from yaml import YAMLError  # noqa: PLC0415

        for path in self.paths:
            if not path.is_file():
                raise AccessError(f"{self}: {path}: no such file", cure="it is looked for again and again")
        configuration = Configuration()
        try:
            await load_kube_config(
                os.pathsep.join(map(str, self.paths)),
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=str(scratch),
            )
        except (
            ConfigException,
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            YAMLError,
        ) as error:
            raise AccessError(f"{self}: {error}", cure="see: kubectl --kubeconfig=... version") from error
        return configuration

    def files(self, loaded: "Configuration") -> tuple[Path, ...]:
        """The kubeconfigs, and the certificates and keys they name."""
        named = (loaded.ssl_ca_cert, loaded.cert_file, loaded.key_file)
        return (*self.paths, *(Path(name) for name in named if name))


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Access by the server's URL and a token file, as a pod has it."""

    server: str
    token_file: Path
    ca_file: Path | None

    def __str__(self) -> str:
        return f"{self.server} with the token in {self.token_file}"

    async def load(self, scratch: Path) -> "Configuration":  # noqa: ARG002 - all are files already
        """Read the token."""
        from kubernetes.aio.client import Configuration  # noqa: PLC0415 - loaded when it is first used

        try:
            token = (await asyncio.to_thread(self.token_file.read_text)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"{self.token_file}: cannot be read: {error}") from error
        if not token:
            raise AccessError(f"{self.token_file}: no token in it")
        if self.ca_file and not self.ca_file.is_file():
            raise AccessError(f"{self.ca_file}: no such file")
        configuration = Configuration(
            host=self.server, ssl_ca_cert=str(self.ca_file) if self.ca_file else None
        )
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        return configuration

    def files(self, loaded: "Configuration") -> tuple[Path, ...]:  # noqa: ARG002 - they are known
        """The token, and the certificates of the server."""
        return tuple(filter(None, (self.token_file, self.ca_file)))


def find(settings: Kubernetes, environment: Mapping[str, str]) -> Access | None:
    """The way to Kubernetes that the settings give, or else the environment; None when it is not used."""
    if not settings.enabled:
        return None
    if settings.kubeconfig:
        return Kubeconfig((settings.kubeconfig,))
    if settings.server and settings.token_file:
        return TokenAccess(settings.server, settings.token_file, settings.ca_file)
    if paths := tuple(Path(path) for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path):
        return Kubeconfig(paths)
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if host and (_POD / "token").exists():
        server = f"https://{f'[{host}]' if ':' in host else host}:{port or 443}"
        return TokenAccess(server, _POD / "token", _POD / "ca.crt")
    return None
