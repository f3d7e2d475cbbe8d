"""The demos run as a new user runs them, and find for themselves that nothing is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab.footprint import Footprint, host_footprint

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("demo", ["demo", "demo_kubernetes"])
def test_a_demo_comes_to_its_end(demo: str, host_before: Footprint) -> None:
    done = subprocess.run(
        [sys.executable, _EXAMPLES / "demo" / f"{demo}.py"],
        env=os.environ | {"PYTHONPATH": str(_EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "As before: this machine's own links, namespaces and iptables rules." in done.stdout
    assert host_before.difference(host_footprint()) == []
