"""The objects of Kubernetes that matter here, as they are on the wire and as plain data.

Source: for NetworkAttachmentDefinition, the Network Plumbing Working Group's multi-net-spec 1.3, section 3;
for DockerNetwork, `examples/kubernetes/dockernetworks.yaml`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Self

from shim.model import Definition, JSONObject, NetworkID

Key = tuple[str, str]
"""Namespace and name of an object."""

NODE_LABEL = "cnm-cni.io/node"
"""The node whose shim keeps the object in step; without it, nobody does yet."""
NETWORK_LABEL = "cnm-cni.io/network"
"""The logical network's name, for `kubectl get dnet -l`."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "cnm-cni"}
"""Source: Kubernetes documentation, "Recommended Labels"."""

CONFLIST = "Conflist"
"""The kind of a logical network that is a file on the node."""

_LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects and where the API has them."""

    group: str
    version: str
    plural: str
    kind: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"

    @property
    def api_version(self) -> str:
        """As objects have it."""
        return f"{self.group}/{self.version}"


DEFINITIONS = Resource(
    "k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition"
)
DOCKER_NETWORKS = Resource("cnm-cni.io", "v1alpha1", "dockernetworks", "DockerNetwork")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


@dataclass(frozen=True, slots=True)
class Binding:
    """A DockerNetwork: which logical network a network of some engine is."""

    namespace: str
    """That of a NetworkAttachmentDefinition is the same."""
    id: NetworkID
    """Docker's ID of the network."""
    kind: str
    """`NetworkAttachmentDefinition` or `Conflist`."""
    logical_network: str
    """Its name."""
    name: str = ""
    """Docker's name of the network."""
    node: str = ""
    engine_id: str = ""
    engine_version: str = ""
    mode: str = "handover"
    internal: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    object_name: str = field(default="", compare=False)
    """Name of the object itself."""
    claimed_by: str = field(default="", compare=False)
    """The node whose shim keeps it in step."""
    status: str = field(default="", compare=False)
    """What `written` makes of its status."""
    created_at: str = field(default="", compare=False)
    """RFC 3339."""

    @classmethod
    def from_json(cls, value: JSONObject) -> Self:
        """Read an object; what many have in common is kept once. Raises `ValueError`."""
        try:
            meta, spec = value["metadata"], value["spec"]
            engine = spec.get("engine") or {}
            return cls(
                namespace=intern(meta["namespace"]),
                id=NetworkID(spec["id"]),
                kind=intern(spec["logicalNetwork"].get("kind", DEFINITIONS.kind)),
                logical_network=intern(spec["logicalNetwork"]["name"]),
                name=spec.get("name", ""),
                node=intern(spec.get("node", "")),
                engine_id=intern(engine.get("id", "")),
                engine_version=intern(engine.get("version", "")),
                mode=intern(spec.get("mode", "")),
                internal=spec.get("internal", False),
                options=spec.get("options") or {},
                object_name=meta["name"],
                claimed_by=intern((meta.get("labels") or {}).get(NODE_LABEL, "")),
                status=intern(written(value.get("status") or {})),
                created_at=meta.get("creationTimestamp", ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is no DockerNetwork: {error!r}") from error

    @property
    def cni_network(self) -> str:
        """The logical network as `-o cni.network` names it."""
        is_file = self.kind == CONFLIST
        return self.logical_network if is_file else f"{self.namespace}/{self.logical_network}"

    def to_json(self, node: str) -> dict[str, Any]:
        """What the shim of `node` writes: the object without its status."""
        labels = MANAGED_BY | {NODE_LABEL: node}
        if _is_label(self.logical_network):
            labels |= {NETWORK_LABEL: self.logical_network}
        return {
            "apiVersion": DOCKER_NETWORKS.api_version,
            "kind": DOCKER_NETWORKS.kind,
            "metadata": {"namespace": self.namespace, "name": self.object_name, "labels": labels},
            "spec": {
                "id": self.id,
                "name": self.name,
                "node": self.node,
                "engine": {"id": self.engine_id, "version": self.engine_version},
                "logicalNetwork": {"kind": self.kind, "name": self.logical_network},
                "mode": self.mode,
                "internal": self.internal,
                "options": dict(self.options),
            },
        }


def definition_from_json(value: JSONObject) -> Definition:
    """Read a NetworkAttachmentDefinition. Raises `ValueError`."""
    try:
        meta = value["metadata"]
        config = (value.get("spec") or {}).get("config") or ""
        if not isinstance(config, str):
            raise ValueError("spec.config is no string")  # noqa: TRY004 - one kind of error for callers
        return Definition(meta["namespace"], meta["name"], config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no NetworkAttachmentDefinition: {error!r}") from error


def written(status: JSONObject) -> str:
    """A status as text that is the same whenever the status is."""
    return json.dumps(status, sort_keys=True, separators=(",", ":"))


def key(value: JSONObject) -> Key:
    """Namespace and name of an object. Raises `KeyError`."""
    return value["metadata"]["namespace"], value["metadata"]["name"]


def _is_label(value: str) -> bool:
    """Whether the name of a logical network can be the value of a label: it may be too long, or end badly."""
    return len(value) <= _LONGEST_LABEL and value[-1:].isalnum()
