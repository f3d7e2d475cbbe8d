"""What a plugin reads: its configuration, with the members that only the runtime knows.

Source: CNI specification 1.1.0, section 3, "Deriving request configuration from plugin configuration".
"""

from typing import Any

from shim.cni.conf import NetworkConfigList
from shim.cni.result import Result
from shim.model import JSONObject

_RESERVED = {"capabilities", "runtimeConfig", "prevResult"}
"""Members that are the runtime's own: what a file has of them is not passed on."""
_RESERVED_PREFIX = "cni.dev/"


def for_network(conf: NetworkConfigList, plugin: JSONObject) -> dict[str, Any]:
    """The request of a verb that is about the network itself: STATUS or GC."""
    request = {
        key: value
        for key, value in plugin.items()
        if key not in _RESERVED and not key.startswith(_RESERVED_PREFIX)
    }
    return request | {"name": conf.name, "cniVersion": conf.cni_version}


def for_attachment(
    conf: NetworkConfigList, plugin: JSONObject, capability_args: JSONObject, previous: Result | None
) -> dict[str, Any]:
    """The request of ADD, CHECK or DEL; `previous` becomes `prevResult`."""
    request = for_network(conf, plugin)
    runtime_config = {
        capability: capability_args[capability]
        for capability, declared in (plugin.get("capabilities") or {}).items()
        if declared and capability in capability_args
    }
    if runtime_config:
        request["runtimeConfig"] = runtime_config
    if previous is not None:
        request["prevResult"] = previous.to_json()
    return request
