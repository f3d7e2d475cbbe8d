"""Plugins that record how they were called and then do what a test tells them to.

They stand in for what real plugins cannot be made to do: hang, talk nonsense, fail at will.
"""

import json
from pathlib import Path
from typing import Any

ADD_ANSWER = '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}]}'
"""An answer to ADD that is valid in version 1.0.0."""


class ScriptedPlugins:
    """A folder of plugins written in shell, and the records of their runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self._records = folder / "records"
        self.folder.mkdir()
        self._records.mkdir()

    def write(self, kind: str, body: str = f"echo '{ADD_ANSWER}'") -> Path:
        """Make a plugin of that type which runs `body` after recording its call; `$request` is its stdin."""
        path = self.folder / kind
        path.write_text(
            "#!/bin/sh\n"
            f'echo "{kind} $CNI_COMMAND" >> {self._records}/calls\n'
            f'env -0 > "{self._records}/{kind}.$CNI_COMMAND.env"\n'
            'request="$(cat)"\n'
            f'printf %s "$request" > "{self._records}/{kind}.$CNI_COMMAND.request"\n'
            f"{body}\n"
        )
        path.chmod(0o755)
        return path

    @property
    def calls(self) -> list[str]:
        """The runs so far, each as "type COMMAND"."""
        file = self._records / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def request(self, kind: str, command: str) -> dict[str, Any]:
        """What the plugin's last such run read from stdin."""
        request: dict[str, Any] = json.loads((self._records / f"{kind}.{command}.request").read_text())
        return request

    def environment(self, kind: str, command: str) -> dict[str, str]:
        """The environment of the plugin's last such run."""
        items = (self._records / f"{kind}.{command}.env").read_text().split("\0")
        return dict(item.split("=", 1) for item in items if item)
