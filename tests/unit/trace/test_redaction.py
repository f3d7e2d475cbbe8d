"""Secrets do not get into a trace, and what is no secret does."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.trace import redaction
from shim.trace.redaction import REDACTED

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "dbPassword", "cni.args.SECRET", "api_key", "apiKey", "API-KEY", "privateKey",
     "K8S_SERVICE_TOKEN", "bearer", "credentials", "psk", "wifi-psk", "auth", "basicAuth", "PASS",
     "userPass", "ssh-key", "Authorization", "passphrase", "com.example.secret-name"],
)  # fmt: skip
def test_a_value_whose_name_looks_like_a_secret_is_left_out(name: str) -> None:
    assert redaction.value({name: SECRET}) == {name: REDACTED}
    assert redaction.value({"a": [{name: {"of": [SECRET]}}]}) == {"a": [{name: REDACTED}]}
    assert redaction.pairs(f"A=1;{name}={SECRET}") == f"A=1;{name}={REDACTED}"
    assert SECRET not in redaction.value(f"the plugin says {name}={SECRET}, and ends")


@pytest.mark.parametrize(
    "name",
    ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "IgnoreUnknown", "MacAddress",
     "com.docker.network.portmap", "EndpointID", "bypass", "author", "keyring", "passthru", "cni.network"],
)  # fmt: skip
def test_a_value_of_another_name_stays(name: str) -> None:
    assert redaction.value({name: "plain"}) == {name: "plain"}
    assert redaction.pairs(f"{name}=plain;B=") == f"{name}=plain;B="
    assert redaction.value(f"{name}=plain") == f"{name}=plain"


@pytest.mark.parametrize("nothing", [None, "", [], {}, False, True])
def test_that_there_is_no_secret_may_be_seen(nothing: Any) -> None:
    assert redaction.value({"password": nothing}) == {"password": nothing}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pull from https://me:hunter2@example.com/x", f"pull from https://{REDACTED}@example.com/x"),
        ("Authorization: Bearer hunter2", f"Authorization: {REDACTED} {REDACTED}"),
        ("bearer hunter2", f"bearer {REDACTED}"),
        ("it is eyJhbGci.eyJzdWIi.c2lnbmF0dXJl!", f"it is {REDACTED}!"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\nx", f"{REDACTED}\nx"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2 and the rest was cut", REDACTED),
        ('{"password": "hunter2" and it breaks off', f'{{"password": {REDACTED} and it breaks off'),
        ("password='hunter2 and more'", f"password={REDACTED}"),
    ],
)
def test_a_text_that_looks_like_a_secret_is_left_out_wherever_it_is(text: str, shown: str) -> None:
    assert redaction.value({"msg": [text]}) == {"msg": [shown]}
    assert redaction.body(text.encode()) == shown


def test_configuration_that_is_a_text_in_json_is_looked_into() -> None:
    config = json.dumps({"type": "wireguard", "privateKey": SECRET})

    (shown,) = redaction.value({"spec": {"config": config}})["spec"].values()

    assert json.loads(shown) == {"type": "wireguard", "privateKey": REDACTED}


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"", None), (b" \n", None), (b'{"a": 1}', {"a": 1}), (b"null", None), (b"no JSON", "no JSON")],
)
def test_a_body_is_its_json_or_its_text(content: bytes, shown: Any) -> None:
    assert redaction.body(content) == shown


def test_a_body_of_any_depth_and_bytes_is_shown_somehow() -> None:
    assert redaction.body(b"[" * 100_000).startswith("[[[")
    assert redaction.body(b"\xff\xfe") == "\ufffd\ufffd"


def test_of_a_long_text_the_beginning_is_shown() -> None:
    shown = redaction.body(b"a b " * 100_000)

    assert len(shown) < 70_000
    assert shown.endswith(" ... (399999 characters)")


@pytest.mark.parametrize("piece", ["token", "a", "tokena-", "password ", "eyJ", "://x", '"', "token="])
def test_a_long_text_costs_no_more_than_its_length(piece: str) -> None:
    start = time.process_time()

    redaction.value(piece * 100_000)

    assert time.process_time() - start < 2.0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_any_json_stays_json_of_the_same_shape(item: Any) -> None:
    shown = redaction.value({"password": "x" + SECRET, "rest": item})

    assert shown["password"] == REDACTED
    assert type(shown["rest"]) is type(item)
    json.dumps(shown)
