"""What Kubernetes should have of a network of this node, pure: its DockerNetwork, and the status of that."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from shim import attached
from shim.config import Kubernetes
from shim.engine import DockerNetwork, Identity
from shim.errors import ShimError
from shim.kube.objects import CONFLIST, DEFINITIONS, Binding
from shim.model import Endpoint, EndpointID, JSONObject, Network
from shim.options import network_options

_MOST_ENDPOINTS = 1000
"""Endpoints that are listed; an object may have 1.5 MB."""

_READY = "Ready"


def binding(network: Network, docker: DockerNetwork, engine: Identity, settings: Kubernetes) -> Binding:
    """The DockerNetwork of a bound network; its own name is still to be given."""
    namespace, _, name = network.cni_network.rpartition("/")
    return Binding(
        namespace=namespace or settings.default_namespace,
        id=network.id,
        kind=DEFINITIONS.kind if namespace else CONFLIST,
        logical_network=name,
        name=docker.name,
        node=settings.node,
        engine_id=engine.id,
        engine_version=engine.version,
        mode=network_options(network.options).mode,
        internal=network.internal,
        options=network.options,
    )


def status(
    endpoints: Sequence[Endpoint],
    containers: Mapping[EndpointID, str],
    problem: ShimError | None,
    before: JSONObject,
) -> dict[str, Any]:
    """The status, given the one before; `problem` is why the network can have no new containers, if so."""
    ready = (
        ("True", "Bound", "Containers on this Docker network are attached to the logical network.")
        if problem is None
        else ("False", "Unusable", f"Running containers keep their network, new ones fail: {problem}")
    )
    return {
        "endpointCount": len(endpoints),
        "endpoints": [_endpoint(item, containers) for item in islice(endpoints, _MOST_ENDPOINTS)],
        "conditions": [condition(*ready, before)],
    }


def condition(status: str, reason: str, message: str, before: JSONObject) -> dict[str, str]:
    """The condition `Ready`; the time of its last change is kept while `status` stays as it was before.

    Source: Kubernetes API conventions, "Typical status properties".
    """
    conditions: Iterable[Mapping[str, str]] = before.get("conditions") or ()
    old = next((item for item in conditions if item["type"] == _READY), {})
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    return {
        "type": _READY,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _endpoint(endpoint: Endpoint, containers: Mapping[EndpointID, str]) -> dict[str, Any]:
    shown = {
        "id": endpoint.id,
        "container": containers.get(endpoint.id, ""),
        "addresses": attached.addresses(endpoint),
        "mac": attached.mac(endpoint),
        "sandbox": endpoint.sandbox_key,
    }
    return {key: value for key, value in shown.items() if value}
