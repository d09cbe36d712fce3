"""Computes how long exports fail after a receiver's return."""

import pytest

from tools.measure.faults.backoff import longest_after


@pytest.mark.parametrize(("away", "longest", "official"), [(2, 0.92, 0.6), (12, 6.8, 5), (45, 32.2, 29.7)])
def test_no_longer_than_the_waits_allow_and_as_long_as_the_official_module_took(
    away: float, longest: float, official: float
) -> None:
    assert longest_after(away) == pytest.approx(longest, abs=0.05)
    assert official < longest_after(away)


def test_an_absence_that_the_first_wait_outlasts_costs_that_wait() -> None:
    assert longest_after(0.25) == pytest.approx(0.75)


def test_no_absence_is_followed_by_more_than_two_minutes_and_a_fifth() -> None:
    assert longest_after(86_400) == pytest.approx(144)
