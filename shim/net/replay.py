"""Puts back what plugins made in a namespace and the engine did not take along into the sandbox."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from shim.model import JSONObject
from shim.net import moving, reading, renaming
from shim.net.netlink import Netlink
from shim.net.restoring import Restoring
from shim.net.snapshot import Snapshot
from shim.net.thread import NetlinkThread, inside

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
        return await self._thread.run(
            f"replay in {namespace} what plugins set",
            lambda: inside(namespace, lambda: _replay(snapshot, names, default_route=default_route)),
        )

    async def move_rest(
        self, source: Path, target: Path, snapshot: Snapshot, except_: Collection[str]
    ) -> Moved:
        """Move the snapshot's links from `source` to `target`, all but those in `except_`, with their state.

        A link keeps its name where that is free and not one that the engine numbers its own links by. What
        cannot move is made again where that is possible. Call it before `replay`, and give that the names of
        both. It may be called again.
        """
        return await self._thread.run(
            f"move the other links of {source} to {target}",
            lambda: _move_rest(source, target, snapshot, except_),
        )


def _move_rest(source: Path, target: Path, snapshot: Snapshot, except_: Collection[str]) -> Moved:
    links = [link for link in snapshot.links if link.name not in except_]
    if not links:
        return Moved({}, Replayed())
    arrived = moving.move(source, target, links)
    moved = Replayed(replayed=tuple(arrived.moved), lost=tuple(arrived.lost))
    theirs = renaming.only(snapshot, arrived.names)
    restored = inside(target, lambda: _replay(theirs, arrived.names, default_route=False))
    return Moved(arrived.names, moved.followed_by(restored))


def _replay(snapshot: Snapshot, names: Mapping[str, str], *, default_route: bool) -> Replayed:
    """Compare the snapshot with the calling thread's namespace, kind by kind, and set what is lacking."""
    wanted, homeless = renaming.renamed(snapshot, names)
    carried: list[str] = []
    replayed: list[str] = []
    yielded: list[tuple[str, str]] = []
    lost = [*snapshot.unread, *homeless]
    with Netlink() as sockets:
        restoring = Restoring(
            sockets, wanted, reading.read_beside(sockets, wanted), default_route=default_route
        )
        for look in restoring.kinds():
            findings = look()
            done, refused = findings.put()
            carried += findings.carried
            replayed += done
            yielded += findings.yielded
            lost += refused
    return Replayed(tuple(carried), tuple(replayed), tuple(yielded), tuple(lost))


def _each_once(items: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
