"""Namespaces and links, as the kernel has them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shim.net.links import Links
from shim.net.namespaces import Namespaces, is_namespace
from shim.net.snapshot import Link, Route, Snapshot
from shim.net.thread import KernelError, NetlinkThread
from tests.integration.host import addresses, links, run
from tests.integration.staged import whole

MAC = "02:42:ac:11:00:02"


@pytest.fixture
async def namespaces(thread: NetlinkThread, tmp_path: Path) -> AsyncIterator[Namespaces]:
    namespaces = Namespaces(thread, tmp_path / "run" / "netns")
    yield namespaces
    for name in await namespaces.names():
        await namespaces.remove(name)
    namespaces.close()


@pytest.fixture
def veth() -> Iterator[str]:
    """A link of the host with a MAC address and addresses."""
    run("ip", "link", "add", "test0", "address", MAC, "type", "veth", "peer", "name", "peer0")
    run("ip", "link", "set", "test0", "up")
    run("ip", "address", "add", "10.1.0.5/16", "dev", "test0")
    run("ip", "address", "add", "fd00:1::5/64", "dev", "test0", "nodad")
    yield "test0"
    if "peer0" in links():  # goes with the other end, wherever that is
        run("ip", "link", "delete", "peer0")


def inside(namespace: Path, *command: str) -> str:
    return run("nsenter", f"--net={namespace}", *command)


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Namespaces


async def test_the_empty_namespace_is_one_for_all_and_has_no_name(namespaces: Namespaces, net: Links) -> None:
    first, second = await asyncio.gather(namespaces.empty(), namespaces.empty())

    assert first == second == await namespaces.empty()
    assert is_namespace(first)
    assert await namespaces.names() == []
    assert await whole(net, first) == Snapshot()

    namespaces.close()
    assert not is_namespace(first)


async def test_a_new_namespace_is_one_and_has_nothing_but_loopback(
    namespaces: Namespaces, net: Links
) -> None:
    path = await namespaces.create("one")

    assert path == namespaces.path("one")
    assert is_namespace(path)
    assert await namespaces.names() == ["one"]
    assert await whole(net, path) == Snapshot()


async def test_making_a_namespace_again_keeps_it_with_what_is_in_it(namespaces: Namespaces) -> None:
    path = await namespaces.create("one")
    inside(path, "ip", "link", "add", "here", "type", "bridge")
    mounted = mounts()

    await namespaces.create("one")

    assert "here" in inside(path, "ip", "-brief", "link")
    assert mounts() == mounted


async def test_a_file_that_a_crash_left_without_a_namespace_becomes_one(namespaces: Namespaces) -> None:
    await namespaces.create("one")
    namespaces.path("two").touch()
    assert not is_namespace(namespaces.path("two"))

    assert is_namespace(await namespaces.create("two"))


async def test_removing_a_namespace_removes_its_links_its_mount_and_its_file(
    namespaces: Namespaces, net: Links, veth: str
) -> None:
    path = await namespaces.create("one")
    await net.move(None, veth, path, "eth0")

    await namespaces.remove("one")

    while "peer0" in links():  # the kernel takes namespaces down by and by
        pass
    assert str(path) not in mounts()
    assert await namespaces.names() == []


async def test_removing_a_namespace_that_is_none_is_harmless(namespaces: Namespaces) -> None:
    await namespaces.remove("one")
    await namespaces.create("two")
    namespaces.path("one").touch()

    await namespaces.remove("one")

    assert await namespaces.names() == ["two"]


async def test_there_are_no_names_without_the_folder(namespaces: Namespaces) -> None:
    assert await namespaces.names() == []


def test_only_a_namespace_is_a_namespace(tmp_path: Path, sandbox: Path) -> None:
    (tmp_path / "file").touch()

    assert is_namespace(sandbox)
    assert is_namespace(Path("/proc/self/ns/net"))
    assert not is_namespace(Path("/proc/self/ns/mnt"))
    assert not is_namespace(tmp_path / "file")
    assert not is_namespace(tmp_path)
    assert not is_namespace(tmp_path / "missing")


# Links


async def test_a_link_moves_there_and_back_and_loses_its_addresses(
    net: Links, sandbox: Path, veth: str
) -> None:
    await net.move(None, veth, sandbox, "eth0")

    assert veth not in links()
    assert links(sandbox)["eth0"]["address"] == MAC
    assert addresses(links(sandbox)["eth0"]) == []

    await net.move(sandbox, "eth0", None, "back0")

    assert "eth0" not in links(sandbox)
    assert links()["back0"]["address"] == MAC


async def test_a_link_of_the_old_name_in_the_target_is_no_obstacle(
    net: Links, sandbox: Path, veth: str
) -> None:
    run("ip", "-n", sandbox.name, "link", "add", veth, "type", "bridge")

    await net.move(None, veth, sandbox, "eth0")

    assert {veth, "eth0"} <= links(sandbox).keys()
    assert links(sandbox)["eth0"]["address"] == MAC


async def test_a_link_is_found_by_its_mac_address_whatever_it_is_called(
    net: Links, sandbox: Path, veth: str
) -> None:
    wanted = Link("eth0", MAC, 1500, ("10.1.0.5/16",))
    assert await net.find(sandbox, wanted) is None

    await net.move(None, veth, sandbox, "eth7")

    assert await net.find(sandbox, wanted) == Link("eth7", MAC, 1500, (), flags=("down",))
    assert await net.find(None, wanted) is None


async def test_of_links_with_one_mac_address_the_one_with_the_address_is_meant(net: Links, veth: str) -> None:
    run("ip", "link", "add", "aaa0", "address", MAC, "type", "veth", "peer", "name", "aaa1")
    run("ip", "link", "add", "eth0", "address", MAC, "type", "veth", "peer", "name", "eth0p")
    try:
        by_address = await net.find(None, Link("eth0", MAC, 1500, ("10.1.0.5/24",)))
        by_same_address = await net.find(None, Link("eth0", MAC, 1500, ("10.1.0.5/16",)))
        by_name = await net.find(None, Link("eth0", MAC, 1500, ()))
    finally:
        run("ip", "link", "delete", "aaa0")
        run("ip", "link", "delete", "eth0")

    assert by_same_address
    assert by_same_address.name == veth
    assert by_name
    assert by_name.name == "eth0"
    assert by_address
    assert by_address.name == veth


async def test_a_link_without_mac_address_is_found_by_its_address_or_else_by_its_name(
    net: Links, sandbox: Path
) -> None:
    for name in ("tun0", "tun1"):
        run("ip", "-n", sandbox.name, "tuntap", "add", name, "mode", "tun")
    run("ip", "-n", sandbox.name, "address", "add", "10.1.0.5/24", "dev", "tun0")

    by_address = await net.find(sandbox, Link("eth0", "", 1500, ("10.1.0.5/16",)))
    by_name = await net.find(sandbox, Link("tun1", "", 1500, ()))

    assert by_address
    assert by_address.name == "tun0"
    assert by_name
    assert by_name.name == "tun1"
    assert await net.find(sandbox, Link("eth0", "", 1500, ())) is None


async def test_a_link_exists_or_not(net: Links, sandbox: Path, veth: str) -> None:
    assert await net.exists(None, veth)
    assert not await net.exists(sandbox, veth)


async def test_a_link_moved_and_restored_is_up_with_its_mac_address_and_addresses(
    net: Links, sandbox: Path, veth: str
) -> None:
    link = (await net.outline(None)).link(veth)
    assert link
    await net.move(None, veth, sandbox, veth)
    await net.set_mac(sandbox, veth, "02:00:00:00:00:09")

    await net.restore(sandbox, link)
    await net.restore(sandbox, link)

    assert (await net.snapshot(sandbox)).link(veth) == link
    assert "UP" in links(sandbox)[veth]["flags"]


@pytest.mark.parametrize("mac", [MAC, ""])
async def test_a_stand_in_has_name_mac_and_addresses_of_the_lost_link(
    net: Links, sandbox: Path, mac: str
) -> None:
    lost = Link("eth0", mac, 1500, ("10.1.0.5/16", "fd00:1::5/64"))

    await net.stand_in(sandbox, lost)
    await net.restore(sandbox, lost)

    link = links(sandbox)["eth0"]
    assert addresses(link) == ["10.1.0.5/16", "fd00:1::5/64"]
    assert not mac or link["address"] == mac


async def test_a_link_is_found_by_a_further_name_until_that_is_taken_from_it(
    net: Links, sandbox: Path, veth: str
) -> None:
    await net.move(None, veth, sandbox, "eth7")

    for _ in range(2):
        await net.add_altname(sandbox, "eth7", "lan0")

    assert links(sandbox)["eth7"]["altnames"] == ["lan0"]
    assert run("ip", "-n", sandbox.name, "link", "show", "lan0")
    await net.remove_altname(sandbox, "eth7", "lan0")
    assert "altnames" not in links(sandbox)["eth7"]


async def test_a_further_name_that_another_link_has_is_refused(net: Links, sandbox: Path, veth: str) -> None:
    run("ip", "-n", sandbox.name, "link", "add", "lan0", "type", "bridge")
    await net.move(None, veth, sandbox, "eth7")

    with pytest.raises(KernelError, match=r"use lan0 as a further name in .*File exists"):
        await net.add_altname(sandbox, "eth7", "lan0")


async def test_the_routes_that_are_meant_are_removed_and_no_others(
    net: Links, sandbox: Path, veth: str
) -> None:
    await net.move(None, veth, sandbox, "eth0")
    await net.restore(sandbox, Link("eth0", MAC, 1500, ("10.1.0.5/16", "fd00:1::5/64")))
    for family, *route in (
        ("-4", "default", "via", "10.1.0.1"),
        ("-4", "default", "via", "10.1.0.2", "metric", "7", "src", "10.1.0.5"),
        ("-6", "default", "via", "fd00:1::1"),
        ("-6", "default", "via", "fd00:1::2", "metric", "7"),
        ("-4", "10.9.0.0/16", "dev", "eth0"),
    ):
        run("ip", "-n", sandbox.name, family, "route", "add", *route)
    there = (await net.outline(sandbox)).routes
    meant = [route for route in there if not route.by_kernel and not route.gateway.endswith("1")]

    await net.remove_routes(sandbox, meant)

    assert len(meant) == 3
    assert set((await net.outline(sandbox)).routes) == set(there) - set(meant)
    with pytest.raises(KernelError, match=f"cannot remove routes in {sandbox}: No such process"):
        await net.remove_routes(sandbox, meant)


# Snapshots


async def test_a_snapshot_has_addresses_and_routes_of_both_families(
    net: Links, sandbox: Path, veth: str
) -> None:
    await net.move(None, veth, sandbox, "eth0")
    await net.restore(sandbox, Link("eth0", MAC, 1500, ("10.1.0.5/16", "fd00:1::5/64")))
    run("ip", "link", "set", "peer0", "up")
    run("ip", "-n", sandbox.name, "route", "add", "default", "via", "10.1.0.1")
    run("ip", "-n", sandbox.name, "-6", "route", "add", "default", "via", "fd00:1::1")
    run("ip", "-n", sandbox.name, "route", "add", "10.9.0.0/16", "dev", "eth0")
    run("ip", "-n", sandbox.name, "route", "add", "blackhole", "10.8.0.0/16")
    run("ip", "-n", sandbox.name, "route", "add", "10.7.0.0/16", "dev", "eth0", "table", "7")

    snapshot = await net.snapshot(sandbox)

    assert snapshot.links == (Link("eth0", MAC, 1500, ("10.1.0.5/16", "fd00:1::5/64")),)
    assert set(snapshot.routes) == {
        Route("10.1.0.0/16", "", "eth0", by_kernel=True),
        Route("fd00:1::/64", "", "eth0", by_kernel=True),
        Route("0.0.0.0/0", "10.1.0.1", "eth0", by_kernel=False),
        Route("::/0", "fd00:1::1", "eth0", by_kernel=False),
        Route("10.9.0.0/16", "", "eth0", by_kernel=False),
    }


async def test_a_snapshot_shows_a_point_to_point_link_without_its_connected_route(
    net: Links, sandbox: Path, veth: str
) -> None:
    await net.move(None, veth, sandbox, "eth0")
    await net.restore(sandbox, Link("eth0", MAC, 1500, ("10.1.0.5/24",)))
    for route in (
        ("delete", "10.1.0.0/24", "dev", "eth0"),
        ("add", "10.1.0.1/32", "dev", "eth0", "scope", "link"),
        ("add", "10.1.0.0/24", "via", "10.1.0.1"),
    ):
        run("ip", "-n", sandbox.name, "route", *route)

    assert await net.snapshot(sandbox) == Snapshot(
        (Link("eth0", MAC, 1500, ("10.1.0.5/24",)),),
        (
            Route("10.1.0.0/24", "10.1.0.1", "eth0", by_kernel=False),
            Route("10.1.0.1/32", "", "eth0", by_kernel=False),
        ),
    )


async def test_a_snapshot_survives_the_journal(net: Links, veth: str) -> None:
    snapshot = await net.outline(None)

    assert snapshot.link(veth)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


# Errors, and what is held


async def test_what_the_kernel_refuses_is_one_line_that_says_what_was_tried(
    net: Links, namespaces: Namespaces, sandbox: Path, veth: str, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    run("ip", "-n", sandbox.name, "link", "add", "taken", "type", "bridge")
    lost = Link("eth0", MAC, 1500, ())
    attempts: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("move gone0 from .*: there is no link gone0", lambda: net.move(None, "gone0", sandbox, "eth0")),
        (f"move {veth} from .* to {missing}: .*No such", lambda: net.move(None, veth, missing, "eth0")),
        (f"move {veth} from .*: File exists", lambda: net.move(None, veth, sandbox, "taken")),
        (f"read the links of {missing}: .*No such file", lambda: net.snapshot(missing)),
        (f"read the sysctls of {missing}: .*No such file", lambda: net.completed(missing, Snapshot())),
        ("restore eth0 in .*: there is no link eth0", lambda: net.restore(sandbox, lost)),
        ("stand in for taken in .*: File exists", lambda: net.stand_in(sandbox, replace(lost, name="taken"))),
        ("make the network namespace .*: .*too long", lambda: namespaces.create("x" * 300)),
    ]
    for words, attempt in attempts:
        with pytest.raises(KernelError, match=f"^cannot {words}") as refusal:
            await attempt()
        assert "\n" not in str(refusal.value)


async def test_no_file_descriptor_stays_open(net: Links, namespaces: Namespaces, veth: str) -> None:
    async def cycle() -> None:
        path = await namespaces.create("one")
        await net.move(None, veth, path, "eth0")
        await net.snapshot(path)
        await net.exists(path, "eth0")
        with pytest.raises(KernelError):
            await net.move(path, "gone0", None, "gone0")
        await net.move(path, "eth0", None, veth)
        await namespaces.remove("one")

    await cycle()
    before = descriptors()

    for _ in range(50):
        await cycle()

    assert descriptors() == before
