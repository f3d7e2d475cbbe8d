"""Logical networks: from the name that a Docker network was given to the conflist that it means.

That is the name of a conflist on this node, or `namespace/name` of a NetworkAttachmentDefinition. With a
conflist, nothing here waits for Kubernetes, nor does it need any.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from shim import definitions
from shim.cni import conf
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError
from shim.config import Kubernetes
from shim.errors import ConflictError, InvalidRequestError, ShimError, UnavailableError
from shim.kube.cluster import Cluster
from shim.kube.errors import AccessError, KubeError
from shim.kube.objects import DEFINITIONS
from shim.model import Definition, Network

_NEIGHBOURS = 5
"""Names that an error shows."""


class LogicalNetworks:
    """The networks that Docker networks can be bound to.

    `cluster` is None when Kubernetes is not used; `deadline` is how long it is waited for, in seconds, when a
    network is made.
    """

    def __init__(
        self,
        conf_dirs: Sequence[Path],
        cluster: Cluster | None = None,
        settings: Kubernetes | None = None,
        deadline: float = 0.0,
    ) -> None:
        self._conf_dirs = conf_dirs
        self._cluster = cluster
        self._settings = settings or Kubernetes()
        self._deadline = deadline

    async def bind(self, network: Network) -> Network:
        """The network with the definition it names, which is asked for when it is not known.

        A name without namespace is that of a conflist, or else of a NetworkAttachmentDefinition in the
        default namespace. Raises `ShimError`.
        """
        namespace, _, name = network.cni_network.rpartition("/")
        if not namespace:
            try:
                conf.find(name, self._conf_dirs)
            except ConfError as error:
                if self._cluster is None:
                    raise
                return await self._bind_by_default(network, error)
            return network
        definition = await self._definition(namespace, name)
        if definition is None:
            raise InvalidRequestError(
                f"there is no NetworkAttachmentDefinition {network.cni_network}; "
                f"found in that namespace: {self._neighbours(namespace, name)}",
                cure=f"see: kubectl get net-attach-def -n {namespace}",
            )
        return replace(network, definition=definition)

    def current(self, network: Network) -> Network:
        """The network with its definition as it is now, as far as that is known without asking.

        Raises `InvalidRequestError` when the definition is gone, or in a namespace that is not allowed.
        """
        namespace, _, name = network.cni_network.rpartition("/")
        if not namespace:
            return network
        self._admit(namespace, name)
        if self._cluster is None:
            return network
        if definition := self._cluster.definition(namespace, name):
            return replace(network, definition=definition)
        if self._cluster.knows_all(DEFINITIONS):
            raise InvalidRequestError(
                f"NetworkAttachmentDefinition {network.cni_network} has been deleted",
                cure=f"create it again; see: kubectl get net-attach-def -n {namespace}",
            )
        return network

    def conflist(self, network: Network) -> NetworkConfigList:
        """The conflist of a bound network. Raises `ConfError`."""
        if "/" not in network.cni_network:
            return conf.find(network.cni_network, self._conf_dirs)
        if network.definition is None:
            raise self._not_set_up(network.cni_network)
        try:
            return definitions.conflist(network.definition, self._conf_dirs)
        except ConfError as error:
            raise ConfError(error.cause, cure=_advice(error, network.definition)) from error

    def refuse_collision(self, network: Network, others: Iterable[Network]) -> None:
        """Raises `ConflictError` when another network has the same CNI name from another definition.

        The two would share what plugins key on that name: host-local its leases, portmap its chains.
        """
        name = self._cni_name(network)
        for other in others:
            if (
                other.id != network.id
                and self._cni_name(other) == name
                and _origin(other) != _origin(network)
            ):
                raise ConflictError(
                    f'network {network.cni_network}: its CNI name is "{name}", as is that of '
                    f"{other.cni_network}, which Docker network {other.id[:12]} of this node is: "
                    "they would share their leases",
                    cure='give one of them another "name" in its configuration'
                    + (f"; see: {_command(network.definition)}" if network.definition else ""),
                )

    @staticmethod
    def explained(network: Network, error: ShimError) -> ShimError:
        """An error about the conflist of a network, with the definition it comes from."""
        if network.definition is None:
            return error
        cause = f"{definitions.title(network.definition)}: {error.cause}"
        return ConfError(cause, cure=_advice(error, network.definition))

    async def _bind_by_default(self, network: Network, missing: ConfError) -> Network:
        namespace = self._settings.default_namespace
        name = network.cni_network
        try:
            definition = await self._definition(namespace, name)
        except ShimError as error:
            raise type(error)(f"{missing.cause}; and {error.cause}", cure=error.cure) from error
        if definition is None:
            raise ConfError(
                f"{missing.cause}; nor is there a NetworkAttachmentDefinition {namespace}/{name}",
                cure=f"{missing.cure}; see: kubectl get net-attach-def -A",
            )
        return replace(network, cni_network=f"{namespace}/{name}", definition=definition)

    async def _definition(self, namespace: str, name: str) -> Definition | None:
        self._admit(namespace, name)
        if self._cluster is None:
            raise self._not_set_up(f"{namespace}/{name}")
        if found := self._cluster.definition(namespace, name):
            return found
        try:
            return await self._cluster.ask_definition(namespace, name, self._deadline)
        except (KubeError, AccessError) as error:
            raise UnavailableError(
                f"NetworkAttachmentDefinition {namespace}/{name} cannot be looked up: {error.cause}",
                cure="; ".join(
                    filter(None, (error.cure, f"see: kubectl get net-attach-def -n {namespace} {name}"))
                ),
            ) from error

    def _admit(self, namespace: str, name: str) -> None:
        allowed = self._settings.namespaces
        if allowed and namespace not in allowed:
            raise InvalidRequestError(
                f"NetworkAttachmentDefinition {namespace}/{name}: this node may use the namespaces "
                f"{', '.join(allowed)} only",
                cure="allow it with kubernetes.namespaces in the shim's settings; "
                f"see: kubectl get net-attach-def -n {namespace} {name}",
            )

    def _neighbours(self, namespace: str, name: str) -> str:
        """Some names of the namespace, those most like `name` if any are."""
        names = self._cluster.definition_names(namespace) if self._cluster else []
        shown = difflib.get_close_matches(name, names, _NEIGHBOURS) or names[:_NEIGHBOURS]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return (", ".join(shown) or "none") + more

    def _cni_name(self, network: Network) -> str:
        definition = network.definition
        if definition is None or definitions.is_on_node(definition):
            return network.cni_network.rpartition("/")[2]
        try:
            return definitions.conflist(definition, self._conf_dirs).name
        except ConfError:
            return definition.name

    @staticmethod
    def _not_set_up(cni_network: str) -> ConfError:
        return ConfError(
            f"{cni_network} is a NetworkAttachmentDefinition, but this node is not set up for Kubernetes",
            cure="start the shim with --kubeconfig, or set kubernetes.kubeconfig in its settings",
        )


def _origin(network: Network) -> str:
    """Where the configuration itself comes from."""
    if network.definition is None or definitions.is_on_node(network.definition):
        return "node"
    return network.cni_network


def _advice(error: ShimError, definition: Definition) -> str:
    return "; ".join(filter(None, (error.cure, f"see: {_command(definition)}")))


def _command(definition: Definition) -> str:
    return f"kubectl get net-attach-def -n {definition.namespace} {definition.name} -o yaml"
