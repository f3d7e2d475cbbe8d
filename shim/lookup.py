"""`cnm-cni resolve`: which logical network a Docker network is, on every node, by ID or by any of its names.

This node's journal is asked first, as the driver does, then the DockerNetworks in Kubernetes, then the engine
for a network that is not bound yet.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shim import printed, views
from shim.config import Settings
from shim.engine import Engine
from shim.errors import InvalidRequestError, ShimError, UnavailableError
from shim.kube import access
from shim.kube.client import Client
from shim.kube.cluster import list_bindings
from shim.model import NetworkID
from shim.options import network_options

_SHORTEST_ID = 4
"""Digits that are taken for the beginning of an ID."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one source says of one Docker network."""

    id: str
    node: str
    name: str
    """Docker's; empty when the engine cannot be asked."""
    cni_network: str
    source: str
    since: float
    """Seconds since the epoch; 0 when it is not known."""

    def is_about(self, wanted: str) -> bool:
        """Whether `wanted` is its ID, the beginning of that, or one of its names."""
        names = {self.name, self.cni_network, self.cni_network.rpartition("/")[2]}
        return wanted in names or (len(wanted) >= _SHORTEST_ID and self.id.startswith(wanted))

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.id,
            "node": self.node,
            "name": self.name,
            "cniNetwork": self.cni_network,
            "source": self.source,
            "since": printed.time(self.since) if self.since else "",
        }


async def resolve(settings: Settings, wanted: str, *, as_json: bool) -> str:
    """What is known of the networks with that ID or name. Raises `ShimError`, also when there are none."""
    problem: ShimError | None = None
    answers = await _journal(settings)
    known = {answer.id for answer in answers}
    try:
        answers += [answer for answer in await _kubernetes(settings) if answer.id not in known]
    except ShimError as error:
        problem = error
    found = [answer for answer in answers if answer.is_about(wanted)] or await _engine(settings, wanted)
    if not found:
        raise InvalidRequestError(
            f"nothing is known of a network {wanted}" + (f"; and {problem.cause}" if problem else ""),
            cure="see: cnm-cni network ls; kubectl get dnet -A",
        )
    if problem:
        sys.stderr.write(f"cnm-cni: only this node is shown: {problem}\n")
    if as_json:
        return printed.json_text([answer.to_json() for answer in found])
    return printed.table(
        ("NETWORK ID", "NODE", "DOCKER NAME", "CNI NETWORK", "SOURCE", "AGE"),
        [
            (item.id[:12], item.node, item.name, item.cni_network, item.source, printed.age(item.since))
            for item in found
        ],
    )


async def _journal(settings: Settings) -> list[_Answer]:
    networks, _ = await views.journal(settings)
    docker = await views.docker_networks(settings, (network.id for network in networks))
    return [
        _Answer(
            network.id,
            settings.kubernetes.node,
            docker[network.id].name if network.id in docker else "",
            network.cni_network,
            "journal",
            network.created_at,
        )
        for network in networks
        if network.cni_network
    ]


async def _kubernetes(settings: Settings) -> list[_Answer]:
    """What the DockerNetworks say; nothing where Kubernetes is not used."""
    way = access.find(settings.kubernetes, os.environ)
    if way is None:
        return []
    with tempfile.TemporaryDirectory(prefix="cnm-cni-") as scratch:
        client = Client(way, Path(scratch))
        try:
            bindings = await list_bindings(client, settings.kubernetes.namespaces)
        finally:
            await client.close()
    return [
        _Answer(
            binding.id,
            binding.node,
            binding.name,
            binding.cni_network,
            f"DockerNetwork {binding.namespace}/{binding.object_name}",
            datetime.fromisoformat(binding.created_at).timestamp(),
        )
        for binding in bindings
    ]


async def _engine(settings: Settings, wanted: str) -> list[_Answer]:
    """A network of the driver that no container has used yet; nothing when the engine cannot be asked."""
    engine = Engine(settings.docker_socket, settings.deadlines.engine)
    try:
        seen = await engine.network(NetworkID(quote(wanted, safe="")))  # the engine takes a name as well
    except (InvalidRequestError, UnavailableError):
        return []
    if seen.driver != settings.driver_name:
        return []
    cni_network = network_options(seen.options).cni_network or seen.name
    return [_Answer(seen.id, settings.kubernetes.node, seen.name, cni_network, "engine, not bound yet", 0.0)]
