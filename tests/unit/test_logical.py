"""Logical networks: what a name means, as long as Kubernetes answers and when it does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shim.cni.errors import ConfError, PluginError
from shim.config import Kubernetes
from shim.errors import ConflictError, InvalidRequestError, UnavailableError
from shim.kube.errors import KubeError
from shim.logical import LogicalNetworks
from shim.model import Definition, Network, NetworkID
from tests.unit.standins import NETWORK_ID, ClusterStandIn

BRIDGE = {"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}
MACVLAN = {"cniVersion": "1.0.0", "plugins": [{"type": "macvlan"}]}
AWAY = KubeError("Kubernetes at https://192.0.2.1: Connection refused")


@pytest.fixture
def cluster() -> ClusterStandIn:
    return ClusterStandIn()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the conflist "web"."""
    (tmp_path / "web.conflist").write_text(json.dumps({**BRIDGE, "name": "web"}))
    return tmp_path


@pytest.fixture
def logical_networks(cluster: ClusterStandIn, folder: Path) -> LogicalNetworks:
    return LogicalNetworks([folder], cluster, Kubernetes(default_namespace="team-d"), 2.5)


def network(cni_network: str, definition: Definition | None = None, network_id: str = NETWORK_ID) -> Network:
    return Network(NetworkID(network_id), cni_network, definition)


# bind


async def test_a_conflist_is_bound_without_kubernetes(folder: Path) -> None:
    assert await LogicalNetworks([folder]).bind(network("web")) == network("web")


async def test_a_conflist_wins_over_a_definition_of_the_default_namespace(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-d", "web", MACVLAN)

    assert await logical_networks.bind(network("web")) == network("web")
    assert cluster.asked == []


async def test_a_name_that_no_conflist_has_is_looked_for_in_the_default_namespace(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-d", "blue", BRIDGE)

    bound = await logical_networks.bind(network("blue"))

    assert bound == network("team-d/blue", cluster.known["team-d", "blue"])


async def test_a_definition_that_was_seen_is_not_asked_for(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-a", "blue", BRIDGE)
    cluster.failure = AWAY

    bound = await logical_networks.bind(network("team-a/blue"))

    assert bound.definition == cluster.known["team-a", "blue"]
    assert cluster.asked == []


async def test_a_definition_made_a_moment_ago_is_asked_for(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-a", "blue", BRIDGE, seen=False)

    bound = await logical_networks.bind(network("team-a/blue"))

    assert bound.definition == cluster.unseen["team-a", "blue"]


async def test_a_definition_that_does_not_exist_is_refused_with_its_neighbours(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-a", "red", BRIDGE)

    with pytest.raises(InvalidRequestError) as caught:
        await logical_networks.bind(network("team-a/blue"))

    assert str(caught.value) == (
        "there is no NetworkAttachmentDefinition team-a/blue; found in that namespace: red "
        "(see: kubectl get net-attach-def -n team-a)"
    )


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("xxxxxx", "net-0, net-1, net-2, net-3, net-4 and 27 more"),
        ("zzzz", "net-0, net-1, net-2, net-3, net-4 and 27 more"),
        ("rde", "red and 31 more"),
    ],
)
async def test_of_many_neighbours_some_are_shown_and_the_like_first(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn, wanted: str, shown: str
) -> None:
    for number in range(31):
        cluster.define("team-a", f"net-{number}", BRIDGE)
    cluster.define("team-a", "red", BRIDGE)

    with pytest.raises(InvalidRequestError, match=f"found in that namespace: {shown} "):
        await logical_networks.bind(network(f"team-a/{wanted}"))


async def test_a_name_that_nobody_knows_is_refused_with_both_places(
    logical_networks: LogicalNetworks,
) -> None:
    with pytest.raises(
        ConfError, match=r'no CNI network "blue" in .*; nor is there a .* team-d/blue .*kubectl'
    ):
        await logical_networks.bind(network("blue"))


async def test_a_definition_that_cannot_be_looked_up_says_why(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.failure = AWAY

    with pytest.raises(UnavailableError) as caught:
        await logical_networks.bind(network("team-a/blue"))

    assert str(caught.value) == (
        "NetworkAttachmentDefinition team-a/blue cannot be looked up: Kubernetes at https://192.0.2.1: "
        "Connection refused (see: kubectl get net-attach-def -n team-a blue)"
    )


async def test_a_name_that_no_conflist_has_says_why_kubernetes_could_not_be_asked(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.failure = AWAY

    with pytest.raises(
        UnavailableError, match=r'no CNI network "blue" .*; and .*team-d/blue .*Connection refused'
    ):
        await logical_networks.bind(network("blue"))


async def test_a_definition_without_kubernetes_is_refused_with_the_setting(folder: Path) -> None:
    with pytest.raises(ConfError, match=r"is not set up for Kubernetes .*--kubeconfig"):
        await LogicalNetworks([folder]).bind(network("team-a/blue"))


# namespaces


@pytest.fixture
def restricted(cluster: ClusterStandIn, folder: Path) -> LogicalNetworks:
    """A node that may use the namespaces team-a and team-b."""
    return LogicalNetworks([folder], cluster, Kubernetes(namespaces=("team-a", "team-b")), 2.5)


async def test_a_namespace_that_is_not_allowed_is_refused_with_those_that_are(
    restricted: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-c", "blue", BRIDGE)

    with pytest.raises(InvalidRequestError) as caught:
        await restricted.bind(network("team-c/blue"))

    assert str(caught.value) == (
        "NetworkAttachmentDefinition team-c/blue: this node may use the namespaces team-a, team-b only "
        "(allow it with kubernetes.namespaces in the shim's settings; "
        "see: kubectl get net-attach-def -n team-c blue)"
    )
    assert cluster.asked == []


async def test_a_namespace_that_is_allowed_is_served(
    restricted: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-b", "blue", BRIDGE)

    assert (await restricted.bind(network("team-b/blue"))).definition


def test_a_namespace_that_is_allowed_no_more_takes_no_new_endpoints(restricted: LogicalNetworks) -> None:
    with pytest.raises(InvalidRequestError, match="this node may use"):
        restricted.current(network("team-c/blue", Definition("team-c", "blue", json.dumps(BRIDGE))))


# current, conflist


def test_a_conflist_is_read_as_the_file_is_now(logical_networks: LogicalNetworks, folder: Path) -> None:
    (folder / "web.conflist").write_text(json.dumps({**MACVLAN, "name": "web"}))

    assert logical_networks.conflist(logical_networks.current(network("web"))).plugins == (
        {"type": "macvlan"},
    )


def test_a_changed_definition_is_the_new_endpoints(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.define("team-a", "blue", MACVLAN)
    stored = network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)))

    assert logical_networks.conflist(logical_networks.current(stored)).plugins == ({"type": "macvlan"},)


def test_before_the_definitions_are_listed_the_one_in_the_journal_serves(
    logical_networks: LogicalNetworks, cluster: ClusterStandIn
) -> None:
    cluster.listed = False
    stored = network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)))

    assert logical_networks.current(stored) == stored


def test_a_deleted_definition_takes_no_new_endpoints(logical_networks: LogicalNetworks) -> None:
    stored = network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)))

    with pytest.raises(
        InvalidRequestError, match=r"team-a/blue has been deleted .*kubectl get net-attach-def"
    ):
        logical_networks.current(stored)


def test_without_kubernetes_any_more_the_definition_in_the_journal_serves(folder: Path) -> None:
    stored = network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)))
    logical_networks = LogicalNetworks([folder])

    assert logical_networks.conflist(logical_networks.current(stored)).name == "blue"


def test_a_definition_that_was_never_seen_has_no_conflist(logical_networks: LogicalNetworks) -> None:
    with pytest.raises(ConfError, match="team-a/blue is a NetworkAttachmentDefinition, but"):
        logical_networks.conflist(network("team-a/blue"))


def test_a_bad_definition_is_refused_with_the_command_that_shows_it(
    logical_networks: LogicalNetworks,
) -> None:
    with pytest.raises(ConfError) as caught:
        logical_networks.conflist(network("team-a/blue", Definition("team-a", "blue", "{")))

    assert str(caught.value).startswith("NetworkAttachmentDefinition team-a/blue: spec.config: not JSON: ")
    assert str(caught.value).endswith("(see: kubectl get net-attach-def -n team-a blue -o yaml)")


def test_an_error_about_its_plugins_names_the_definition_too(logical_networks: LogicalNetworks) -> None:
    missing = PluginError("not found in /x", plugin="brigde", network="blue", cure="install it")
    bound = network("team-a/blue", Definition("team-a", "blue", "{}"))

    assert str(logical_networks.explained(bound, missing)) == (
        'NetworkAttachmentDefinition team-a/blue: plugin "brigde" (network "blue"): not found in /x '
        "(install it; see: kubectl get net-attach-def -n team-a blue -o yaml)"
    )
    assert logical_networks.explained(network("web"), missing) is missing


# collisions

OTHER = "b" * 64


@pytest.mark.parametrize(
    "other",
    [
        network("team-b/blue", Definition("team-b", "blue", json.dumps(MACVLAN)), OTHER),
        network("team-b/red", Definition("team-b", "red", json.dumps({**MACVLAN, "name": "blue"})), OTHER),
        network("team-b/blue", Definition("team-b", "blue", json.dumps(BRIDGE)), OTHER),
        network("blue", None, OTHER),
        network("team-b/blue", Definition("team-b", "blue", ""), OTHER),
        network("team-b/blue", Definition("team-b", "blue", "{"), OTHER),
    ],
    ids=["injected", "explicit", "same content", "conflist", "conflist by a definition", "broken"],
)
def test_two_definitions_of_one_cni_name_are_refused_on_one_node(
    logical_networks: LogicalNetworks, other: Network
) -> None:
    mine = network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)))

    with pytest.raises(ConflictError) as caught:
        logical_networks.refuse_collision(mine, [other])

    assert str(caught.value) == (
        f'network team-a/blue: its CNI name is "blue", as is that of {other.cni_network}, which Docker '
        "network bbbbbbbbbbbb of this node is: they would share their leases (give one of them another NAME "
        "in its configuration; see: kubectl get net-attach-def -n team-a blue -o yaml)"
    ).replace("NAME", '"name"')


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (network("web"), network("web", None, OTHER)),
        (network("web"), network("team-a/web", Definition("team-a", "web", ""), OTHER)),
        (
            network("team-a/web", Definition("team-a", "web", "")),
            network("team-b/web", Definition("team-b", "web", ""), OTHER),
        ),
        (
            network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE))),
            network("team-a/blue", Definition("team-a", "blue", json.dumps(BRIDGE)), OTHER),
        ),
        (
            network("team-a/blue", Definition("team-a", "blue", json.dumps({**BRIDGE, "name": "a"}))),
            network("team-b/blue", Definition("team-b", "blue", json.dumps({**BRIDGE, "name": "b"})), OTHER),
        ),
    ],
    ids=["same conflist", "same conflist by a definition", "by two", "same definition", "other names"],
)
def test_networks_of_one_definition_or_of_different_cni_names_stand_side_by_side(
    logical_networks: LogicalNetworks, mine: Network, other: Network
) -> None:
    logical_networks.refuse_collision(mine, [mine, replace(other)])
