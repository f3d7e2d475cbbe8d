"""An API server serves all that the shim and its manifests use: the running one, and recorded newer ones.

`KUBERNETES_DISCOVERY` names a folder with what another server says of itself, as `record` writes it.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.cluster import Cluster

from shim.kube.objects import LEASES
from tests.clusters import MANIFESTS

Document = dict[str, Any]
Discovery = Callable[[str], Document]
"""What a server says of itself at a path, such as `apis/coordination.k8s.io/v1`."""

_RECORDED = os.environ.get("KUBERNETES_DISCOVERY")
_PATHS = (
    "apis/coordination.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/rbac.authorization.k8s.io/v1",
    "api/v1",
)


def record(ask: Callable[[str], str], folder: Path) -> None:
    """Write down what a server says of itself; `ask` is like `kubectl get --raw`."""
    for path in _PATHS:
        (folder / f"{path.replace('/', '_')}.json").write_text(ask(f"/{path}"))


@pytest.fixture(params=["running", *(["recorded"] if _RECORDED else [])])
def discovery(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Discovery:
    """The running server's discovery, and the recorded one if there is any."""
    folder = Path(_RECORDED or "")
    if request.param == "running":
        folder = tmp_path
        record(lambda path: cluster.kubectl("get", "--raw", path), folder)

    def read(path: str) -> Document:
        document: Document = json.loads((folder / f"{path.replace('/', '_')}.json").read_text())
        return document

    return read


def served(discovery: Discovery, api_version: str) -> dict[str, list[str]]:
    """The verbs of each kind of that version."""
    path = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
    resources = discovery(path)["resources"]
    return {item["kind"]: item["verbs"] for item in resources if "/" not in item["name"]}


def manifests() -> Iterator[Document]:
    """All objects that the manifests are made of."""
    for file in sorted(MANIFESTS.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def test_leases_are_served_with_the_verbs_that_nodes_use(discovery: Discovery) -> None:
    verbs = served(discovery, LEASES.api_version)[LEASES.kind]

    assert {"get", "list", "create", "update", "delete"} <= set(verbs)


def test_every_object_of_the_manifests_can_be_created(discovery: Discovery) -> None:
    found = list(manifests())

    assert len(found) > 5
    for item in found:
        assert "create" in served(discovery, item["apiVersion"])[item["kind"]], item["kind"]
