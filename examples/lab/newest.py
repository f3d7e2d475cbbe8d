"""The newest engine and plugins that Debian carries, in a cached Debian tree of their own."""

import shutil
import subprocess
from pathlib import Path

from lab.cache import cached
from lab.errors import LabError

SUITE = "testing"

_PACKAGES = (
    "docker.io",
    "docker-cli",
    "docker-compose",
    "containernetworking-plugins",
    "iptables",
    "iproute2",
    "ca-certificates",
)


def root() -> Path:
    """The Debian tree with the newest engine, built at first use (a minute, 0.6 GB). Raises `LabError`."""
    return cached(SUITE, f"Building a Debian {SUITE} tree with the newest Docker engine", _build)


def plugins(tree: Path, folder: Path) -> Path:
    """A new `folder` with a wrapper for each CNI plugin of `tree`, to run it outside of the tree.

    The plugins are linked against the tree's C library, so its own loader must start them.
    """
    loader = next(tree.glob("usr/lib/*/ld-linux*.so.*"))
    folder.mkdir()
    for plugin in (tree / "usr/lib/cni").iterdir():
        wrapper = folder / plugin.name
        wrapper.write_text(f'#!/bin/sh\nexec "{loader}" --library-path "{loader.parent}" "{plugin}" "$@"\n')
        wrapper.chmod(0o755)
    return folder


def _build(tree: Path) -> None:
    # In namespaces of its own, so that an interrupted build leaves no process and no mount behind.
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command += ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", SUITE, str(tree)]
    build = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if build.returncode != 0:
        tail = " / ".join((build.stdout + build.stderr).strip().splitlines()[-3:])
        raise LabError(f"debootstrap of Debian {SUITE} failed: {tail}")
    shutil.rmtree(tree / "var/cache/apt/archives")
