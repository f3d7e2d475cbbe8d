"""CNI by a simple script: plugins are run one after the other, and nothing is kept of what was done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.bench import Bench

_SCRIPT = Path(__file__).with_name("naive.sh")


class Naive:
    """The script in an engine's room, with a folder of its own for a conflist's plugins."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench = bench
        self.folder = bench.folder / f"naive-{name}"
        """Where the plugins' configurations are, a file for each."""
        self.script = _SCRIPT

    def configure(self, conflist: dict[str, Any]) -> None:
        """Take the plugins of a conflist."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        common = {"cniVersion": conflist["cniVersion"], "name": conflist["name"]}
        for number, plugin in enumerate(conflist["plugins"]):
            others = {key: value for key, value in plugin.items() if key != "type"}
            conf = {
                "type": plugin["type"],
                "naive": True,
                **others,
                **common,
            }  # the script looks for the type
            (self.folder / f"{number:02}.conf").write_text(json.dumps(conf))

    def run(
        self,
        command: str,
        namespace: str,
        container: str,
        *,
        check: bool = True,
        timeout: float = 120.0,
        path: str = "",
    ) -> str:
        """Run ADD or DEL for the link eth0 in a namespace, a path; what it printed.

        `path` are the folders of plugins, if not the engine's. Raises `LabError` and `TimeoutExpired`.
        """
        arguments: list[str | Path] = ["sh", _SCRIPT, command, self.folder, namespace, container, "eth0"]
        environment = {"CNI_PATH": path or str(self._bench.engine.plugin_path)}
        ran = self._bench.engine.run(arguments, check=check, timeout=timeout, environment=environment)
        return ran.stdout

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
