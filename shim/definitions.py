"""From a NetworkAttachmentDefinition to the conflist that it means.

Source: Network Plumbing Working Group, multi-net-spec 1.3, section 3.4.1.
"""

from collections.abc import Sequence
from pathlib import Path

from shim.cni import conf
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import ConfError
from shim.cni.members import Members, parse
from shim.model import Definition


def title(definition: Definition) -> str:
    """What errors call a definition."""
    return f"NetworkAttachmentDefinition {definition.namespace}/{definition.name}"


def is_on_node(definition: Definition) -> bool:
    """Whether the definition means a conflist of its name on the node."""
    return not definition.config.strip()


def conflist(definition: Definition, conf_dirs: Sequence[Path]) -> NetworkConfigList:
    """The network of a definition: what it holds, or else the node's conflist of its name.

    A configuration without a name gets the definition's. Raises `ConfError`.
    """
    if is_on_node(definition):
        return _on_node(definition, conf_dirs)
    where = f"{title(definition)}: spec.config"
    members = Members(parse(definition.config.encode(), where, ConfError), where, ConfError)
    name = members.text("name") or definition.name
    return NetworkConfigList.from_json({**members.all, "name": name}, where)


def _on_node(definition: Definition, conf_dirs: Sequence[Path]) -> NetworkConfigList:
    try:
        return conf.find(definition.name, conf_dirs)
    except ConfError as error:
        cause = f"{title(definition)} has no spec.config, and there is {error.cause}"
        raise ConfError(cause, cure=error.cure) from error
