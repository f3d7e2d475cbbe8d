"""What must hold for any input: hypothesis looks for one that breaks it."""

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.cni.conf import NetworkConfigList, find
from shim.cni.errors import ConfError, PluginError, ResultError
from shim.cni.result import Result
from tests.conformance.chains import ATTACHMENT, conf, runtime
from tests.unit.cni.scripted import ScriptedPlugins

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _members(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the members a reader looks at, of any type."""
    return st.dictionaries(st.sampled_from(keys), JSON | st.sampled_from(["1.1.0", "web", "10.1.0.5/16"]))


PLUGIN = _members("type", "name", "cniVersion", "capabilities", "ipam", "prevResult")
LIST = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON | st.just("web"),
        "cniVersion": JSON | st.sampled_from(VERSIONS),
        "cniVersions": JSON | st.lists(st.sampled_from(VERSIONS)),
        "plugins": JSON | st.lists(PLUGIN | st.just({"type": "one"}), max_size=3),
        "type": JSON,
        "disableCheck": JSON,
        "disableGC": JSON,
        "loadOnlyInlinedPlugins": JSON,
    },
)
ADDRESS = st.ip_addresses()
INTERFACE = st.fixed_dictionaries(
    {"name": st.text("abcdef0", min_size=1, max_size=15)},
    optional={"mac": st.just("0a:00:00:00:00:01"), "sandbox": st.sampled_from(["", "/run/netns/a"])},
)
IP = ADDRESS.map(lambda address: {"address": f"{address}/{address.max_prefixlen}"})
ROUTE = ADDRESS.map(lambda address: {"dst": f"{address}/{address.max_prefixlen}", "gw": str(address)})
RESULT = st.fixed_dictionaries(
    {"cniVersion": st.sampled_from(["1.0.0", "1.1.0"])},
    optional={
        "interfaces": st.lists(INTERFACE, max_size=3),
        "ips": st.lists(IP, max_size=3),
        "routes": st.lists(ROUTE, max_size=3),
        "dns": st.fixed_dictionaries({}, optional={"nameservers": st.lists(ADDRESS.map(str), max_size=2)}),
        "future": JSON,
    },
)
"""Results that are right, of the versions that lose nothing to each other."""
BY_FAMILY = ["0.1.0", "0.2.0"]


def _family(addresses: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    subnets = addresses.map(lambda address: f"{address}/{address.max_prefixlen}")
    return st.fixed_dictionaries(
        {"ip": subnets},
        optional={
            "gateway": addresses.map(str),
            "routes": st.lists(st.fixed_dictionaries({"dst": subnets}), min_size=1, max_size=2),
        },
    )


RESULT_BY_FAMILY = st.fixed_dictionaries(
    {"cniVersion": st.sampled_from(BY_FAMILY), "ip4": _family(st.ip_addresses(v=4))},
    optional={"ip6": _family(st.ip_addresses(v=6)), "dns": st.just({"nameservers": ["10.1.0.1"]})},
)
"""Results of the versions that have one address of each family."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@given(JSON | LIST | PLUGIN)
def test_any_json_is_a_configuration_or_a_conf_error(value: object) -> None:
    try:
        read = NetworkConfigList.from_json(value, "test")
    except ConfError:
        return
    assert NetworkConfigList.from_json(read.to_json(), "stored") == read


@pytest.mark.parametrize("suffix", ["conflist", "conf", "json"])
@given(st.binary() | (JSON | LIST | PLUGIN).map(lambda value: json.dumps(value).encode()))
@example(b"\xff\xfe{}")
@example(b"[" * 100_000)
@example(b'{"name": "web", "plugins": [{"type": "one", "mtu": NaN}]}')
@example(b'{"name": "web", "mtu": ' + b"9" * 5000 + b"}")
@example(b'"\\ud800"')
@example(b'{"cniVersion": "1.0.0", "name": "\\ud800", "plugins": [{"type": "\\ud800"}]}')
def test_a_file_of_any_content_hides_no_other_network(folder: Path, suffix: str, content: bytes) -> None:
    for old in folder.iterdir():
        old.unlink()
    (folder / f"10-any.{suffix}").write_bytes(content)
    (folder / "20-other.conflist").write_text(json.dumps(conf("one", name="other").to_json()))

    assert find("other", [folder]).name == "other"
    with pytest.raises(ConfError, match="no CNI network"):
        find("missing", [folder])


@given(JSON | _members("cniVersion", "interfaces", "ips", "routes", "dns") | RESULT)
def test_any_json_is_a_result_or_a_result_error(value: object) -> None:
    try:
        read = Result.from_json(value, "test")
        read.converted("1.1.0")
    except ResultError:
        return
    assert Result.from_json(read.to_json(), "stored") == read


@given(RESULT, st.sampled_from(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]))
def test_a_result_survives_the_way_to_another_version_and_back(value: dict[str, Any], version: str) -> None:
    read = Result.from_json(value, "test")

    there = read.converted(version)
    back = there.converted(value["cniVersion"])

    assert there.raw["cniVersion"] == version
    assert all(ip["version"] in "46" for ip in there.raw.get("ips", ()) if version.startswith("0."))
    assert back == read


@given(RESULT, st.sampled_from(VERSIONS))
def test_a_result_goes_to_any_version_or_is_refused(value: dict[str, Any], version: str) -> None:
    read = Result.from_json(value, "test")
    try:
        there = read.converted(version)
    except ResultError:
        assert version in BY_FAMILY
        assert not read.ips
    else:
        assert there.converted(version) == there
        assert Result.from_json(there.to_json(), "stored") == there


@given(RESULT_BY_FAMILY, st.sampled_from(VERSIONS))
def test_a_result_by_family_survives_the_way_to_another_version_and_back(
    value: dict[str, Any], version: str
) -> None:
    read = Result.from_json(value, "test")

    assert read.converted(version).converted(value["cniVersion"]) == read


@settings(max_examples=40)
@given(
    st.binary(max_size=200)
    | (JSON | _members("cniVersion", "interfaces", "ips", "routes", "dns", "code", "msg")).map(
        lambda value: json.dumps(value).encode()
    )
    | RESULT.flatmap(
        lambda value: st.integers(0, len(json.dumps(value)) - 1).map(
            lambda end: json.dumps(value).encode()[:end]
        )
    ),
    st.sampled_from([0, 1]),
)
@example(b"\xff\xfe\x00", 0)
@example(b"[" * 100_000, 0)
@example(b"[" * 100_000, 1)
@example(b" " * (5 * 1024 * 1024), 0)
@example(b"9" * 5000, 0)
@example(b'{"code": ' + b"9" * 5000 + b"}", 1)
@example(b'{"code": "7", "msg": 7}', 1)
@example(b'{"code": -1, "msg": ""}', 1)
@example(b'{"code": 7, "msg": "\\ud800"}', 1)
@example(b'{"dns": {"search": ["\\ud800"]}}', 0)
def test_whatever_a_plugin_answers_is_a_result_or_a_plugin_error_and_leaves_nothing(
    folder: Path, said: bytes, status: int
) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as home:
        plugins = ScriptedPlugins(Path(home))
        (Path(home) / "said").write_bytes(said)
        plugins.write("one", f"[ $CNI_COMMAND = DEL ] && exit 0; cat {home}/said; exit {status}")
        before = _descriptors()

        try:
            asyncio.run(runtime(plugins).add(conf("one"), ATTACHMENT))
        except PluginError as error:
            str(error).encode()  # can be printed
            assert plugins.calls == ["one ADD", "one DEL"]
        else:
            assert status == 0

        assert _descriptors() == before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
