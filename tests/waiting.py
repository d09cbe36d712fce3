"""Waits for a condition, with a limit: what tests do instead of sleeping."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from lab.waiting import poll

Found = TypeVar("Found")

PATIENCE = 2 if "PYTEST_XDIST_WORKER" in os.environ else 1
"""How many times longer a test waits where other processes run tests beside it. Our choice: four share two cores."""


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = 15) -> Found:
    """Returns the first true thing that `look` gives; fails the test when there is none in time."""
    seconds *= PATIENCE
    found = poll(look, seconds=seconds, pause=0.02)
    if not found:
        pytest.fail(f"waited {seconds} s for {what}, in vain")
    return found
