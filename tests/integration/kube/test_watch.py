"""What a node knows of Kubernetes, kept up to date by watches of a real API server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from lab.cluster import SERVER, Cluster

from shim.config import Kubernetes
from shim.errors import ConflictError
from shim.kube import client as client_module
from shim.kube import index as index_module
from shim.kube.cluster import Cluster as Known
from shim.kube.errors import KubeError
from shim.kube.objects import DEFINITIONS, DOCKER_NETWORKS, NODE_LABEL
from shim.model import NetworkID
from tests.clusters import NODE, FaultyServer, definition
from tests.integration.kube.conftest import Clients
from tests.integration.kube.patience import until

ID = NetworkID("a" * 64)
USER = f"system:serviceaccount:cnm-cni:{NODE}"

Know = Callable[..., AbstractAsyncContextManager[Known]]


@pytest.fixture
def know(make_client: Clients) -> Know:
    """What a node knows, from a server, with some settings, while it is being kept up to date."""

    @asynccontextmanager
    async def run(server: str = SERVER, **settings: Any) -> AsyncIterator[Known]:
        known = Known(make_client(server), Kubernetes(node=NODE, **settings), lambda: None)
        task = asyncio.create_task(known.run())
        try:
            yield known
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run


@pytest.fixture
async def known(know: Know) -> AsyncIterator[Known]:
    """What a node knows, once all has been listed."""
    async with know() as known:
        await until(lambda: known.knows_all(DEFINITIONS) and known.knows_all(DOCKER_NETWORKS))
        yield known


def bound(name: str, network_id: str = ID, *, namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    """A DockerNetwork of an administrator."""
    return {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"id": network_id, "logicalNetwork": {"name": "blue"}, **spec},
    }


def claimed(name: str, node: str, network_id: str = ID) -> dict[str, Any]:
    """A DockerNetwork that a node keeps in step."""
    item = bound(name, network_id)
    item["metadata"]["labels"] = {NODE_LABEL: node}
    return item


def requests(cluster: Cluster, since: int, verb: str) -> int:
    """How often the node has listed or watched definitions since then."""
    resource = "network-attachment-definitions"
    return sum(
        (request.user, request.verb, request.resource) == (USER, verb, resource)
        for request in cluster.requests(since)
    )


async def test_what_is_there_is_listed_and_what_comes_changes_and_goes_is_followed(
    know: Know, cluster: Cluster
) -> None:
    cluster.apply(definition("team-a", "old", "{}"))
    async with know() as known:
        assert known.definition("team-a", "old") is None
        await until(lambda: known.knows_all(DEFINITIONS))
        assert known.definition_names("team-a") == ["old"]

        cluster.apply(definition("team-a", "new", '{"a": 1}'))
        await until(lambda: known.definition("team-a", "new") is not None)
        cluster.apply(definition("team-a", "new", '{"a": 2}'))
        await until(lambda: getattr(known.definition("team-a", "new"), "config", "") == '{"a": 2}')
        cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "old")
        await until(lambda: known.definition("team-a", "old") is None)
    assert known.definition_names("team-a") == ["new"]


async def test_a_long_list_is_known_as_a_whole(
    know: Know, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 3)
    cluster.apply(*(definition("team-a", f"net-{number:02}", "{}") for number in range(10)))

    async with know() as known:
        await until(lambda: known.knows_all(DEFINITIONS))

    assert known.definition_names("team-a") == [f"net-{number:02}" for number in range(10)]


async def test_only_the_namespaces_that_a_node_may_use_are_watched(know: Know, cluster: Cluster) -> None:
    cluster.apply(definition("team-a", "mine", "{}"), definition("team-b", "theirs", "{}"))

    async with know(namespaces=("team-a", "team-c")) as known:
        await until(lambda: known.knows_all(DEFINITIONS))

    assert (known.definition_names("team-a"), known.definition_names("team-b")) == (["mine"], [])


async def test_objects_of_other_nodes_are_not_followed(known: Known, cluster: Cluster) -> None:
    cluster.apply(claimed("theirs", "node-b"), claimed("mine", NODE, "b" * 64))

    await until(lambda: bool(known.own_bindings()))

    assert [binding.object_name for binding in known.own_bindings()] == ["mine"]
    assert await known.binding(ID, 1.0) is None


async def test_a_network_is_found_by_its_id(known: Known, cluster: Cluster) -> None:
    cluster.apply(bound("any-name"))

    await until(lambda: bool(known.unclaimed_bindings(ID)))

    binding = await known.binding(ID, 1.0)
    assert binding is not None
    assert (binding.cni_network, binding.object_name) == ("team-a/blue", "any-name")


async def test_an_object_that_a_node_claims_stays_known(known: Known, cluster: Cluster) -> None:
    cluster.apply(bound("any-name"))
    await until(lambda: bool(known.unclaimed_bindings(ID)))

    cluster.kubectl("label", "dnet", "-n", "team-a", "any-name", f"{NODE_LABEL}={NODE}")

    await until(lambda: bool(known.own_bindings(ID)) and not known.unclaimed_bindings(ID))
    assert await known.binding(ID, 1.0)


async def test_an_object_for_another_node_binds_nothing_here(known: Known, cluster: Cluster) -> None:
    cluster.apply(bound("theirs", node="node-b"), bound("mine", "b" * 64, node=NODE))

    await until(lambda: bool(known.unclaimed_bindings(NetworkID("b" * 64))))

    assert await known.binding(ID, 1.0) is None


async def test_objects_that_disagree_about_a_network_are_refused(known: Known, cluster: Cluster) -> None:
    cluster.apply(bound("one"), bound("two", namespace="team-b"))
    await until(lambda: len(known.unclaimed_bindings(ID)) == 2)

    with pytest.raises(
        ConflictError, match=r"several DockerNetworks bind network aaaaaaaaaaaa, .*team-a/one, team-b/two"
    ):
        await known.binding(ID, 1.0)


async def test_a_definition_made_a_moment_ago_can_be_asked_for(known: Known, cluster: Cluster) -> None:
    cluster.apply(definition("team-a", "new", "{}"))

    found = await known.ask_definition("team-a", "new", 2.0)

    assert found is not None
    assert found.config == "{}"
    assert await known.ask_definition("team-a", "none", 2.0) is None


async def test_a_definition_that_was_asked_for_is_known_while_the_watch_is_behind(
    make_client: Clients, cluster: Cluster
) -> None:
    known = Known(make_client(SERVER), Kubernetes(node=NODE), lambda: None)
    watching = asyncio.create_task(known.run())
    await until(lambda: known.knows_all(DEFINITIONS))
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    cluster.apply(definition("team-a", "new", "{}"))

    found = await known.ask_definition("team-a", "new", 2.0)

    assert found is not None
    assert known.definition("team-a", "new") == found


async def test_a_definition_that_was_deleted_while_the_answer_was_on_its_way_is_not_known(
    known: Known, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(definition("team-a", "new", "{}"))
    await until(lambda: known.definition("team-a", "new") is not None)
    get = known._client.get

    async def get_slowly(*arguments: Any, **options: Any) -> dict[str, Any] | None:
        answer = await get(*arguments, **options)
        cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "new")
        await until(lambda: known.definition("team-a", "new") is None)
        return answer

    monkeypatch.setattr(known._client, "get", get_slowly)

    assert await known.ask_definition("team-a", "new", 2.0) is not None
    assert known.definition("team-a", "new") is None


async def test_before_the_first_list_a_binding_is_waited_for_and_then_the_reason_is_given(
    know: Know, cluster: Cluster
) -> None:
    cluster.kill_api_server()
    async with know() as known:
        with pytest.raises(KubeError, match=f"Kubernetes at {SERVER}: Connection refused"):
            await known.binding(ID, 0.5)

        cluster.start_api_server()

        assert await known.binding(ID, 30.0) is None


# Watches that break


async def test_a_watch_that_is_cut_every_second_goes_on_where_it_was_without_listing_again(
    know: Know, cluster: Cluster, faulty: FaultyServer
) -> None:
    faulty.order(cut=1)
    since = cluster.request_count
    async with know(faulty.url) as known:
        await until(lambda: known.knows_all(DEFINITIONS))
        for number in range(4):
            await until(lambda: requests(cluster, since, "watch") > number)  # noqa: B023 - at once
            cluster.apply(definition("team-a", f"net-{number}", "{}"))
        await until(lambda: len(known.definition_names("team-a")) == 4)

    assert requests(cluster, since, "list") == 1


async def test_a_watch_that_the_server_ends_goes_on_after_the_last_bookmark(
    know: Know, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_LONGEST_WATCH", 4)
    versions: list[str] = []
    watch = client_module.Client.watch

    def noting(client: Any, resource: Any, namespace: str, version: str, **options: Any) -> Any:
        if options.get("selector", "").endswith(NODE):
            versions.append(version)
        return watch(client, resource, namespace, version, **options)

    monkeypatch.setattr(client_module.Client, "watch", noting)
    async with know() as known:
        await until(lambda: known.knows_all(DOCKER_NETWORKS))
        cluster.apply(claimed("theirs", "node-b"))  # is not among the objects that are watched
        await until(lambda: len(versions) > 1)

    assert int(versions[1]) > int(versions[0])


async def test_a_version_that_the_server_no_longer_has_is_listed_again(know: Know, cluster: Cluster) -> None:
    cluster.apply(definition("team-a", "stays", "{}"), definition("team-a", "goes", "{}"))
    async with know() as known:
        await until(lambda: known.knows_all(DEFINITIONS))
        since = cluster.request_count
        cluster.kill_api_server()  # a new one has no history
        cluster.start_api_server()
        cluster.kubectl("delete", "net-attach-def", "-n", "team-a", "goes")
        cluster.apply(definition("team-a", "comes", "{}"))

        await until(lambda: known.definition_names("team-a") == ["comes", "stays"])

    assert requests(cluster, since, "list") >= 1


async def test_a_watch_without_a_word_is_given_up(
    know: Know, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_SILENCE", 1.0)
    monkeypatch.setattr(client_module, "_DEADLINE", 1.0)
    async with know() as known:
        await until(lambda: known.knows_all(DEFINITIONS))
        cluster.api_server.pause()
        try:
            await until(lambda: "no answer in time" in str(known.problem(DEFINITIONS)))
        finally:
            cluster.api_server.resume()

        cluster.apply(definition("team-a", "new", "{}"))
        await until(lambda: known.definition("team-a", "new") is not None)

        await until(lambda: known.problem(DEFINITIONS) is None)


async def test_what_was_known_stays_known_while_the_server_is_away(know: Know, cluster: Cluster) -> None:
    cluster.apply(definition("team-a", "blue", "{}"), claimed("web", NODE))
    async with know() as known:
        await until(lambda: known.knows_all(DEFINITIONS) and known.knows_all(DOCKER_NETWORKS))
        cluster.kill_api_server()
        await until(lambda: known.problem(DEFINITIONS) is not None)

        assert known.definition("team-a", "blue")
        assert await known.binding(ID, 0.0)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_refusal_is_noted_once_and_forgotten_when_it_ends(
    know: Know, faulty: FaultyServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO, "shim")
    faulty.order(status=status)
    async with know(faulty.url) as known:
        await until(lambda: known.problem(DEFINITIONS) is not None)
        await asyncio.sleep(3)
        faulty.order()

        await until(lambda: known.knows_all(DEFINITIONS) and known.problem(DEFINITIONS) is None)

    told = [
        record.getMessage() for record in caplog.records if "watch network-attachment" in record.getMessage()
    ]
    assert len(told) == 2
    assert told[0].startswith("cannot watch network-attachment-definitions.k8s.cni.cncf.io in Kubernetes: ")
    assert "refused by order" in told[0]
    assert told[1] == "can watch network-attachment-definitions.k8s.cni.cncf.io in Kubernetes again"


async def test_a_kind_that_the_cluster_does_not_have_yet_is_watched_once_it_has(
    know: Know, cluster: Cluster
) -> None:
    manifest = cluster.kubectl("get", "crd", "network-attachment-definitions.k8s.cni.cncf.io", "-o", "json")
    cluster.kubectl("delete", "crd", "network-attachment-definitions.k8s.cni.cncf.io")
    async with know() as known:
        await until(lambda: "network-attachment-definitions.yaml" in str(known.problem(DEFINITIONS)))
        path = cluster.folder / "again.json"
        path.write_text(manifest)
        cluster.install(path)
        cluster.apply(definition("team-a", "blue", "{}"))

        await until(lambda: known.definition("team-a", "blue") is not None)


async def test_an_event_that_is_none_is_noted_and_all_is_listed_again(
    known: Known, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = index_module.Index.put
    broken: list[bool] = []

    def put_once_badly(index: Any, value: Any) -> Any:
        if not broken:
            broken.append(True)
            raise KeyError("metadata")
        return put(index, value)

    monkeypatch.setattr(index_module.Index, "put", put_once_badly)
    cluster.apply(definition("team-a", "blue", "{}"))

    await until(lambda: known.definition("team-a", "blue") is not None)
