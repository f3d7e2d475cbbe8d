"""From a Docker network to its CNI network, and from that to the conflist."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shim.cni import conf
from shim.cni.conf import NetworkConfigList
from shim.engine import Engine
from shim.model import Network, NetworkID
from shim.translate import network_options


class Resolver:
    """Finds networks: what was stored at CreateNetwork first, the engine's word second."""

    def __init__(self, engine: Engine, conf_dirs: Sequence[Path]) -> None:
        self._engine = engine
        self._conf_dirs = conf_dirs

    async def network(self, network_id: NetworkID, stored: Network | None) -> Network:
        """The network with its `cni_network` known.

        The engine tells a driver no name, so a network made without `-o cni.network` is looked up there
        once; so is one that is not in the journal, as when that was lost. Raises `InvalidRequestError`
        and `UnavailableError`.
        """
        if stored is not None and stored.cni_network:
            return stored
        seen = await self._engine.network(network_id)
        options = network_options(seen.options)
        network = stored or Network(network_id, "", options=seen.options, internal=seen.internal)
        return replace(network, cni_network=options.cni_network or seen.name)

    def conflist(self, cni_network: str) -> NetworkConfigList:
        """The conflist of that name. Raises `shim.cni.errors.ConfError`."""
        return conf.find(cni_network, self._conf_dirs)
