"""Waiting for a condition, with a limit: what tests do instead of sleeping."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")

PATIENCE = 2 if "PYTEST_XDIST_WORKER" in os.environ else 1
"""How many times longer a test waits where other processes run tests beside it. Our choice: four share two cores."""


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = 15) -> Found:
    """The first true thing that `look` gives; the test fails when there is none in time."""
    seconds *= PATIENCE
    limit = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > limit:
            pytest.fail(f"waited {seconds} s for {what}, in vain")
        time.sleep(0.02)
    return found
