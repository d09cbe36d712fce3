"""Tests the waiting for a program: no longer than it is given, and not after the program has ended."""

import pytest

from lab.errors import LabError
from lab.waiting import wait_until


def test_a_wait_ends_with_what_is_waited_for() -> None:
    looks = iter([False, False, True])
    wait_until(lambda: next(looks), "late", seconds=10, pause=0)
    assert list(looks) == []


def test_a_wait_that_was_too_long_says_so() -> None:
    with pytest.raises(LabError) as late:
        wait_until(lambda: False, "The registry did not start.", seconds=0, pause=0)
    assert str(late.value) == "The registry did not start."


def test_a_wait_ends_with_the_program_that_is_waited_for() -> None:
    def alive() -> None:
        raise LabError("The node ended.")

    with pytest.raises(LabError) as ended:
        wait_until(lambda: False, "late", seconds=10, alive=alive)
    assert str(ended.value) == "The node ended."
