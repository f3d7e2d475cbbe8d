"""What the plugins of a chain are to bring about, and whether it is there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.bench import Bench


@dataclass(frozen=True, slots=True)
class Seen:
    """A container's side and the host's side of an attachment, as tools print it."""

    address: str
    link: dict[str, Any]
    """As `ip -d -j link` has it."""
    rules: str
    routes: str
    """Of all tables."""
    sysctls: dict[str, str]
    host_rules: str
    """iptables, tables nat and filter."""
    host_queues: str
    bridge: dict[str, Any]
    hairpin: bool


def look(bench: Bench, namespace: str, bridge: str, sysctls: list[str]) -> Seen:
    """See what there is of the link eth0 in a namespace (a path) and on its bridge."""

    def inside(command: str) -> str:
        return bench.shell(f"nsenter --net={namespace} {command}", check=False)

    (link,) = json.loads(inside("ip -d -j link show dev eth0") or "[{}]")
    address = re.search(r"inet (\S+?)/", inside("ip -4 -o address show dev eth0"))
    ports = json.loads(bench.shell(f"ip -d -j link show master {bridge}") or "[]")
    (its_bridge,) = json.loads(bench.shell(f"ip -d -j link show dev {bridge}"))
    port: dict[str, Any] = next((it for it in ports if it["ifindex"] == link.get("link_index")), {})
    # sysctls are read through a shell that has entered the namespace: /proc/sys/net shows the reader's own.
    values = {name: inside(f"cat /proc/sys/{name.replace('.', '/')}").strip() for name in sysctls}
    return Seen(
        address=address[1] if address else "",
        link=link,
        rules=inside("ip rule"),
        routes=inside("ip route show table all"),
        sysctls=values,
        host_rules=bench.shell("iptables-save -t nat; iptables-save -t filter"),
        host_queues=bench.shell("tc qdisc show"),
        bridge=its_bridge,
        hairpin=bool(port.get("linkinfo", {}).get("info_slave_data", {}).get("hairpin")),
    )


def rule_for(text: str) -> Callable[[Seen], bool]:
    """There is a rule of iptables with the container's address and that text."""
    return lambda seen: any(text in line and seen.address in line for line in seen.host_rules.splitlines())
