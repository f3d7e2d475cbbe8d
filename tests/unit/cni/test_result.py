"""Results: what is read of them, whose addresses are whose, other versions, other places."""

import json
from typing import Any

import pytest

from shim.cni.errors import ResultError
from shim.cni.result import IP, Interface, Result, Route

BRIDGED: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "cni0", "mac": "0a:00:00:00:00:01"},
        {"name": "veth12", "mac": "0a:00:00:00:00:02"},
        {"name": "eth0", "mac": "0a:00:00:00:00:03", "sandbox": "/run/netns/a", "mtu": 1400},
    ],
    "ips": [
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2},
        {"address": "fd00::5/64", "interface": 2},
    ],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9", "table": 7}],
    "dns": {"nameservers": ["10.1.0.1"]},
    "unknown": ["kept"],
}


def _read(**members: Any) -> Result:
    return Result.from_json(BRIDGED | members, "x")


def test_every_part_of_a_result_is_read() -> None:
    result = _read()

    assert result.interfaces[2] == Interface("eth0", "0a:00:00:00:00:03", "/run/netns/a")
    assert result.ips == (IP("10.1.0.5/16", "10.1.0.1", 2), IP("fd00::5/64", "", 2))
    assert result.routes == (Route("0.0.0.0/0", ""), Route("10.9.0.0/16", "10.1.0.9"))
    assert result.dns == {"nameservers": ["10.1.0.1"]}


def test_the_json_form_keeps_members_unknown_here() -> None:
    assert json.loads(json.dumps(_read().to_json())) == BRIDGED


def test_null_reads_as_an_empty_result() -> None:
    assert Result.from_json(None, "x") == Result((), (), (), {}, {})


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"ips": {}}, "ips: expected a list"),
        ({"ips": [{"address": "10.1.0.5"}]}, "ips[0]: address: expected an address with prefix length"),
        ({"ips": [{"address": "10.1.0.5/33"}]}, "ips[0]: address"),
        ({"ips": [{"address": "10.1.0.5/255.255.0.0"}]}, "ips[0]: address"),
        ({"ips": [{}]}, "ips[0]: address: expected an address with prefix length, found nothing"),
        ({"ips": [{"address": "10.1.0.5/16", "gateway": "gw"}]}, "gateway: expected an address"),
        ({"ips": [{"address": "10.1.0.5/16", "interface": 3}]}, "interface: expected the index of one of 3"),
        ({"ips": [{"address": "10.1.0.5/16", "interface": -1}]}, "interface: expected the index"),
        ({"ips": [{"address": "10.1.0.5/16", "interface": True}]}, "interface: expected an integer"),
        ({"interfaces": [{}]}, "interfaces[0]: name"),
        ({"interfaces": [{"name": "eth0", "sandbox": 1}]}, "sandbox: expected a string"),
        ({"routes": [{"dst": "default"}]}, "routes[0]: dst"),
        ({"routes": [{"dst": "0.0.0.0/0", "gw": "nowhere"}]}, "routes[0]: gw"),
        ({"dns": []}, "dns: expected an object"),
        ({"cniVersion": 1}, "cniVersion: expected a string"),
    ],
)
def test_a_misshapen_result_is_refused_with_its_place(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ResultError) as refusal:
        _read(**members)

    assert said in str(refusal.value)


def test_addresses_are_those_that_point_to_the_interface_in_the_sandbox() -> None:
    result = _read()

    assert [ip.address for ip in result.addresses("eth0")] == ["10.1.0.5/16", "fd00::5/64"]
    assert result.addresses("cni0") == []
    assert result.addresses("eth1") == []


def test_an_address_without_index_belongs_to_the_only_interface_in_the_sandbox() -> None:
    result = _read(ips=[{"address": "10.1.0.5/16"}])

    assert [ip.address for ip in result.addresses("eth0")] == ["10.1.0.5/16"]
    assert result.addresses("eth1") == []


def test_an_address_without_index_belongs_to_nobody_when_several_could_be_meant() -> None:
    sandboxed = [{"name": name, "sandbox": "/run/netns/a"} for name in ("eth0", "eth1")]
    result = _read(interfaces=sandboxed, ips=[{"address": "10.1.0.5/16"}])

    assert result.addresses("eth0") == []


def test_a_result_without_interfaces_speaks_of_the_one_asked_for() -> None:
    result = Result.from_json({"ips": [{"address": "10.1.0.5/16"}]}, "x")

    assert [ip.address for ip in result.addresses("eth0")] == ["10.1.0.5/16"]


def test_older_versions_get_the_address_family_and_newer_ones_lose_it() -> None:
    old = _read().converted("0.4.0")

    assert old.raw["cniVersion"] == "0.4.0"
    assert [ip["version"] for ip in old.raw["ips"]] == ["4", "6"]
    assert old.converted("1.0.0").to_json() == BRIDGED


def test_a_result_without_version_is_taken_to_be_in_the_lists() -> None:
    assert _read(cniVersion="").converted("1.1.0").raw["cniVersion"] == "1.1.0"


def test_a_result_of_an_unsupported_version_is_refused() -> None:
    with pytest.raises(ResultError, match=r"is of CNI version 2\.0\.0 \(supported are"):
        _read(cniVersion="2.0.0").converted("1.0.0")


def test_relocation_follows_every_link_of_the_sandbox_and_renames_only_the_attachments() -> None:
    more = [*BRIDGED["interfaces"], {"name": "tun0", "sandbox": "/run/netns/a"}]
    more += [{"name": "eth0", "sandbox": "/run/netns/other"}, {"name": "eth0"}]

    moved = _read(interfaces=more).relocated("/run/netns/a", "eth0", "/run/docker/netns/b", "eth7")

    assert [(link.name, link.sandbox) for link in moved.interfaces[2:]] == [
        ("eth7", "/run/docker/netns/b"),
        ("tun0", "/run/docker/netns/b"),
        ("eth0", "/run/netns/other"),
        ("eth0", ""),
    ]
    assert moved.raw["interfaces"][2]["mtu"] == 1400
    assert moved.raw["unknown"] == ["kept"]
    assert [ip.address for ip in moved.addresses("eth7")] == ["10.1.0.5/16", "fd00::5/64"]


def test_relocation_leaves_the_original_alone() -> None:
    result = _read()

    result.relocated("/run/netns/a", "eth0", "/elsewhere", "eth7")

    assert result.interfaces[2].sandbox == "/run/netns/a"
    assert result.raw == BRIDGED
