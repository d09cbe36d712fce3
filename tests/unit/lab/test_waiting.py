"""Tests the waiting for a program: no longer than it is given, and not after the program has ended."""

import asyncio

import pytest

from lab.errors import LabError
from lab.waiting import poll_async, wait_until


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


def test_a_coroutine_is_awaited_until_it_returns_something_or_the_time_is_over() -> None:
    answers = iter([None, "", "found"])

    async def look() -> str | None:
        return next(answers)

    async def never() -> bool:
        return False

    assert asyncio.run(poll_async(look, seconds=5, pause=0)) == "found"
    assert asyncio.run(poll_async(never, seconds=0, pause=0)) is None
