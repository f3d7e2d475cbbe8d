"""A certificate authority of its own for a lab cluster, by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `folder` must exist and holds everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = Pair(folder / "ca.crt", folder / "ca.key")
        _openssl(
            *("req", "-x509", "-new", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._own.key, "-out", self._own.certificate),
        )

    @property
    def certificate(self) -> Path:
        """What clients and servers must trust."""
        return self._own.certificate

    def issue(self, name: str, subject: str, *, alternatives: str = "", days: int = 2) -> Pair:
        """A new pair called `name`, in place of an older one; with 0 `days` it has expired at once.

        `subject` is written as openssl does (`/O=group/CN=user`), and so are `alternatives`
        (`DNS:...,IP:...`).
        """
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        extension = ("-addext", f"subjectAltName={alternatives}") if alternatives else ()
        _openssl(
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, *extension),
            *("-keyout", pair.key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", str(days), "-copy_extensions", "copyall"),
            *("-CA", self._own.certificate, "-CAkey", self._own.key, "-CAcreateserial"),
            *("-out", pair.certificate),
        )
        return pair


def key_pair(folder: Path, name: str) -> Pair:
    """A bare RSA key and its public half, which sign and verify the tokens of service accounts."""
    pair = Pair(folder / f"{name}.pub", folder / f"{name}.key")
    _openssl("genrsa", "-out", pair.key, "2048")
    _openssl("rsa", "-in", pair.key, "-pubout", "-out", pair.certificate)
    return pair


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
