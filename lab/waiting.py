"""Waits for a condition, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lab.errors import LabError

Found = TypeVar("Found")


def poll(
    look: Callable[[], Found | None],
    *,
    seconds: float,
    pause: float = 0.1,
    alive: Callable[[], None] | None = None,
) -> Found | None:
    """Calls `look` until it returns something true, and returns that; None when the time is over.

    Args:
        look: looks for what is waited for; it is called once at least.
        seconds: the limit.
        pause: seconds between two calls.
        alive: called before each pause; it raises if there is nothing to wait for any more.
    """
    limit = time.monotonic() + seconds
    while not (found := look()):
        if alive:
            alive()
        if time.monotonic() > limit:
            return None
        time.sleep(pause)
    return found


async def poll_async(
    look: Callable[[], Awaitable[Found | None]], *, seconds: float, pause: float = 0.1
) -> Found | None:
    """Awaits `look` until it returns something true, as `poll` does."""
    limit = time.monotonic() + seconds
    while not (found := await look()):
        if time.monotonic() > limit:
            return None
        await asyncio.sleep(pause)
    return found


def wait_until(
    ready: Callable[[], bool],
    late: str,
    *,
    seconds: float,
    pause: float = 0.1,
    alive: Callable[[], None] | None = None,
) -> None:
    """Waits until a condition holds.

    Args:
        ready: whether it holds.
        late: the error's text when it does not hold in time.
        seconds: the limit.
        pause: seconds between two calls.
        alive: as for `poll`.

    Raises:
        LabError: the condition did not hold in time.
    """
    if not poll(ready, seconds=seconds, pause=pause, alive=alive):
        raise LabError(late)
