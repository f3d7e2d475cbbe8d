"""The client against a real API server: its verbs, its errors, and credentials that change meanwhile."""

import base64
import contextlib
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from lab.certificates import Authority
from lab.cluster import ADDRESS, SERVER, Cluster, client_certificate

from shim import spans
from shim.kube import client as client_module
from shim.kube import sessions
from shim.kube.access import Kubeconfig, TokenAccess
from shim.kube.client import Client
from shim.kube.errors import UNREACHED, AccessError, KubeError
from shim.kube.objects import DEFINITIONS, DOCKER_NETWORKS, LEASES, Resource
from shim.spans import Kind, Span
from tests.clusters import NODE, definition
from tests.integration.kube.conftest import Clients

ID = "a" * 64


def binding(name: str = "web") -> dict[str, Any]:
    return {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": name},
        "spec": {"id": ID, "logicalNetwork": {"name": "blue"}},
    }


async def all_of(client: Client, resource: Resource, namespace: str = "", selector: str = "") -> list[str]:
    names: list[str] = []
    await client.list(
        resource, namespace, lambda item: names.append(item["metadata"]["name"]), selector=selector
    )
    return names


async def test_an_object_is_created_changed_seen_and_deleted(client: Client) -> None:
    created = await client.create(DOCKER_NETWORKS, binding())
    assert created["spec"]["logicalNetwork"] == {"kind": "NetworkAttachmentDefinition", "name": "blue"}

    patched = await client.patch(DOCKER_NETWORKS, "team-a", "web", {"spec": {"node": NODE}})
    assert (patched["spec"]["node"], patched["spec"]["id"]) == (NODE, ID)

    reported = await client.patch_status(DOCKER_NETWORKS, "team-a", "web", {"endpointCount": 3})
    assert reported["status"] == {"endpointCount": 3}

    await client.delete(DOCKER_NETWORKS, "team-a", "web")
    assert await all_of(client, DOCKER_NETWORKS) == []
    await client.delete(DOCKER_NETWORKS, "team-a", "web")


async def test_each_request_is_traced_with_what_it_is_about_and_its_outcome(client: Client) -> None:
    seen: list[Span] = []
    with spans.listening(seen.append):
        await client.create(DOCKER_NETWORKS, binding())
        await client.patch_status(DOCKER_NETWORKS, "team-a", "web", {"endpointCount": 3})
        await client.delete(DOCKER_NETWORKS, "team-a", "web")
        assert await client.get(DEFINITIONS, "team-a", "nothing") is None
        version = await client.list(DEFINITIONS, "", lambda _: None)
        async with contextlib.aclosing(client.watch(DEFINITIONS, "", version)) as events:
            await anext(events)

    assert {span.kind for span in seen} == {Kind.KUBERNETES}
    assert [(span.name, span.details["namespace"], span.details["status"]) for span in seen] == [
        ("create dockernetworks web", "team-a", 201),
        ("patch dockernetworks web status", "team-a", 200),
        ("delete dockernetworks web", "team-a", 200),
        ("get network-attachment-definitions nothing", "team-a", 404),
        ("list network-attachment-definitions", "", 200),
        ("watch network-attachment-definitions", "", 200),
    ]
    assert seen[0].details["request"] == binding()
    assert [bool(span.error) for span in seen] == [False, False, False, True, False, False]


@pytest.mark.parametrize(("from_cache", "requests"), [(False, 3), (True, 1)])
async def test_a_list_comes_in_pages_or_from_the_servers_memory(
    client: Client, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, from_cache: bool, requests: int
) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    cluster.apply(*(definition("team-a", f"net-{number}", "") for number in range(5)))
    since = cluster.request_count
    names: list[str] = []

    version = await client.list(
        DEFINITIONS, "team-a", lambda item: names.append(item["metadata"]["name"]), from_cache=from_cache
    )

    assert sorted(names) == [f"net-{number}" for number in range(5)]
    assert version.isdecimal()
    lists = [
        item for item in cluster.requests(since) if (item.user.endswith(NODE), item.verb) == (True, "list")
    ]
    assert len(lists) == requests


async def test_a_list_is_of_one_namespace_or_of_all_and_of_those_with_a_label(
    client: Client, cluster: Cluster
) -> None:
    labelled = definition("team-b", "three", "")
    labelled["metadata"]["labels"] = {"colour": "blue"}
    cluster.apply(definition("team-a", "one", ""), definition("team-b", "two", ""), labelled)

    assert await all_of(client, DEFINITIONS) == ["one", "three", "two"]
    assert await all_of(client, DEFINITIONS, "team-a") == ["one"]
    assert await all_of(client, DEFINITIONS, selector="colour=blue") == ["three"]


async def test_getting_what_does_not_exist_gives_nothing(client: Client) -> None:
    assert await client.get(DEFINITIONS, "team-a", "nothing") is None
    assert await client.get(DEFINITIONS, "no-such-namespace", "nothing") is None


async def test_replacing_an_object_that_has_changed_since_is_a_conflict(client: Client) -> None:
    lease = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": "cnm-cni", "name": "some"},
        "spec": {"holderIdentity": "me"},
    }
    old = await client.create(LEASES, lease)
    await client.replace(LEASES, {**old, "spec": {"holderIdentity": "you"}})

    with pytest.raises(KubeError, match="the object has been modified") as caught:
        await client.replace(LEASES, {**old, "spec": {"holderIdentity": "me"}})

    assert caught.value.code == 409


# Errors


async def test_what_is_forbidden_is_named_by_verb_resource_and_user(client: Client) -> None:
    with pytest.raises(KubeError) as caught:
        await client.create(DEFINITIONS, definition("team-a", "blue", ""))

    assert str(caught.value) == (
        f"Kubernetes at {SERVER}: network-attachment-definitions.k8s.cni.cncf.io is forbidden: "
        f'User "system:serviceaccount:cnm-cni:{NODE}" cannot create resource '
        '"network-attachment-definitions" in API group "k8s.cni.cncf.io" in the namespace "team-a" '
        "(grant it: kubectl apply -f examples/kubernetes/access.yaml)"
    )
    assert (caught.value.code, caught.value.is_general) == (403, False)


async def test_a_resource_that_the_server_does_not_have_is_named_with_the_manifest(
    client: Client, cluster: Cluster
) -> None:
    cluster.kubectl(
        "create",
        "clusterrolebinding",
        "all",
        "--clusterrole=cluster-admin",
        "--serviceaccount=cnm-cni:node-a",
    )
    try:
        with pytest.raises(
            KubeError, match=r"knows no things\.example\.com \(kubectl apply -f .*things\.yaml\)"
        ):
            await client.get(Resource("example.com", "v1", "things", "Thing"), "team-a", "one")
    finally:
        cluster.kubectl("delete", "clusterrolebinding", "all")


async def test_what_the_schema_does_not_allow_is_refused_with_the_reason(client: Client) -> None:
    bad = binding()
    bad["spec"]["id"] = "short"

    with pytest.raises(KubeError, match=r"spec\.id: Invalid value") as caught:
        await client.create(DOCKER_NETWORKS, bad)

    assert caught.value.code == 422


async def test_a_server_that_does_not_listen_is_said_to_refuse(make_client: Clients) -> None:
    with pytest.raises(KubeError) as caught:
        await make_client(f"https://{ADDRESS}:1").get(DEFINITIONS, "team-a", "blue")

    assert str(caught.value) == f"Kubernetes at https://{ADDRESS}:1: Connection refused"
    assert (caught.value.code, caught.value.is_general) == (UNREACHED, True)


async def test_a_server_whose_name_is_not_known_is_said_to_be(make_client: Clients) -> None:
    with pytest.raises(KubeError, match=r"Kubernetes at https://nowhere\.invalid: its name is not known: "):
        await make_client("https://nowhere.invalid").get(DEFINITIONS, "team-a", "blue")


async def test_a_server_of_another_authority_is_not_trusted(make_client: Clients, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()

    with pytest.raises(KubeError, match=r"its certificate is refused: .* \(has the server"):
        await make_client(authority=Authority(folder).certificate).get(DEFINITIONS, "team-a", "blue")


async def test_a_server_whose_certificate_has_expired_is_not_trusted_until_it_has_another(
    client: Client, cluster: Cluster
) -> None:
    assert await client.get(DEFINITIONS, "team-a", "blue") is None
    cluster.kill_api_server()
    cluster.start_api_server(
        cluster.authority.issue("expired", "/CN=kube-apiserver", alternatives=f"IP:{ADDRESS}", days=0)
    )
    with pytest.raises(KubeError, match="its certificate is refused: certificate has expired"):
        await client.get(DEFINITIONS, "team-a", "blue")

    cluster.kill_api_server()
    cluster.start_api_server()

    assert await client.get(DEFINITIONS, "team-a", "blue") is None


async def test_a_question_ends_at_its_deadline(client: Client, cluster: Cluster) -> None:
    assert await client.get(DEFINITIONS, "team-a", "blue") is None
    cluster.api_server.pause()
    try:
        with pytest.raises(KubeError, match=r"no answer within 0\.2 s"):
            await client.get(DEFINITIONS, "team-a", "blue", deadline=0.2)
    finally:
        cluster.api_server.resume()
    assert await client.get(DEFINITIONS, "team-a", "blue") is None


# Tokens


async def test_a_token_that_is_not_accepted_is_named_by_its_file_until_there_is_another(
    client: Client, token_file: Path
) -> None:
    good = token_file.read_text()
    token_file.write_text("not-a-token")
    with pytest.raises(KubeError) as caught:
        await client.get(DEFINITIONS, "team-a", "blue")
    assert str(caught.value).startswith(
        f"Kubernetes at {SERVER}: Unauthorized (are the credentials expired? "
    )
    assert str(token_file) in str(caught.value)

    token_file.write_text(good)

    assert await client.get(DEFINITIONS, "team-a", "blue") is None


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"", "no token in it"), (b"\xff\xfe", "cannot be read")]
)
async def test_a_token_file_that_cannot_be_used_is_named(
    client: Client, token_file: Path, content: bytes | None, words: str
) -> None:
    if content is None:
        token_file.unlink()
    else:
        token_file.write_bytes(content)

    with pytest.raises(AccessError, match=f"{token_file}: {words}"):
        await client.get(DEFINITIONS, "team-a", "blue")


async def test_an_authority_file_that_cannot_be_used_is_named(make_client: Clients, tmp_path: Path) -> None:
    bad = tmp_path / "ca.crt"
    with pytest.raises(AccessError, match=f"{bad}: no such file"):
        await make_client(authority=bad).get(DEFINITIONS, "team-a", "blue")

    bad.write_text("no certificate")
    with pytest.raises(AccessError, match="certificates cannot be used: "):
        await make_client(authority=bad).get(DEFINITIONS, "team-a", "blue")


# Kubeconfigs

Users = dict[str, Callable[[Cluster, Path], dict[str, Any]]]


def _inline(cluster: Cluster) -> dict[str, str]:
    pair = cluster.authority.issue("inline", "/O=system:masters/CN=inline")
    return {
        f"{key}-data": base64.b64encode(path.read_bytes()).decode()
        for key, path in (("client-certificate", pair.certificate), ("client-key", pair.key))
    }


def _by_program(cluster: Cluster, folder: Path) -> dict[str, Any]:
    status = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1"}
    answer = folder / "credential.json"
    answer.write_text(json.dumps(status | {"status": {"token": cluster.token("cnm-cni", NODE)}}))
    return {"exec": {"apiVersion": status["apiVersion"], "command": "cat", "args": [str(answer)]}}


def _by_file(cluster: Cluster, folder: Path) -> dict[str, str]:
    path = folder / "its-token"
    path.write_text(cluster.token("cnm-cni", NODE))
    return {"tokenFile": str(path)}


USERS: Users = {
    "certificate": lambda cluster, _: client_certificate(
        cluster.authority.issue("files", "/O=system:masters/CN=x")
    ),
    "inline certificate": lambda cluster, _: _inline(cluster),
    "token": lambda cluster, _: {"token": cluster.token("cnm-cni", NODE)},
    "token file": _by_file,
    "program": _by_program,
}


@pytest.fixture
async def by_kubeconfig(tmp_path: Path) -> AsyncIterator[Callable[..., Client]]:
    """Makes a client of kubeconfigs."""
    clients: list[Client] = []

    def make(*paths: Path) -> Client:
        clients.append(Client(Kubeconfig(paths), tmp_path / "scratch"))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.mark.parametrize("user", USERS)
async def test_a_kubeconfig_with_any_kind_of_credentials_gives_access(
    by_kubeconfig: Callable[..., Client], cluster: Cluster, tmp_path: Path, user: str
) -> None:
    client = by_kubeconfig(cluster.kubeconfig("some", USERS[user](cluster, tmp_path)))

    assert await client.get(DEFINITIONS, "team-a", "blue") is None
    assert stat.S_IMODE((tmp_path / "scratch").stat().st_mode) == 0o700


async def test_several_kubeconfigs_are_merged_as_kubectl_does(
    by_kubeconfig: Callable[..., Client], cluster: Cluster, tmp_path: Path
) -> None:
    whole = json.loads(cluster.kubeconfig("some", {"token": cluster.token("cnm-cni", NODE)}).read_text())
    users = tmp_path / "users"
    users.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "users": whole.pop("users")}))
    rest = tmp_path / "rest"
    rest.write_text(json.dumps(whole))

    assert await by_kubeconfig(rest, users).get(DEFINITIONS, "team-a", "blue") is None


async def test_a_client_certificate_that_has_expired_is_used_no_more_once_there_is_another(
    by_kubeconfig: Callable[..., Client], cluster: Cluster
) -> None:
    def issue(days: int) -> dict[str, str]:
        pair = cluster.authority.issue("rotated", "/O=system:masters/CN=rotated", days=days)
        return client_certificate(pair)

    client = by_kubeconfig(cluster.kubeconfig("some", issue(2)))
    assert await client.get(DEFINITIONS, "team-a", "blue") is None
    issue(0)
    with pytest.raises(KubeError, match="Unauthorized"):
        await client.get(DEFINITIONS, "team-a", "blue")

    issue(2)

    assert await client.get(DEFINITIONS, "team-a", "blue") is None


async def test_a_token_that_its_program_or_its_file_has_renewed_is_used(
    by_kubeconfig: Callable[..., Client], cluster: Cluster, tmp_path: Path
) -> None:
    user = _by_file(cluster, tmp_path)
    client = by_kubeconfig(cluster.kubeconfig("some", user))
    assert await client.get(DEFINITIONS, "team-a", "blue") is None
    good = Path(user["tokenFile"]).read_text()
    Path(user["tokenFile"]).write_text("expired")
    await client.close()
    with pytest.raises(KubeError, match="Unauthorized"):
        await client.get(DEFINITIONS, "team-a", "blue")

    Path(user["tokenFile"]).write_text(good)

    assert await client.get(DEFINITIONS, "team-a", "blue") is None


async def test_a_program_that_hangs_is_waited_for_in_vain_and_not_started_again(
    by_kubeconfig: Callable[..., Client], cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_DEADLINE", 0.5)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/started\nread line < {tmp_path}/gate\necho '{{}}'\n")
    program.chmod(0o755)
    os.mkfifo(tmp_path / "gate")
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(program)}}
    client = by_kubeconfig(cluster.kubeconfig("some", user))

    for _ in range(3):
        with pytest.raises(AccessError, match=r"no credentials within 0\.5 s"):
            await client.list(DEFINITIONS, "team-a", print)

    assert (tmp_path / "started").read_text() == "\n"
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    os.write(gate, b"go\n")
    with pytest.raises(KubeError, match=r"Unauthorized|forbidden"):
        await client.list(DEFINITIONS, "team-a", print)
    os.close(gate)


async def test_a_kubeconfig_that_is_missing_is_used_once_it_is_there(
    by_kubeconfig: Callable[..., Client], cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    client = by_kubeconfig(path)
    with pytest.raises(AccessError, match=f"kubeconfig {path}: .*no such file"):
        await client.get(DEFINITIONS, "team-a", "blue")

    path.write_text(cluster.kubeconfig("some", {"token": cluster.token("cnm-cni", NODE)}).read_text())

    assert await client.get(DEFINITIONS, "team-a", "blue") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "- a",
        "text",
        "{}",
        '{"current-context": "x", "contexts": [], "clusters": [], "users": []}',
        '{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "y"}}], "clusters": []}',
        '{"current-context": 5, "contexts": {"a": 1}}',
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_refused_in_one_line(
    by_kubeconfig: Callable[..., Client], tmp_path: Path, content: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)

    with pytest.raises(AccessError, match=f"kubeconfig {path}: "):
        await by_kubeconfig(path).get(DEFINITIONS, "team-a", "blue")


def test_access_names_itself() -> None:
    assert str(Kubeconfig((Path("/a"), Path("/b")))) == "kubeconfig /a:/b"
    assert str(TokenAccess("https://x", Path("/t"), None)) == "https://x with the token in /t"
