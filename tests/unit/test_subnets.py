"""Docker's subnets, gateways and ranges against those of the conflist."""

from typing import Any

import pytest

from shim.cni.conf import NetworkConfigList
from shim.cni.ipam import Subnet
from shim.errors import InvalidRequestError
from shim.model import Ipam, Network, NetworkID
from shim.options import NetworkOptions
from shim.subnets import (
    check,
    chooser,
    fitting,
    refuse_no_ipv4,
    refuse_other_gateway,
    refuse_other_range,
    refuse_without_link,
)
from shim.wire.messages import AddressPool

SUBNET = Subnet("10.1.0.0/16", "10.1.0.1", "10.1.0.10", "10.1.0.20")
SUBNET_V6 = Subnet("fd00:1::/64", "fd00:1::1")
HOST_LOCAL = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]]}
NULL_POOLS = [AddressPool("null", "0.0.0.0/0"), AddressPool("null", "::/0")]
OUR_POOLS = [AddressPool("mycni", "10.1.0.0/16", "10.1.0.1/16"), AddressPool("mycni", "fd00:1::/64")]
DOCKERS_POOLS = [AddressPool("LocalDefault", "172.18.0.0/16", "172.18.0.1/16")]


def options(cni_network: str = "web", ipam: Ipam | None = None) -> NetworkOptions:
    return NetworkOptions(cni_network, ipam=ipam)


def conflist(section: dict[str, Any] | None = None, kind: str = "bridge") -> NetworkConfigList:
    plugin = {"type": kind} | ({"ipam": section} if section else {})
    return NetworkConfigList.from_json({"cniVersion": "1.0.0", "name": "web", "plugins": [plugin]}, "test")


def network(ipam: Ipam) -> Network:
    return Network(NetworkID("a" * 64), "web", ipam=ipam)


# Who chooses


@pytest.mark.parametrize(
    ("given", "said", "chosen"),
    [
        (NULL_POOLS, None, Ipam.NULL),
        (NULL_POOLS, Ipam.NULL, Ipam.NULL),
        ([], None, Ipam.NULL),
        (OUR_POOLS, None, Ipam.CNI),
        (OUR_POOLS, Ipam.CNI, Ipam.CNI),
        (DOCKERS_POOLS, Ipam.DOCKER, Ipam.DOCKER),
        ([AddressPool("infoblox", "10.1.0.0/16")], Ipam.DOCKER, Ipam.DOCKER),
    ],
)
def test_the_pools_tell_who_chooses_the_addresses(
    given: list[AddressPool], said: Ipam | None, chosen: Ipam
) -> None:
    assert chooser(given, options(ipam=said), "mycni") is chosen


@pytest.mark.parametrize(("cni_network", "option"), [("web", " -o cni.network=web"), ("", "")])
@pytest.mark.parametrize("said", [None, Ipam.NULL])
def test_docker_ipam_is_refused_with_the_exact_command_to_type(
    said: Ipam | None, cni_network: str, option: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        chooser(DOCKERS_POOLS, options(cni_network, said), "mycni")

    assert str(refusal.value) == (
        "Docker's IPAM wants to give out 172.18.0.0/16, but in a CNI network the chain's IPAM does "
        f"(type: docker network create -d mycni --ipam-driver null{option} NAME; or let it, with "
        "-o cni.ipam=docker and the conflist's --subnet)"
    )


def test_docker_ipam_needs_to_know_the_conflist_at_once() -> None:
    with pytest.raises(InvalidRequestError, match=r"must be named when .* \(add -o cni\.network=NAME\)$"):
        chooser(DOCKERS_POOLS, options("", Ipam.DOCKER), "mycni")


@pytest.mark.parametrize(
    ("given", "said", "driver"),
    [
        (NULL_POOLS, Ipam.DOCKER, "null"),
        (NULL_POOLS, Ipam.CNI, "null"),
        ([], Ipam.DOCKER, "null"),
        (OUR_POOLS, Ipam.DOCKER, "mycni"),
        (OUR_POOLS, Ipam.NULL, "mycni"),
    ],
)
def test_an_option_that_contradicts_the_ipam_driver_is_refused(
    given: list[AddressPool], said: Ipam, driver: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        chooser(given, options(ipam=said), "mycni")

    assert str(refusal.value) == (
        f"-o cni.ipam={said} contradicts --ipam-driver {driver} (leave one of them out)"
    )


# A network as a whole


def test_with_the_null_ipam_driver_subnets_are_not_compared() -> None:
    check(DOCKERS_POOLS, conflist(HOST_LOCAL, "ptp"), network(Ipam.NULL))


@pytest.mark.parametrize("ipam", [Ipam.CNI, Ipam.DOCKER])
@pytest.mark.parametrize(
    "given",
    [
        OUR_POOLS,
        [AddressPool("x", "10.1.0.0/16")],
        [AddressPool("x", "0.0.0.0/0", "0.0.0.1/0")],
        [AddressPool("x", "::/0")],
    ],
)
def test_pools_of_the_conflist_fit(ipam: Ipam, given: list[AddressPool]) -> None:
    check(given, conflist(HOST_LOCAL), network(ipam))


@pytest.mark.parametrize("ipam", [Ipam.CNI, Ipam.DOCKER])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            DOCKERS_POOLS,
            r"--subnet 172\.18\.0\.0/16 differs from .* web, 10\.1\.0\.0/16 \(create it with --subnet 10",
        ),
        (
            [AddressPool("x", "10.1.0.0/16", "10.1.0.2/16")],
            r"gateway 10\.1\.0\.2 differs from that of CNI network web, 10\.1\.0\.1 \(create",
        ),
        (
            [AddressPool("x", "10.1.0.0/16"), AddressPool("x", "fd00:2::/64")],
            r"--subnet fd00:2::/64 differs from .* web, fd00:1::/64",
        ),
    ],
)
def test_pools_of_another_network_are_refused(ipam: Ipam, given: list[AddressPool], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        check(given, conflist(HOST_LOCAL), network(ipam))


@pytest.mark.parametrize("ipam", list(Ipam))
def test_ipv6_is_refused_where_the_conflist_has_none(ipam: Ipam) -> None:
    only_ipv4 = conflist({"type": "host-local", "subnet": "10.1.0.0/16"})

    with pytest.raises(InvalidRequestError, match="its conflist tells no IPv6 subnet"):
        check([AddressPool("x", "0.0.0.0/0"), AddressPool("x", "::/0")], only_ipv4, network(ipam))


def test_a_chain_of_ipv6_alone_fits_the_ipv4_that_engines_always_want_with_the_null_ipam_driver() -> None:
    check(NULL_POOLS, conflist({"type": "host-local", "subnet": "fd00:1::/64"}), network(Ipam.NULL))


def test_ipv4_can_be_switched_off_only_where_somebody_asks_for_addresses_by_family() -> None:
    refuse_no_ipv4(Ipam.CNI)
    refuse_no_ipv4(Ipam.DOCKER)

    with pytest.raises(InvalidRequestError, match=r"--ipv4=false needs --ipam-driver cni and --ipv6"):
        refuse_no_ipv4(Ipam.NULL)


def test_addresses_of_dockers_ipam_are_refused_where_each_is_routed() -> None:
    with pytest.raises(InvalidRequestError, match=r"network web: ptp needs addresses without a subnet"):
        check([AddressPool("x", "10.1.0.0/16")], conflist(HOST_LOCAL, "ptp"), network(Ipam.DOCKER))

    check([AddressPool("x", "10.1.0.0/16")], conflist(HOST_LOCAL, "ptp"), network(Ipam.CNI))


@pytest.mark.parametrize("section", [None, {"type": "other"}])
def test_any_pool_fits_a_conflist_that_tells_no_subnets(section: dict[str, Any] | None) -> None:
    check(DOCKERS_POOLS, conflist(section), network(Ipam.DOCKER))


# One subnet


def test_the_first_subnet_of_the_family_is_taken_unless_one_is_wanted() -> None:
    other = Subnet("10.2.0.0/16")
    known = [SUBNET_V6, SUBNET, other]

    assert fitting(known, "", 4, "web") is SUBNET
    assert fitting(known, "10.2.0.0/16", 4, "web") is other
    assert fitting(known, "", 6, "web") is SUBNET_V6


def test_the_wanted_subnet_is_taken_where_none_is_known() -> None:
    assert fitting([], "10.2.0.0/16", 4, "web") == Subnet("10.2.0.0/16")


@pytest.mark.parametrize(
    ("known", "wanted", "version", "cure"),
    [
        (
            *([], "", 4),
            "create the Docker network with --ipam-driver null, or say the subnet with --subnet",
        ),
        ([], "", 6, "leave --ipv6 out, or say the subnet with --subnet"),
        ([SUBNET_V6], "10.1.0.0/16", 4, "create the Docker network with --ipam-driver null"),
        ([SUBNET], "", 6, "leave --ipv6 out"),
    ],
    ids=["nothing known", "nothing known of IPv6", "other family wanted", "IPv6"],
)
def test_a_family_without_subnet_is_refused(
    known: list[Subnet], wanted: str, version: int, cure: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        fitting(known, wanted, version, "web")

    assert str(refusal.value) == f"network web: its conflist tells no IPv{version} subnet ({cure})"


def test_a_wanted_subnet_that_the_conflist_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        fitting([SUBNET, Subnet("10.2.0.0/16"), SUBNET_V6], "10.1.0.0/24", 4, "web")

    assert str(refusal.value) == (
        "--subnet 10.1.0.0/24 differs from the subnet of CNI network web, 10.1.0.0/16 and 10.2.0.0/16 "
        "(create it with --subnet 10.1.0.0/16)"
    )


@pytest.mark.parametrize(
    ("subnet", "gateway"),
    [(SUBNET, ""), (SUBNET, "10.1.0.1"), (Subnet("10.1.0.0/16"), "10.1.0.9"), (SUBNET_V6, "fd00:1:0::1")],
)
def test_a_gateway_that_is_the_same_or_not_said_is_no_other(subnet: Subnet, gateway: str) -> None:
    refuse_other_gateway(subnet, gateway, "web")


@pytest.mark.parametrize("wanted", ["", "10.1.0.0/16", "10.1.0.0/27"])
def test_a_range_that_holds_all_that_the_conflist_gives_is_allowed(wanted: str) -> None:
    refuse_other_range(SUBNET, wanted, "web")


@pytest.mark.parametrize("wanted", ["10.1.0.0/28", "10.1.0.16/28", "10.2.0.0/16", "fd00:1::/64"])
def test_a_range_that_the_conflist_would_leave_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        refuse_other_range(SUBNET, wanted, "web")

    assert str(refusal.value) == (
        f"--ip-range {wanted} differs from what CNI network web gives, 10.1.0.10 to 10.1.0.20 "
        "(leave it out, or change the range in the conflist)"
    )


def test_a_range_is_not_compared_with_what_is_not_known() -> None:
    refuse_other_range(Subnet("10.1.0.0/16"), "10.9.0.0/16", "web")


# Before there is a link


def test_an_ipam_plugin_that_needs_no_link_can_be_asked_beforehand() -> None:
    refuse_without_link(conflist(HOST_LOCAL))


@pytest.mark.parametrize(
    ("section", "words"), [({"type": "dhcp"}, "dhcp needs the link"), (None, "it has no IPAM plugin")]
)
def test_what_cannot_be_asked_beforehand_is_refused(section: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^network web: {words}"):
        refuse_without_link(conflist(section))
