"""What an import of the package costs, seen in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = ["aiohttp", "asyncio", "importlib.metadata", "kubernetes", "pyroute2", "sqlite3", "yaml"]


def loaded_after(statement: str) -> set[str]:
    """Those of the heavy modules that a fresh interpreter has after `statement`."""
    code = f"import json, sys\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_the_probe_sees_a_module_that_is_loaded() -> None:
    assert loaded_after("import sqlite3") == {"sqlite3"}


@pytest.mark.parametrize(
    "module",
    ["shim", "shim.errors", "shim.model", "shim.config", "shim.lifecycle", "shim.publish", "shim.telemetry",
     "shim.wire.fields", "shim.wire.messages", "shim.wire.protocol"],
)  # fmt: skip
def test_words_settings_and_wire_load_nothing_heavy(module: str) -> None:
    assert loaded_after(f"import {module}") == set()


def test_the_command_line_loads_what_a_command_needs_only_when_it_runs() -> None:
    assert loaded_after("import shim.cli") == {"asyncio"}


@pytest.mark.parametrize("module", ["shim.daemon", "shim.lookup", "shim.kube.cluster"])
def test_the_kubernetes_client_is_not_loaded_before_it_is_used(module: str) -> None:
    assert "kubernetes" not in loaded_after(f"import {module}")


def test_the_version_is_looked_up_when_asked_for() -> None:
    assert loaded_after("import shim; assert shim.__version__[0].isdigit()") == {"importlib.metadata"}


def test_another_name_is_still_an_attribute_error() -> None:
    code = "import shim\ntry: shim.nonsense\nexcept AttributeError: pass\nelse: raise SystemExit(1)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
