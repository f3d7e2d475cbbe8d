"""What the shim's log says of containers' lives: the engine's calls, and the plugin runs below them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(
    r"\S+ \S+ (?:INFO|ERROR) (?P<name>[A-Z]\w+) "
    r"(?:\S+?(?:/(?P<endpoint>[0-9a-f]{12}))? )?(?P<ms>[\d.]+) ms(?P<error>:.*)?"
)
_PLUGIN_RUN = re.compile(r"  \S+ (?:ADD|DEL) (?P<ms>[\d.]+) ms")

_WHOLE_LIFE = {"CreateEndpoint", "Join", "Leave", "DeleteEndpoint"}
_OF_ADDRESSES = {"RequestAddress", "ReleaseAddress"}
"""Calls to an IPAM driver, which is not told whose an address is."""


class LogError(Exception):
    """The log does not tell of what was run."""


@dataclass(frozen=True, slots=True)
class Call:
    """The calls of one name in a life, in seconds."""

    handler: float = 0.0
    """From the request read to the answer made."""
    plugins: float = 0.0
    """The plugin runs within."""

    def __add__(self, other: "Call") -> "Call":
        return Call(self.handler + other.handler, self.plugins + other.plugins)

    @property
    def overhead(self) -> float:
        """What the shim itself took."""
        return self.handler - self.plugins


@dataclass(frozen=True, slots=True)
class Life:
    """What one endpoint cost from CreateEndpoint to DeleteEndpoint, and its address before and after."""

    calls: Mapping[str, Call]

    @property
    def total(self) -> Call:
        """All calls together."""
        return sum(self.calls.values(), Call())


class CallLog:
    """The shim's log, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def skip(self) -> None:
        """Pass over what has been written up to now."""
        self._offset = self._path.stat().st_size

    def lives(self, count: int) -> list[Life]:
        """The lives written since the last look, which must be `count` whole ones.

        Each has its share of the calls for addresses. Others that name no endpoint are left out; they are
        answered at once. Raises `LogError`.
        """
        with self._path.open() as log:
            log.seek(self._offset)
            text = log.read()
            self._offset = log.tell()
        lives: defaultdict[str, defaultdict[str, Call]] = defaultdict(lambda: defaultdict(Call))
        shared: defaultdict[str, Call] = defaultdict(Call)
        calls: defaultdict[str, Call] | None = None
        name = ""
        for line in text.splitlines():
            if call := _CALL.fullmatch(line):
                if call["error"]:
                    raise LogError(f"a call failed: {line}")
                endpoint, name = call["endpoint"], call["name"]
                calls = lives[endpoint] if endpoint else shared if name in _OF_ADDRESSES else None
                if calls is not None:
                    calls[name] += Call(handler=float(call["ms"]) / 1000)
            elif (run := _PLUGIN_RUN.fullmatch(line)) and calls is not None:
                calls[name] += Call(plugins=float(run["ms"]) / 1000)
        if len(lives) != count or any(set(calls) < _WHOLE_LIFE for calls in lives.values()):
            raise LogError(f"{count} containers were run, but {self._path} tells of {len(lives)}:\n{text}")
        share = {name: Call(call.handler / count, call.plugins / count) for name, call in shared.items()}
        return [Life({**calls, **share}) for calls in lives.values()]
