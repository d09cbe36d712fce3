"""Waits for a program that was started."""

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
    """Waits until something is ready.

    Args:
        ready: tells whether the wait is over.
        late: the text of the error if it was not ready in time.
        seconds: the time that it is given.
        pause: the seconds between two checks.
        alive: is called before each pause; raises if there is nothing to wait for any more.

    Raises:
        LabError: it was not ready in time.
    """
    limit = time.monotonic() + seconds
    while not ready():
        if alive:
            alive()
        if time.monotonic() > limit:
            raise LabError(late)
        time.sleep(pause)
