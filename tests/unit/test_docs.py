"""What the documentation shows can be used as it is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shim import config
from shim.definitions import conflist
from shim.kube.objects import Binding, definition_from_json
from shim.spans import Kind, Span
from shim.trace.lines import Epoch, span_line

_REPOSITORY = Path(__file__).parents[2]
_TEXT = (_REPOSITORY / "docs" / "kubernetes.md").read_text()


def documents() -> list[dict[str, Any]]:
    """The YAML blocks."""
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", _TEXT, re.DOTALL)]


def test_settings_in_the_text_are_accepted(tmp_path: Path) -> None:
    shown = [item for item in documents() if "kubernetes" in item]
    assert len(shown) == 2

    for settings in shown:
        (tmp_path / "config.yaml").write_text(json.dumps(settings))
        config.load(tmp_path / "config.yaml")


def test_objects_in_the_text_are_what_the_shim_reads() -> None:
    objects = {item["kind"]: item for item in documents() if "kind" in item}

    definition = objects["NetworkAttachmentDefinition"]
    assert conflist(definition_from_json(definition), []).name == "blue"
    assert Binding.from_json(objects["DockerNetwork"]).cni_network == "team-a/blue"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"examples/[\w./-]*\w", _TEXT))))
def test_files_named_in_the_text_exist(path: str) -> None:
    assert (_REPOSITORY / path).exists()


def test_the_lines_of_traces_in_the_text_have_the_members_that_are_written_and_every_kind_is_shown() -> None:
    text = (_REPOSITORY / "docs" / "trace.md").read_text()
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    common = [*json.loads(span_line(Span(1, Kind.CALL, "Join"), Epoch()))]

    assert [line["kind"] for line in examples] == ["trace", "lost", "end", *Kind]
    for line in examples[3:]:
        assert [*line][: len(common)] == common
