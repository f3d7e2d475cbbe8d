"""The IPAM plugin of a chain: what its section says, how it is asked, and how its answer takes its place."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.ipam import SETTLED, Subnet
from shim.cni.result import IP, Result

HOST_LOCAL = {
    "type": "host-local",
    "ranges": [
        [
            {
                "subnet": "10.1.0.0/16",
                "gateway": "10.1.0.254",
                "rangeStart": "10.1.1.0",
                "rangeEnd": "10.1.1.9",
            }
        ],
        [{"subnet": "fd00:1::/64"}],
    ],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.1.0.254"]},
}
STATIC = {
    "type": "static",
    "addresses": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1"}, {"address": "fd00:1::5/64"}],
    "routes": [{"dst": "10.9.0.0/16"}],
}
ANSWER: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1"}, {"address": "fd00:1::5/64"}],
    "routes": [{"dst": "0.0.0.0/0", "priority": 5}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}],
    "dns": {"nameservers": ["10.1.0.1"]},
}


def chain(*plugins: dict[str, Any]) -> NetworkConfigList:
    value = {"cniVersion": "1.0.0", "name": "web", "plugins": list(plugins), "disableCheck": True}
    return NetworkConfigList.from_json(value, "test")


def with_ipam(section: Any, **members: Any) -> NetworkConfigList:
    """A chain whose second plugin has that IPAM section."""
    return chain({"type": "tap"}, {"type": "bridge", "ipam": section, **members})


# Sections


@pytest.mark.parametrize(
    ("section", "kind"),
    [(HOST_LOCAL, "host-local"), ({"type": "dhcp"}, "dhcp"), ({}, ""), ({"type": ""}, ""), ({"type": 5}, ""),
     (None, ""), ("host-local", ""), ([], "")],
)  # fmt: skip
def test_an_ipam_plugin_is_one_that_a_section_names(section: Any, kind: str) -> None:
    assert ipam.kind(with_ipam(section)) == kind


def test_the_first_ipam_plugin_of_a_chain_is_that_of_the_container() -> None:
    conf = chain({"type": "tap"}, {"type": "bridge", "ipam": STATIC}, {"type": "vlan", "ipam": HOST_LOCAL})

    assert ipam.kind(conf) == "static"


@pytest.mark.parametrize(
    ("section", "subnets"),
    [
        (
            HOST_LOCAL,
            (
                Subnet("10.1.0.0/16", "10.1.0.254", "10.1.1.0", "10.1.1.9"),
                Subnet("fd00:1::/64", "fd00:1::1", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff"),
            ),
        ),
        (
            {"type": "host-local", "subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.2.0.0/24"}]]},
            (
                Subnet("10.1.0.0/24", "10.1.0.1", "10.1.0.1", "10.1.0.254"),
                Subnet("10.2.0.0/24", "10.2.0.1", "10.2.0.1", "10.2.0.254"),
            ),
        ),
        (
            STATIC,
            (
                Subnet("10.1.0.0/16", "10.1.0.1", "10.1.0.5", "10.1.0.5"),
                Subnet("fd00:1::/64", "", "fd00:1::5", "fd00:1::5"),
            ),
        ),
        ({"type": "static"}, ()),
        (
            {"type": "whereabouts", "range": "10.1.0.0/24", "gateway": "10.1.0.1"},
            (Subnet("10.1.0.0/24", "10.1.0.1", "10.1.0.1", "10.1.0.254"),),
        ),
        (
            {"type": "whereabouts", "range": "10.1.0.20-10.1.0.30/24"},
            (Subnet("10.1.0.0/24", "", "10.1.0.20", "10.1.0.30"),),
        ),
        (
            {"type": "whereabouts", "range": "10.1.0.0/24", "range_start": "10.1.0.7",
             "range_end": "10.1.0.9"},
            (Subnet("10.1.0.0/24", "", "10.1.0.7", "10.1.0.9"),),
        ),
        (
            {"type": "whereabouts", "ipRanges": [{"range": "10.1.0.0/30"}, {"range": "fd00::/126"}]},
            (
                Subnet("10.1.0.0/30", "", "10.1.0.1", "10.1.0.2"),
                Subnet("fd00::/126", "", "fd00::1", "fd00::2"),
            ),
        ),
        ({"type": "whereabouts"}, ()),
        ({"type": "dhcp", "subnet": "10.1.0.0/16"}, ()),
        (None, ()),
    ],
)  # fmt: skip
def test_the_subnets_of_a_section_are_those_its_plugin_gives_addresses_of(
    section: Any, subnets: tuple[Subnet, ...]
) -> None:
    assert ipam.subnets(with_ipam(section)) == subnets


@pytest.mark.parametrize(
    "section",
    [
        {"type": "host-local", "subnet": "10.1.0.5/16"},
        {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}], [{}]]},
        {"type": "host-local", "ranges": 5},
        {"type": "host-local", "ranges": {"a": 1}},
        {"type": "host-local", "subnet": "255.255.255.255/32"},
        {"type": "static", "addresses": [{"address": "nowhere"}]},
        {"type": "static", "addresses": ["10.1.0.5/16"]},
        {"type": "whereabouts", "range": "10.1.0.0-10.1.0.9"},
    ],
)
def test_a_section_out_of_shape_is_left_to_its_plugin(section: dict[str, Any]) -> None:
    assert ipam.subnets(with_ipam(section)) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
SECTION = st.fixed_dictionaries(
    {"type": JSON | st.sampled_from(["host-local", "static", "whereabouts"])},
    optional=dict.fromkeys(
        ("subnet", "ranges", "gateway", "addresses", "range", "ipRanges", "rangeStart"),
        JSON
        | st.lists(
            st.lists(st.fixed_dictionaries({"subnet": JSON | st.just("10.1.0.0/16"), "gateway": JSON}))
        )
        | st.lists(st.fixed_dictionaries({"address": JSON | st.just("10.1.0.5/16"), "range": JSON}))
        | st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}"),
    ),
)


@given(JSON | SECTION)
def test_whatever_a_section_says_its_subnets_are_subnets(section: Any) -> None:
    for subnet in ipam.subnets(with_ipam(section)):
        assert subnet.version in {4, 6}
        assert 0 <= subnet.prefix_length <= 128


def test_a_subnet_holds_addresses_with_and_without_prefix_length() -> None:
    subnet = Subnet("10.1.0.0/16")

    assert [subnet.holds(item) for item in ("10.1.0.5", "10.1.0.5/8", "10.2.0.5/8", "fd00::5")] == [
        True,
        True,
        False,
        False,
    ]


# The plugin alone


def test_alone_the_plugin_has_the_section_and_the_members_that_it_would_have_in_the_chain() -> None:
    conf = with_ipam(HOST_LOCAL, mtu=1400, capabilities={"ips": True})

    alone = ipam.alone(conf)

    assert alone.plugins == (
        {"type": "host-local", "ipam": HOST_LOCAL, "mtu": 1400, "capabilities": {"ips": True}},
    )
    assert (alone.name, alone.cni_version, alone.options) == (conf.name, conf.cni_version, conf.options)


# Asking


def test_nothing_is_asked_for_without_addresses() -> None:
    conf = with_ipam(HOST_LOCAL)

    assert ipam.asking_for(conf, []) == (conf, {}, ())


def test_a_plugin_that_reads_the_capability_though_it_is_not_declared_gets_it() -> None:
    asked, capability_args, args = ipam.asking_for(
        with_ipam(HOST_LOCAL, capabilities={"mac": True}), ["10.1.0.9/16"]
    )

    assert asked.plugins[1]["capabilities"] == {"mac": True, "ips": True}
    assert (capability_args, args) == ({"ips": ["10.1.0.9/16"]}, ())


@pytest.mark.parametrize("kind", ["host-local", "other"])
def test_a_chain_that_declares_the_capability_gets_it_unchanged(kind: str) -> None:
    conf = chain({"type": "bridge", "ipam": {"type": kind}, "capabilities": {"ips": True}})

    assert ipam.asking_for(conf, ["10.1.0.9/16"]) == (conf, {"ips": ["10.1.0.9/16"]}, ())


def test_one_address_goes_by_argument_to_a_plugin_that_may_not_read_the_capability() -> None:
    conf = with_ipam({"type": "other"})

    assert ipam.asking_for(conf, ["10.1.0.9/16"]) == (conf, {}, (("IP", "10.1.0.9/16"),))


def test_several_addresses_go_by_capability_to_any_plugin_since_the_argument_holds_one() -> None:
    addresses = ["10.1.0.9/16", "fd00:1::9/64"]

    asked, capability_args, args = ipam.asking_for(with_ipam({"type": "other"}), addresses)

    assert asked.capabilities == {"ips"}
    assert (capability_args, args) == ({"ips": addresses}, ())


def test_the_static_plugin_is_told_in_its_section_with_the_gateways_it_had() -> None:
    asked, capability_args, args = ipam.asking_for(
        with_ipam(STATIC, capabilities={"ips": True}), ["10.1.0.9/16", "192.0.2.9/24"]
    )

    assert asked.plugins[1]["ipam"] == {
        **STATIC,
        "addresses": [{"address": "10.1.0.9/16", "gateway": "10.1.0.1"}, {"address": "192.0.2.9/24"}],
    }
    assert (capability_args, args) == ({}, ())


def test_asking_changes_no_configuration_but_the_copy() -> None:
    conf = with_ipam(HOST_LOCAL)
    before = conf.to_json()

    ipam.asking_for(conf, ["10.1.0.9/16"])
    ipam.settled(conf, [IP("10.1.0.9/16", "", None)], Result.from_json(ANSWER, "test"))

    assert conf.to_json() == before


# The answer in the plugin's place


def test_a_settled_chain_gives_the_answer_without_asking_again() -> None:
    answer = Result.from_json(ANSWER, "test")

    settled = ipam.settled(with_ipam(HOST_LOCAL), answer.ips, answer)

    assert settled.plugins == (
        {"type": "tap"},
        {
            "type": "bridge",
            "ipam": {
                "type": SETTLED,
                "addresses": ANSWER["ips"],
                "routes": ANSWER["routes"],
                "dns": ANSWER["dns"],
            },
        },
    )
    assert [ipam.is_settled(plugin) for plugin in settled.plugins] == [False, True]


def test_a_settled_chain_gives_some_of_the_addresses_when_only_those_are_wanted() -> None:
    answer = Result.from_json(ANSWER, "test")

    settled = ipam.settled(with_ipam(HOST_LOCAL), answer.ips[1:], answer)

    assert settled.plugins[1]["ipam"]["addresses"] == [{"address": "fd00:1::5/64"}]


def test_the_routes_of_an_answer_by_family_are_kept() -> None:
    old = {
        "cniVersion": "0.2.0",
        "ip4": {
            "ip": "10.1.0.5/16",
            "gateway": "10.1.0.1",
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}],
        },
    }
    answer = Result.from_json(old, "test")

    section = ipam.settled(with_ipam(HOST_LOCAL), answer.ips, answer).plugins[1]["ipam"]

    assert section == {
        "type": SETTLED,
        "addresses": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}],
    }


def test_a_chain_without_ipam_plugin_gets_the_addresses_in_its_first_plugin() -> None:
    conf = chain({"type": "macvlan", "master": "eth1"}, {"type": "tuning"})
    answer = ipam.chosen(conf, ["10.1.0.5/16"], [])

    settled = ipam.settled(conf, answer.ips, answer)

    assert settled.plugins == (
        {
            "type": "macvlan",
            "master": "eth1",
            "ipam": {"type": SETTLED, "addresses": [{"address": "10.1.0.5/16"}]},
        },
        {"type": "tuning"},
    )


@pytest.mark.parametrize(
    "plugin", [{"type": "bridge"}, {"type": "b", "ipam": HOST_LOCAL}, {"type": "b", "ipam": []}]
)
def test_a_plugin_with_another_section_is_not_settled(plugin: dict[str, Any]) -> None:
    assert not ipam.is_settled(plugin)
    assert ipam.environment("ADD", plugin, [Path("/bin")]) == {}


def run_settled(command: str, section: dict[str, Any], version: str) -> str:
    """What the settled plugin answers, found and run as the plugin that it serves would do it."""
    asked = {"cniVersion": version, "name": "web", "type": "bridge", "ipam": section}
    environment = ipam.environment(command, asked, [Path("/usr/lib/cni")])
    assert environment["CNI_PATH"].startswith("/usr/lib/cni:")
    path = shutil.which(SETTLED, path=environment["CNI_PATH"])
    assert path
    return subprocess.run(
        [path],
        env=environment | {"CNI_COMMAND": command},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_settled_plugin_gives_the_answer_in_the_version_it_is_asked_in() -> None:
    answer = Result.from_json(ANSWER, "test")
    section = ipam.settled(with_ipam(HOST_LOCAL), answer.ips, answer).plugins[1]["ipam"]

    newest, old = (json.loads(run_settled("ADD", section, version)) for version in ("1.1.0", "0.2.0"))

    assert newest == ANSWER | {"cniVersion": "1.1.0"}
    assert old["ip4"]["ip"] == ANSWER["ips"][0]["address"]


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_the_settled_plugin_has_nothing_to_give_back_and_nothing_to_check(command: str) -> None:
    section = {"type": SETTLED, "addresses": [{"address": "10.1.0.5/16"}]}

    assert run_settled(command, section, "1.0.0") == ""


def test_an_answer_too_long_for_an_environment_keeps_no_plugin_from_its_del() -> None:
    routes = [{"dst": f"10.{number // 256}.{number % 256}.0/24"} for number in range(20_000)]
    section = {"type": SETTLED, "addresses": [{"address": "10.1.0.5/16"}], "routes": routes}

    with pytest.raises(OSError, match="Argument list too long"):
        run_settled("ADD", section, "1.0.0")
    assert run_settled("DEL", section, "1.0.0") == ""


@pytest.mark.parametrize("word", ["it's", "a $(date) `date`", "back\\slash %s %d", "Größe"])
def test_the_settled_plugin_takes_nothing_in_an_answer_for_shell(word: str) -> None:
    section = {"type": SETTLED, "addresses": [{"address": "10.1.0.5/16"}], "dns": {"domain": word}}

    assert json.loads(run_settled("ADD", section, "1.0.0"))["dns"] == {"domain": word}


# Addresses that somebody else has chosen


def test_addresses_chosen_elsewhere_have_the_gateways_routes_and_dns_of_the_section() -> None:
    answer = ipam.chosen(with_ipam(HOST_LOCAL), ["10.1.0.7/16", "fd00:1::7/64"], ["10.1.0.99", "fd00:1::99"])

    assert answer.to_json() == {
        "cniVersion": "1.0.0",
        "ips": [
            {"address": "10.1.0.7/16", "gateway": "10.1.0.254"},
            {"address": "fd00:1::7/64", "gateway": "fd00:1::1"},
        ],
        "routes": HOST_LOCAL["routes"],
        "dns": HOST_LOCAL["dns"],
    }


def test_addresses_of_no_known_subnet_have_the_gateway_given_for_theirs() -> None:
    answer = ipam.chosen(
        with_ipam({"type": "other"}), ["10.1.0.7/16", "fd00:1::7/64"], ["10.2.0.1", "10.1.0.99"]
    )

    assert answer.to_json()["ips"] == [
        {"address": "10.1.0.7/16", "gateway": "10.1.0.99"},
        {"address": "fd00:1::7/64"},
    ]
