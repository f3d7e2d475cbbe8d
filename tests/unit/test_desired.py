"""What Kubernetes should have of a network."""

from dataclasses import replace
from typing import Any

import pytest

from shim import desired
from shim.config import Kubernetes
from shim.engine import DockerNetwork, Identity
from shim.errors import ShimError
from shim.kube.objects import CONFLIST, DEFINITIONS, Binding
from shim.model import EndpointID, EndpointState, Network
from tests.unit.standins import ENDPOINT_ID, MAC, NETWORK_ID, endpoint

DOCKER = DockerNetwork(
    NETWORK_ID, "web", "cni", internal=False, options={}, ipam_options={}, containers={ENDPOINT_ID: "shop"}
)
ENGINE = Identity("ABCD", "28.5.2")
SETTINGS = Kubernetes(node="node-a", default_namespace="team-d")


def test_a_network_of_a_definition_stands_in_its_namespace() -> None:
    options = {"cni.network": "team-a/blue"}
    network = Network(NETWORK_ID, "team-a/blue", options=options, internal=True)

    assert desired.binding(network, DOCKER, ENGINE, SETTINGS) == Binding(
        namespace="team-a",
        id=NETWORK_ID,
        kind=DEFINITIONS.kind,
        logical_network="blue",
        name="web",
        node="node-a",
        engine_id="ABCD",
        engine_version="28.5.2",
        mode="handover",
        internal=True,
        options=options,
    )


def test_a_network_of_a_conflist_stands_in_the_default_namespace() -> None:
    binding = desired.binding(Network(NETWORK_ID, "cni-bridge"), DOCKER, ENGINE, SETTINGS)

    assert (binding.namespace, binding.kind, binding.logical_network) == ("team-d", CONFLIST, "cni-bridge")


def test_a_status_has_the_endpoints_with_all_that_is_known_of_them() -> None:
    joined = endpoint(EndpointState.JOINED, sandbox_key="/run/netns/1")
    unnamed = endpoint(EndpointState.CREATED, id=EndpointID("f" * 64))

    status = desired.status([joined, unnamed], DOCKER.containers, None, {})

    assert status["endpointCount"] == 2
    assert status["endpoints"] == [
        {
            "id": ENDPOINT_ID,
            "container": "shop",
            "addresses": ["10.1.0.5/16"],
            "mac": MAC,
            "sandbox": "/run/netns/1",
        },
        {"id": "f" * 64, "addresses": ["10.1.0.5/16"], "mac": MAC},
    ]
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "True", "Bound")


def test_more_endpoints_than_an_object_holds_are_counted() -> None:
    one = endpoint(EndpointState.JOINED)
    many = [replace(one, id=EndpointID(f"{number:064x}")) for number in range(1200)]

    status = desired.status(many, {}, None, {})

    assert (status["endpointCount"], len(status["endpoints"])) == (1200, 1000)


def test_a_problem_is_told_in_the_condition() -> None:
    (condition,) = desired.status([], {}, ShimError("is gone", cure="see"), {})["conditions"]

    assert (condition["status"], condition["reason"]) == ("False", "Unusable")
    assert condition["message"] == "Running containers keep their network, new ones fail: is gone (see)"


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "then"}]}, False),
        ({"conditions": [{"type": "Other", "status": "True", "lastTransitionTime": "then"}]}, False),
        ({"conditions": None}, False),
        ({}, False),
    ],
)
def test_the_time_of_a_condition_is_that_of_its_last_change(before: dict[str, Any], kept: bool) -> None:  # noqa: FBT001 - a parameter
    condition = desired.condition("True", "Bound", "text", before)

    assert (condition["lastTransitionTime"] == "then") == kept
