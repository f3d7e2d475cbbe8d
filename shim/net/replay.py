"""Puts back what plugins made in a namespace and the engine did not take along into the sandbox."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from shim.model import JSONObject
from shim.net.snapshot import Snapshot
from shim.net.thread import NetlinkThread

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a snapshot in a sandbox, in words for the user."""

    carried: tuple[str, ...] = ()
    """It was there already."""
    replayed: tuple[str, ...] = ()
    """It was put back."""
    yielded: tuple[tuple[str, str], ...] = ()
    """It gave way to what the engine or the user set, and to what."""
    lost: tuple[tuple[str, str], ...] = ()
    """It could not be put back, and why: in the kernel's words where it refused."""

    def followed_by(self, later: "Replayed") -> "Replayed":
        """Both as one: what the earlier put back, the later finds carried."""
        replayed = _each_once(self.replayed + later.replayed)
        carried = _each_once(self.carried + later.carried)
        return Replayed(
            carried=tuple(what for what in carried if what not in replayed),
            replayed=replayed,
            yielded=_each_once(self.yielded + later.yielded),
            lost=_each_once(self.lost + later.lost),
        )

    def to_json(self) -> dict[str, Any]:
        """Write it for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: JSONObject) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            carried=tuple(value["carried"]),
            replayed=tuple(value["replayed"]),
            yielded=tuple((what, why) for what, why in value["yielded"]),
            lost=tuple((what, why) for what, why in value["lost"]),
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """Further links in the sandbox."""

    names: Mapping[str, str]
    """Each link's name in the snapshot, and the one it has now: for `Replay.replay`."""
    replayed: Replayed


class Replay:
    """What snapshots hold and sandboxes lack. Every call may raise `KernelError`."""

    def __init__(self, thread: NetlinkThread) -> None:
        self._thread = thread

    async def replay(
        self, namespace: Path, snapshot: Snapshot, names: Mapping[str, str], *, default_route: bool
    ) -> Replayed:
        """Set what the namespace lacks; what is there is left alone, whoever set it.

        `names` are those of the snapshot's links, with their names in the namespace; what belongs to another
        link is lost. A default route of the main table is only set with `default_route`.
        """
        raise NotImplementedError

    async def compare(
        self, namespace: Path, snapshot: Snapshot, names: Mapping[str, str], *, default_route: bool
    ) -> Replayed:
        """What `replay` would find carried, and as lost what it would set; nothing is changed."""
        raise NotImplementedError

    async def move_rest(
        self, source: Path, target: Path, snapshot: Snapshot, except_: Collection[str]
    ) -> Moved:
        """Move the snapshot's links from `source` to `target`, all but those in `except_`, with their state.

        A link keeps its name where that is free. What cannot move is made again where that is possible. Call
        it before `replay`, and give that the names of both.
        """
        raise NotImplementedError


def _each_once(items: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
