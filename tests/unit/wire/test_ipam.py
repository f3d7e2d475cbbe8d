"""Messages of IPAM in the shapes that engines 20.10 to 29 send, and answers in the shapes that they read."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.errors import InvalidRequestError
from shim.wire import ipam
from shim.wire.fields import Fields

POOL_ID = "0123456789abcdef 10.1.0.0/16 web"


def pool_request(**members: Any) -> ipam.PoolRequest:
    return ipam.PoolRequest.from_json(Fields(members, "RequestPool"))


def address_request(**members: Any) -> ipam.AddressRequest:
    return ipam.AddressRequest.from_json(Fields(members, "RequestAddress"))


def test_a_pool_is_asked_for_with_subnet_range_and_options() -> None:
    request = pool_request(
        AddressSpace="cni",
        Pool="10.1.0.0/16",
        SubPool="10.1.1.0/24",
        Options={"cni.network": "web"},
        V6=False,
    )

    assert request == ipam.PoolRequest("10.1.0.0/16", "10.1.1.0/24", {"cni.network": "web"}, v6=False)


@pytest.mark.parametrize(
    "members", [{}, {"Pool": "", "SubPool": "", "Options": None, "V6": None}, {"Options": {}, "New": [1]}]
)
def test_a_pool_is_asked_for_without_saying_anything(members: dict[str, Any]) -> None:
    assert pool_request(**members) == ipam.PoolRequest("", "", {}, v6=False)


def test_subnets_are_kept_in_their_one_spelling() -> None:
    assert pool_request(Pool="FD00:0::/64", V6=True) == ipam.PoolRequest("fd00::/64", "", {}, v6=True)


@pytest.mark.parametrize(
    "members",
    [
        {"Pool": 5},
        {"Pool": "10.1.0.5/16"},
        {"Pool": "everything"},
        {"SubPool": "10.1.0.0/33"},
        {"Options": []},
        {"Options": {"cni.network": 5}},
        {"V6": "yes"},
    ],
)
def test_a_request_for_a_pool_of_another_shape_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=r"^RequestPool\."):
        pool_request(**members)


@pytest.mark.parametrize(
    ("options", "for_gateway"),
    [
        ({"RequestAddressType": "com.docker.network.gateway"}, True),
        ({"RequestAddressType": "", "com.docker.network.endpoint.macaddress": "02:42:0a:01:00:05"}, False),
        ({"com.docker.network.ipam.serial": "true"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_an_address_is_asked_for_an_endpoint_or_for_the_gateway(
    options: dict[str, str] | None,
    for_gateway: bool,  # noqa: FBT001 - from a table
) -> None:
    request = address_request(PoolID=POOL_ID, Address="10.1.0.5", Options=options)

    assert request == ipam.AddressRequest(POOL_ID, "10.1.0.5", for_gateway=for_gateway)


def test_any_address_is_asked_for_by_an_empty_one() -> None:
    assert address_request(PoolID=POOL_ID, Address="") == ipam.AddressRequest(POOL_ID, "", for_gateway=False)


@pytest.mark.parametrize(
    "read", [ipam.AddressRequest.from_json, ipam.AddressReleaseRequest.from_json], ids=["request", "release"]
)
@pytest.mark.parametrize("members", [{"Address": "10.1.0.5/16"}, {"Address": "web"}, {"PoolID": 5}])
def test_a_request_about_an_address_of_another_shape_is_refused(
    members: dict[str, Any], read: Callable[[Fields], Any]
) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Address"):
        read(Fields(members, "Address"))


def test_pools_and_addresses_are_given_back_by_what_they_were_called() -> None:
    fields = Fields({"PoolID": POOL_ID, "Address": "FD00:0::5"}, "Release")

    assert ipam.PoolReleaseRequest.from_json(fields) == ipam.PoolReleaseRequest(POOL_ID)
    assert ipam.AddressReleaseRequest.from_json(fields) == ipam.AddressReleaseRequest(POOL_ID, "fd00::5")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (ipam.IpamCapabilitiesResponse(), {"RequiresMACAddress": False, "RequiresRequestReplay": False}),
        (
            ipam.AddressSpacesResponse("cni"),
            {"LocalDefaultAddressSpace": "cni", "GlobalDefaultAddressSpace": "cni"},
        ),
        (
            ipam.PoolResponse(POOL_ID, "10.1.0.0/16", "10.1.0.1/16"),
            {
                "PoolID": POOL_ID,
                "Pool": "10.1.0.0/16",
                "Data": {"com.docker.network.gateway": "10.1.0.1/16"},
            },
        ),
        (
            ipam.PoolResponse(POOL_ID, "10.1.0.0/16"),
            {"PoolID": POOL_ID, "Pool": "10.1.0.0/16", "Data": {}},
        ),
        (ipam.AddressResponse("10.1.0.5/16"), {"Address": "10.1.0.5/16", "Data": {}}),
    ],
)
def test_an_answer_has_the_member_names_of_the_wire(response: Any, expected: dict[str, Any]) -> None:
    assert response.to_json() == expected
