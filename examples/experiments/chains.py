"""Two chains of plugins that do many different things, and how each of them shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from experiments.effects import Seen, look, rule_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.bench import Bench

_LINK_SYSCTL, _NAMESPACE_SYSCTL = "net.ipv4.conf.eth0.log_martians", "net.core.somaxconn"
_MAC = "02:33:00:00:00:33"
ROUTES = ({"dst": "0.0.0.0/0"}, {"dst": "198.51.100.0/24"})
_IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.33.0.0/24"}]], "routes": ROUTES}
_BRIDGE = {"type": "bridge", "bridge": "chain0", "isGateway": True, "ipMasq": True, "ipam": _IPAM}
_TUNING = {
    "type": "tuning",
    "sysctl": {_LINK_SYSCTL: "1", _NAMESPACE_SYSCTL: "500"},
    "mac": _MAC,
    "mtu": 1400,
}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
_BANDWIDTH = {"type": "bandwidth", "egressRate": 8000000, "egressBurst": 8000000}
CHAINS: dict[str, tuple[dict[str, Any], ...]] = {
    "chained": (_BRIDGE, _TUNING, _PORTMAP, _BANDWIDTH, {"type": "firewall"}),
    "sourced": (_BRIDGE, {"type": "sbr"}),
}
"""The plugins of each, by the conflist's name."""
PORT = {"hostPort": 8033, "containerPort": 80, "protocol": "tcp"}
"""What is to be published by the chain that has portmap."""
CAPABILITIES = {"chained": {"CAP_ARGS": json.dumps({"portMappings": [PORT]})}, "sourced": {}}
"""The same for `cnm-cni cni`, by the conflist's name."""
PUBLISHED = {"chained": ("-p", "8033:80"), "sourced": ()}
"""The same for `docker run`."""
_EFFECTS: dict[str, dict[str, Callable[[Seen], bool]]] = {
    "chained": {
        "masquerade (bridge)": lambda seen: "MASQUERADE" in seen.host_rules and rule_for("POSTROUTING")(seen),
        "route (bridge)": lambda seen: "198.51.100.0/24" in seen.routes,
        "published port (portmap)": lambda seen: any(
            "8033" in line and seen.address in line for line in seen.host_rules.splitlines()
        ),
        "forwarding (firewall)": rule_for("CNI-FORWARD"),
        "shaping (bandwidth)": lambda seen: "tbf" in seen.host_queues,
        "MAC address (tuning)": lambda seen: seen.link.get("address") == _MAC,
        "MTU (tuning)": lambda seen: seen.link.get("mtu") == 1400,
        "sysctl of the link (tuning)": lambda seen: seen.sysctls[_LINK_SYSCTL] == "1",
        "sysctl of the namespace (tuning)": lambda seen: seen.sysctls[_NAMESPACE_SYSCTL] == "500",
    },
    "sourced": {
        "rule by source (sbr)": lambda seen: f"from {seen.address}" in seen.rules,
        "default route in its table (sbr)": lambda seen: (
            "default via 10.33.0.1 dev eth0 table 100" in seen.routes
        ),
    },
}
INSIDE = ("sysctl of the link (tuning)", "sysctl of the namespace (tuning)", *_EFFECTS["sourced"])
"""Effects within the namespace that the engine knows nothing of."""
_PATIENCE = 2.0
"""Seconds that an effect may need to show: what is put back comes shortly after a start on older engines."""


def write(bench: Bench, *more: dict[str, Any]) -> None:
    """Let there be a conflist of each chain, with more plugins at its end."""
    for name, plugins in CHAINS.items():
        bench.conflist(name, *plugins, *more, version="0.4.0")


def effects(bench: Bench, namespace: str, chain: str) -> dict[str, bool]:
    """Whether each effect of a chain is there, for the link eth0 in a namespace (a path)."""
    found: dict[str, bool] = {}

    def all_there() -> bool:
        seen = look(bench, namespace, "chain0", [_LINK_SYSCTL, _NAMESPACE_SYSCTL])
        for effect, is_there in _EFFECTS[chain].items():
            found[effect] = bool(seen.address) and is_there(seen)
        return all(found.values())

    bench.wait(all_there, within=_PATIENCE)
    return found
