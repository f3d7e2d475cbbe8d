"""What is slow to make is made once and kept, in the user's cache folder."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.progress import step


def folder(name: str) -> Path:
    """Where the thing of that name is kept: `cnm-cni-lab/<name>`; remove it to have it made anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnm-cni-lab" / name


def cached(name: str, making: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, filled by `make` at first use; `making` says meanwhile what is being done.

    Raises whatever `make` raises; nothing half-made is kept then.
    """
    kept = folder(name)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            unfinished = kept.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            with step(f"{making} in {kept}"):
                make(unfinished)
                unfinished.rename(kept)
    return kept
