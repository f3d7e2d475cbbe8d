"""Lets connections from other machines through to published ports.

dockerd sets the policy of the host's FORWARD chain to DROP. The `firewall` plugin accepts what a container
begins, and the answers; what somebody else begins, to a port that `portmap` redirects, nobody accepts. So
each published port gets a rule in the plugin's own chain, behind those of the administrator (`CNI-ADMIN`).
Other machines are let in to nothing else: the rule names the container's address and port, and a packet
must have been redirected (`--ctstate DNAT`).
"""

import asyncio
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import ip_interface

from shim import spans
from shim.errors import ShimError
from shim.model import EndpointID, PortMapping

_CHAIN = "CNI-FORWARD"
"""The `firewall` plugin's chain, made by its first ADD. Source: its `iptables.go`."""

_FAMILIES = {4: "iptables", 6: "ip6tables"}

_WAIT = 10
"""Seconds that iptables waits for its lock, and that we wait for iptables besides."""


class FirewallError(ShimError):
    """The rules for published ports cannot be set or removed."""


async def accept(endpoint_id: EndpointID, addresses: Iterable[str], mappings: Sequence[PortMapping]) -> None:
    """Accept what was redirected to the ports of these container addresses (CIDR).

    Does nothing where the plugin's chain does not exist, since it has another backend then. Raises
    `FirewallError`.
    """
    rules: dict[int, list[str]] = {}
    for address in map(ip_interface, addresses):
        rules.setdefault(address.version, []).extend(
            f"-A {_CHAIN} -d {address.ip} -p {mapping['protocol']} --dport {mapping['containerPort']}"
            f" -m conntrack --ctstate DNAT -m comment --comment {_mark(endpoint_id)} -j ACCEPT"
            for mapping in mappings
        )
    for family, wanted in rules.items():
        if await _standing(_FAMILIES[family]):
            await _change(_FAMILIES[family], wanted)


async def withdraw(endpoint_id: EndpointID, addresses: Iterable[str]) -> None:
    """Remove what `accept` set for these addresses, as far as it is still there. Raises `FirewallError`."""
    for program in {_FAMILIES[ip_interface(address).version] for address in addresses}:
        rules = [rule for rule in await _standing(program) if _mark(endpoint_id) in rule]
        if rules:
            await _change(program, [rule.replace("-A", "-D", 1) for rule in rules])


def _mark(endpoint_id: EndpointID) -> str:
    """The comment that tells whose rule it is."""
    return f"cnm-cni:{endpoint_id}"


async def _standing(program: str) -> list[str]:
    """The lines about the plugin's chain, none when it does not exist."""
    listed = await _run(f"{program}-save", "--table", "filter")
    return [line for line in listed.splitlines() if line.startswith((f":{_CHAIN} ", f"-A {_CHAIN} "))]


async def _change(program: str, rules: Iterable[str]) -> None:
    """Append or delete rules, all or none of them."""
    lines = ["*filter", *rules, "COMMIT", ""]
    await _run(f"{program}-restore", "--noflush", f"--wait={_WAIT}", stdin="\n".join(lines))


async def _run(*command: str, stdin: str = "") -> str:
    with spans.span(spans.Kind.KERNEL, " ".join(command), input=stdin):
        return await _output(command, stdin)


async def _output(command: Sequence[str], stdin: str) -> str:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=2 * _WAIT, check=False
        )

    try:
        done = await asyncio.to_thread(run)
    except FileNotFoundError:
        raise FirewallError(
            f"{command[0]}: not found", cure="install iptables, or publish no ports on this network"
        ) from None
    except subprocess.TimeoutExpired:
        raise FirewallError(
            f"{command[0]}: no end within {2 * _WAIT} s", cure="does another program hold iptables' lock?"
        ) from None
    if done.returncode != 0:
        raise FirewallError(
            f"{command[0]}: {done.stderr or done.returncode}", cure=f"see `iptables -S {_CHAIN}`"
        )
    return done.stdout
