"""Objects of Kubernetes as plain data and back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shim.kube.objects import (
    CONFLIST,
    DEFINITIONS,
    DOCKER_NETWORKS,
    Binding,
    Resource,
    definition_from_json,
    key,
    written,
)
from shim.model import Definition, NetworkID

MANIFESTS = Path(__file__).parents[3] / "examples" / "kubernetes"
ID = NetworkID("a" * 64)
META = {"namespace": "team-a", "name": "blue"}
BINDING = Binding(
    namespace="team-a",
    id=ID,
    kind=DEFINITIONS.kind,
    logical_network="blue",
    name="web",
    node="node-a",
    engine_id="ABCD",
    engine_version="28.5.2",
    internal=True,
    options={"cni.network": "team-a/blue"},
    object_name="a" * 12,
)


def test_what_is_written_is_read_back() -> None:
    value = BINDING.to_json("node-a")
    value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    value["status"] = {"endpointCount": 1}

    read = Binding.from_json(value)

    assert read == BINDING
    assert (read.object_name, read.claimed_by) == ("a" * 12, "node-a")
    assert (read.status, read.created_at) == ('{"endpointCount":1}', "2026-01-01T00:00:00Z")


def test_the_least_that_the_schema_allows_is_read() -> None:
    value = {
        "metadata": {"namespace": "team-a", "name": "x"},
        "spec": {"id": ID, "logicalNetwork": {"name": "blue"}},
    }

    read = Binding.from_json(value)

    assert (read.kind, read.claimed_by, read.status, dict(read.options)) == (DEFINITIONS.kind, "", "{}", {})
    assert read.cni_network == "team-a/blue"


def test_a_conflist_is_named_without_a_namespace() -> None:
    assert replace(BINDING, kind=CONFLIST, logical_network="web").cni_network == "web"


@pytest.mark.parametrize(
    ("name", "label"),
    [("blue", "blue"), ("Blue_1.x", "Blue_1.x"), ("a" * 63, "a" * 63), ("a" * 64, None), ("blue-", None)],
)
def test_a_name_is_a_label_only_if_it_can_be_one(name: str, label: str | None) -> None:
    labels = replace(BINDING, logical_network=name).to_json("node-a")["metadata"]["labels"]

    assert labels.get("cnm-cni.io/network") == label
    assert labels["cnm-cni.io/node"] == "node-a"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"metadata": {}, "spec": {}},
        {"metadata": {"namespace": "a", "name": "b"}, "spec": None},
        {"metadata": {"namespace": "a", "name": "b"}, "spec": {"id": ID}},
        {"metadata": {"namespace": "a", "name": "b"}, "spec": {"id": ID, "logicalNetwork": "blue"}},
    ],
)
def test_what_is_no_binding_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no DockerNetwork"):
        Binding.from_json(value)


@pytest.mark.parametrize(
    ("spec", "config"),
    [({"config": "{}"}, "{}"), ({"config": ""}, ""), ({}, ""), (None, ""), ({"config": None}, "")],
)
def test_a_definition_is_read_with_or_without_configuration(spec: object, config: str) -> None:
    value = {"metadata": META, "spec": spec}

    assert definition_from_json(value) == Definition("team-a", "blue", config)


@pytest.mark.parametrize("value", [{}, {"metadata": {}}, {"metadata": META, "spec": {"config": 5}}])
def test_what_is_no_definition_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is no NetworkAttachmentDefinition|spec\.config is no string"):
        definition_from_json(value)


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4))
def test_a_status_is_written_the_same_whatever_the_order(status: dict[str, Any]) -> None:
    assert written(status) == written(dict(reversed(status.items())))


def test_the_key_is_namespace_and_name() -> None:
    assert key(BINDING.to_json("x")) == ("team-a", "a" * 12)


@pytest.mark.parametrize("resource", [DEFINITIONS, DOCKER_NETWORKS], ids=str)
def test_the_manifests_define_what_the_shim_asks_for(resource: Resource) -> None:
    manifest = yaml.safe_load((MANIFESTS / f"{resource.plural}.yaml").read_text())

    assert manifest["metadata"]["name"] == str(resource)
    assert manifest["spec"]["group"] == resource.group
    assert manifest["spec"]["names"]["kind"] == resource.kind
    assert [version["name"] for version in manifest["spec"]["versions"]] == [resource.version]


def test_the_schema_has_each_member_that_is_written() -> None:
    manifest = yaml.safe_load((MANIFESTS / "dockernetworks.yaml").read_text())
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    assert schema.keys() == BINDING.to_json("x")["spec"].keys()
    for member in ("engine", "logicalNetwork"):
        assert schema[member]["properties"].keys() == BINDING.to_json("x")["spec"][member].keys()
