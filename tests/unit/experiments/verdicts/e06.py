"""E06."""

from typing import Any

from tests.unit.experiments.verdicts.case import Case, both


def _way(processes: int, listening: int) -> dict[str, Any]:
    return {"processes": processes, "listening": listening, "settings": 0, "works": "yes", "shared": "etcd"}


def _data(overlay: dict[str, Any], shim: dict[str, Any]) -> dict[str, Any]:
    return {
        "20.10": {"overlay with etcd": overlay, "shim with Kubernetes": shim},
        "newest": {"overlay with swarm": overlay, "shim with Kubernetes": shim},
    }


CASES = [
    Case("E06", "more", _data(_way(1, 4), _way(1, 0)), both("stands"), "fully", (True, True)),
    Case("E06", "as much", _data(_way(1, 0), _way(1, 0)), both("weakened"), "fully", (False, True)),
    Case("E06", "less", _data(_way(0, 0), _way(1, 1)), both("refuted"), "partly", (False, False)),
]
