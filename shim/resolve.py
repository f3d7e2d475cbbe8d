"""From a Docker network's ID to what the network is bound to."""

from dataclasses import replace

from shim.engine import Engine
from shim.errors import InvalidRequestError, UnavailableError
from shim.kube.cluster import Cluster
from shim.kube.errors import KubeError
from shim.kube.objects import Binding
from shim.logical import LogicalNetworks
from shim.model import Network, NetworkID
from shim.options import NETWORK, network_options


class Resolver:
    """Finds networks: what was stored at CreateNetwork first, then what Kubernetes says, then the engine.

    `cluster` is None when Kubernetes is not used; `deadline` is how long it is waited for, in seconds, at the
    first call for a network that is not bound yet.
    """

    def __init__(
        self,
        engine: Engine,
        logical_networks: LogicalNetworks,
        cluster: Cluster | None = None,
        deadline: float = 0.0,
    ) -> None:
        self._engine = engine
        self._logical_networks = logical_networks
        self._cluster = cluster
        self._deadline = deadline

    async def network(self, network_id: NetworkID, stored: Network | None) -> Network:
        """The network, bound.

        One made without `-o cni.network` is bound here, at its first endpoint, since the engine tells a
        driver no name; so is one that is not in the journal, as when that was lost. Raises `ShimError`.
        """
        if stored is not None and stored.cni_network:
            return stored
        try:
            binding = await self._binding(network_id)
        except KubeError as problem:
            return await self._by_engine(network_id, stored, problem)
        if binding is None:
            return await self._by_engine(network_id, stored, None)
        network = stored or await self._remembered(network_id, binding)
        return await self._logical_networks.bind(replace(network, cni_network=binding.cni_network))

    async def _binding(self, network_id: NetworkID) -> Binding | None:
        return await self._cluster.binding(network_id, self._deadline) if self._cluster else None

    async def _by_engine(
        self, network_id: NetworkID, stored: Network | None, problem: KubeError | None
    ) -> Network:
        """The network by its option, or else by its own name.

        With a `problem` the name does not count: Kubernetes might have bound it to something else.
        """
        seen = await self._engine.network(network_id)
        given = network_options(seen.options).cni_network or seen.ipam_options.get(NETWORK, "")
        if problem and not given:
            raise UnavailableError(
                f"cannot tell whether Kubernetes binds network {seen.name}: {problem.cause}",
                cure="name the CNI network when you create one: -o cni.network=NAME",
            )
        network = stored or Network(network_id, "", options=seen.options, internal=seen.internal)
        return await self._logical_networks.bind(replace(network, cni_network=given or seen.name))

    async def _remembered(self, network_id: NetworkID, binding: Binding) -> Network:
        """A network that is not in the journal: as the engine has it, or else as its binding does."""
        try:
            docker = await self._engine.network(network_id)
        except (UnavailableError, InvalidRequestError):
            return Network(network_id, "", options=binding.options, internal=binding.internal)
        return Network(network_id, "", options=docker.options, internal=docker.internal)
