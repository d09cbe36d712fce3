"""Tests of the result of fewer Collectors with full queues."""

import pytest

from tools.measure.faults.scenarios import scaled_down
from tools.measure.traffic import Sent

FILLED, SENT = Sent(0, answered=["a", "b"]), Sent(200, answered=["c", "d"])


@pytest.mark.parametrize(
    ("sent", "lost", "full", "is_met"),
    [
        pytest.param(SENT, (0, 0), 0.91, True, id="all found"),
        pytest.param(SENT, (0, 0), 0.9, False, id="a queue that was not full measures nothing"),
        pytest.param(SENT, (1, 0), 0.91, False, id="lost from a queue"),
        pytest.param(SENT, (0, 1), 0.91, False, id="lost on the way"),
        pytest.param(Sent(200, ["c"], {"d": "timed out"}), (0, 0), 0.91, False, id="failed"),
    ],
)
def test_full_queues_are_emptied_only_if_they_were_full_and_nothing_is_lost(
    sent: Sent, lost: tuple[int, int], full: float, is_met: bool
) -> None:
    assert scaled_down(FILLED, sent, lost, full).met is is_met


def test_the_result_says_how_full_the_queues_were_and_counts_what_was_in_them() -> None:
    result = scaled_down(FILLED, SENT, (1, 0), 0.934)
    assert result.value == "0 of 2 failed; 75.00% found"
    assert result.details["share of the emptiest queue"] == 0.934
