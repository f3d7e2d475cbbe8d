"""The kernel tells of what is waited for: nobody looks in the meantime."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.net import changes
from shim.net.links import Links
from tests.integration.host import run

_PATIENCE = 10.0
"""Seconds until a test gives up."""


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel's word, a wait lasts longer than a test."""
    monkeypatch.setattr(changes, "_AT_MOST", 2 * _PATIENCE)


async def after(words: str, waiting: Callable[[], "asyncio.Future[None]"]) -> None:
    """See that it waits before that command of `ip`, and no longer after it."""
    waiter = waiting()
    await asyncio.sleep(0.1)
    assert not waiter.done()

    await asyncio.to_thread(run, "ip", *words.split())

    async with asyncio.timeout(_PATIENCE):
        await waiter


async def test_a_namespace_is_waited_for_until_it_is_mounted(net: Links) -> None:
    path = Path("/run/netns/late")
    await after("netns add late", lambda: asyncio.ensure_future(net.appeared(path)))
    run("ip", "netns", "delete", "late")


async def test_one_that_stands_already_is_not_waited_for(net: Links, sandbox: Path) -> None:
    async with asyncio.timeout(_PATIENCE):
        await net.appeared(sandbox)


async def test_a_file_in_its_place_is_none(net: Links, tmp_path: Path) -> None:
    (tmp_path / "sandbox").touch()
    run("ip", "netns", "add", "other")  # a change, but another

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await net.appeared(tmp_path / "sandbox")

    run("ip", "netns", "delete", "other")


async def test_each_change_of_links_addresses_and_routes_is_told(net: Links, sandbox: Path) -> None:
    async with net.watch(sandbox) as changed:
        for words in (
            "link add link0 type bridge",
            "link set link0 name eth0",
            "address add 10.1.0.5/16 dev eth0",
            "address add fd00:1::5/64 dev eth0 nodad",
            "link set eth0 up",
            "route add 10.9.0.0/16 via 10.1.0.1",
            "route add fd00:9::/64 via fd00:1::1",
            "link delete eth0",
        ):
            await after(f"-n {sandbox.name} {words}", lambda: asyncio.ensure_future(changed()))
            await settled(changed)


async def test_what_changed_before_the_wait_ends_it_at_once(net: Links, sandbox: Path) -> None:
    async with net.watch(sandbox) as changed:
        await asyncio.to_thread(run, "ip", "-n", sandbox.name, "link", "set", "lo", "up")
        await asyncio.sleep(0.1)

        async with asyncio.timeout(_PATIENCE):
            await changed()


async def test_more_changes_than_the_kernel_keeps_end_the_wait_all_the_same(
    net: Links, sandbox: Path
) -> None:
    async with net.watch(sandbox) as changed:
        many = "".join(f"address add 10.2.{n // 250}.{n % 250 + 1}/32 dev lo\n" for n in range(5000))
        file = Path("/run/many")
        file.write_text(many)
        run("ip", "-n", sandbox.name, "-batch", str(file))  # while the loop, which this blocks, reads nothing

        async with asyncio.timeout(_PATIENCE):
            await changed()
        await settled(changed)
        await after(f"-n {sandbox.name} link set lo up", lambda: asyncio.ensure_future(changed()))


async def test_a_change_elsewhere_is_not_told(net: Links, sandbox: Path, staging: Path) -> None:
    async with net.watch(sandbox) as changed:
        run("ip", "-n", staging.name, "link", "set", "lo", "up")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await changed()


async def settled(changed: changes.Changed) -> None:
    """Wait until nothing more is told: one command may change several things."""
    while True:
        try:
            async with asyncio.timeout(0.1):
                await changed()
        except TimeoutError:
            return
