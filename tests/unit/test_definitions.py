"""From a NetworkAttachmentDefinition to its conflist, by the rules of multi-net-spec 1.3, section 3.4.1."""

import json
from pathlib import Path
from typing import Any

import pytest

from shim import definitions
from shim.cni.errors import ConfError
from shim.model import Definition

PLUGIN = {"type": "bridge"}
VERSION = {"cniVersion": "1.0.0"}


def definition(config: object, name: str = "blue") -> Definition:
    return Definition("team-a", name, config if isinstance(config, str) else json.dumps(config))


@pytest.mark.parametrize(
    ("config", "name", "plugins"),
    [
        ({**VERSION, "name": "net", "plugins": [PLUGIN]}, "net", (PLUGIN,)),
        ({**VERSION, "plugins": [PLUGIN]}, "blue", (PLUGIN,)),
        ({**VERSION, "name": "", "plugins": [PLUGIN]}, "blue", (PLUGIN,)),
        ({**VERSION, "name": "net", **PLUGIN}, "net", ({**VERSION, "name": "net", **PLUGIN},)),
        ({**VERSION, **PLUGIN}, "blue", ({**VERSION, "name": "blue", **PLUGIN},)),
    ],
    ids=["list", "list without name", "list with empty name", "configuration", "configuration without name"],
)  # fmt: skip
def test_a_configuration_or_a_list_is_taken_and_named_after_the_definition_when_it_has_no_name(
    config: dict[str, Any], name: str, plugins: tuple[dict[str, Any], ...]
) -> None:
    conflist = definitions.conflist(definition(config), [])

    assert (conflist.name, conflist.cni_version, conflist.plugins) == (name, "1.0.0", plugins)


@pytest.mark.parametrize("config", ["", "  \n"])
def test_without_a_configuration_the_nodes_conflist_of_that_name_is_meant(
    tmp_path: Path, config: str
) -> None:
    conflist = {**VERSION, "name": "blue", "plugins": [PLUGIN]}
    (tmp_path / "any.conflist").write_text(json.dumps(conflist))

    assert definitions.conflist(definition(config), [tmp_path]).plugins == (PLUGIN,)


def test_plugins_in_a_folder_of_the_node_are_not_added_to_a_definition(tmp_path: Path) -> None:
    folder = tmp_path / "blue"
    folder.mkdir()
    (folder / "more.conf").write_text(json.dumps({"type": "tuning"}))

    conflist = definitions.conflist(definition({**VERSION, "plugins": [PLUGIN]}), [tmp_path])

    assert conflist.plugins == (PLUGIN,)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "spec.config: not JSON: "),
        ("[]", "spec.config: expected a JSON object"),
        ({"name": "net"}, 'spec.config: has neither "plugins" .* nor "type"'),
        ({"name": 5, **PLUGIN}, "spec.config: name: expected a string, found 5"),
        ({"name": "a/b", **PLUGIN}, "spec.config: name: expected letters"),
        ({"plugins": [{}]}, r"spec.config: plugins\[0\]: type"),
        ({"cniVersion": "9.0.0", **PLUGIN}, "spec.config: cniVersion 9.0.0: not supported"),
        ("", 'has no spec.config, and there is no CNI network "blue" in /nowhere'),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused_by_its_name(config: object, words: str) -> None:
    with pytest.raises(ConfError, match=f"NetworkAttachmentDefinition team-a/blue:? ?{words}"):
        definitions.conflist(definition(config), [Path("/nowhere")])
