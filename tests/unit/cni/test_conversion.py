"""Results in other versions: every way there is, what is lost on the way down, and what cannot go."""

from typing import Any

import pytest

from shim.cni.errors import ResultError
from shim.cni.result import IP, Result, Route
from shim.cni.versions import BY_FAMILY, SUPPORTED, WITH_FAMILY

OLD: dict[str, Any] = {
    "cniVersion": "0.2.0",
    "ip4": {
        "ip": "10.1.0.5/16",
        "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}],
    },
    "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
    "dns": {"nameservers": ["10.1.0.1"]},
}
NEW: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "eth0", "mac": "0a:00:00:00:00:03", "sandbox": "/run/netns/a", "mtu": 1400, "pciID": "x"}
    ],
    "ips": [
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0},
        {"address": "10.2.0.5/16", "interface": 0},
        {"address": "fd00::5/64", "interface": 0},
    ],
    "routes": [
        {"dst": "0.0.0.0/0", "mtu": 1300, "table": 7, "scope": 0, "advmss": 1200, "priority": 9},
        {"dst": "::/0", "gw": "fd00::1"},
    ],
    "dns": {"nameservers": ["10.1.0.1"]},
}


def _converted(raw: dict[str, Any], version: str) -> dict[str, Any]:
    return Result.from_json(raw, "x").converted(version).to_json()


def test_a_result_of_old_is_read_like_any_other() -> None:
    result = Result.from_json(OLD, "x")

    assert result.ips == (IP("10.1.0.5/16", "10.1.0.1", None), IP("fd00::5/64", "", None))
    assert result.routes == (
        Route("0.0.0.0/0", ""),
        Route("10.9.0.0/16", "10.1.0.9"),
        Route("::/0", "fd00::1"),
    )
    assert [ip.address for ip in result.addresses("eth0")] == ["10.1.0.5/16", "fd00::5/64"]
    assert result.to_json() == OLD


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ({"ip": "10.1.0.5"}, "ip4: ip: expected an address with prefix length"),
        ({"gateway": "10.1.0.1"}, "ip4: ip: expected an address with prefix length"),
        ([], "ip4: expected an object"),
        ({"ip": "10.1.0.5/16", "routes": [1]}, "ip4: routes[0]: expected a JSON object"),
        ({"ip": "10.1.0.5/16", "routes": [{"dst": "all"}]}, "dst: expected a subnet"),
        ({"ip": "10.1.0.5/16", "gateway": "gw"}, "gateway: expected an address"),
    ],
)
def test_a_misshapen_result_of_old_is_refused_with_its_place(family: object, said: str) -> None:
    with pytest.raises(ResultError) as refusal:
        Result.from_json({"cniVersion": "0.2.0", "ip4": family}, "x")

    assert said in str(refusal.value)


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version not in BY_FAMILY])
def test_a_result_of_old_goes_up_to_every_version(version: str) -> None:
    families = [{"version": "4"}, {"version": "6"}] if version in WITH_FAMILY else [{}, {}]

    assert _converted(OLD, version) == {
        "cniVersion": version,
        "ips": [
            {"address": "10.1.0.5/16", "gateway": "10.1.0.1"} | families[0],
            {"address": "fd00::5/64"} | families[1],
        ],
        "routes": [
            {"dst": "0.0.0.0/0"},
            {"dst": "10.9.0.0/16", "gw": "10.1.0.9"},
            {"dst": "::/0", "gw": "fd00::1"},
        ],
        "dns": {"nameservers": ["10.1.0.1"]},
    }


@pytest.mark.parametrize("version", sorted(BY_FAMILY))
def test_on_the_way_to_the_oldest_the_first_address_of_each_family_is_left(version: str) -> None:
    assert _converted(NEW, version) == {
        "cniVersion": version,
        "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "dns": {"nameservers": ["10.1.0.1"]},
    }


def test_the_members_of_1_1_0_are_left_out_of_older_results() -> None:
    down = _converted(NEW, "1.0.0")

    assert down["interfaces"] == [{"name": "eth0", "mac": "0a:00:00:00:00:03", "sandbox": "/run/netns/a"}]
    assert down["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1"}]
    assert down["ips"] == NEW["ips"]


@pytest.mark.parametrize("version", [version for version in SUPPORTED if version not in BY_FAMILY])
def test_what_an_older_version_can_say_comes_back_the_same(version: str) -> None:
    there = _converted(NEW, version)

    assert _converted(_converted(there, "1.1.0"), version) == there


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_own_version_changes_nothing(version: str) -> None:
    own = OLD if version in BY_FAMILY else _converted(NEW, version)

    assert _converted(own | {"cniVersion": version}, version) == own | {"cniVersion": version}


def test_a_result_without_address_has_no_form_in_the_oldest_versions() -> None:
    with pytest.raises(
        ResultError, match=r'no address, and CNI version 0\.2\.0 has no form .*raise the "cni'
    ):
        _converted({"cniVersion": "1.0.0", "interfaces": NEW["interfaces"]}, "0.2.0")


def test_a_result_without_version_tells_by_its_members_that_it_is_old() -> None:
    nameless = {key: value for key, value in OLD.items() if key != "cniVersion"}

    assert _converted(nameless, "0.1.0") == OLD | {"cniVersion": "0.1.0"}
    assert _converted(nameless, "1.0.0") == _converted(OLD, "1.0.0")


def test_members_unknown_here_pass_every_way() -> None:
    assert _converted(NEW | {"extra": 1}, "0.2.0")["extra"] == 1
    assert _converted(OLD | {"extra": 1}, "1.1.0")["extra"] == 1
