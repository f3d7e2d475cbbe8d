"""How the demos tell what they do: titles, commands with what they print, and what was found."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from lab.engine import Engine
from lab.errors import LabError
from lab.footprint import Footprint, engine_footprint

_SETTLING = 10.0
"""Seconds that something may take which goes on by itself after a command has answered."""


def tell(story: Callable[[], None]) -> None:
    """Run a demo. Ends with status 1 and one line when something is not as it should be."""
    start = time.monotonic()
    try:
        story()
    except (LabError, subprocess.TimeoutExpired) as error:
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing is left behind")
    print(f"\nDone in {time.monotonic() - start:.0f} s.")


def title(text: str) -> None:
    """Begin a chapter."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(command: Sequence[str], output: str, *, prompt: str = "$", note: str = "", stdin: str = "") -> None:
    """Show a command, what it was given, and what it printed."""
    print(
        f"  {prompt} {shlex.join(command)}" + (f"   # {note}" if note else "") + (" <<END" if stdin else "")
    )
    for line in [*stdin.splitlines(), *(["END"] if stdin else []), *output.splitlines()]:
        print(f"    {line}" if line else "", flush=True)


def docker(engine: Engine, *arguments: str, prompt: str = "$") -> str:
    """Run `docker`, show it, and return what it printed."""
    output = engine.docker(*arguments).stdout
    show(["docker", *arguments], output, prompt=prompt)
    return output


def expect(met: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assertion
    """Fail unless it is so."""
    if not met:
        raise LabError(otherwise)


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait for what comes by itself, and fail when it does not."""
    deadline = time.monotonic() + _SETTLING
    while not condition():
        expect(time.monotonic() < deadline, otherwise)
        time.sleep(0.1)


def leftovers(engine: Engine, before: Footprint) -> list[str]:
    """What an engine still has that it did not have before, once it has settled."""
    deadline = time.monotonic() + _SETTLING
    while (left := before.difference(engine_footprint(engine))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def verdict(what: str, left: Sequence[str]) -> None:
    """Say that something is as before, or fail."""
    expect(not left, f"not as before, {what}: {'; '.join(left)}")
    print(f"  As before: {what}.")


def calls(log: str) -> list[str]:
    """Docker's calls in the shim's log, with the plugins below them."""
    texts = (re.sub(r"^\S+ \S+ INFO ", "", line) for line in log.splitlines())
    return [text for text in texts if re.match(r"  \S|(Create|Join|Leave|Delete)", text)]
