"""A chained CNI plugin that does what it is told and notes its runs: `meddler.py ORDERS LOG`, by a wrapper.

ORDERS is a JSON file: `delay`, seconds that ADD takes; `fail`, whether ADD fails. The log gets a JSON object
a line, with `command`, `args` (CNI_ARGS), `container`, and `namespace`, the inode of that, or 0.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def main() -> None:
    """Run once."""
    orders: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    conf: dict[str, Any] = json.load(sys.stdin)
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        json.dump({"cniVersion": _VERSIONS[-1], "supportedVersions": _VERSIONS}, sys.stdout)
        return
    entry = {
        "command": command,
        "args": os.environ.get("CNI_ARGS", ""),
        "container": os.environ.get("CNI_CONTAINERID", ""),
        "namespace": _inode(os.environ.get("CNI_NETNS", "")),
    }
    with Path(sys.argv[2]).open("a") as log:
        log.write(json.dumps(entry) + "\n")
    if command == "ADD":
        time.sleep(orders.get("delay", 0))
        if orders.get("fail"):
            json.dump({"cniVersion": conf["cniVersion"], "code": 100, "msg": "told to fail"}, sys.stdout)
            sys.exit(1)
        json.dump(conf["prevResult"], sys.stdout)


def _inode(path: str) -> int:
    try:
        return Path(path).stat().st_ino if path else 0
    except OSError:
        return 0


if __name__ == "__main__":
    main()
