"""The programs of a Kubernetes control plane: kube-apiserver, etcd and kubectl."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.cache import cached, folder
from lab.errors import LabError

BUILD_PACKAGES = ("golang-go", "jq", "make", "rsync")
"""The Debian packages that building kube-apiserver takes."""

_PROGRAMS = ("kube-apiserver", "etcd", "kubectl")
_REFLECT = "golang-github-modern-go-reflect2-dev"
_GIVEN = "KUBEBUILDER_ASSETS"
_CACHED = "kubernetes"


def are_at_hand() -> bool:
    """Whether nothing has to be built."""
    return bool(os.environ.get(_GIVEN)) or folder(_CACHED).exists()


def programs() -> Path:
    """The folder that holds them: `$KUBEBUILDER_ASSETS` if set, else one made at first use.

    kube-apiserver is built from Debian's source package then (five minutes on two cores), the other two are
    taken out of Debian's binary packages, which are not installed. Raises `LabError`.
    """
    given = os.environ.get(_GIVEN)
    found = Path(given) if given else cached(_CACHED, "Building kube-apiserver from Debian's source", _make)
    for program in _PROGRAMS:
        if not (found / program).is_file():
            raise LabError(
                f"{found} has no {program}" + (f": set {_GIVEN} to a folder with it" if given else "")
            )
    return found


def _make(target: Path) -> None:
    target.mkdir()
    # Not below /tmp, which may be in memory: the build takes 2 GB.
    with tempfile.TemporaryDirectory(prefix="cnm-cni-kubernetes-", dir="/var/tmp") as name:
        work = Path(name)
        apt_get = _apt_get(work)
        for package, program in (("etcd-server", "etcd"), ("kubernetes-client", "kubectl")):
            shutil.copy2(_extracted(package, work, apt_get) / "usr/bin" / program, target)
        _run([*apt_get, "source", "--download-only", "kubernetes"], work)
        shutil.copy2(_built(work, _extracted(_REFLECT, work, apt_get)), target)


def _extracted(package: str, work: Path, apt_get: Sequence[str]) -> Path:
    """The files of a binary package, in a folder of their own in `work`."""
    _run([*apt_get, "download", package], work)
    (archive,) = work.glob(f"{package}_*.deb")
    _run(["dpkg-deb", "--extract", archive, work / package], work)
    return work / package


def _apt_get(work: Path) -> list[str]:
    """apt-get with package lists of its own in `work`, which have the sources as well."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]
    places = sorted(set(_run([*query, "Created-By: Packages"], work).splitlines()))
    sources = work / "sources.list"
    sources.write_text("".join(f"deb {place}\ndeb-src {place}\n" for place in places))
    lists = work / "lists"
    (lists / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": lists,
        "APT::Sandbox::User": "root",  # apt's own user may not write to `work`
    }
    apt_get = ["apt-get", "-qq", *(f"--option={name}={value}" for name, value in options.items())]
    _run([*apt_get, "update"], work)
    return apt_get


def _built(work: Path, reflect: Path) -> Path:
    """kube-apiserver, built from the source archive in `work`."""
    (archive,) = work.glob("kubernetes_*.orig.tar.*")
    source = work / "source"
    source.mkdir()
    _run(["tar", "--extract", "--file", archive, "--strip-components=1"], source)
    # The copy in the source crashes the server at the first custom object when Go is 1.18 or newer.
    vendored = source / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(reflect / "usr/share/gocode/src/github.com/modern-go/reflect2", vendored)
    environment = {"GOFLAGS": "-mod=vendor", "GOCACHE": str(work / "go"), "CGO_ENABLED": "0"}
    _run(["make", "WHAT=cmd/kube-apiserver"], source, environment)
    return source / "_output/bin/kube-apiserver"


def _run(command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = " / ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise LabError(f"{' '.join(map(str, command))} failed: {tail}")
    return done.stdout
