"""Networks from a real Kubernetes API on real engines, seen from both sides."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.cluster import SERVER, Cluster
from lab.engine import Engine

from tests.clusters import NODE

Conflist = Callable[..., str]
Define = Callable[[str, str, object], None]
Eventually = Callable[[Callable[[], bool]], None]
Restart = Callable[..., None]

POD = "/run/secrets/kubernetes.io/serviceaccount"  # /var/run leads to /run, but outside of the room


def bridge(subnet: str = "10.50.0", name: str = "blue0") -> dict[str, Any]:
    """A plugin that gives out addresses of that subnet."""
    ranges = [[{"subnet": f"{subnet}.0/24"}]]
    return {
        "type": "bridge",
        "bridge": name,
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
    }


def conflist(*plugins: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A configuration list."""
    return {"cniVersion": "1.0.0", "plugins": plugins, **members}


def create(
    node: Engine, name: str, *, bound_to: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """`docker network create`."""
    option = ("-o", f"cni.network={bound_to}") if bound_to else ()
    return node.docker("network", "create", "-d", "cni", "--ipam-driver", "null", *option, name, check=check)


def address_in(node: Engine, network: str) -> str:
    """The address of a container that is started on the network."""
    shown = node.docker(
        "run", "--rm", "--network", network, "busybox", "ip", "-o", "-4", "address", "show", "eth0"
    )
    (address,) = re.findall(r"inet (\S+)", shown.stdout)
    return str(address)


def items(cluster: Cluster) -> list[dict[str, Any]]:
    """All DockerNetworks."""
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "dnet", "-A", "-o", "json"))["items"]
    return found


def reason(cluster: Cluster) -> str:
    """The reason of the only network's condition."""
    found = items(cluster)
    conditions = found[0].get("status", {}).get("conditions", ()) if len(found) == 1 else ()
    return str(conditions[0]["reason"]) if conditions else ""


# Definitions


def test_a_configuration_list_in_a_definition_is_a_network(node: Engine, define: Define) -> None:
    define("team-a", "blue", conflist(bridge(), {"type": "tuning"}, name="net"))
    create(node, "web", bound_to="team-a/blue")

    assert address_in(node, "web").startswith("10.50.0.")


def test_a_single_configuration_in_a_definition_is_a_network(node: Engine, define: Define) -> None:
    define("team-a", "blue", {"cniVersion": "0.4.0", **bridge()})
    create(node, "web", bound_to="team-a/blue")

    assert address_in(node, "web").startswith("10.50.0.")


def test_a_definition_without_configuration_is_the_nodes_conflist_of_its_name(
    node: Engine, define: Define, conflist: Conflist
) -> None:
    conflist("blue", bridge("10.51.0", "blue1"))
    define("team-a", "blue", "")
    create(node, "web", bound_to="team-a/blue")

    assert address_in(node, "web").startswith("10.51.0.")


def test_plugins_that_are_told_whose_link_it_is_get_the_namespace_of_the_definition(
    node: Engine, define: Define
) -> None:
    define("team-a", "blue", conflist(bridge()))
    options = ("-o", "cni.network=team-a/blue", "-o", "cni.identity=docker")
    node.docker("network", "create", "-d", "cni", "--ipam-driver", "null", *options, "web")
    node.docker("run", "-d", "--name", "one", "--network", "web", "busybox", "sleep", "600")

    (shown,) = json.loads(node.run(node.shim_command("endpoint", "ls", "--json")).stdout)

    assert shown["cniArgs"] == {
        "K8S_POD_NAME": "one",
        "K8S_POD_NAMESPACE": "team-a",
        "K8S_POD_INFRA_CONTAINER_ID": node.docker("inspect", "-f", "{{.Id}}", "one").stdout.strip(),
    }


def test_a_configuration_without_a_name_gets_the_definitions(node: Engine, define: Define) -> None:
    define("team-a", "blue", conflist(bridge()))
    create(node, "web", bound_to="team-a/blue")
    node.docker("run", "-d", "--network", "web", "busybox", "sleep", "600")

    leases = node.run(["ls", "/var/lib/cni/networks/blue"]).stdout
    assert "10.50.0." in leases


def test_a_name_without_namespace_is_looked_for_in_the_default_one(node: Engine, define: Define) -> None:
    define("default", "blue", conflist(bridge()))
    create(node, "web", bound_to="blue")
    create(node, "blue")

    assert address_in(node, "web").startswith("10.50.0.")
    assert address_in(node, "blue").startswith("10.50.0.")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{not json", "spec.config: not JSON: "),
        (conflist({"type": "no-plugin"}), 'plugin "no-plugin" (network "blue"): not found'),
        (conflist({**bridge(), "ipam": {"type": "no-ipam"}}), 'plugin "no-ipam" (network "blue"): not found'),
        ({"cniVersion": "1.0.0"}, 'has neither "plugins"'),
        ("", 'has no spec.config, and there is no CNI network "blue"'),
    ],
    ids=["bad JSON", "unknown plugin", "unknown IPAM plugin", "no network", "no conflist"],
)  # fmt: skip
def test_a_definition_that_cannot_be_used_is_refused_with_the_command_that_shows_it(
    node: Engine, define: Define, cluster: Cluster, config: object, words: str
) -> None:
    define("team-a", "blue", config)

    refused = create(node, "web", bound_to="team-a/blue", check=False)

    line = one_line(refused)
    assert "NetworkAttachmentDefinition team-a/blue" in line
    assert words in line
    assert '"name":"blue"' in shown_by(line, cluster, "-o", "json").replace(" ", "")


def test_a_definition_that_does_not_exist_is_refused_with_the_command_that_shows_which_do(
    node: Engine, define: Define, cluster: Cluster
) -> None:
    define("team-a", "red", conflist(bridge()))

    line = one_line(create(node, "web", bound_to="team-a/blue", check=False))

    assert "there is no NetworkAttachmentDefinition team-a/blue; found in that namespace: red" in line
    assert "red" in shown_by(line, cluster)


def test_a_namespace_that_the_node_may_not_use_is_refused(
    node: Engine, define: Define, cluster: Cluster, restart_node: Restart
) -> None:
    define("team-b", "blue", conflist(bridge()))
    restart_node(namespaces=["team-a"])

    line = one_line(create(node, "web", bound_to="team-b/blue", check=False))

    assert "NetworkAttachmentDefinition team-b/blue: this node may use the namespaces team-a only" in line
    assert "blue" in shown_by(line, cluster)


def test_a_second_definition_of_the_same_cni_name_is_refused(
    node: Engine, define: Define, cluster: Cluster
) -> None:
    define("team-a", "blue", conflist(bridge()))
    define("team-b", "blue", conflist(bridge("10.51.0", "blue1")))
    create(node, "web", bound_to="team-a/blue")

    line = one_line(create(node, "web2", bound_to="team-b/blue", check=False))

    assert 'network team-b/blue: its CNI name is "blue", as is that of team-a/blue' in line
    assert "10.51.0" in shown_by(line, cluster)
    define("team-b", "blue", conflist(bridge("10.51.0", "blue1"), name="other"))
    create(node, "web2", bound_to="team-b/blue")


def test_a_definition_that_changes_is_for_new_containers_only(
    node: Engine, define: Define, eventually: Eventually
) -> None:
    define("team-a", "blue", conflist(bridge(), {"type": "firewall"}))
    create(node, "web", bound_to="team-a/blue")
    node.docker("run", "-d", "--name", "old", "--network", "web", "busybox", "sleep", "600")

    define("team-a", "blue", conflist(bridge("10.51.0", "blue1")))

    eventually(lambda: address_in(node, "web").startswith("10.51.0."))
    assert "10.50.0." in node.docker("exec", "old", "ip", "address").stdout
    node.docker("rm", "-f", "old")  # the fixture finds what its DEL would have left


def one_line(refused: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command printed."""
    assert refused.returncode != 0
    (line,) = refused.stderr.strip().splitlines()
    return line


def shown_by(line: str, cluster: Cluster, *more: str) -> str:
    """What the kubectl command in an error prints."""
    (command,) = re.findall(r"see: kubectl ([^;)]*)", line)
    return cluster.kubectl(*shlex.split(command), *more)


# Bindings


def test_kubectl_shows_the_network_and_its_containers_as_docker_does(
    node: Engine, define: Define, cluster: Cluster, eventually: Eventually
) -> None:
    define("team-a", "blue", conflist(bridge()))
    network_id = create(node, "web", bound_to="team-a/blue").stdout.strip()
    node.docker("run", "-d", "--name", "shop", "--network", "web", "busybox", "sleep", "600")
    eventually(lambda: bool(items(cluster)) and items(cluster)[0].get("status", {}).get("endpointCount") == 1)

    head, row = cluster.kubectl("get", "dnet", "-A").splitlines()
    assert head.split("  ")[0] == "NAMESPACE"
    columns = re.split(r"\s{2,}", head.strip())
    assert columns == [
        "NAMESPACE",
        "NAME",
        "NODE",
        "DOCKER NAME",
        "LOGICAL NETWORK",
        "ENDPOINTS",
        "READY",
        "AGE",
    ]
    assert re.split(r"\s{2,}", row.strip())[:-1] == [
        "team-a",
        network_id[:12],
        NODE,
        "web",
        "blue",
        "1",
        "True",
    ]

    (item,) = items(cluster)
    (container,) = json.loads(node.docker("inspect", "shop").stdout)
    seen = container["NetworkSettings"]["Networks"]["web"]
    assert item["spec"]["id"] == network_id
    assert item["spec"]["engine"]["id"] == node.docker("info", "-f", "{{.ID}}").stdout.strip()
    assert (
        item["spec"]["engine"]["version"]
        == node.docker("version", "-f", "{{.Server.Version}}").stdout.strip()
    )
    assert item["status"]["endpoints"] == [
        {
            "id": seen["EndpointID"],
            "container": "shop",
            "addresses": [f"{seen['IPAddress']}/{seen['IPPrefixLen']}"],
            "mac": seen["MacAddress"],
            "sandbox": container["NetworkSettings"]["SandboxKey"],
        }
    ]

    node.docker("rm", "-f", "shop")
    eventually(lambda: items(cluster)[0]["status"]["endpointCount"] == 0)
    node.docker("network", "rm", "web")
    eventually(lambda: items(cluster) == [])


def test_plain_kubectl_finds_the_logical_network_by_id_and_the_ids_by_logical_network(
    node: Engine, define: Define, cluster: Cluster, eventually: Eventually
) -> None:
    define("team-a", "blue", conflist(bridge()))
    ids = {create(node, name, bound_to="team-a/blue").stdout.strip() for name in ("web", "web2")}
    eventually(lambda: len(items(cluster)) == 2)

    for network_id in ids:
        path = "jsonpath={.items[*].metadata.namespace}/{.items[*].spec.logicalNetwork.name}"
        selector = f"metadata.name={network_id[:12]}"
        assert cluster.kubectl("get", "dnet", "-A", "--field-selector", selector, "-o", path) == "team-a/blue"
    found = cluster.kubectl(
        *(
            "get",
            "dnet",
            "-n",
            "team-a",
            "-l",
            "cnm-cni.io/network=blue",
            "-o",
            "jsonpath={.items[*].spec.id}",
        )
    )
    assert set(found.split()) == ids


def test_the_schema_refuses_what_is_no_binding(cluster: Cluster) -> None:
    bad = {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": "bad"},
        "spec": {"id": "web", "logicalNetwork": {"kind": "Bridge", "name": "a/b"}, "mode": "magic"},
    }
    with pytest.raises(Exception, match="is invalid") as caught:
        cluster.apply(bad)

    for member in ("spec.id", "spec.logicalNetwork.kind", "spec.logicalNetwork.name", "spec.mode"):
        assert member in str(caught.value)


# Resolution by ID


def bind(cluster: Cluster, network_id: str, logical_network: str) -> None:
    """What an administrator does who knows the ID."""
    namespace, name = logical_network.split("/")
    cluster.apply(
        {
            "apiVersion": "cnm-cni.io/v1alpha1",
            "kind": "DockerNetwork",
            "metadata": {"namespace": namespace, "name": "by-hand"},
            "spec": {"id": network_id, "logicalNetwork": {"name": name}},
        }
    )


def test_a_network_that_an_administrator_bound_by_its_id_is_that_one(
    node: Engine, define: Define, cluster: Cluster, eventually: Eventually
) -> None:
    define("team-a", "blue", conflist(bridge()))
    network_id = create(node, "anything").stdout.strip()

    bind(cluster, network_id, "team-a/blue")

    eventually(lambda: reason(cluster) == "Bound")
    assert address_in(node, "anything").startswith("10.50.0.")


def test_a_network_whose_record_is_lost_is_resolved_through_kubernetes(
    node: Engine, define: Define, cluster: Cluster, eventually: Eventually, restart_node: Restart
) -> None:
    define("team-a", "blue", conflist(bridge()))
    network_id = create(node, "anything").stdout.strip()  # the engine knows of no option
    bind(cluster, network_id, "team-a/blue")
    eventually(lambda: reason(cluster) == "Bound")
    node.stop_shim()
    for file in node.state_dir.iterdir():
        file.unlink()
    restart_node()

    answer = json.loads(node.resolve(network_id, "--json").stdout)
    assert [(item["cniNetwork"], item["source"]) for item in answer] == [
        ("team-a/blue", "DockerNetwork team-a/by-hand")
    ]
    assert address_in(node, "anything").startswith("10.50.0.")

    answer = json.loads(node.resolve("anything", "--json").stdout)
    assert [(item["cniNetwork"], item["source"]) for item in answer] == [("team-a/blue", "journal")]


def test_resolve_shows_the_answer_its_source_and_its_age(
    node: Engine, define: Define, eventually: Eventually, cluster: Cluster
) -> None:
    define("team-a", "blue", conflist(bridge()))
    network_id = create(node, "web", bound_to="team-a/blue").stdout.strip()
    bind_elsewhere = {
        "apiVersion": "cnm-cni.io/v1alpha1",
        "kind": "DockerNetwork",
        "metadata": {"namespace": "team-a", "name": "c" * 12, "labels": {"cnm-cni.io/node": "node-b"}},
        "spec": {"id": "c" * 64, "name": "front", "node": "node-b", "logicalNetwork": {"name": "blue"}},
    }
    cluster.apply(bind_elsewhere)
    eventually(lambda: len(items(cluster)) == 2)

    rows = [re.split(r"\s{2,}", line) for line in node.resolve("team-a/blue").stdout.splitlines()]

    assert rows[0] == ["NETWORK ID", "NODE", "DOCKER NAME", "CNI NETWORK", "SOURCE", "AGE"]
    assert [row[:-1] for row in rows[1:]] == [
        [network_id[:12], NODE, "web", "team-a/blue", "journal"],
        ["c" * 12, "node-b", "front", "team-a/blue", f"DockerNetwork team-a/{'c' * 12}"],
    ]
    assert all(re.fullmatch(r"\d+s", row[-1]) for row in rows[1:])
    for wanted in (network_id, network_id[:12], "web"):
        assert node.resolve(wanted).stdout.splitlines()[1].startswith(network_id[:12])
    assert node.resolve("c" * 64).stdout.splitlines()[1].startswith("c" * 12)
    assert "nothing is known of a network none" in node.resolve("none", check=False).stderr
    cluster.kubectl("delete", "dnet", "-n", "team-a", "c" * 12)


def test_resolve_shows_a_network_that_is_not_bound_yet(node: Engine) -> None:
    network_id = create(node, "anything").stdout.strip()

    row = re.split(r"\s{2,}", node.resolve("anything").stdout.splitlines()[1])

    assert row == [network_id[:12], NODE, "anything", "anything", "engine, not bound yet", "-"]
    assert node.resolve("bridge", check=False).returncode == 1  # one of Docker's own


def test_resolve_shows_what_this_node_knows_while_kubernetes_is_away(
    node: Engine, define: Define, restart_node: Restart
) -> None:
    define("team-a", "blue", conflist(bridge()))
    create(node, "web", bound_to="team-a/blue")
    restart_node(server="https://192.0.2.1:1")

    shown = node.resolve("web")

    assert "team-a/blue" in shown.stdout
    assert "only this node is shown: Kubernetes at https://192.0.2.1:1: Connection refused" in shown.stderr
    restart_node()


# Access


def kubeconfig_of(cluster: Cluster) -> str:
    """The path of a kubeconfig with the node's token."""
    return str(cluster.kubeconfig("of-node", {"token": cluster.token("cnm-cni", NODE)}))


BY_SETTINGS: dict[str, Any] = {"server": None, "token_file": None, "ca_file": None}


@pytest.mark.parametrize("way", ["settings", "flag", "environment", "pod"])
def test_kubernetes_is_used_by_whichever_way_it_is_given(
    node: Engine, define: Define, cluster: Cluster, restart_node: Restart, way: str
) -> None:
    define("team-a", "blue", conflist(bridge()))
    kubeconfig = kubeconfig_of(cluster)
    if way == "settings":
        restart_node(**BY_SETTINGS, kubeconfig=kubeconfig)
    elif way == "flag":
        restart_node("--kubeconfig", kubeconfig, **BY_SETTINGS)
    elif way == "environment":
        restart_node(**BY_SETTINGS, environment={"KUBECONFIG": kubeconfig})
    else:
        folder = node.path(POD)
        folder.mkdir(parents=True)
        (folder / "token").write_text(cluster.token("cnm-cni", NODE))
        (folder / "ca.crt").write_bytes(cluster.authority.certificate.read_bytes())
        host, port = SERVER.removeprefix("https://").split(":")
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        restart_node(**BY_SETTINGS, environment=environment)

    create(node, "web", bound_to="team-a/blue")

    assert address_in(node, "web").startswith("10.50.0.")


def test_a_node_without_permissions_is_told_which_by_docker(
    node: Engine, define: Define, cluster: Cluster, restart_node: Restart, tmp_path: Path
) -> None:
    define("team-a", "blue", conflist(bridge()))
    cluster.kubectl("create", "serviceaccount", "nobody", "--namespace", "default")
    token = tmp_path / "token"
    token.write_text(cluster.token("default", "nobody"))
    restart_node(token_file=str(token))

    line = one_line(create(node, "web", bound_to="team-a/blue", check=False))

    assert (
        'User "system:serviceaccount:default:nobody" cannot get resource "network-attachment-definitions"'
        in line
    )
    assert "kubectl apply -f examples/kubernetes/access.yaml" in line
    cluster.kubectl("delete", "serviceaccount", "nobody", "--namespace", "default")


def test_starting_containers_asks_the_api_server_nothing(
    node: Engine, define: Define, cluster: Cluster, restart_node: Restart, eventually: Eventually
) -> None:
    define("team-a", "blue", conflist(bridge()))
    restart_node(status_interval=600, heartbeat=3600)
    create(node, "web", bound_to="team-a/blue")
    eventually(lambda: reason(cluster) == "Bound")
    since = cluster.request_count

    for _ in range(5):
        address_in(node, "web")

    user = f"system:serviceaccount:cnm-cni:{NODE}"
    assert [request for request in cluster.requests(since) if request.user == user] == []


# Without Kubernetes


def test_without_kubernetes_nothing_of_it_is_loaded(node: Engine, restart_node: Restart) -> None:
    def libraries() -> str:
        return Path(f"/proc/{node.shim.pid}/maps").read_text()

    create(node, "web", bound_to="cni-bridge")
    address_in(node, "web")
    assert "pydantic_core" in libraries()  # which the client cannot do without

    restart_node(enabled=False)
    address_in(node, "web")

    assert "pydantic_core" not in libraries()
    line = one_line(create(node, "web2", bound_to="team-a/blue", check=False))
    assert "team-a/blue is a NetworkAttachmentDefinition, but this node is not set up for Kubernetes" in line
    restart_node()


# With the IPAM driver


def test_the_ipam_driver_serves_a_definition_also_while_the_api_server_is_away(
    node: Engine, define: Define, cluster: Cluster
) -> None:
    define("team-a", "blue", conflist(bridge(), {"type": "firewall"}))
    option = ("--ipam-opt", "cni.network=team-a/blue", "--subnet", "10.50.0.0/24")
    node.docker("network", "create", "-d", "cni", "--ipam-driver", "cni", *option, "web")
    node.docker("run", "-d", "--name", "one", "--network", "web", "busybox", "sleep", "600")
    cluster.kill_api_server()
    try:
        node.docker(
            *("run", "-d", "--name", "two", "--network", "web", "--ip", "10.50.0.99"),
            *("busybox", "sleep", "600"),
        )
        leases = node.run(["ls", "/var/lib/cni/networks/blue"]).stdout.split()
    finally:
        cluster.start_api_server()
    assert "10.50.0.99" in leases
    assert "inet 10.50.0.99/24 " in node.docker("exec", "two", "ip", "address").stdout
    node.docker("exec", "one", "ping", "-c", "1", "two")
