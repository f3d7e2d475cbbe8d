"""What networks leave in a system: taken before and after, the difference is what leaked."""

import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

from lab.engine import Engine

_Run = Callable[[list[str]], str]

_STANDING = re.compile(
    r":\S+ ACCEPT$"
    r"|:CNI-(HOSTPORT-(DNAT|SETMARK|MASQ)|FORWARD|ADMIN) "
    r"|-A CNI-HOSTPORT-(SETMARK|MASQ) "
    r"|-A \S+ .*-j CNI-(HOSTPORT-(DNAT|MASQ)|FORWARD|ADMIN)$"
)
"""Lines that may appear at first use and stay: built-in chains that do nothing, and the chains that the
portmap and firewall plugins make once, with the jumps to them."""

_BOOKKEEPING = re.compile(r"(lock|last_reserved_ip\..*)")
"""host-local's files that are no leases."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Everything that may leak, as readable lines, without counters and indices, which always change."""

    links: frozenset[str]
    """The names of the links, without their peers."""
    namespaces: frozenset[str]
    """Where network namespaces are mounted."""
    rules: frozenset[str]
    """Chains, policies and rules of iptables and ip6tables, but for standing ones."""
    leases: frozenset[str] = frozenset()
    """host-local's files, but for its lock and its note of the last address."""
    results: frozenset[str] = frozenset()
    """What CNI runtimes cache of their attachments below `/var/lib/cni/results`."""
    rows: frozenset[str] = frozenset()
    """The networks, endpoints and reserved addresses in the shim's journal."""
    run_files: frozenset[str] = frozenset()
    """The shim's run-time files."""

    def difference(self, after: "Footprint") -> list[str]:
        """One line for each thing that is in `after` and not here, or the other way round."""
        lines = []
        for field in fields(self):
            before_it, after_it = getattr(self, field.name), getattr(after, field.name)
            lines += [f"left behind in {field.name}: {line}" for line in sorted(after_it - before_it)]
            lines += [f"gone from {field.name}: {line}" for line in sorted(before_it - after_it)]
        return lines


def engine_footprint(engine: Engine) -> Footprint:
    """The footprint in the room of `engine`."""
    var_lib_cni = engine.path("/var/lib/cni")
    system = _system(lambda command: engine.run(command).stdout)
    return Footprint(
        links=system.links - plugin_bridges(engine),
        namespaces=system.namespaces,
        rules=system.rules,
        leases=frozenset(
            lease
            for lease in _files(var_lib_cni / "networks")
            if not _BOOKKEEPING.fullmatch(Path(lease).name)
        ),
        results=_files(var_lib_cni / "results"),
        rows=_rows(engine.state_dir / "state.db"),
        run_files=_files(engine.path("/run/cnm-cni")),
    )


def host_footprint() -> Footprint:
    """The footprint of this machine outside of all rooms."""
    return _system(lambda command: subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def plugin_bridges(engine: Engine) -> frozenset[str]:
    """The bridges that are not Docker's: the bridge plugin makes them at first use and lets them stand."""
    bridges = _link_names(engine.run(["ip", "-o", "link", "show", "type", "bridge"]).stdout)
    return frozenset(name for name in bridges if name != "docker0" and not name.startswith("br-"))


def _system(run: _Run) -> Footprint:
    mounts = re.findall(r"^(?:\S+ ){4}(\S+) .* - nsfs ", run(["cat", "/proc/self/mountinfo"]), re.MULTILINE)
    return Footprint(
        links=_link_names(run(["ip", "-o", "link"])),
        namespaces=frozenset(mounts),
        rules=_rules(run, "iptables-save") | _rules(run, "ip6tables-save"),
    )


def _link_names(listing: str) -> frozenset[str]:
    return frozenset(re.findall(r"^\d+: ([^:@]+)", listing, re.MULTILINE))


def _rules(run: _Run, command: str) -> frozenset[str]:
    lines, table = set(), ""
    for line in run([command]).splitlines():
        if line.startswith("*"):
            table = line[1:]
            continue
        rule = re.sub(r" ?\[\d+:\d+\]", "", line)
        if rule.startswith((":", "-")) and not _STANDING.match(rule):
            lines.add(f"{command.removesuffix('-save')} -t {table} {rule}")
    return frozenset(lines)


def _files(folder: Path) -> frozenset[str]:
    return frozenset(str(path.relative_to(folder.parent)) for path in folder.rglob("*") if not path.is_dir())


def _rows(journal: Path) -> frozenset[str]:
    if not journal.exists():
        return frozenset()
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        networks = connection.execute("SELECT 'network ' || id FROM networks")
        endpoints = connection.execute("SELECT 'endpoint ' || id || ' ' || state FROM endpoints")
        reservations = connection.execute("SELECT 'reservation ' || id FROM reservations")
        return frozenset(line for rows in (networks, endpoints, reservations) for (line,) in rows)
