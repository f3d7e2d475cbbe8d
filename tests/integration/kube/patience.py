"""Waiting for what comes about by itself."""

import asyncio
from collections.abc import Callable

_PATIENCE = 30.0


async def until(condition: Callable[[], bool], *, within: float = _PATIENCE) -> None:
    """Wait until the condition holds, which is asked without blocking for long. Fails in the end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, "it never came to hold"
        await asyncio.sleep(0.05)
