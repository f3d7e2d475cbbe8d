"""How the lease of a dhcp plugin follows a link into the sandbox, and what is left when that fails."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.runtime import Runtime
from shim.leases import Leases, ifname
from shim.model import Endpoint, EndpointState, JSONObject, Mode
from shim.net.replay import Replayed
from shim.store import Store
from shim.translate import host_link_name
from tests.unit.cni.scripted import ScriptedPlugins
from tests.unit.leases import HOST_LOCAL, conflist
from tests.unit.standins import ENDPOINT_ID, LINK, SeenLinks, endpoint

LIVE = "/proc/self/ns/net"
OWN = host_link_name(ENDPOINT_ID)
"""The link's name at ADD."""
RECORD = endpoint(
    EndpointState.JOINED,
    sandbox_key=LIVE,
    conflist=conflist({"type": "dhcp"}),
    ifname=OWN,
    result={
        "cniVersion": "1.0.0",
        "interfaces": [{"name": OWN, "sandbox": "/staging"}],
        "ips": [{"address": "10.1.0.5/16", "interface": 0}],
    },
)
KEPT = Replayed(replayed=("renewal of the DHCP lease",))


class Daemon:
    """The dhcp plugin with its daemon: the leases that it keeps, each a file by the link's name."""

    def __init__(self, plugins: ScriptedPlugins, folder: Path) -> None:
        self._leases = folder / "leases"
        self._leases.mkdir()
        self.calls = folder / "dhcp calls"
        self.calls.touch()
        self.answers(plugins, "10.1.0.5/16")

    def answers(self, plugins: ScriptedPlugins, address: str, *, first: str = "true") -> None:
        """Let ADD give that address, after it has run a command."""
        lease = f'"{self._leases}/$CNI_IFNAME"'
        plugins.write(
            "dhcp",
            f'echo "$CNI_COMMAND $CNI_IFNAME $CNI_NETNS" >> "{self.calls}"\n'
            f"if [ $CNI_COMMAND = DEL ]; then exec rm -f {lease}; fi\n{first} || exit 1\n"
            f'[ ! -e {lease} ] || exit 1; echo "$CNI_NETNS" > {lease}\n'
            f'echo \'{{"cniVersion": "1.0.0", "ips": [{{"address": "{address}"}}]}}\'',
        )

    @property
    def leases(self) -> dict[str, str]:
        """Where each lease is kept, by the link's name."""
        return {item.name: item.read_text().strip() for item in self._leases.iterdir()}


@pytest.fixture
def daemon(plugins: ScriptedPlugins, tmp_path: Path) -> Daemon:
    """One that keeps the lease of ADD."""
    daemon = Daemon(plugins, tmp_path)
    (tmp_path / "leases" / OWN).write_text("/staging")
    return daemon


@pytest.fixture
def links() -> SeenLinks:
    return SeenLinks()


@pytest.fixture
async def leases(store: Store, plugins: ScriptedPlugins, links: SeenLinks) -> Leases:
    await store.save_endpoint(RECORD)
    runtime = Runtime(Exec(lambda *_: None), [plugins.folder], add_deadline=10.0, delete_deadline=10.0)
    return Leases(store, runtime, links)


async def noted(store: Store) -> str:
    record = await store.endpoint(RECORD.id)
    assert record
    return record.lease_ifname


@pytest.mark.parametrize("name", ["eth0", "eth1"])
async def test_a_lease_is_kept_in_the_sandbox_for_the_client_that_the_server_knows(
    leases: Leases, daemon: Daemon, links: SeenLinks, store: Store, name: str
) -> None:
    assert await leases.follow(RECORD, replace(LINK, name=name)) == KEPT

    assert daemon.leases == {OWN: LIVE}
    assert links.altnames == [f"{name} {OWN}", f"-{name} {OWN}"]
    assert await noted(store) == OWN


async def test_a_link_that_has_the_name_of_add_needs_no_other(
    leases: Leases, daemon: Daemon, links: SeenLinks
) -> None:
    assert await leases.follow(RECORD, replace(LINK, name=OWN)) == KEPT

    assert daemon.leases == {OWN: LIVE}
    assert links.altnames == []


async def test_without_further_names_the_lease_is_taken_under_the_links_own(
    leases: Leases, daemon: Daemon, links: SeenLinks, store: Store
) -> None:
    links.refuses_altnames = True

    assert await leases.follow(RECORD, replace(LINK, name="eth1")) == KEPT

    assert daemon.leases == {"eth1": LIVE}
    assert await noted(store) == "eth1"


async def test_another_address_is_given_back_and_the_loss_is_told(
    leases: Leases, daemon: Daemon, plugins: ScriptedPlugins
) -> None:
    daemon.answers(plugins, "10.1.0.6/16")

    ((what, why),) = (await leases.follow(RECORD, LINK)).lost

    assert what == "renewal of the DHCP lease"
    assert "the server gives 10.1.0.6/16 where the container has 10.1.0.5/16" in why
    assert daemon.leases == {}


async def test_a_server_that_does_not_answer_costs_the_renewal_alone(
    leases: Leases, daemon: Daemon, plugins: ScriptedPlugins, links: SeenLinks
) -> None:
    daemon.answers(plugins, "", first="false")

    ((_, why),) = (await leases.follow(RECORD, LINK)).lost

    assert 'plugin "dhcp" (network "web") ADD: ' in why
    assert daemon.leases == {}
    assert links.altnames == [f"eth0 {OWN}", f"-eth0 {OWN}"]


@pytest.mark.parametrize(
    "record",
    [replace(RECORD, conflist=conflist(HOST_LOCAL)), replace(RECORD, mode=Mode.INPLACE)],
    ids=["another IPAM plugin", "in place"],
)
async def test_what_needs_not_follow_is_left_alone(leases: Leases, daemon: Daemon, record: Endpoint) -> None:
    assert await leases.follow(record, LINK) == Replayed()
    assert await leases.settled(record) == record
    await leases.end(record)

    assert daemon.calls.read_text() == ""


async def test_what_a_crash_interrupted_is_done_again(leases: Leases, daemon: Daemon, store: Store) -> None:
    (daemon.calls.parent / "leases" / "eth1").write_text(LIVE)
    interrupted = replace(RECORD, lease_ifname="eth1")
    await store.save_endpoint(interrupted)

    assert await leases.follow(interrupted, replace(LINK, name="eth1")) == KEPT

    assert daemon.leases == {OWN: LIVE}


async def test_the_lease_is_given_back_in_the_sandbox(leases: Leases, daemon: Daemon) -> None:
    await leases.follow(RECORD, LINK)

    for _ in range(2):
        await leases.end(await leases.settled(RECORD))

    assert daemon.leases == {}
    assert daemon.calls.read_text().splitlines()[-1] == f"DEL {OWN} {LIVE}"


async def test_who_leaves_meanwhile_waits_for_the_lease_and_gives_it_back(
    leases: Leases, daemon: Daemon, plugins: ScriptedPlugins, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    daemon.answers(plugins, "10.1.0.5/16", first=f'read -r _ < "{gate}"')
    following = asyncio.create_task(leases.follow(RECORD, LINK))
    while "ADD" not in daemon.calls.read_text():  # noqa: ASYNC110 - a plugin tells nobody
        await asyncio.sleep(0.01)
    following.cancel()
    leaving = asyncio.create_task(leases.settled(RECORD))
    await asyncio.sleep(0.05)
    assert not leaving.done()

    gate.write_text("go on\n")
    settled = await leaving

    assert settled.lease_ifname == OWN
    await leases.end(settled)
    assert daemon.leases == {}


def test_at_add_only_a_link_with_a_lease_has_a_name_of_its_own() -> None:
    def named(section: JSONObject) -> str:
        return ifname(ENDPOINT_ID, NetworkConfigList.from_json(conflist(section), "a test"))

    assert named({"type": "dhcp"}) == OWN
    assert named(HOST_LOCAL) == "eth0"
    assert named({}) == "eth0"
