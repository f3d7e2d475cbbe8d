"""The table of calls, what a request's bytes become, and the envelope of errors."""

import json

import pytest

from shim.driver import Driver
from shim.errors import InvalidRequestError
from shim.ipam import IpamDriver
from shim.wire import messages
from shim.wire.protocol import CALLS, Call, error_envelope

EMPTY = [call for call in CALLS if call.request is messages.EmptyRequest]
WITH_MEMBERS = [call for call in CALLS if call.request is not messages.EmptyRequest]
WITHOUT_ID = {"NetworkDriver.GwAllocCheck"}
"""Calls about a network that has no ID yet."""
ABOUT_IDS = [
    call for call in WITH_MEMBERS if call.interface == "NetworkDriver" and call.path not in WITHOUT_ID
]


def by_path(call: Call) -> str:
    return call.path


def test_every_call_of_a_network_driver_is_there() -> None:
    assert {call.path for call in CALLS} >= {"Plugin.Activate"} | {
        f"NetworkDriver.{name}"
        for name in (
            "GetCapabilities",
            "GwAllocCheck",
            "AllocateNetwork",
            "FreeNetwork",
            "CreateNetwork",
            "DeleteNetwork",
            "CreateEndpoint",
            "DeleteEndpoint",
            "EndpointOperInfo",
            "Join",
            "Leave",
            "DiscoverNew",
            "DiscoverDelete",
            "ProgramExternalConnectivity",
            "RevokeExternalConnectivity",
        )
    }


def test_every_call_of_an_ipam_driver_is_there() -> None:
    assert {call.path for call in CALLS if call.interface == "IpamDriver"} == {
        f"IpamDriver.{name}"
        for name in (
            "GetCapabilities",
            "GetDefaultAddressSpaces",
            "RequestPool",
            "ReleasePool",
            "RequestAddress",
            "ReleaseAddress",
        )
    }


def test_no_call_is_there_twice() -> None:
    assert len({call.path for call in CALLS}) == len(CALLS)


@pytest.mark.parametrize("call", CALLS, ids=by_path)
def test_a_driver_has_a_method_for_every_call(call: Call) -> None:
    drivers = {"Plugin": Driver, "NetworkDriver": Driver, "IpamDriver": IpamDriver}

    assert callable(getattr(drivers[call.interface], call.method))


def test_a_call_is_named_as_the_engine_prints_it() -> None:
    assert [call.name for call in CALLS[:2]] == ["Activate", "GetCapabilities"]


@pytest.mark.parametrize("call", EMPTY, ids=by_path)
@pytest.mark.parametrize("body", [b"", b"\n", b"{}", b'{"Options":null,"DiscoveryType":1}'])
def test_a_call_without_members_takes_an_empty_body_and_any_object(call: Call, body: bytes) -> None:
    assert call.decode(body) == messages.EmptyRequest()


@pytest.mark.parametrize("call", WITH_MEMBERS, ids=by_path)
@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_a_retry_with_an_empty_body_is_refused_with_a_cure(call: Call, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{call.name}: the request has no body ") as caught:
        call.decode(body)

    assert "repeat the command" in caught.value.cure


@pytest.mark.parametrize("call", CALLS, ids=by_path)
@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b'{"NetworkID":"a"} {}', b'{"a":1,}', b"\xff\xfe\xfa", b"\x00", b"[" * 100_000,
     b'{"a":' + b"9" * 5000 + b"}"],
    ids=["cut off", "nonsense", "two values", "comma", "no text", "NUL", "too deep", "huge number"],
)  # fmt: skip
def test_what_is_no_json_is_refused_in_one_line(call: Call, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{call.name}: the request is not JSON: ") as caught:
        call.decode(body)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS, ids=by_path)
@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"5", b"true", b"NaN"])
def test_json_that_is_no_object_is_refused(call: Call, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{call.name}: expected a JSON object$"):
        call.decode(body)


@pytest.mark.parametrize("call", WITH_MEMBERS, ids=by_path)
def test_members_of_a_later_engine_are_ignored(call: Call) -> None:
    body = {"NetworkID": "a1", "EndpointID": "b2", "SandboxKey": "/run/docker/netns/c3", "New": [{"a": None}]}

    request = call.decode(json.dumps(body).encode())

    assert isinstance(request, call.request)


@pytest.mark.parametrize("call", ABOUT_IDS, ids=by_path)
@pytest.mark.parametrize("network_id", ["", "..", "../../etc", "a/b", "\ud800"])
def test_no_call_takes_an_id_that_could_be_a_path(call: Call, network_id: str) -> None:
    body = {"NetworkID": network_id, "EndpointID": "b2", "SandboxKey": "/x"}

    with pytest.raises(InvalidRequestError):
        call.decode(json.dumps(body).encode())


def test_an_error_is_read_by_network_and_ipam_drivers_alike() -> None:
    assert error_envelope("why") == {"Err": "why", "Error": "why"}
