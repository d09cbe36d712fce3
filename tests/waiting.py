"""Waiting for a condition, with a limit: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = 15) -> Found:
    """The first true thing that `look` gives; the test fails when there is none in time."""
    limit = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > limit:
            pytest.fail(f"waited {seconds} s for {what}, in vain")
        time.sleep(0.02)
    return found
