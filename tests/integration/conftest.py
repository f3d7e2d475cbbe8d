"""Real plugins in real namespaces: these tests run where they cannot touch the host.

Run them with `unshare --net --mount --propagation private pytest tests/integration`. Those with a cluster
mostly wait for it, so a second process (`--numprocesses=2`) does the others meanwhile.
"""

import ctypes
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import newest
from xdist.scheduler import LoadScopeScheduling

from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.net.links import Links
from shim.net.replay import Replay
from shim.net.thread import NetlinkThread
from tests.integration.host import links, run

_STATE_FOLDERS = ("/run", "/var/lib")
"""Where `ip netns` keeps its handles, and plugins what they remember: hidden under empty ones."""


_NAMESPACES = 0x40000000 | 0x00020000
"""CLONE_NEWNET and CLONE_NEWNS."""


class _ByCluster(LoadScopeScheduling):
    """One process runs all tests with a cluster, another one the rest."""

    def _split_scope(self, nodeid: str) -> str:
        return str("/kube/" in nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByCluster:
    return _ByCluster(config, log)


@pytest.fixture(scope="session", autouse=True)
def private_host(worker_id: str) -> None:
    """Network and mount namespaces of this process's own, with `lo` up and empty state folders."""
    for kind in ("net", "mnt"):
        if not _is_private(kind):
            pytest.exit(
                "these tests change links, mounts and firewall rules, so they only run in namespaces of "
                "their own: unshare --net --mount --propagation private pytest tests/integration",
                returncode=2,
            )
    if worker_id != "master":  # one of several
        assert ctypes.CDLL(None).unshare(_NAMESPACES) == 0
    run("ip", "link", "set", "lo", "up")
    for folder in _STATE_FOLDERS:
        run("mount", "-t", "tmpfs", "tmpfs", folder)


@pytest.fixture
def sandbox() -> Iterator[Path]:
    """A network namespace for a container."""
    run("ip", "netns", "add", "sandbox")
    yield Path("/run/netns/sandbox")
    run("ip", "netns", "delete", "sandbox")


@pytest.fixture(scope="module", params=["installed", "newest"])
def plugin_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one set of plugins."""
    if request.param == "installed":
        return Path("/usr/lib/cni")
    return newest.plugins(newest.root(), tmp_path_factory.mktemp("newest") / "plugins")


@pytest.fixture
def runtime(plugin_path: Path) -> Runtime:
    return Runtime(Exec(lambda *_: None), [plugin_path], add_deadline=60.0, delete_deadline=60.0)


@pytest.fixture
def staging(sandbox: Path) -> Iterator[Path]:
    """Where the plugins work."""
    assert sandbox.exists(), "it lives longer, since links are taken back from both"
    run("ip", "netns", "add", "staging")
    yield Path("/run/netns/staging")
    for name in links():
        if name.startswith("p-"):  # with the other end, wherever that is
            run("ip", "link", "delete", name)
    run("ip", "netns", "delete", "staging")


@pytest.fixture
async def thread() -> AsyncIterator[NetlinkThread]:
    thread = NetlinkThread()
    yield thread
    thread.close()


@pytest.fixture
def net(thread: NetlinkThread) -> Links:
    return Links(thread)


@pytest.fixture
def replay(thread: NetlinkThread) -> Replay:
    return Replay(thread)


def _is_private(kind: str) -> bool:
    """Whether some ancestor of this process lives in another namespace of that kind.

    Asking process 1 alone is not enough: not every machine lets root look at it.
    """
    own = Path(f"/proc/self/ns/{kind}").readlink()
    process = os.getppid()
    while process:
        try:
            if Path(f"/proc/{process}/ns/{kind}").readlink() != own:
                return True
        except PermissionError:
            pass
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False
