"""When what plugins made is put back, and what is noted of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.leases import Leases
from shim.model import Endpoint, EndpointState, Mode
from shim.net.replay import Moved, Replay, Replayed
from shim.net.snapshot import Link, Snapshot
from shim.net.thread import KernelError
from shim.replays import Replays
from shim.store import Store
from tests.unit.cni.scripted import ADD_ANSWER, ScriptedPlugins
from tests.unit.leases import conflist
from tests.unit.standins import LINK, SNAPSHOT, ScriptedHandover, SeenLinks, endpoint

LIVE = "/proc/self/ns/net"
JOINED = endpoint(EndpointState.JOINED, sandbox_key=LIVE)
DONE = Replayed(carried=("link eth0",), replayed=("sysctl net.core.somaxconn = 999",))


class ScriptedKernel(Replay):
    """A kernel that answers as a test says, and notes what it is asked."""

    def __init__(self) -> None:
        self.answers: list[Replayed | KernelError] = []
        """Each but the last is given once."""
        self.names: list[Mapping[str, str]] = []
        self.default_routes: list[bool] = []
        self.moved: list[str] = []

    async def replay(
        self, _namespace: Path, _snapshot: Snapshot, names: Mapping[str, str], *, default_route: bool
    ) -> Replayed:
        self.names.append(names)
        self.default_routes.append(default_route)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, KernelError):
            raise answer
        return answer

    async def move_rest(
        self, _source: Path, _target: Path, snapshot: Snapshot, except_: Collection[str]
    ) -> Moved:
        self.moved += [link.name for link in snapshot.links if link.name not in except_]
        return Moved({"net1": "net2"}, Replayed(replayed=("link net1 as net2",)))


@pytest.fixture
def handover(store: Store) -> ScriptedHandover:
    handover = ScriptedHandover(store)
    handover.found = LINK
    return handover


@pytest.fixture
def kernel() -> ScriptedKernel:
    kernel = ScriptedKernel()
    kernel.answers = [DONE]
    return kernel


@pytest.fixture
def links() -> SeenLinks:
    links = SeenLinks()
    links.seen = SNAPSHOT
    return links


@pytest.fixture
async def replays(
    store: Store,
    handover: ScriptedHandover,
    links: SeenLinks,
    kernel: ScriptedKernel,
    plugins: ScriptedPlugins,
) -> AsyncIterator[Replays]:
    await store.save_endpoint(JOINED)
    runtime = Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=10.0, delete_deadline=10.0)
    replays = Replays(store, handover, links, kernel, Leases(store, runtime, links))
    yield replays
    await replays.close()


async def noted(store: Store) -> Replayed | None:
    record = await store.endpoint(JOINED.id)
    return Replayed.from_json(record.replayed) if record and record.replayed else None


async def until_noted(store: Store) -> Replayed:
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        if found := await noted(store):
            return found
        await asyncio.sleep(0.01)
    pytest.fail("it was never noted")


async def test_with_the_link_in_the_sandbox_it_is_done_at_once_and_noted(
    replays: Replays, store: Store, handover: ScriptedHandover, kernel: ScriptedKernel
) -> None:
    handover.found = replace(LINK, name="eth3")

    await replays.replay(JOINED)

    assert await noted(store) == DONE
    assert (kernel.names, kernel.default_routes, kernel.moved) == ([{"eth0": "eth3"}], [False], [])
    assert handover.of("end staging") == [JOINED.id]


@pytest.mark.parametrize(
    "changes",
    [{"mode": Mode.INPLACE}, {"state": EndpointState.CREATED}, {"replayed": DONE.to_json()}],
    ids=["in place", "not joined", "done before"],
)
async def test_what_is_not_due_is_left_alone(
    replays: Replays, kernel: ScriptedKernel, changes: dict[str, Any]
) -> None:
    await replays.replay(replace(JOINED, **changes))

    assert kernel.names == []


async def test_further_links_go_into_the_sandbox_first_and_their_names_are_known_then(
    replays: Replays, store: Store, kernel: ScriptedKernel
) -> None:
    second = Link("net1", "", 1500, ())
    snapshot = replace(SNAPSHOT, links=(LINK, second)).to_json()

    await replays.replay(replace(JOINED, netns=LIVE, snapshot=snapshot))

    assert kernel.moved == ["net1"]
    assert kernel.names == [{"eth0": "eth0", "net1": "net2"}]
    found = await noted(store)
    assert found
    assert "link net1 as net2" in found.replayed


@pytest.mark.parametrize("has_default", [True, False])
async def test_further_default_routes_follow_the_engines_choice(
    replays: Replays, kernel: ScriptedKernel, links: SeenLinks, *, has_default: bool
) -> None:
    first = SNAPSHOT.routes[-1]
    snapshot = replace(SNAPSHOT, routes=(*SNAPSHOT.routes, replace(first, gateway="10.1.0.9", metric=200)))
    links.seen = SNAPSHOT if has_default else replace(SNAPSHOT, routes=())

    await replays.replay(replace(JOINED, snapshot=snapshot.to_json()))

    assert kernel.default_routes == [has_default]


async def test_a_sandbox_that_comes_later_is_waited_for_until_the_engine_is_through(  # noqa: PLR0917 - fixtures
    replays: Replays,
    store: Store,
    handover: ScriptedHandover,
    kernel: ScriptedKernel,
    links: SeenLinks,
    tmp_path: Path,
) -> None:
    sandbox = tmp_path / "sandbox"
    handover.found = None
    links.seen = Snapshot()
    early = Replayed(replayed=("sysctl net.core.somaxconn = 999",), lost=(("link eth0", "it is not there"),))
    of_link = Replayed(replayed=("sysctl net.ipv4.conf.eth0.arp_notify = 1",))
    first = Replayed(carried=("link eth0",), lost=(("route 10.9.0.0/16", "Network is down"),))
    last = Replayed(carried=("link eth0", *early.replayed), replayed=("route 10.9.0.0/16",))
    kernel.answers = [early, of_link, first, last]
    late = replace(JOINED, sandbox_key=str(sandbox))
    await store.save_endpoint(late)

    await replays.replay(late)
    await asyncio.sleep(0.05)
    assert kernel.names == []
    sandbox.symlink_to(LIVE)
    await asyncio.sleep(0.05)
    assert kernel.names == [{}]
    links.seen = SNAPSHOT

    assert await until_noted(store) == Replayed(
        carried=("link eth0",), replayed=(*early.replayed, *of_link.replayed, "route 10.9.0.0/16")
    )
    assert kernel.names[1:] == [{"eth0": "eth0"}] * 4


async def test_while_the_engine_is_at_work_on_the_link_nothing_is_put_in_its_way(
    replays: Replays, store: Store, handover: ScriptedHandover, kernel: ScriptedKernel, links: SeenLinks
) -> None:
    handover.found = None
    links.seen = Snapshot(links=(replace(LINK, flags=("down",)),))
    await replays.replay(JOINED)
    await asyncio.sleep(0.05)
    assert kernel.names == [{}, {"eth0": "eth0"}]  # sysctls are in nobody's way

    links.seen = SNAPSHOT

    assert await until_noted(store) == DONE


async def test_an_endpoint_that_leaves_is_waited_for_no_longer(
    replays: Replays, store: Store, handover: ScriptedHandover, links: SeenLinks
) -> None:
    handover.found = None
    links.seen = Snapshot()
    await replays.replay(JOINED)

    await replays.cancel(JOINED.id)
    links.seen = SNAPSHOT
    await asyncio.sleep(0.05)

    assert await noted(store) is None


async def test_what_was_lost_is_logged_with_the_network_and_the_reason(
    replays: Replays, kernel: ScriptedKernel, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.answers = [Replayed(lost=(("link br1", "it cannot move"),))]

    await replays.replay(JOINED)

    assert "network web, endpoint eeeeeeeeeeee: link br1 is lost: it cannot move" in caplog.text


async def test_a_kernel_that_refuses_keeps_no_container_from_starting(
    replays: Replays, store: Store, kernel: ScriptedKernel, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.answers = [KernelError("cannot read the links"), DONE]

    await replays.replay(JOINED)

    assert "cannot read the links" in caplog.text
    assert await until_noted(store) == DONE  # it was tried again


async def test_the_note_of_an_endpoint_that_has_left_meanwhile_is_dropped(
    replays: Replays, store: Store
) -> None:
    left: Endpoint = replace(JOINED, state=EndpointState.LEFT)
    await store.save_endpoint(left)

    await replays.replay(JOINED)

    assert await store.endpoint(JOINED.id) == left


async def test_a_dhcp_lease_follows_once_the_link_is_in_the_sandbox(
    replays: Replays, store: Store, plugins: ScriptedPlugins
) -> None:
    plugins.write("dhcp", f"[ $CNI_COMMAND = DEL ] || echo '{ADD_ANSWER}'")
    leased = replace(JOINED, conflist=conflist({"type": "dhcp"}))
    await store.save_endpoint(leased)

    await replays.replay(leased)

    assert await noted(store) == DONE.followed_by(Replayed(replayed=("renewal of the DHCP lease",)))
    assert plugins.calls == ["dhcp DEL", "dhcp ADD"]


async def test_other_ipam_plugins_are_not_run_again(replays: Replays, plugins: ScriptedPlugins) -> None:
    await replays.replay(replace(JOINED, conflist=conflist()))

    assert plugins.calls == []
