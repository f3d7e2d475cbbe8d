"""The journal: what the shim knows of networks and endpoints, durable in one sqlite file.

An endpoint's state is written before an action (the intent) and after it (the outcome), each in a
transaction that outlives the shim when the call returns. What must outlive the machine too is on disk by
then; the rest is about what dies with the machine, and follows with the next such transaction, which saves
a container half a dozen waits for the disk. The only importer of sqlite3.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

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


class Store:
    """The journal in `folder`. Every call runs in one thread of its own and may raise `StoreError`.

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
        rows = await self._query("SELECT record FROM networks ORDER BY rowid")
        return [self._read(_network, record) for (record,) in rows]

    async def network(self, network_id: NetworkID) -> Network | None:
        """The network of that ID."""
        rows = await self._query("SELECT record FROM networks WHERE id = ?", network_id)
        return self._read(_network, rows[0][0]) if rows else None

    async def save_network(self, network: Network) -> None:
        """Add or replace a network."""
        await self._write(
            "INSERT INTO networks VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            network.id,
            json.dumps(asdict(network)),
        )

    async def update_network(self, network: Network) -> None:
        """Replace a network; does nothing when it has been removed meanwhile."""
        await self._write(
            "UPDATE networks SET record = ? WHERE id = ?", json.dumps(asdict(network)), network.id
        )

    async def delete_network(self, network_id: NetworkID) -> None:
        """Remove a network; harmless when there is none."""
        await self._write("DELETE FROM networks WHERE id = ?", network_id)

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints, oldest first."""
        rows = await self._query("SELECT record FROM endpoints ORDER BY rowid")
        return [self._read(_endpoint, record) for (record,) in rows]

    async def endpoint(self, endpoint_id: EndpointID) -> Endpoint | None:
        """The endpoint of that ID."""
        rows = await self._query("SELECT record FROM endpoints WHERE id = ?", endpoint_id)
        return self._read(_endpoint, rows[0][0]) if rows else None

    async def save_endpoint(self, endpoint: Endpoint, *, durable: bool = True) -> None:
        """Add or replace an endpoint; `durable` before an ADD, whose leases outlive the machine."""
        await self._write(
            "INSERT INTO endpoints VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record",
            endpoint.id,
            endpoint.network_id,
            endpoint.state,
            json.dumps(asdict(endpoint)),
            durable=durable,
        )

    async def delete_endpoint(self, endpoint_id: EndpointID) -> None:
        """Remove an endpoint; harmless when there is none."""
        await self._write("DELETE FROM endpoints WHERE id = ?", endpoint_id, durable=False)

    async def reservations(self) -> list[Reservation]:
        """All reservations, oldest first."""
        rows = await self._query("SELECT record FROM reservations ORDER BY rowid")
        return [self._read(_reservation, record) for (record,) in rows]

    async def save_reservation(self, reservation: Reservation, *, durable: bool = True) -> None:
        """Add or replace a reservation."""
        await self._write(
            "INSERT INTO reservations VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            reservation.id,
            json.dumps(asdict(reservation)),
            durable=durable,
        )

    async def delete_reservation(self, reservation_id: str) -> None:
        """Remove a reservation; harmless when there is none."""
        await self._write("DELETE FROM reservations WHERE id = ?", reservation_id, durable=False)

    async def _query(self, sql: str, *values: str) -> list[Any]:
        connection = self._connection
        if connection is None:
            return []
        return await self._run(lambda: connection.execute(sql, values).fetchall())

    async def _write(self, sql: str, *values: str, durable: bool = True) -> None:
        connection = self._connection
        if connection is None:
            raise StoreError(f"{self._path}: the journal is not open")

        def write() -> None:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(sql, values)

        await self._run(write)
        self._changed()

    def _read(self, parse: Callable[[str], _T], record: str) -> _T:
        try:
            return parse(record)
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
