"""The conflists in `cni_conf/` can stand side by side on one host, and the README tells of each."""

import json
from collections import Counter
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "cni_conf"
FILES = sorted(FOLDER.glob("*.conf*"))
CONFLISTS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in FILES]

LONGEST_LINK_NAME = 15  # IFNAMSIZ without its final NUL


def named(conflist: dict[str, Any]) -> str:
    return str(conflist["name"])


def subnets() -> list[str]:
    return [
        address_range["subnet"]
        for conflist in CONFLISTS
        for plugin in conflist["plugins"]
        for range_set in plugin.get("ipam", {}).get("ranges", [])
        for address_range in range_set
    ]


def bridges() -> list[str]:
    return [
        plugin["bridge"] for conflist in CONFLISTS for plugin in conflist["plugins"] if "bridge" in plugin
    ]


def repeated(values: list[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def test_the_kinds_of_network_that_docker_users_ask_for_are_there() -> None:
    assert [named(conflist) for conflist in CONFLISTS] == [
        "cni-bridge",
        "cni-dual",
        "cni-macvlan",
        "cni-ptp",
        "cni-routed",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_a_file_is_named_after_its_network(path: Path) -> None:
    assert path.name == json.loads(path.read_text())["name"] + ".conflist"


@pytest.mark.parametrize("conflist", CONFLISTS, ids=named)
def test_every_plugin_since_1_0_can_read_it(conflist: dict[str, Any]) -> None:
    assert conflist["cniVersion"] == "1.0.0"


def test_no_two_networks_share_a_bridge() -> None:
    assert len(bridges()) == 3
    assert repeated(bridges()) == []


def test_bridge_names_fit_the_kernel() -> None:
    assert [name for name in bridges() if len(name) > LONGEST_LINK_NAME] == []


def test_subnets_are_written_canonically_and_do_not_overlap() -> None:
    networks = [ip_network(subnet) for subnet in subnets()]

    assert len(networks) == len(CONFLISTS) + 1  # the dual one has two
    assert [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])] == []


@pytest.mark.parametrize("conflist", CONFLISTS, ids=named)
def test_each_address_family_has_a_default_route(conflist: dict[str, Any]) -> None:
    ipam = conflist["plugins"][0]["ipam"]
    families = {ip_network(range_set[0]["subnet"]).version for range_set in ipam["ranges"]}

    assert {ip_network(route["dst"]).version for route in ipam["routes"]} == families
    assert {ip_network(route["dst"]).prefixlen for route in ipam["routes"]} == {0}


@pytest.mark.parametrize(
    "conflist", [conflist for conflist in CONFLISTS if named(conflist) != "cni-macvlan"], ids=named
)
def test_what_passes_the_host_maps_ports_and_ends_in_the_firewall(conflist: dict[str, Any]) -> None:
    *_, portmap, firewall = conflist["plugins"]

    asked = {key: value for key, value in portmap.items() if key != "conditionsV6"}
    assert asked == {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    assert firewall == {"type": "firewall", "backend": "iptables"}


@pytest.mark.parametrize("conflist", CONFLISTS, ids=named)
def test_the_readme_has_a_row_and_the_command_for_it(conflist: dict[str, Any]) -> None:
    name = named(conflist)
    rows = [
        line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| `{name}.")
    ]

    assert len(rows) == 1
    assert f"`docker network create -d cni --ipam-driver null -o cni.network={name} NAME`" in rows[0]
