"""The journal: what the shim knows of networks and endpoints, durable in one sqlite file.

The daemon, which alone writes it, reads it once and then knows what it says: every call needs some of that,
and some calls a little of every endpoint.

An endpoint's state is written before an action (the intent) and after it (the outcome), each in a
transaction that outlives the shim when the call returns. What must outlive the machine too is on disk by
then; the rest is about what dies with the machine, and follows with the next such transaction, which saves
a container half a dozen waits for the disk. The only importer of sqlite3.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from shim.errors import ShimError
from shim.model import (
    Definition,
    Endpoint,
    EndpointID,
    EndpointState,
    Ipam,
    Mode,
    Network,
    NetworkID,
    Reservation,
)

FILE_NAME = "state.db"

_FORMATS = (
    """
CREATE TABLE networks (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE endpoints (id TEXT PRIMARY KEY, network_id TEXT NOT NULL, state TEXT NOT NULL,
                        record TEXT NOT NULL) STRICT;
""",
    "CREATE TABLE reservations (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;",
)
"""What makes each format of the file out of the one before; the first one out of nothing."""


_T = TypeVar("_T")


class StoreError(ShimError):
    """The journal cannot be read or written."""


@dataclass(frozen=True, slots=True)
class _Table(Generic[_T]):
    """A table of the journal, and what the daemon knows of it."""

    name: str
    parse: Callable[[str], _T]
    records: dict[str, _T] = field(default_factory=dict)
    """By ID, oldest first."""


class Store:
    """The journal in `folder`. Every call may raise `StoreError`; the file is used by one thread alone.

    A reader beside the daemon opens it with `read_only`; a missing file then reads as empty. `changed` is
    told after each change.
    """

    def __init__(
        self, folder: Path, *, read_only: bool = False, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._path = folder / FILE_NAME
        self._read_only = read_only
        self._changed = changed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._networks = _Table("networks", _network)
        self._endpoints = _Table("endpoints", _endpoint)
        self._reservations = _Table("reservations", _reservation)

    async def open(self) -> None:
        """Open the file, and make it first unless reading only."""
        self._connection = await self._run(self._connect)

    async def close(self) -> None:
        """Close the file and end the thread."""
        if self._connection is not None:
            await self._run(self._connection.close)
        self._thread.shutdown()

    async def networks(self) -> list[Network]:
        """All networks, oldest first."""
        return list((await self._records(self._networks)).values())

    async def network(self, network_id: NetworkID) -> Network | None:
        """The network of that ID."""
        return (await self._records(self._networks)).get(network_id)

    async def save_network(self, network: Network) -> None:
        """Add or replace a network."""
        await self._write(
            self._networks,
            network.id,
            network,
            "INSERT INTO networks VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2",
        )

    async def update_network(self, network: Network) -> None:
        """Replace a network; does nothing when it has been removed meanwhile."""
        await self._write(
            self._networks, network.id, network, "UPDATE networks SET record = ?2 WHERE id = ?1"
        )

    async def delete_network(self, network_id: NetworkID) -> None:
        """Remove a network; harmless when there is none."""
        await self._delete(self._networks, network_id, durable=True)

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints, oldest first."""
        return list((await self._records(self._endpoints)).values())

    async def endpoint(self, endpoint_id: EndpointID) -> Endpoint | None:
        """The endpoint of that ID."""
        return (await self._records(self._endpoints)).get(endpoint_id)

    async def save_endpoint(self, endpoint: Endpoint, *, durable: bool = True) -> None:
        """Add or replace an endpoint; `durable` before an ADD, whose leases outlive the machine."""
        await self._write(
            self._endpoints,
            endpoint.id,
            endpoint,
            "INSERT INTO endpoints (id, record, network_id, state) VALUES (?1, ?2, ?3, ?4) "
            "ON CONFLICT (id) DO UPDATE SET record = ?2, state = ?4",
            endpoint.network_id,
            endpoint.state,
            durable=durable,
        )

    async def delete_endpoint(self, endpoint_id: EndpointID) -> None:
        """Remove an endpoint; harmless when there is none."""
        await self._delete(self._endpoints, endpoint_id)

    async def reservations(self) -> list[Reservation]:
        """All reservations, oldest first."""
        return list((await self._records(self._reservations)).values())

    async def save_reservation(self, reservation: Reservation, *, durable: bool = True) -> None:
        """Add or replace a reservation."""
        await self._write(
            self._reservations,
            reservation.id,
            reservation,
            "INSERT INTO reservations VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = ?2",
            durable=durable,
        )

    async def delete_reservation(self, reservation_id: str) -> None:
        """Remove a reservation; harmless when there is none."""
        await self._delete(self._reservations, reservation_id)

    async def _records(self, table: _Table[_T]) -> Mapping[str, _T]:
        """What is in the table by ID, oldest first; a reader looks anew, since another process writes."""
        connection = self._connection
        if self._read_only and connection is not None:
            return await self._run(lambda: self._read(connection, table))
        return table.records

    async def _write(
        self, table: _Table[_T], key: str, item: _T, sql: str, *more: str, durable: bool = True
    ) -> None:
        record = json.dumps(_members(item), default=_members)

        def write(connection: sqlite3.Connection) -> None:
            if connection.execute(sql, (key, record, *more)).rowcount:
                table.records[key] = item

        await self._change(write, durable=durable)

    async def _delete(self, table: _Table[_T], key: str, *, durable: bool = False) -> None:
        def delete(connection: sqlite3.Connection) -> None:
            connection.execute(f"DELETE FROM {table.name} WHERE id = ?", (key,))  # noqa: S608 - a name of our own
            table.records.pop(key, None)

        await self._change(delete, durable=durable)

    async def _change(self, change: Callable[[sqlite3.Connection], None], *, durable: bool) -> None:
        """Have it changed, on disk and then in memory, both by the thread: callers may be cancelled."""
        connection = self._connection
        if connection is None:
            raise StoreError(f"{self._path}: the journal is not open")

        def work() -> None:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            change(connection)

        await self._run(work)
        self._changed()

    def _read(self, connection: sqlite3.Connection, table: _Table[_T]) -> dict[str, _T]:
        query = f"SELECT id, record FROM {table.name} ORDER BY rowid"  # noqa: S608 - a name of our own
        with closing(connection.execute(query)) as rows:
            return {key: self._parsed(table, record) for key, record in rows}

    def _parsed(self, table: _Table[_T], record: str) -> _T:
        try:
            return table.parse(record)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{self._path}: a record cannot be read: {error!r}",
                cure="start the version of the shim that wrote it, or move the file away",
            ) from error

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self._path}: {error}",
                cure="is the disk full or read-only? a damaged file can be moved away: running containers "
                "keep their network, but the shim forgets them",
            ) from error

    def _connect(self) -> sqlite3.Connection | None:
        if self._read_only:
            if not self._path.exists():
                return None
            return sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
            tables: Iterable[_Table[Any]] = (self._networks, self._endpoints, self._reservations)
            for table in tables:
                table.records.update(self._read(connection, table))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            (version,) = cursor.fetchone()
        if version < len(_FORMATS):
            steps = "".join(_FORMATS[version:])
            connection.executescript(f"BEGIN; {steps} PRAGMA user_version = {len(_FORMATS)}; COMMIT;")
        elif version > len(_FORMATS):
            raise StoreError(
                f"{self._path}: written by another version of the shim (format {version}, "
                f"known up to {len(_FORMATS)})",
                cure="start the version that wrote it, stop all containers on its networks, then upgrade",
            )


def _members(item: Any) -> dict[str, Any]:
    """The members of a record, which are JSON already or records themselves."""
    return {member.name: getattr(item, member.name) for member in fields(item)}


def _network(record: str) -> Network:
    values = json.loads(record)
    if values.get("definition"):
        values["definition"] = Definition(**values["definition"])
    values["ipam"] = Ipam(values.get("ipam", Ipam.NULL))
    return Network(**_with_tuples(values, "gateways", "pool_ids"))


def _endpoint(record: str) -> Endpoint:
    values = json.loads(record)
    values["state"] = EndpointState(values["state"])
    values["mode"] = Mode(values.get("mode", Mode.HANDOVER))
    values["netns"] = values.pop("staging", None) or values["netns"]  # its name in earlier versions
    values["cni_args"] = _pairs(values["cni_args"])
    return Endpoint(**_with_tuples(values, "reservations", "shared_ports"))


def _reservation(record: str) -> Reservation:
    values = json.loads(record)
    values["cni_args"] = _pairs(values["cni_args"])
    return Reservation(**values)


def _pairs(items: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in items)


def _with_tuples(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The values with tuples in place of JSON's lists; a record of an earlier version lacks some."""
    return values | {key: tuple(values[key]) for key in keys if key in values}
