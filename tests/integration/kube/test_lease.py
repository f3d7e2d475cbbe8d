"""Leases on a real API server: one holder at a time, and another once that one is silent."""

import asyncio
from typing import Any

import pytest
from lab.cluster import Cluster

from shim.kube.client import Client
from shim.kube.errors import KubeError
from shim.kube.lease import Lease
from shim.kube.objects import LEASES


def lease(client: Client, holder: str, duration: float = 60.0) -> Lease:
    return Lease(client, "cnm-cni", "some", role="test", holder=holder, duration=duration)


async def seen(client: Client) -> dict[str, Any]:
    item = await client.get(LEASES, "cnm-cni", "some")
    assert item
    return item


async def test_a_lease_is_made_kept_and_labelled(client: Client) -> None:
    mine = lease(client, "me")

    assert await mine.renew()
    first = await seen(client)
    assert await mine.renew()
    second = await seen(client)

    assert first["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "cnm-cni",
        "cnm-cni.io/lease": "test",
    }
    assert first["spec"]["holderIdentity"] == "me"
    assert first["spec"]["leaseDurationSeconds"] == 60
    assert second["spec"]["renewTime"] > first["spec"]["renewTime"]


async def test_a_holder_that_starts_again_keeps_its_lease(client: Client) -> None:
    assert await lease(client, "me").renew()

    assert await lease(client, "me").renew()


async def test_a_lease_that_another_holds_is_not_taken(client: Client) -> None:
    assert await lease(client, "me").renew()
    yours = lease(client, "you")

    assert not await yours.renew()

    assert yours.other_holder == "me"


async def test_a_lease_is_taken_once_its_holder_has_been_silent_for_its_duration(client: Client) -> None:
    mine, yours = lease(client, "me", 1.0), lease(client, "you", 60.0)
    assert await mine.renew()
    assert not await yours.renew()
    await asyncio.sleep(0.6)
    assert await mine.renew()
    await asyncio.sleep(0.6)
    assert not await yours.renew()  # it was renewed meanwhile

    await asyncio.sleep(1.2)

    assert await yours.renew()
    assert not await mine.renew()
    assert mine.other_holder == "you"


async def test_a_silent_holders_wrong_clock_does_not_matter(client: Client, cluster: Cluster) -> None:
    mine, yours = lease(client, "me", 60.0), lease(client, "you", 60.0)
    assert await mine.renew()
    old = '{"spec": {"renewTime": "1970-01-01T00:00:00.000000Z"}}'
    cluster.kubectl("patch", "lease", "-n", "cnm-cni", "some", "--type=merge", "-p", old)

    assert not await yours.renew()


async def test_of_two_that_take_a_lease_at_once_one_gets_it(client: Client) -> None:
    holders = [lease(client, str(number)) for number in range(5)]

    got = await asyncio.gather(*(holder.renew() for holder in holders))

    assert sorted(got) == [False, False, False, False, True]


async def test_a_lease_that_was_deleted_is_made_anew(client: Client, cluster: Cluster) -> None:
    mine = lease(client, "me")
    assert await mine.renew()
    cluster.kubectl("delete", "lease", "-n", "cnm-cni", "some")

    assert await mine.renew()

    assert (await seen(client))["spec"]["holderIdentity"] == "me"


async def test_a_namespace_that_is_missing_is_named(client: Client) -> None:
    nowhere = Lease(client, "nowhere", "some", role="test", holder="me", duration=60.0)

    with pytest.raises(KubeError, match=r'forbidden|namespaces "nowhere" not found'):
        await nowhere.renew()


async def test_while_the_server_is_away_nothing_is_held_and_afterwards_it_is(
    client: Client, cluster: Cluster
) -> None:
    mine = lease(client, "me")
    assert await mine.renew()
    cluster.kill_api_server()
    with pytest.raises(KubeError, match="Connection refused"):
        await mine.renew()
    cluster.start_api_server()

    assert await mine.renew()
