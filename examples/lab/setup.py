"""Installs the Debian packages that are missing, and makes what has none: see `main`.

Docker is installed for its programs only: no daemon of it is started or enabled. A Docker that is already
there is left alone.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import kubernetes, newest
from lab.errors import LabError
from lab.progress import step

_VENV = ("python3-venv", "ca-certificates")
_DEMO = (
    *_VENV,
    "docker.io",
    "containernetworking-plugins",
    "iptables",
    "iproute2",
    "busybox-static",
)
_TEST = (*_DEMO, "debootstrap", "docker-compose", "nftables", "podman")
_PACKAGES = {"venv": _VENV, "demo": _DEMO, "demo-kubernetes": _DEMO, "test": _TEST}
_WITH_KUBERNETES = {"demo-kubernetes", "test"}

_SERVICES = {
    "docker.io": ("docker.service", "docker.socket"),
    "containerd": ("containerd.service",),
    "podman": (
        "podman.service",
        "podman.socket",
        "podman-restart.service",
        "podman-auto-update.service",
        "podman-auto-update.timer",
    ),
}
"""The units that each package enables when it is installed."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_STARTS = "#!/bin/sh\nexit 101  # no service starts while packages are installed\n"


def install(packages: Sequence[str]) -> None:
    """Install those of `packages` that are missing. Raises `LabError`."""
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"installing {', '.join(missing)} needs root: run this as root, or install them first")
    quiet_services = [name for name in _SERVICES if not _installed(name)]
    with _no_service_starts():
        with step("Reading Debian's package lists"):
            _run(["/usr/bin/apt-get", "update"])
        with step(f"Installing {', '.join(missing)}"):
            _run(
                ["/usr/bin/apt-get", "install", "--yes", "--no-install-recommends", *missing],
                {"DEBIAN_FRONTEND": "noninteractive"},
            )
        for name in quiet_services:
            _disable(name)


def _installed(package: str) -> bool:
    try:
        query = subprocess.run(
            ["/usr/bin/dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise LabError("the lab needs Debian's packages: run it on Debian 12 or newer") from None
    return query.stdout == "installed"


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    run = subprocess.run(
        command,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise LabError(f"{' '.join(command)} failed: {run.stderr.strip() or run.stdout.strip()}")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's own switch: while `policy-rc.d` answers 101, no package starts its service.

    An answer that is there already is put aside, and back afterwards, also by the next run should this
    one be killed.
    """
    aside = _POLICY.with_name("policy-rc.d.cnm-cni-lab")
    if _POLICY.exists() and not aside.exists():
        _POLICY.rename(aside)
    try:
        _POLICY.write_text(_NO_STARTS)
        _POLICY.chmod(0o755)
        yield
    finally:
        if aside.exists():
            aside.replace(_POLICY)
        else:
            _POLICY.unlink()


def _disable(package: str) -> None:
    """Take back what the package's installation enabled, for systemd and for System V's init.

    Debian's own helpers are asked, as the package did, since they also work where systemd is not running.
    """
    for unit in _SERVICES[package] if _installed(package) else ():
        _run(["/usr/bin/deb-systemd-helper", "disable", unit], {"DPKG_MAINTSCRIPT_PACKAGE": package})
        script = Path("/etc/init.d") / unit.removesuffix(".service")
        if script.exists():
            _run(["/usr/sbin/update-rc.d", script.name, "disable"])


def main() -> None:
    """Install what the virtual environment, a demo, or the tests need.

    Tests need the newest engine and plugins as well; with the demo of Kubernetes, they need an API server.
    """
    parser = argparse.ArgumentParser(prog="python3 -m lab.setup", description=main.__doc__)
    parser.add_argument("purpose", choices=_PACKAGES)
    purpose = parser.parse_args().purpose
    packages = _PACKAGES[purpose]
    if purpose in _WITH_KUBERNETES and not kubernetes.are_at_hand():
        packages += kubernetes.BUILD_PACKAGES
    try:
        install(packages)
        if purpose in _WITH_KUBERNETES:
            kubernetes.programs()
        if purpose == "test":
            newest.root()
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
