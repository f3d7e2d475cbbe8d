"""The journal: what is saved is on disk, and what cannot be read says so in one line."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from shim.model import (
    Definition,
    Endpoint,
    EndpointID,
    EndpointState,
    Ipam,
    Network,
    NetworkID,
    Reservation,
)
from shim.store import FILE_NAME, Store, StoreError

T = TypeVar("T")

NETWORK = Network(
    id=NetworkID("a" * 64),
    cni_network="web",
    options={"cni.network": "web"},
    internal=True,
    created_at=1700000000.25,
)
ENDPOINT = Endpoint(
    id=EndpointID("b" * 64),
    network_id=NETWORK.id,
    state=EndpointState.JOINED,
    conflist={"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge", "mtu": 1500}]},
    ifname="eth0",
    netns="/run/cnm-cni/netns/bbbb",
    cni_args=(("IgnoreUnknown", "1"), ("K8S_POD_NAME", "web")),
    capability_args={"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
    mac_address="02:42:ac:11:00:02",
    result={"ips": [{"address": "10.89.0.2/24"}], "dns": None},
    shared_ports=({"hostPort": 8081, "containerPort": 81, "protocol": "udp"},),
    reservations=("e" * 64, "f" * 64),
    snapshot={"links": []},
    sandbox_key="/var/run/docker/netns/cccc",
    boot_id="f00",
    created_at=1700000001.5,
    last_error="bridge failed: Größe",
)
RESERVATION = Reservation(
    id="e" * 64,
    conflist={"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "host-local"}]},
    cni_args=(("IP", "10.89.0.2/24"),),
    capability_args={"ips": ["10.89.0.2/24"]},
    result={"ips": [{"address": "10.89.0.2/24"}]},
    held={"10.89.0.2": "0123456789abcdef 10.89.0.0/24 web"},
    network_id="a" * 64,
    created_at=1700000002.5,
    last_error="device busy",
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path)
    await store.open()
    yield store
    await store.close()


async def networks(store: Store) -> list[Network]:
    """Those that the daemon knows, which are those that another process reads."""
    known = await store.networks()
    assert known == await read(store, Store.networks)
    return known


async def endpoints(store: Store) -> list[Endpoint]:
    """The same of endpoints."""
    known = await store.endpoints()
    assert known == await read(store, Store.endpoints)
    return known


async def reservations(store: Store) -> list[Reservation]:
    """The same of reservations."""
    known = await store.reservations()
    assert known == await read(store, Store.reservations)
    return known


async def read(store: Store, what: Callable[[Store], Awaitable[list[T]]]) -> list[T]:
    reader = Store(store._path.parent, read_only=True)
    await reader.open()
    try:
        return await what(reader)
    finally:
        await reader.close()


def pragma(store: Store, name: str) -> Any:
    assert store._connection
    return store._connection.execute(f"PRAGMA {name}").fetchone()


async def reopened(folder: Path) -> tuple[list[Network], list[Endpoint]]:
    """What another process would read, once this one is gone."""
    store = Store(folder)
    await store.open()
    try:
        return await store.networks(), await store.endpoints()
    finally:
        await store.close()


async def refused(folder: Path, reading: Callable[[Store], Awaitable[object]]) -> None:
    """See that neither the daemon takes the journal, nor a reader."""
    expected = r"a record cannot be read.*\(start the version of the shim that wrote it"
    daemon, reader = Store(folder), Store(folder, read_only=True)
    with pytest.raises(StoreError, match=expected):
        await daemon.open()
    await reader.open()
    with pytest.raises(StoreError, match=expected):
        await reading(reader)
    for store in (daemon, reader):
        await store.close()


def execute(folder: Path, sql: str, *values: str) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute(sql, values)


async def test_a_new_journal_is_empty(store: Store) -> None:
    assert await networks(store) == []
    assert await endpoints(store) == []
    assert await store.network(NETWORK.id) is None
    assert await store.endpoint(ENDPOINT.id) is None


async def test_every_member_of_a_network_comes_back(store: Store) -> None:
    await store.save_network(NETWORK)

    assert await networks(store) == [NETWORK]
    assert await store.network(NETWORK.id) == NETWORK


@pytest.mark.parametrize("ipam", Ipam)
async def test_who_chooses_the_addresses_of_a_network_comes_back(store: Store, ipam: Ipam) -> None:
    network = replace(NETWORK, ipam=ipam, ipv6=True, gateways=("10.89.0.1", "fd00::1"), pool_ids=("a", "b"))
    await store.save_network(network)

    found = await networks(store)
    assert found == [network]
    assert found[0].ipam is ipam


async def test_the_definition_of_a_network_comes_back(store: Store) -> None:
    definition = Definition("team-a", "blue", '{"type": "bridge"}')
    network = replace(NETWORK, cni_network="team-a/blue", definition=definition)
    await store.save_network(network)

    assert await networks(store) == [network]


@pytest.mark.usefixtures("store")
async def test_a_network_of_a_shim_that_knew_no_kubernetes_is_read(tmp_path: Path) -> None:
    record = json.dumps(
        {"id": NETWORK.id, "cni_network": "web", "options": {}, "internal": False, "created_at": 1.0}
    )
    execute(tmp_path, "INSERT INTO networks VALUES (?, ?)", NETWORK.id, record)

    assert await reopened(tmp_path) == ([Network(NETWORK.id, "web", created_at=1.0)], [])


async def test_updating_replaces_a_network_and_brings_none_back(store: Store) -> None:
    await store.save_network(NETWORK)
    changed = replace(NETWORK, cni_network="other")
    await store.update_network(changed)
    assert await networks(store) == [changed]

    await store.delete_network(NETWORK.id)
    await store.update_network(changed)

    assert await networks(store) == []


async def test_each_change_is_told_once_it_is_on_disk(tmp_path: Path) -> None:
    told: list[int] = []
    store = Store(tmp_path / "state", changed=lambda: told.append(1))
    await store.open()
    await store.save_network(NETWORK)
    await store.save_endpoint(ENDPOINT)
    assert len(told) == 2

    await networks(store)
    await store.delete_endpoint(ENDPOINT.id)

    await store.close()
    assert len(told) == 3


async def test_every_member_of_an_endpoint_comes_back_with_its_type(store: Store) -> None:
    await store.save_endpoint(ENDPOINT)

    found = await endpoints(store)
    assert found == [ENDPOINT]
    assert found[0].state is EndpointState.JOINED
    assert await store.endpoint(ENDPOINT.id) == ENDPOINT


async def test_an_endpoint_of_defaults_comes_back(store: Store) -> None:
    endpoint = Endpoint(ENDPOINT.id, NETWORK.id, EndpointState.ADDING, {}, "eth0", "/run/x")

    await store.save_endpoint(endpoint)

    assert await endpoints(store) == [endpoint]


async def test_text_that_is_no_unicode_comes_back(store: Store) -> None:
    network = replace(NETWORK, options={"cni.args.X": "\ud800 \0 \U0001f433"})

    await store.save_network(network)

    assert await networks(store) == [network]


async def test_saving_again_replaces_and_keeps_the_order(store: Store) -> None:
    second = replace(NETWORK, id=NetworkID("c" * 64))
    await store.save_network(NETWORK)
    await store.save_network(second)
    renamed = replace(NETWORK, cni_network="db")

    await store.save_network(renamed)

    assert await networks(store) == [renamed, second]


async def test_an_endpoints_state_column_follows_its_record(store: Store, tmp_path: Path) -> None:
    await store.save_endpoint(ENDPOINT)
    await store.save_endpoint(replace(ENDPOINT, state=EndpointState.LEAVING))

    assert [endpoint.state for endpoint in await endpoints(store)] == [EndpointState.LEAVING]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT network_id, state FROM endpoints").fetchall() == [
            (NETWORK.id, "leaving")
        ]


async def test_deleting_removes_one_and_is_harmless_twice(store: Store) -> None:
    other = replace(ENDPOINT, id=EndpointID("d" * 64))
    await store.save_network(NETWORK)
    await store.save_endpoint(ENDPOINT)
    await store.save_endpoint(other)

    for _ in range(2):
        await store.delete_endpoint(ENDPOINT.id)
        await store.delete_network(NETWORK.id)

    assert await endpoints(store) == [other]
    assert await networks(store) == []


async def test_what_was_saved_outlives_the_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "made" / "on" / "the" / "way")
    await store.open()
    await store.save_network(NETWORK)
    await store.save_endpoint(ENDPOINT)
    await store.close()

    assert await reopened(tmp_path / "made" / "on" / "the" / "way") == ([NETWORK], [ENDPOINT])


async def test_what_was_saved_is_on_disk_before_the_journal_is_closed(store: Store, tmp_path: Path) -> None:
    await store.save_endpoint(ENDPOINT)

    assert await reopened(tmp_path) == ([], [ENDPOINT])


@pytest.mark.parametrize(
    ("write", "synchronous"),
    [
        (lambda store: store.save_network(NETWORK), 2),
        (lambda store: store.save_endpoint(ENDPOINT), 2),
        (lambda store: store.save_endpoint(ENDPOINT, durable=False), 1),
        (lambda store: store.delete_endpoint(ENDPOINT.id), 1),
    ],
    ids=["network", "before ADD", "after ADD", "removal"],
)
async def test_a_commit_is_on_disk_at_once_if_what_it_says_may_outlive_the_machine(
    store: Store, write: Callable[[Store], Awaitable[None]], synchronous: int
) -> None:
    await write(store)

    assert pragma(store, "synchronous") == (synchronous,)
    assert pragma(store, "journal_mode") == ("wal",)


async def test_the_state_is_hidden_from_other_users(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    await store.open()
    await store.close()

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def test_a_journal_that_was_never_opened_takes_no_writes(tmp_path: Path) -> None:
    store = Store(tmp_path)

    with pytest.raises(StoreError, match="is not open"):
        await store.save_network(NETWORK)

    await store.close()


async def test_a_reader_sees_what_the_daemon_saves(store: Store, tmp_path: Path) -> None:
    reader = Store(tmp_path, read_only=True)
    await reader.open()
    await store.save_network(NETWORK)

    assert await reader.networks() == [NETWORK]

    await reader.close()


async def test_a_reader_works_without_a_daemon(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.open()
    await store.save_network(NETWORK)
    await store.close()
    reader = Store(tmp_path, read_only=True)
    await reader.open()

    assert await reader.networks() == [NETWORK]

    await reader.close()


async def test_a_reader_cannot_write(store: Store, tmp_path: Path) -> None:
    reader = Store(tmp_path, read_only=True)
    await reader.open()

    with pytest.raises(StoreError, match="readonly database"):
        await reader.save_network(NETWORK)

    await reader.close()
    assert await networks(store) == []


async def test_a_reader_finds_a_missing_file_empty_and_does_not_make_it(tmp_path: Path) -> None:
    reader = Store(tmp_path / "none", read_only=True)
    await reader.open()

    assert await reader.networks() == []
    assert await reader.endpoint(ENDPOINT.id) is None

    await reader.close()
    assert not (tmp_path / "none").exists()


async def test_a_reader_takes_any_character_in_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d"
    store = Store(folder)
    await store.open()
    await store.save_network(NETWORK)
    await store.close()
    reader = Store(folder, read_only=True)
    await reader.open()

    assert await reader.networks() == [NETWORK]

    await reader.close()


async def test_a_file_that_is_no_journal_is_refused_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    store = Store(tmp_path)

    with pytest.raises(StoreError, match=r"state\.db: file is not a database") as caught:
        await store.open()

    assert "moved away" in caught.value.cure
    await store.close()


async def test_a_reader_refuses_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    reader = Store(tmp_path, read_only=True)
    await reader.open()

    with pytest.raises(StoreError, match="file is not a database"):
        await reader.networks()

    await reader.close()


async def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.open()
    await store.save_network(NETWORK)
    await store.close()
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    damaged = Store(tmp_path)

    with pytest.raises(StoreError, match="malformed"):
        await damaged.open()

    await damaged.close()


async def test_a_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    execute(tmp_path, "PRAGMA user_version = 3")
    store = Store(tmp_path)

    with pytest.raises(
        StoreError, match=r"written by another version of the shim \(format 3, known up to 2\)"
    ):
        await store.open()

    await store.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


async def test_a_journal_of_the_first_format_is_upgraded_and_its_records_are_read(tmp_path: Path) -> None:
    for statement in (
        "CREATE TABLE networks (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT",
        """CREATE TABLE endpoints (id TEXT PRIMARY KEY, network_id TEXT NOT NULL, state TEXT NOT NULL,
                                   record TEXT NOT NULL) STRICT""",
        "PRAGMA user_version = 1",
    ):
        execute(tmp_path, statement)
    of_network, of_endpoint = asdict(NETWORK), asdict(ENDPOINT)
    for key in ("ipam", "ipv6", "gateways", "pool_ids"):
        del of_network[key]
    for key in ("reservations", "shared_ports", "mode"):
        del of_endpoint[key]
    of_endpoint["staging"] = of_endpoint.pop("netns")
    endpoint = replace(ENDPOINT, reservations=(), shared_ports=())
    execute(tmp_path, "INSERT INTO networks VALUES (?, ?)", NETWORK.id, json.dumps(of_network))
    execute(
        tmp_path,
        "INSERT INTO endpoints VALUES (?, ?, ?, ?)",
        ENDPOINT.id,
        NETWORK.id,
        ENDPOINT.state,
        json.dumps(of_endpoint),
    )

    for _ in range(2):
        assert await reopened(tmp_path) == ([NETWORK], [endpoint])
    store = Store(tmp_path)
    await store.open()
    await store.save_reservation(RESERVATION)
    assert await reservations(store) == [RESERVATION]
    await store.close()


async def test_a_reader_reads_a_journal_of_the_first_format_and_leaves_it_so(tmp_path: Path) -> None:
    execute(tmp_path, "CREATE TABLE networks (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT")
    execute(tmp_path, "PRAGMA user_version = 1")
    reader = Store(tmp_path, read_only=True)
    await reader.open()

    assert await reader.networks() == []

    assert pragma(reader, "user_version") == (1,)
    await reader.close()


# Reservations


async def test_every_member_of_a_reservation_comes_back_with_its_type(store: Store) -> None:
    await store.save_reservation(RESERVATION)

    assert await reservations(store) == [RESERVATION]


async def test_a_reservation_of_defaults_comes_back(store: Store) -> None:
    reservation = Reservation("f" * 64, {})

    await store.save_reservation(reservation)

    assert await reservations(store) == [reservation]


async def test_a_reservation_is_replaced_in_its_place_and_removed_for_good(store: Store) -> None:
    other = replace(RESERVATION, id="d" * 64)
    await store.save_reservation(RESERVATION)
    await store.save_reservation(other)
    changed = replace(RESERVATION, held={}, network_id="")
    await store.save_reservation(changed)
    assert await reservations(store) == [changed, other]

    for _ in range(2):
        await store.delete_reservation(RESERVATION.id)

    assert await reservations(store) == [other]


@pytest.mark.parametrize("record", ["", "null", "[]", "{}", '{"id": "a", "conflist": {}, "cni_args": [[1]]}'])
@pytest.mark.usefixtures("store")
async def test_a_reservation_record_of_another_version_is_an_error(tmp_path: Path, record: str) -> None:
    execute(tmp_path, "INSERT INTO reservations VALUES (?, ?)", RESERVATION.id, record)

    await refused(tmp_path, lambda store: store.reservations())


@pytest.mark.parametrize(
    "record",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        json.dumps(asdict(ENDPOINT) | {"colour": "blue"}),
        json.dumps(asdict(ENDPOINT) | {"state": "paused"}),
        json.dumps(asdict(ENDPOINT) | {"cni_args": [["one"]]}),
        json.dumps({key: value for key, value in asdict(ENDPOINT).items() if key != "ifname"}),
    ],
    ids=["empty", "null", "list", "no members", "cut off", "unknown member", "unknown state",
         "odd arguments", "missing member"],
)  # fmt: skip
@pytest.mark.usefixtures("store")
async def test_an_endpoint_record_of_another_version_is_an_error_with_a_cure(
    tmp_path: Path, record: str
) -> None:
    execute(tmp_path, "INSERT INTO endpoints VALUES (?, 'n', 's', ?)", ENDPOINT.id, record)

    await refused(tmp_path, lambda store: store.endpoint(ENDPOINT.id))


@pytest.mark.parametrize("record", ["", "null", "[]", "{}", '{"colour": "blue"}'])
@pytest.mark.usefixtures("store")
async def test_a_network_record_of_another_version_is_an_error(tmp_path: Path, record: str) -> None:
    execute(tmp_path, "INSERT INTO networks VALUES (?, ?)", NETWORK.id, record)

    await refused(tmp_path, lambda store: store.networks())


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    store = Store(tmp_path / "state")

    with pytest.raises(StoreError, match="File exists"):
        await store.open()

    await store.close()


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    store = Store(tmp_path)

    with pytest.raises(StoreError, match="unable to open database file"):
        await store.open()

    await store.close()


async def test_a_full_disk_is_an_error_and_keeps_what_was_there(store: Store) -> None:
    await store.save_network(NETWORK)
    pragma(store, "max_page_count = 1")  # sqlite's own way to meet a full disk
    huge = replace(NETWORK, options={"cni.args.X": "x" * 1_000_000})

    with pytest.raises(StoreError, match="database or disk is full"):
        await store.save_network(huge)

    assert await networks(store) == [NETWORK]


async def test_of_a_caller_who_is_cancelled_memory_and_disk_know_the_same(store: Store) -> None:
    assert store._connection
    begun = threading.Event()
    store._connection.set_trace_callback(lambda _: begun.set())
    with closing(sqlite3.connect(store._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # until it ends, the first one is being written and the second waits
        writing = asyncio.create_task(store.save_endpoint(ENDPOINT))
        await asyncio.to_thread(begun.wait)
        waiting = asyncio.create_task(store.save_endpoint(replace(ENDPOINT, id=EndpointID("9" * 64))))
        await asyncio.sleep(0)
        writing.cancel()
        waiting.cancel()
        for saving in (writing, waiting):
            with pytest.raises(asyncio.CancelledError):
                await saving
        other.execute("COMMIT")

    await store.save_network(NETWORK)  # for which the first one is waited

    assert await endpoints(store) == [ENDPOINT]


async def test_a_read_only_disk_is_an_error_with_a_cure(store: Store) -> None:
    pragma(store, "query_only = ON")  # as root, permissions would not stop a write

    with pytest.raises(StoreError, match="is the disk full or read-only"):
        await store.save_network(NETWORK)
