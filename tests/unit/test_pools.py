"""Pools: which network each is for, although the engine asks for them before it says."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim import pools
from shim.errors import ConflictError, InvalidRequestError
from shim.pools import Pool, Pools, everything

SUBNET = "10.1.0.0/16"
SUBNET_V6 = "fd00:1::/64"


@pytest.fixture
def waiting() -> Pools:
    return Pools()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the clock is ahead; to be set by the test."""
    ahead = [0.0]
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])
    return ahead


# What a pool is called


@pytest.mark.parametrize("cni_network", ["", "web", "Web_1.2-x", "team-a/blue"])
@pytest.mark.parametrize(("subnet", "version"), [(SUBNET, 4), (SUBNET_V6, 6), ("0.0.0.0/0", 4), ("::/0", 6)])
def test_a_pool_is_found_again_by_its_id_alone(
    waiting: Pools, subnet: str, version: int, cni_network: str
) -> None:
    pool = waiting.open(cni_network, subnet)

    assert Pool.parse(pool.id) == pool
    assert (pool.subnet, pool.version, pool.cni_network) == (subnet, version, cni_network)


def test_no_two_pools_have_the_same_id(waiting: Pools) -> None:
    assert waiting.open("web", SUBNET).id != waiting.open("web", SUBNET).id


@given(st.text() | st.from_regex(r"[0-9a-f]{16} [0-9a-f.:]*/\d* ?[a-z]*", fullmatch=True))
@example("0123456789abcdef 10.1.0.0/99 web")
@example("0123456789abcdef 10.1.0.0/" + "9" * 5000 + " web")
@example("0123456789abcdef 10.1.0.0/16 we b")
def test_any_text_is_the_id_of_a_pool_or_refused(text: str) -> None:
    try:
        pool = Pool.parse(text)
    except InvalidRequestError:
        return
    assert pool.id == text
    assert pool.holds(pool.subnet.partition("/")[0])


@pytest.mark.parametrize("text", ["", "LocalDefault/10.1.0.0/16", "0123456789abcdef 10.1.0.5/16 web"])
def test_a_pool_of_another_driver_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        Pool.parse(text)

    assert str(refusal.value) == f"{text!r} is no pool of the CNI driver"


@pytest.mark.parametrize(
    ("subnet", "address", "holds"),
    [
        (SUBNET, "10.1.0.5", True),
        (SUBNET, "10.1.0.5/8", True),
        (SUBNET, "10.2.0.5", False),
        (SUBNET, "fd00:1::5", False),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "fd00:1::5", False),
        ("::/0", "fd00:1::5/64", True),
    ],
)
def test_a_pool_holds_the_addresses_of_its_subnet(subnet: str, address: str, holds: bool) -> None:  # noqa: FBT001 - from a table
    assert Pool("id", subnet, "web").holds(address) is holds


def test_a_subnet_that_is_not_known_is_everything_of_its_family() -> None:
    assert (everything(4), everything(6)) == ("0.0.0.0/0", "::/0")


# Networks that are about to be made


def test_nothing_is_announced_at_first(waiting: Pools) -> None:
    assert waiting.announced() == ""


def test_an_announced_network_is_the_one_that_pools_are_asked_for(waiting: Pools) -> None:
    waiting.announce("web")
    waiting.announce("web")

    assert waiting.announced() == "web"


def test_of_two_announced_networks_none_is_guessed(waiting: Pools) -> None:
    waiting.announce("web")
    waiting.announce("db")

    assert waiting.announced() == ""


def test_a_network_without_name_that_was_announced_too_keeps_the_other_from_being_guessed(
    waiting: Pools,
) -> None:
    waiting.announce("web")
    waiting.announce("")

    assert waiting.announced() == ""


def test_a_network_that_has_been_made_or_refused_is_not_announced_any_more(waiting: Pools) -> None:
    waiting.announce("web")
    waiting.announce("db")

    waiting.withdraw("web")
    waiting.withdraw("unknown")

    assert waiting.announced() == "db"


def test_of_two_announcements_of_one_network_each_is_withdrawn_by_itself(waiting: Pools) -> None:
    waiting.announce("web")
    waiting.announce("web")

    waiting.withdraw("web")
    assert waiting.announced() == "web"
    waiting.withdraw("web")

    assert waiting.announced() == ""


def test_what_was_announced_long_ago_is_forgotten(waiting: Pools, clock: list[float]) -> None:
    waiting.announce("web")
    clock[0] = pools._ANNOUNCED + 1
    assert waiting.announced() == ""

    waiting.announce("db")

    assert waiting.announced() == "db"


# Opening


def test_a_fifth_pool_alike_is_refused_with_the_subnet_to_type(waiting: Pools) -> None:
    for _ in range(4):
        waiting.open("web", SUBNET)

    with pytest.raises(ConflictError) as refusal:
        waiting.open("web", SUBNET)

    assert str(refusal.value) == (
        "the engine does not take the subnet 10.1.0.0/16: it sees it in use on this host "
        "(say that it is the right one, with --subnet 10.1.0.0/16)"
    )


def test_a_fifth_pool_of_a_network_without_name_is_refused_with_the_option_to_type(waiting: Pools) -> None:
    for _ in range(4):
        waiting.open("", everything(4))

    with pytest.raises(ConflictError, match=r"\(name the CNI network, with --ipam-opt cni\.network=NAME\)$"):
        waiting.open("", everything(4))


def test_any_number_of_pools_is_opened_where_the_user_said_the_subnet(waiting: Pools) -> None:
    for _ in range(10):
        waiting.open("web", SUBNET, said=True)


def test_pools_of_other_subnets_or_networks_are_not_alike(waiting: Pools) -> None:
    for _ in range(4):
        waiting.open("web", SUBNET)

    for cni_network, subnet in (("web", SUBNET_V6), ("db", SUBNET), ("", SUBNET)):
        assert waiting.open(cni_network, subnet).subnet == subnet


def test_a_pool_that_the_engine_gave_back_does_not_wait(waiting: Pools) -> None:
    for _ in range(10):
        waiting.close(waiting.open("web", SUBNET).id)

    waiting.close("unknown")


def test_a_pool_whose_network_never_came_does_not_wait_for_ever(waiting: Pools, clock: list[float]) -> None:
    for _ in range(4):
        waiting.open("web", SUBNET)
    clock[0] = pools._PATIENCE + 1

    assert waiting.open("web", SUBNET).cni_network == "web"


# Claiming


def test_a_named_pool_tells_the_name_of_its_network(waiting: Pools) -> None:
    waiting.open("web", SUBNET)
    waiting.open("web", SUBNET_V6)
    waiting.open("db", "10.9.0.0/16")

    assert waiting.claim([SUBNET, SUBNET_V6], "") == ("web", ())


def test_a_network_that_is_named_twice_alike_is_that_one(waiting: Pools) -> None:
    waiting.open("db", SUBNET)
    waiting.open("web", SUBNET)

    assert waiting.claim([SUBNET], "web") == ("web", ())
    assert waiting.claim([SUBNET], "db") == ("db", ())


def test_pools_of_several_names_are_left_to_the_networks_that_say_theirs(waiting: Pools) -> None:
    waiting.open("web", SUBNET)
    waiting.open("db", SUBNET)

    assert waiting.claim([SUBNET], "") == ("", ())
    assert waiting.claim([SUBNET], "web") == ("web", ())
    assert waiting.claim([SUBNET], "") == ("db", ())


def test_a_network_that_is_named_twice_otherwise_is_refused(waiting: Pools) -> None:
    waiting.open("db", SUBNET)

    with pytest.raises(ConflictError) as refusal:
        waiting.claim([SUBNET], "web")

    assert str(refusal.value) == (
        "--ipam-opt cni.network=db and -o cni.network=web differ (name the CNI network once)"
    )


def test_pools_without_name_are_those_of_the_next_network_of_their_subnets(waiting: Pools) -> None:
    pool, pool_v6 = waiting.open("", SUBNET), waiting.open("", everything(6))
    waiting.open("", everything(4))

    assert waiting.claim([SUBNET, everything(6)], "web") == ("", (pool.id, pool_v6.id))
    assert waiting.claim([SUBNET, everything(6)], "web") == ("", ())


def test_a_pool_without_name_is_taken_though_another_network_named_one_of_that_subnet(waiting: Pools) -> None:
    waiting.open("db", SUBNET)
    pool = waiting.open("", SUBNET)

    assert waiting.claim([SUBNET], "web") == ("", (pool.id,))


def test_pools_of_two_networks_without_name_cannot_be_told_apart(waiting: Pools) -> None:
    waiting.open("", everything(4))
    waiting.open("", everything(4))

    with pytest.raises(
        ConflictError, match=r"several networks are being made at once.*--ipam-opt cni\.network="
    ):
        waiting.claim([everything(4)], "web")


def test_pools_that_were_asked_for_before_a_restart_claim_nothing(waiting: Pools) -> None:
    assert waiting.claim([SUBNET], "web") == ("", ())
