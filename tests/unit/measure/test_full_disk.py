"""Judges a full disk: what Tempo and its log show of it, and what is lost once it has room again."""

from tools.measure.faults.full_disk import afterwards, full_tempo
from tools.measure.results import Verdict
from tools.measure.traffic import Sent


def test_a_loss_that_tempo_logs_and_does_not_count_is_a_known_gap() -> None:
    result = full_tempo(360_026, lost=151_303, counted=0, shown=168)
    assert result.verdict is Verdict.KNOWN_GAP
    assert result.value == "151303 of 360026 lost; Tempo counts 0; 168 lines in its log"


def test_a_tempo_that_counts_its_loss_closes_the_gap() -> None:
    assert full_tempo(360_026, lost=151_303, counted=151_303, shown=168).verdict is Verdict.CLOSED_GAP


def test_a_loss_that_nothing_shows_and_a_disk_that_was_not_full_are_missed_targets() -> None:
    assert full_tempo(360_026, lost=151_303, counted=0, shown=0).verdict is Verdict.MISSED
    assert full_tempo(360_026, lost=0, counted=0, shown=0).verdict is Verdict.MISSED


def test_a_second_of_spans_is_a_known_gap_once_the_disk_has_room_again_and_more_is_a_missed_target() -> None:
    sent = Sent(200, answered=[f"{number:032x}" for number in range(1003)])
    assert afterwards("disk", sent, 0, {}, "It panics.").verdict is Verdict.CLOSED_GAP
    assert afterwards("disk", sent, 200, {}, "It panics.").verdict is Verdict.KNOWN_GAP
    assert afterwards("disk", sent, 201, {}, "It panics.").verdict is Verdict.MISSED
    assert afterwards("disk", sent, 1, {}).verdict is Verdict.MISSED
    sent.failed["f" * 32] = "timeout"
    assert afterwards("disk", sent, 1, {}, "It panics.").verdict is Verdict.MISSED
