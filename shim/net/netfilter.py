"""The netfilter rules of the calling thread's network namespace, by the tools that manage them.

A tool is only run where the kernel says that there is something for it. Rules are compared, put back and
shown one by one, as commands that a user could type.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shim.net import netlink
from shim.net.netlink import Netlink, attributes
from shim.net.snapshot import Netfilter

_GET_TABLES = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_HEADER = bytes(4)  # nfgenmsg
_NAME = 1
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

_PROGRAMS = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}
_TABLES = {"filter", "nat", "mangle", "raw", "security"}
"""What the tables of iptables are called: others are nft's own, and some of these may be, too."""
_INCOMPATIBLE = re.compile(r"^# Table `(\w+)' ")
"""What iptables says of a table in which nft's own chains or rules are."""

_LEGACY = {
    "iptables-legacy": Path("/proc/thread-self/net/ip_tables_names"),
    "ip6tables-legacy": Path("/proc/thread-self/net/ip6_tables_names"),
}
_DEADLINE = 20.0
_NFT = "nft"

_LINK_IN_IPTABLES = re.compile(r"(?<= -[io] )[^ ]+")
_SET = re.compile(r"\{ ([^{}]*) \}")
_LINK_IN_NFT = re.compile(r'(?<!comment )"([^"]*)"')


class ToolError(Exception):
    """A tool is missing, or refuses."""


@dataclass(frozen=True, slots=True)
class Command:
    """What makes one table, chain or rule."""

    tool: str
    words: str
    """What a user would type."""
    table: str
    """Of iptables only."""
    line: str = field(compare=False)
    """As the tool reads it."""


def netfilter() -> tuple[tuple[Netfilter, ...], tuple[tuple[str, str], ...]]:
    """The rules there are; and what could not be read, and why."""
    found: list[Netfilter] = []
    unread: list[tuple[str, str]] = []
    tables = set(_tables())
    for family, program in _PROGRAMS.items():
        theirs = {(family, name) for name in _TABLES} & tables
        if theirs:
            try:
                rules, others = _saved(program)
            except ToolError as error:
                unread.append((f"{program} rules", str(error)))
                continue
            tables -= theirs - {(family, name) for name in others}
            found += [Netfilter(program, rules)] if rules else []
    for program, names in _LEGACY.items():
        if names.exists() and names.read_text():
            try:
                rules, _ = _saved(program)
            except ToolError as error:
                unread.append((f"{program} rules", str(error)))
                continue
            found += [Netfilter(program, rules)] if rules else []
    for family, name in sorted(tables):
        try:
            listed = _run(_NFT, "--stateless", "list", "table", family, name)
        except ToolError as error:
            unread.append((f"nft table {family} {name}", str(error)))
            continue
        found.append(Netfilter(_NFT, listed))
    return tuple(found), tuple(unread)


def commands(items: Iterable[Netfilter]) -> list[Command]:
    """What makes those rules, in an order that works."""
    found: list[Command] = []
    for item in items:
        found += _nft_commands(item.rules) if item.tool == _NFT else _iptables_commands(item)
    return found


def missing(wanted: Sequence[Command], there: Sequence[Command]) -> list[Command]:
    """Those of `wanted` that are not there, where one may be there several times."""
    left = Counter(there)
    lacking = []
    for command in wanted:
        if left[command]:
            left[command] -= 1
        else:
            lacking.append(command)
    return lacking


def put(wanted: Sequence[Command]) -> None:
    """Make all, which are of one tool and table, or none. Raises `ToolError`."""
    tool, table = wanted[0].tool, wanted[0].table
    lines = [command.line for command in wanted]
    if tool == _NFT:
        _run(_NFT, "--file", "-", stdin="\n".join((*lines, "")))
    else:
        text = "\n".join((f"*{table}", *lines, "COMMIT", ""))
        _run(f"{tool}-restore", "--noflush", f"--wait={_DEADLINE / 2:.0f}", stdin=text)


def renamed(item: Netfilter, names: Mapping[str, str]) -> Netfilter:
    """The rules with other names of links."""
    if item.tool == _NFT:
        return Netfilter(
            _NFT, _LINK_IN_NFT.sub(lambda found: f'"{names.get(found[1], found[1])}"', item.rules)
        )
    return Netfilter(
        item.tool, _LINK_IN_IPTABLES.sub(lambda found: names.get(found[0], found[0]), item.rules)
    )


def _tables() -> Iterator[tuple[str, str]]:
    try:
        with Netlink(netlink.NETFILTER) as sockets:
            messages = sockets.dump(_GET_TABLES, _HEADER)
    except OSError:  # this kernel has no nftables
        return
    for message in messages:
        family = _FAMILIES.get(message[0], str(message[0]))
        yield family, netlink.text(attributes(message, len(_HEADER))[_NAME])


def _saved(program: str) -> tuple[str, set[str]]:
    """The rules of all its tables without what is in every empty one; and the tables that are nft's own."""
    others: set[str] = set()
    lines: list[str] = []
    table: list[str] = []
    for line in _run(f"{program}-save").splitlines():
        if incompatible := _INCOMPATIBLE.match(line):
            others.add(incompatible[1])
        elif line.startswith("*"):
            table = [line]
        elif line == "COMMIT":
            lines += table if len(table) > 1 and table[0][1:] not in others else []
        elif line.startswith(":"):
            chain, policy, _ = line.split(" ", 2)
            table += [f"{chain} {policy}"] if policy != "ACCEPT" else []
        elif line.startswith("-A "):
            table.append(line)
    return "\n".join(lines), others


def _iptables_commands(item: Netfilter) -> Iterator[Command]:
    table = ""
    program = item.tool.removesuffix("-nft")
    for line in item.rules.splitlines():
        if line.startswith("*"):
            table = line[1:]
            continue
        if line.startswith(":"):
            chain, policy = line[1:].split(" ")
            words = f"-N {chain}" if policy == "-" else f"-P {chain} {policy}"
            yield Command(item.tool, f"{program} -t {table} {words}", table, f"{line} [0:0]")
        else:
            yield Command(item.tool, f"{program} -t {table} {line}", table, line)


def _nft_commands(listed: str) -> list[Command]:
    """The commands for a table as `nft` lists it: what is in a block is one indentation deeper."""
    tables: list[str] = []
    chains: list[str] = []
    objects: list[str] = []
    rules: list[str] = []
    for head, body in _blocks(listed, 0):
        table = head.removeprefix("table ")
        contents = list(_blocks("\n".join(body or ()), 1))
        tables.append(f"add table {table}" + _block([line for line, inner in contents if inner is None]))
        for line, inner in contents:
            if inner is None:
                continue
            kind, name = line.split(" ", 1)
            if kind != "chain":
                objects.append(f"add {kind} {table} {name}" + _block([part.strip() for part in inner]))
                continue
            statements = [statement for statement, _ in _blocks("\n".join(inner), 2)]
            about = [item for item in statements[:2] if item.startswith(("type ", "comment "))]
            chains.append(f"add chain {table} {name}" + _block(about))
            rules += [f"add rule {table} {name} {statement}" for statement in statements[len(about) :]]
    return [
        Command(_NFT, f"nft {_in_order(line)}", "", line) for line in (*tables, *chains, *objects, *rules)
    ]


def _block(statements: Sequence[str]) -> str:
    text = "\n".join(statements)
    return f" {{\n{text}\n}}" if text else ""


def _in_order(command: str) -> str:
    """A command on one line with the elements of its sets sorted: the kernel lists them in any order."""
    line = " ".join(command.split())
    return _SET.sub(lambda found: f"{{ {', '.join(sorted(found[1].split(', ')))} }}", line)


def _blocks(text: str, depth: int) -> Iterator[tuple[str, list[str] | None]]:
    """The statements at that depth, each with the lines of its block, or None."""
    indentation = "\t" * depth
    head = ""
    body: list[str] = []
    for line in text.splitlines():
        if line.startswith(f"{indentation}\t"):
            body.append(line)
            continue
        statement = line.strip()
        if statement == "}":
            yield head, body
        elif statement.endswith("{"):
            head, body = statement.removesuffix("{").strip(), []
        elif statement and not statement.startswith("#"):
            yield statement, None


def _run(program: str, *arguments: str, stdin: str = "") -> str:
    """What the tool prints."""
    try:
        done = subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, text=True, timeout=_DEADLINE, check=False
        )
    except FileNotFoundError:
        raise ToolError(f"{program} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{program} did not end within {_DEADLINE:.0f} s") from None
    if done.returncode != 0:
        raise ToolError(_first_line(done.stderr) or f"{program} failed with code {done.returncode}")
    return done.stdout


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
