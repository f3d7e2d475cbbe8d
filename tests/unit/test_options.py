"""Options of networks, of endpoints and of IPAM: each is understood, or refused by name."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.errors import InvalidRequestError
from shim.model import Ipam, Mode
from shim.options import (
    ENGINES_OWN,
    EndpointOptions,
    NetworkOptions,
    endpoint_options,
    mac_of_link,
    network_options,
    pool_options,
)

NONE = EndpointOptions()
ENGINES_IFNAME = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"
OF_NETWORKS = ["cni.network", "cni.mode", "cni.ipam", "cni.identity"]
OF_ENDPOINTS = [
    "cni.ips",
    "cni.mac",
    "cni.bandwidth.ingress",
    "cni.bandwidth.egress",
    "cni.ifname",
    "cni.args.KEY",
]
KNOWN_TO_NETWORKS = f"it knows {', '.join(OF_NETWORKS + OF_ENDPOINTS)}"


def of_endpoint(**options: str) -> EndpointOptions:
    """What an endpoint's `cni.` options mean; a dot is written as `__`."""
    return endpoint_options({f"cni.{key.replace('__', '.')}": value for key, value in options.items()}, NONE)


# Networks


def test_a_network_without_options_is_allowed() -> None:
    assert network_options({}) == NetworkOptions("", Mode.HANDOVER, None, identity=False, defaults=NONE)


def test_every_option_of_a_network_is_understood() -> None:
    options = {
        "cni.network": "web",
        "cni.mode": "handover",
        "cni.ipam": "docker",
        "cni.identity": "docker",
        "cni.ips": "10.1.0.9",
        "cni.mac": "02:00:00:00:00:0A",
        "cni.bandwidth.ingress": "1M",
        "cni.bandwidth.egress": "2M",
        "cni.ifname": "lan0",
        "cni.args.ZONE": "b",
        "cni.args.AREA": "a",
    }

    assert network_options(options) == NetworkOptions(
        cni_network="web",
        mode=Mode.HANDOVER,
        ipam=Ipam.DOCKER,
        identity=True,
        defaults=EndpointOptions(
            ips=("10.1.0.9",),
            mac_address="02:00:00:00:00:0a",
            ingress=1_000_000,
            egress=2_000_000,
            ifname="lan0",
            cni_args=(("AREA", "a"), ("ZONE", "b")),
        ),
    )


@pytest.mark.parametrize("ipam", Ipam)
def test_an_option_says_who_chooses_the_addresses(ipam: Ipam) -> None:
    assert network_options({"cni.ipam": ipam.value}).ipam is ipam


def test_options_that_the_engine_carries_out_itself_are_noted() -> None:
    options = network_options({"com.docker.network.advertise_addr_nmsgs": "3"})

    assert options.of_engine == ("com.docker.network.advertise_addr_nmsgs",)


@pytest.mark.parametrize("value", ["blue", "10.1.0.5,", "10.1.0.5/33", ""])
def test_an_address_for_cni_args_must_be_one(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"option cni\.args\.IP="):
        network_options({"cni.args.IP": value})


def test_addresses_reach_plugins_in_their_usual_form() -> None:
    options = network_options({"cni.ips": "10.1.0.5/255.255.0.0 FD00::0005"})

    assert options.defaults.ips == ("10.1.0.5/16", "fd00::5")


def test_the_cni_args_of_a_network_keep_their_spelling() -> None:
    assert network_options({"cni.args.zone": "B"}).defaults.cni_args == (("zone", "B"),)


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("cni.netwrok", "did you mean cni.network?"),
        ("cni.Network", "did you mean cni.network?"),
        ("network", "did you mean cni.network?"),
        ("cni.mod", "did you mean cni.mode?"),
        ("cni.ip", "did you mean cni.ips?"),
        ("cni.bandwith.ingress", "did you mean cni.bandwidth.ingress?"),
        ("cni.arg.IP", "did you mean cni.args.KEY?"),
        (ENGINES_IFNAME, KNOWN_TO_NETWORKS),
        ("com.docker.network.bridge.name", KNOWN_TO_NETWORKS),
        ("parent", KNOWN_TO_NETWORKS),
        ("", KNOWN_TO_NETWORKS),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one_known(key: str, cure: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        network_options({key: "web"})

    assert str(refusal.value) == f"option {key}: unknown to the CNI driver ({cure})"


@pytest.mark.parametrize("name", ["web", "Web_1.2-x", "team-a/blue", "a/b.c"])
def test_the_name_of_a_conflist_or_of_a_definition_is_accepted(name: str) -> None:
    assert network_options({"cni.network": name}).cni_network == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "Team/blue",
        "team_a/blue",
        "a/B",
        "a.b/c",
        "-a",
        "a b",
        "a\n",
        "a/b\n",
        "ä",
    ],
)
def test_what_cannot_name_a_network_is_refused(name: str) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"option cni\.network=.*: not the name of a network \(give "
    ):
        network_options({"cni.network": name})


@pytest.mark.parametrize(
    ("key", "value", "values"),
    [
        ("cni.mode", "fast", "handover, inplace"),
        ("cni.mode", "", "handover, inplace"),
        ("cni.ipam", "host-local", "null, cni, docker"),
        ("cni.ipam", "Docker", "null, cni, docker"),
        ("cni.ipam", "", "null, cni, docker"),
        ("cni.identity", "kubernetes", "docker"),
        ("cni.identity", "", "docker"),
    ],
)
def test_an_option_of_few_values_is_refused_with_them(key: str, value: str, values: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        network_options({key: value})

    assert str(refusal.value) == f"option {key}={value}: unknown (it can be {values})"


# Endpoints


def test_an_endpoint_without_options_has_those_of_its_network() -> None:
    defaults = network_options(
        {"cni.bandwidth.egress": "1M", "cni.args.ZONE": "b", "cni.mac": "02:" * 5 + "01"}
    )

    assert endpoint_options({}, defaults.defaults) == defaults.defaults


def test_the_options_of_an_endpoint_go_before_those_of_its_network() -> None:
    defaults = EndpointOptions(
        ips=("10.1.0.9",), ingress=8_000, egress=9_000, ifname="lan0", cni_args=(("AREA", "a"), ("ZONE", "b"))
    )

    options = endpoint_options(
        {"cni.ips": "10.1.0.8", "cni.bandwidth.ingress": "1M", "cni.args.ZONE": "c"}, defaults
    )

    assert options == EndpointOptions(
        ips=("10.1.0.8",),
        ingress=1_000_000,
        egress=9_000,
        ifname="lan0",
        cni_args=(("AREA", "a"), ("ZONE", "c")),
    )


def test_keys_that_docker_run_wrote_in_small_letters_reach_plugins_in_capital_ones() -> None:
    options = endpoint_options(
        {"cni.args.k8s_zone": "b", "cni.args.Mixed": "M", "cni.args.1": "x"},
        EndpointOptions(cni_args=(("K8S_ZONE", "a"),)),
    )

    assert options.cni_args == (("1", "x"), ("K8S_ZONE", "b"), ("Mixed", "M"))


@pytest.mark.parametrize("key", ["cni.network", "cni.mode", "cni.ipam", "cni.identity"])
def test_an_option_of_the_network_is_refused_with_the_place_where_it_belongs(key: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        endpoint_options({key: "docker"}, NONE)

    assert str(refusal.value) == (
        f"endpoint option {key}: it belongs to the network "
        f"(give it to the network: docker network create -o {key}=...)"
    )


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("cni.ip", "did you mean cni.ips?"),
        (
            "colour",
            f"it knows {', '.join([*OF_ENDPOINTS, SYSCTLS])}",
        ),
    ],
)
def test_an_unknown_endpoint_option_is_refused_with_the_nearest_one_known(key: str, cure: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        endpoint_options({key: "1"}, NONE)

    assert str(refusal.value) == f"endpoint option {key}: unknown to the CNI driver ({cure})"


@pytest.mark.parametrize("key", ["com.docker.network.bridge.x", "com.docker.network.driver.mtu"])
def test_an_option_for_the_engines_own_drivers_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^endpoint option {key}: unknown to the CNI driver"):
        endpoint_options({key: "1"}, NONE)


def test_an_option_that_the_engine_is_to_carry_out_is_noted() -> None:
    options = endpoint_options({SYSCTLS: "net.ipv4.conf.IFNAME.forwarding=1"}, NONE)

    assert options == EndpointOptions(of_engine=(SYSCTLS,))
    assert set(options.of_engine) == set(ENGINES_OWN)


def test_the_engines_own_name_for_a_link_is_refused_with_ours() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        endpoint_options({ENGINES_IFNAME: "lan0"}, NONE)

    assert str(refusal.value) == (
        f"endpoint option {ENGINES_IFNAME}: engines carry it out only for drivers of their own "
        "(name the link by cni.ifname, as in cni.ifname=lan0)"
    )


# Values


@pytest.mark.parametrize(
    ("value", "ips"),
    [
        ("10.1.0.9", ("10.1.0.9",)),
        ("10.1.0.9/16", ("10.1.0.9/16",)),
        ("10.1.0.9 fd00::9", ("10.1.0.9", "fd00::9")),
        ("fd00::9/64,10.1.0.9", ("fd00::9/64", "10.1.0.9")),
        (" 10.1.0.9  ", ("10.1.0.9",)),
    ],
)
def test_an_address_of_each_family_can_be_asked_for(value: str, ips: tuple[str, ...]) -> None:
    assert of_endpoint(ips=value).ips == ips


@pytest.mark.parametrize(
    "value", ["", " , ", "10.1.0.9 10.1.0.8", "fd00::9 fd00::8", "10.1.0.9/33", "10.1.0", "web", "10.1.0.9;"]
)
def test_what_is_no_address_of_each_family_is_refused(value: str) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^option cni\.ips=.*: expected an address, or one of each"
    ):
        of_endpoint(ips=value)


@pytest.mark.parametrize("value", ["02:00:00:00:00:01", "0A:bC:dE:f0:12:34", "fe:ff:ff:ff:ff:ff"])
def test_a_mac_address_is_kept_in_small_letters(value: str) -> None:
    assert of_endpoint(mac=value).mac_address == value.lower()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "02:00:00:00:00",
        "02-00-00-00-00-01",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:01\n",
        "02:00:00:00:00:01:02",
    ],
)
def test_what_is_not_the_mac_address_of_one_link_is_refused(value: str) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^option cni\.mac=.*: not the MAC address of a link \(as in "
    ):
        of_endpoint(mac=value)


def test_a_mac_address_that_was_said_elsewhere_is_refused_as_it_was_said() -> None:
    assert mac_of_link("--mac-address X", "02:00:00:00:00:0A") == "02:00:00:00:00:0a"
    with pytest.raises(
        InvalidRequestError, match=r"^--mac-address X: not the MAC address of a link \(as in 02:"
    ):
        mac_of_link("--mac-address X", "01:00:00:00:00:01")


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("8000", 8_000),
        ("8k", 8_000),
        ("500k", 500_000),
        ("10M", 10_000_000),
        ("10m", 10_000_000),
        ("10mbit", 10_000_000),
        ("10Mbit/s", 10_000_000),
        ("10Mbps", 10_000_000),
        ("1.5Gbit", 1_500_000_000),
        ("8.001M", 8_001_000),
        ("64Mi", 64 * 1024**2),
        ("64mibit", 64 * 1024**2),
        ("9000bit", 9_000),
        ("10T", 10**13),
    ],
)
def test_a_rate_is_in_bits_per_second_whatever_the_case(value: str, rate: int) -> None:
    options = of_endpoint(bandwidth__ingress=value, bandwidth__egress=value.upper())

    assert (options.ingress, options.egress) == (rate, rate)


@pytest.mark.parametrize(
    "value",
    ["", "0", "-1M", "7999", "10.1T", "1e6", "10MB", "10 M", "M", ".5M", "1.M", "1,5M", "i", "1i", "٣M",
     "inf", "9" * 400, "9" * 5000 + "T"],
    ids=lambda value: f"{value[:9]}-{len(value)}",
)  # fmt: skip
def test_what_is_no_rate_is_refused_with_examples(value: str) -> None:
    with pytest.raises(
        InvalidRequestError,
        match=r"^option cni\.bandwidth\.egress=.*: expected bits per second from 8k to 10T \(as in 500k, ",
    ):
        of_endpoint(bandwidth__egress=value)


@pytest.mark.parametrize("value", ["lan0", "eth1", "a", "L-a_n.10", "abcdefghijklmno"])
def test_a_link_can_have_a_name_of_letters_and_digits(value: str) -> None:
    assert of_endpoint(ifname=value).ifname == value


@pytest.mark.parametrize("value", ["", "0", "0lan0", "la/n0", "lan 0", "lan0\n", "läñ0", "a" * 16])
def test_a_link_can_have_no_other_name(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^option cni\.ifname=.*: not the name of a link"):
        of_endpoint(ifname=value)


def test_by_handover_the_engine_numbers_the_link() -> None:
    with pytest.raises(InvalidRequestError, match=r"^option cni\.ifname=lan1: the engine numbers links"):
        network_options({"cni.ifname": "lan1"})


def test_in_place_the_link_may_have_any_name() -> None:
    assert network_options({"cni.ifname": "lan1", "cni.mode": "inplace"}).defaults.ifname == "lan1"


@pytest.mark.parametrize(
    ("options", "adds_at_join"),
    [({}, False), ({"cni.mode": "inplace"}, True), ({"cni.identity": "docker"}, True)],
)
def test_the_chain_waits_for_join_where_it_needs_what_only_join_tells(
    options: Mapping[str, str], *, adds_at_join: bool
) -> None:
    assert network_options(options).adds_at_join is adds_at_join


READERS: list[Callable[[Mapping[str, str]], Any]] = [
    network_options,
    lambda options: endpoint_options(options, NONE),
]


@pytest.mark.parametrize("read", READERS, ids=["network", "endpoint"])
@pytest.mark.parametrize("key", ["", "A;B", "A=B", "A B", "Ä", "A.B", "A\n", "IgnoreUnknown"])
def test_a_key_that_cni_args_cannot_carry_is_refused(
    read: Callable[[Mapping[str, str]], Any], key: str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"cannot be a key of CNI_ARGS"):
        read({f"cni.args.{key}": "1"})


@pytest.mark.parametrize("read", READERS, ids=["network", "endpoint"])
@pytest.mark.parametrize("value", ["a;b", "a=b", "a b", "a\nb", "a\tb", "a\x01b", "\x7f"])
def test_a_value_that_cni_args_cannot_carry_is_refused(
    read: Callable[[Mapping[str, str]], Any], value: str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"option cni\.args\.KEY: CNI_ARGS cannot carry"):
        read({"cni.args.KEY": value})


# IPAM


def test_the_options_of_ipam_name_the_cni_network_or_nothing() -> None:
    assert pool_options({"cni.network": "team-a/blue"}) == "team-a/blue"
    assert pool_options({}) == ""


def test_another_option_of_ipam_is_refused_with_the_place_where_it_belongs() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        pool_options({"cni.network": "web", "cni.mode": "handover"})

    assert str(refusal.value) == (
        "--ipam-opt cni.mode: unknown to the CNI driver (it knows cni.network; give others to the network: "
        "docker network create -o cni.mode=...)"
    )


def test_what_cannot_name_a_network_is_refused_as_an_option_of_ipam_too() -> None:
    with pytest.raises(InvalidRequestError, match=r"option cni\.network=a/b/c: not the name of a network"):
        pool_options({"cni.network": "a/b/c"})


# Whatever is given

KEYS = st.text(max_size=8) | st.sampled_from(
    [*OF_NETWORKS, *OF_ENDPOINTS, "cni.args.key", "cni.args.", ENGINES_IFNAME, SYSCTLS]
)
VALUES = (
    st.text(max_size=24)
    | st.sampled_from(["web", "docker", "null", "handover", "10M", "lan0", "fd00::1", "10.1.0.9/16"])
    | st.from_regex(r"\d{1,400}(\.\d{1,3})?[kmgt]?i?", fullmatch=True)
    | st.ip_addresses().map(str)
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@example({"cni.bandwidth.ingress": "9" * 400})
def test_any_options_are_understood_or_refused(options: dict[str, str]) -> None:
    for read in (*READERS, pool_options):
        with contextlib.suppress(InvalidRequestError):
            read(options)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_an_endpoint_is_refused_no_value_that_its_network_may_have_as_a_default(
    options: dict[str, str],
) -> None:
    own = {
        key: value for key, value in options.items() if key not in {"cni.mode", "cni.ipam", "cni.identity"}
    }
    own = {key: value for key, value in options.items() if key not in OF_NETWORKS}
    try:
        defaults = network_options(own).defaults
    except InvalidRequestError:
        return
    understood = endpoint_options(own, NONE)

    assert understood.ips == defaults.ips
    assert understood.ingress == defaults.ingress
    assert understood.ifname == defaults.ifname
