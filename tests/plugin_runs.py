"""The real runs of plugins on an engine, those included that plugins start themselves."""

from dataclasses import dataclass
from pathlib import Path

from lab.engine import IMAGE, Engine

from shim.cni import ipam

_WRAPPER = """#!/bin/sh
echo "{name} $CNI_COMMAND" >> {log}
exec {plugin}
"""


@dataclass(frozen=True, slots=True)
class Runs:
    """Plugin runs for one container, each as `plugin COMMAND`, in the order of their starts."""

    start: list[str]
    """Until it runs."""
    end: list[str]
    """From then on, until it is removed."""


class CountedPlugins:
    """The engine's plugins and the shim's own, each behind a wrapper that writes down its runs.

    They are in `folder`, which is made, and must be the only one of the shim's `plugin_path`: the shim passes
    it on in `CNI_PATH`, so that a plugin finds the wrapper of another one as well.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.folder = folder
        self._engine = engine
        self._log = folder / "runs.log"
        folder.mkdir()
        for source in (engine.plugin_path, ipam.OWN_PLUGINS):
            for name in engine.run(["ls", source]).stdout.split():
                wrapper = folder / name
                wrapper.write_text(_WRAPPER.format(name=name, log=self._log, plugin=source / name))
                wrapper.chmod(0o755)

    def of_container(self, network: str) -> Runs:
        """The runs for a container on a Docker network, which comes and goes.

        Another one is run before it: a shim asks the plugins what they can at first.
        """
        self._engine.docker("run", "--rm", "--network", network, IMAGE, "true")
        self._taken()
        container = self._engine.docker(
            "run", "-d", "--network", network, IMAGE, "sleep", "600"
        ).stdout.strip()
        start = self._taken()
        self._engine.docker("rm", "--force", container)
        return Runs(start, self._taken())

    def _taken(self) -> list[str]:
        """What was written since the last look."""
        runs = self._log.read_text().splitlines()
        self._log.write_text("")
        return runs
