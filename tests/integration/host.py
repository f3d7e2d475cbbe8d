"""The private host these tests run on: its commands, and what plugins leave on it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def run(*command: str) -> str:
    """What the command prints. Raises `AssertionError` with its complaint when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


def links(sandbox: Path | None = None) -> dict[str, dict[str, Any]]:
    """The links of the host, or of a sandbox, with their addresses, by name."""
    inside = ["-n", sandbox.name] if sandbox else []
    return {link["ifname"]: link for link in json.loads(run("ip", *inside, "-j", "address"))}


def addresses(link: dict[str, Any]) -> list[str]:
    """The global addresses of a link, as CNI writes them."""
    return [f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == "global"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the host holds on account of containers."""

    links: list[str]
    rules: list[str]
    leases: list[str]


def footprint(leases: Path) -> Footprint:
    """The links, firewall rules and leases there are now."""
    saved = run("iptables-save") + run("ip6tables-save")
    return Footprint(
        links=sorted(links()),
        rules=[line for line in saved.splitlines() if line.startswith(("-A", ":CNI"))],
        leases=sorted(path.name for path in leases.rglob("*.*.*.*")),
    )
