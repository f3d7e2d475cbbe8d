"""The cache: what is stored comes back, others can read it, and nothing broken stands in the way."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from shim.cni.cache import Cache
from shim.cni.conf import NetworkConfigList
from shim.cni.errors import CacheError
from shim.cni.result import Result
from shim.cni.runtime import Attachment

CONF = NetworkConfigList.from_json(
    {"cniVersion": "1.0.0", "name": "web", "plugins": [{"type": "bridge", "capabilities": {"mac": True}}]},
    "x",
)
ATTACHMENT = Attachment(
    "4f1c09", "/run/netns/a", "eth0", (("K", "V"),), capability_args={"mac": "0a:00:00:00:00:01"}
)
RESULT = Result.from_json({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}]}, "x")
PLACE = ("web", "4f1c09", "eth0")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cni")


def _file(tmp_path: Path) -> Path:
    return tmp_path / "cni" / "results" / "web-4f1c09-eth0"


def test_what_is_stored_comes_back_until_it_is_removed(cache: Cache) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)

    cached = cache.load(*PLACE)

    assert cached
    assert (cached.network, cached.conf, cached.attachment, cached.result) == (
        "web",
        CONF,
        ATTACHMENT,
        RESULT,
    )
    assert cache.attachments("web") == [cached]
    cache.remove(*PLACE)
    cache.remove(*PLACE)
    assert cache.load(*PLACE) is None
    assert cache.attachments("web") == []


def test_the_file_is_what_libcni_writes(cache: Cache, tmp_path: Path) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)

    entry = json.loads(_file(tmp_path).read_text())

    assert json.loads(base64.b64decode(entry.pop("config"))) == CONF.to_json()
    assert entry == {
        "kind": "cniCacheV1",
        "containerId": "4f1c09",
        "ifName": "eth0",
        "networkName": "web",
        "netns": "/run/netns/a",
        "cniArgs": [["K", "V"]],
        "capabilityArgs": {"mac": "0a:00:00:00:00:01"},
        "result": RESULT.to_json(),
    }


def test_only_its_owner_can_read_it_and_nothing_unfinished_is_left(cache: Cache, tmp_path: Path) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)
    cache.save(CONF, ATTACHMENT, RESULT)

    assert stat.S_IMODE(_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(_file(tmp_path).parent.stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "cni").rglob("*")] == ["results", "web-4f1c09-eth0"]


def test_a_write_that_fails_leaves_the_older_entry_and_nothing_unfinished(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    cache.save(CONF, ATTACHMENT, RESULT)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CacheError, match="cannot be written: No space left on device"):
            cache.save(CONF, ATTACHMENT, Result.from_json({"cniVersion": "1.0.0"}, "x"))

    cached = cache.load(*PLACE)
    assert cached
    assert cached.result == RESULT
    assert len(list((tmp_path / "cni").rglob("*"))) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ('{"kind": "cniCacheV1"', "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"kind": "cniCacheV1"}', "config: empty"),
        ('{"kind": "cniCacheV1", "config": "%"}', "config: expected base64"),
        ('{"ips": [{"address": "x"}]}', "ips[0]: address"),
    ],
)
def test_a_broken_entry_counts_as_absent_and_a_warning_names_it(
    cache: Cache, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, said: str
) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)
    _file(tmp_path).write_text(content)

    assert cache.load(*PLACE) is None
    assert str(_file(tmp_path)) in caplog.text
    assert said in caplog.text
    assert cache.attachments("web") == []


@pytest.mark.parametrize(
    "members",
    [{"containerId": "../x"}, {"cniArgs": [["K"]]}, {"cniArgs": {"K": "V"}}, {"capabilityArgs": ""}],
)
def test_an_entry_with_a_member_that_del_could_not_use_counts_as_absent(
    cache: Cache, tmp_path: Path, members: dict[str, Any]
) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)
    _file(tmp_path).write_text(json.dumps(json.loads(_file(tmp_path).read_text()) | members))

    assert cache.load(*PLACE) is None


def test_a_result_that_cannot_be_read_does_not_hide_the_configuration(cache: Cache, tmp_path: Path) -> None:
    cache.save(CONF, ATTACHMENT, RESULT)
    _file(tmp_path).write_text(json.dumps(json.loads(_file(tmp_path).read_text()) | {"result": {"ips": 1}}))

    cached = cache.load(*PLACE)

    assert cached
    assert (cached.conf, cached.result) == (CONF, None)


def test_the_members_tell_whose_an_entry_is_not_its_ambiguous_name(cache: Cache) -> None:
    cache.save(CONF, Attachment("a-b", "/run/netns/a", "eth0"), RESULT)

    assert cache.load("web", "a", "b-eth0") is None
    assert [cached.attachment.container_id for cached in cache.attachments("web")] == ["a-b"]
    assert cache.attachments("web-a") == []


def test_a_bare_result_of_an_older_libcni_is_read(cache: Cache, tmp_path: Path) -> None:
    _file(tmp_path).parent.mkdir(parents=True)
    _file(tmp_path).write_text(json.dumps(RESULT.to_json()))

    cached = cache.load(*PLACE)

    assert cached
    assert (cached.conf, cached.result) == (None, RESULT)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CacheError, match=r"file/results/web-4f1c09-eth0: cannot be written"):
        Cache(tmp_path / "file").save(CONF, ATTACHMENT, RESULT)
