"""What `cnm-cni network`, `endpoint` and `reservation` show, read from a real journal beside its writer."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim import views
from shim.config import Deadlines, Settings
from shim.errors import InvalidRequestError
from shim.model import Endpoint, EndpointID, EndpointState, Network, NetworkID, Reservation
from shim.net.replay import Replayed
from shim.store import FILE_NAME, Store, StoreError
from tests.unit.standins import ENDPOINT_ID, MAC, NETWORK_ID, RESULT, EngineStandIn, endpoint

OTHER_NETWORK = NetworkID("b" * 64)
OTHER_ENDPOINT = EndpointID("ef" * 32)
SANDBOX = "/var/run/docker/netns/0123456789ab"
PORTS = [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
    {"hostPort": 443, "containerPort": 443, "protocol": "tcp", "hostIP": "fd00::1"},
]


@pytest.fixture
def settings(store: Store, docker: EngineStandIn, tmp_path: Path) -> Settings:
    """Settings that lead to the journal and to the engine."""
    assert store
    return Settings(
        state_dir=tmp_path / "state", docker_socket=docker.socket, deadlines=Deadlines(engine=2.0)
    )


@pytest.fixture
async def shop(store: Store, docker: EngineStandIn) -> Endpoint:
    """The endpoint of container "shop", joined to Docker network "front" with three published ports."""
    docker.add(NETWORK_ID, "front", {ENDPOINT_ID: "shop"})
    await store.save_network(
        Network(NETWORK_ID, "web", options={"cni.network": "web"}, internal=True, created_at=86400.0)
    )
    shop = endpoint(
        EndpointState.JOINED,
        sandbox_key=SANDBOX,
        created_at=86401.5,
        cni_args=(("K8S_POD_NAME", "shop"), ("TENANT", "7")),
        capability_args={"portMappings": PORTS},
    )
    await store.save_endpoint(shop)
    return shop


def cells(table: str) -> list[list[str]]:
    """The cells of a table, head included: three blanks or more part them."""
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in table.splitlines()]


async def parsed(view: views.View, settings: Settings, wanted: str = "") -> Any:
    return json.loads(await view(settings, wanted, as_json=True))


# Networks


@pytest.mark.usefixtures("shop")
async def test_networks_are_listed_with_their_docker_names_and_endpoints(
    settings: Settings, store: Store
) -> None:
    await store.save_network(Network(OTHER_NETWORK, ""))

    assert cells(await views.networks(settings, "", as_json=False)) == [
        ["NETWORK ID", "NAME", "CNI NETWORK", "ENDPOINTS"],
        ["a" * 12, "front", "web", "1"],
        ["b" * 12, "-", "-", "0"],
    ]


@pytest.mark.usefixtures("shop")
async def test_networks_as_json_are_complete(settings: Settings) -> None:
    assert await parsed(views.networks, settings) == [
        {
            "id": NETWORK_ID,
            "name": "front",
            "cniNetwork": "web",
            "endpoints": 1,
            "options": {"cni.network": "web"},
            "internal": True,
            "createdAt": "1970-01-02T00:00:00+00:00",
        }
    ]


# Endpoints


@pytest.mark.usefixtures("shop")
async def test_endpoints_are_listed_with_all_that_tells_them_apart(settings: Settings) -> None:
    head, row = cells(await views.endpoints(settings, "", as_json=False))

    assert ",".join(head) == "ENDPOINT ID,NETWORK,CNI NETWORK,CONTAINER,ADDRESS,MAC,STATE,PORTS,LAST ERROR"
    assert row == [
        "e" * 12,
        "front",
        "web",
        "shop",
        "10.1.0.5/16",
        MAC,
        "joined",
        "8080->80/tcp, 192.0.2.1:53->53/udp, [fd00::1]:443->443/tcp",
        "-",
    ]


async def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks(
    settings: Settings, store: Store
) -> None:
    await store.save_network(Network(NETWORK_ID, "a-network-with-a-long-name"))

    assert await views.networks(settings, "", as_json=False) == (
        "NETWORK ID     NAME   CNI NETWORK                  ENDPOINTS\n"
        "aaaaaaaaaaaa   -      a-network-with-a-long-name   0"
    )


async def test_an_endpoint_whose_add_is_under_way_is_shown_without_what_it_has_not_yet(
    settings: Settings, store: Store
) -> None:
    await store.save_endpoint(endpoint(EndpointState.ADDING))

    (_, row) = cells(await views.endpoints(settings, "", as_json=False))
    assert row == ["e" * 12, "-", "web", "-", "-", "-", "adding", "-", "-"]
    (item,) = await parsed(views.endpoints, settings)
    assert (item["addresses"], item["mac"], item["result"]) == ([], "", None)


async def test_an_endpoint_that_could_not_be_removed_shows_why(settings: Settings, store: Store) -> None:
    await store.save_endpoint(endpoint(EndpointState.LEAVING, last_error='plugin "bridge": device busy'))

    (_, row) = cells(await views.endpoints(settings, "", as_json=False))
    assert row[-3:] == ["leaving", "-", 'plugin "bridge": device busy']


async def test_addresses_of_both_families_and_a_mac_address_asked_for_are_shown(
    settings: Settings, store: Store
) -> None:
    ips = [*RESULT["ips"], {"address": "fd00:1::5/64", "gateway": "fd00:1::1", "interface": 0}]
    asked_for = "02:00:00:00:00:09"
    await store.save_endpoint(
        endpoint(EndpointState.CREATED, result={**RESULT, "ips": ips}, mac_address=asked_for)
    )

    (_, row) = cells(await views.endpoints(settings, "", as_json=False))
    assert row[4:6] == ["10.1.0.5/16,fd00:1::5/64", asked_for]
    (item,) = await parsed(views.endpoints, settings)
    assert item["gateways"] == ["10.1.0.1", "fd00:1::1"]


async def test_an_endpoint_as_json_is_complete(settings: Settings, shop: Endpoint) -> None:
    whole = {
        "id": ENDPOINT_ID,
        "network": {"id": NETWORK_ID, "name": "front"},
        "cniNetwork": "web",
        "container": "shop",
        "state": "joined",
        "mode": "handover",
        "wantedMode": "handover",
        "addresses": ["10.1.0.5/16"],
        "gateways": ["10.1.0.1"],
        "mac": MAC,
        "ifname": "eth0",
        "sandbox": SANDBOX,
        "portMappings": PORTS,
        "lastError": "",
        "createdAt": "1970-01-02T00:00:01+00:00",
        "cniArgs": {"K8S_POD_NAME": "shop", "TENANT": "7"},
        "capabilityArgs": {"portMappings": PORTS},
        "conflist": shop.conflist,
        "result": RESULT,
        "carried": [],
        "replayed": [],
        "yielded": [],
        "lost": [],
    }

    assert await parsed(views.endpoint, settings, "eee") == whole
    assert await parsed(views.endpoints, settings) == [whole]


@pytest.mark.usefixtures("shop")
async def test_an_endpoint_is_shown_in_full(settings: Settings) -> None:
    assert await views.endpoint(settings, ENDPOINT_ID, as_json=False) == "\n".join(
        [
            f"endpoint:    {ENDPOINT_ID}",
            f"network:     front ({'a' * 12})",
            "CNI network: web",
            "container:   shop",
            "state:       joined",
            "mode:        handover",
            "addresses:   10.1.0.5/16",
            "gateways:    10.1.0.1",
            f"MAC:         {MAC}",
            f"sandbox:     {SANDBOX}",
            "ports:       8080->80/tcp, 192.0.2.1:53->53/udp, [fd00::1]:443->443/tcp",
            "plugins:     bridge",
            "CNI_ARGS:    K8S_POD_NAME=shop;TENANT=7",
            "created:     1970-01-02T00:00:01+00:00",
            "last error:  -",
            "carried:     -",
            "replayed:    -",
            "gave way:    -",
            "lost:        -",
        ]
    )


@pytest.mark.usefixtures("shop")
async def test_a_link_that_was_to_come_in_place_and_came_by_handover_says_why(
    settings: Settings, store: Store
) -> None:
    options = {"cni.network": "web", "cni.mode": "inplace"}
    await store.save_network(Network(NETWORK_ID, "web", options=options, created_at=86400.0))

    shown = await views.endpoint(settings, ENDPOINT_ID, as_json=False)

    assert "mode:        handover (inplace was asked for, but the sandbox came after Join)\n" in shown


async def test_what_became_of_the_plugins_work_in_the_sandbox_is_shown(
    settings: Settings, store: Store, shop: Endpoint
) -> None:
    replayed = Replayed(
        carried=("link eth0", "address 10.1.0.5/16 dev eth0"),
        replayed=("sysctl net.core.somaxconn = 999",),
        yielded=(("route default via 10.1.0.1", "another network has it"),),
        lost=(("link br1", "it cannot move"),),
    )
    await store.save_endpoint(replace(shop, replayed=replayed.to_json()))

    shown = await views.endpoint(settings, ENDPOINT_ID, as_json=False)

    assert shown.splitlines()[-5:] == [
        "carried:     link eth0",
        "             address 10.1.0.5/16 dev eth0",
        "replayed:    sysctl net.core.somaxconn = 999",
        "gave way:    route default via 10.1.0.1 (another network has it)",
        "lost:        link br1 (it cannot move)",
    ]


# Which endpoint


async def test_the_beginning_of_an_id_will_do_as_long_as_it_means_one(
    settings: Settings, store: Store
) -> None:
    await store.save_endpoint(endpoint(EndpointState.CREATED))
    await store.save_endpoint(endpoint(EndpointState.CREATED, id=OTHER_ENDPOINT))

    assert (await parsed(views.endpoint, settings, "ef"))["id"] == OTHER_ENDPOINT
    assert (await parsed(views.endpoint, settings, "ee"))["id"] == ENDPOINT_ID


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("e", r"several endpoints begin with e \(give more of its ID\)"),
        ("12", r"no endpoint begins with 12 \(see `cnm-cni endpoint ls`\)"),
        ("e" * 65, "no endpoint begins with eee"),
    ],
)
async def test_an_id_that_means_none_or_several_is_refused(
    settings: Settings, store: Store, wanted: str, words: str
) -> None:
    await store.save_endpoint(endpoint(EndpointState.CREATED))
    await store.save_endpoint(endpoint(EndpointState.CREATED, id=OTHER_ENDPOINT))

    with pytest.raises(InvalidRequestError, match=words):
        await views.endpoint(settings, wanted, as_json=False)


# Without engine, without journal


@pytest.mark.usefixtures("shop")
async def test_without_the_engine_only_the_names_are_missing(
    settings: Settings, docker: EngineStandIn
) -> None:
    await docker.stop()

    (_, network) = cells(await views.networks(settings, "", as_json=False))
    (_, row) = cells(await views.endpoints(settings, "", as_json=False))
    assert network == ["a" * 12, "-", "web", "1"]
    assert row[:5] == ["e" * 12, "-", "web", "-", "10.1.0.5/16"]
    assert f"network:     - ({'a' * 12})" in await views.endpoint(settings, "e", as_json=False)


@pytest.mark.usefixtures("shop")
async def test_a_network_that_the_engine_does_not_know_leaves_the_others_their_names(
    settings: Settings, store: Store
) -> None:
    await store.save_network(Network(OTHER_NETWORK, "web"))
    await store.save_network(Network(NetworkID("c" * 64), "web"))

    names = [item["name"] for item in await parsed(views.networks, settings)]

    assert names == ["front", "", ""]


async def test_an_engine_that_cannot_answer_is_asked_once_only(
    settings: Settings, store: Store, docker: EngineStandIn
) -> None:
    for letter in "abc":
        await store.save_network(Network(NetworkID(letter * 64), "web"))
    await docker.stop()
    questions = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal questions
        await reader.readuntil(b"\r\n\r\n")
        questions += 1
        writer.write(b"HTTP/1.1 500 starting\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(refuse, docker.socket)
    try:
        await views.networks(settings, "", as_json=False)
    finally:
        server.close()

    assert questions == 1


@pytest.mark.parametrize(("view", "head"), [(views.networks, "NETWORK ID"), (views.endpoints, "ENDPOINT ID")])
async def test_without_a_journal_there_is_nothing_to_list_and_none_is_made(
    tmp_path: Path, view: views.View, head: str
) -> None:
    settings = Settings(state_dir=tmp_path / "none", docker_socket=tmp_path / "docker.sock")

    (line,) = (await view(settings, "", as_json=False)).splitlines()
    assert line.startswith(head)
    assert await parsed(view, settings) == []
    assert not settings.state_dir.exists()


async def test_a_journal_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("not a database, but long enough to be taken for one" * 20)

    with pytest.raises(StoreError, match=f"{FILE_NAME}: file is not a database"):
        await views.networks(Settings(state_dir=tmp_path), "", as_json=False)


async def test_looking_leaves_the_journal_as_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.open()
    await store.save_endpoint(endpoint(EndpointState.JOINED))
    await store.close()
    journal = (tmp_path / FILE_NAME).read_bytes()

    await views.endpoints(Settings(state_dir=tmp_path, docker_socket=tmp_path / "none"), "", as_json=False)

    assert (tmp_path / FILE_NAME).read_bytes() == journal


# Reservations


@pytest.fixture
async def reserved(store: Store, shop: Endpoint) -> list[Reservation]:
    """One for a container, one for a network, one that Docker holds, one under way, one that is left over."""
    first = Reservation(
        "1" * 64,
        {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "host-local"}]},
        result={"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}, {"address": "fd00:1::5/64"}]},
        created_at=86400.0,
    )
    held = {"10.1.0.9": "pool"}
    reserved = [
        first,
        replace(first, id="2" * 64, result=address("10.1.0.8/16"), network_id=NETWORK_ID, held=held),
        replace(first, id="3" * 64, result=address("10.1.0.9/16"), held=held),
        replace(first, id="4" * 64, result=None),
        replace(first, id="5" * 64, result=address("10.1.0.7/16"), last_error="host-local DEL: disk full"),
    ]
    for item in reserved:
        await store.save_reservation(item)
    await store.save_endpoint(replace(shop, reservations=(first.id,)))
    return reserved


def address(text: str) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "ips": [{"address": text}]}


@pytest.mark.usefixtures("reserved")
async def test_reservations_are_listed_with_who_uses_them_and_why_they_are_still_there(
    settings: Settings,
) -> None:
    assert cells(await views.reservations(settings, "", as_json=False)) == [
        ["RESERVATION ID", "CNI NETWORK", "ADDRESS", "USED BY", "LAST ERROR"],
        ["1" * 12, "web", "10.1.0.5/16,fd00:1::5/64", f"endpoint {'e' * 12}", "-"],
        ["2" * 12, "web", "10.1.0.8/16", f"network {'a' * 12}", "-"],
        ["3" * 12, "web", "10.1.0.9/16", "Docker", "-"],
        ["4" * 12, "web", "-", "-", "-"],
        ["5" * 12, "web", "10.1.0.7/16", "-", "host-local DEL: disk full"],
    ]


async def test_reservations_as_json_are_complete(settings: Settings, reserved: list[Reservation]) -> None:
    found = await parsed(views.reservations, settings)

    assert found[1] == {
        "id": reserved[1].id,
        "cniNetwork": "web",
        "addresses": ["10.1.0.8/16"],
        "endpoint": "",
        "network": NETWORK_ID,
        "held": ["10.1.0.9"],
        "lastError": "",
        "createdAt": "1970-01-02T00:00:00+00:00",
        "conflist": reserved[1].conflist,
    }
    assert found[0]["endpoint"] == ENDPOINT_ID


async def test_without_reservations_the_head_stands_alone(settings: Settings) -> None:
    assert len((await views.reservations(settings, "", as_json=False)).splitlines()) == 1
