"""Waiting for a program that was started."""

import time
from collections.abc import Callable

from lab.errors import LabError


def wait_until(
    ready: Callable[[], bool],
    late: str,
    *,
    seconds: float,
    pause: float = 0.1,
    alive: Callable[[], None] | None = None,
) -> None:
    """Waits.

    Args:
        ready: whether the wait is over.
        late: what a person is told when it was not in time.
        seconds: the time that it is given.
        pause: seconds between two looks.
        alive: asked before each pause; raises if there is nothing to wait for any more.

    Raises:
        LabError: it was not ready in time; says `late`.
    """
    limit = time.monotonic() + seconds
    while not ready():
        if alive:
            alive()
        if time.monotonic() > limit:
            raise LabError(late)
        time.sleep(pause)
