"""Judges what Tempo and its log show of a full disk."""

from tools.measure.faults.full_disk import full_tempo
from tools.measure.results import Verdict


def test_a_loss_that_tempo_logs_and_does_not_count_is_a_known_gap() -> None:
    result = full_tempo(360_026, lost=151_303, counted=0, shown=168)
    assert result.verdict is Verdict.KNOWN_GAP
    assert result.value == "151303 of 360026 lost; Tempo counts 0; 168 lines in its log"


def test_a_tempo_that_counts_its_loss_closes_the_gap() -> None:
    assert full_tempo(360_026, lost=151_303, counted=151_303, shown=168).verdict is Verdict.CLOSED_GAP


def test_a_loss_that_nothing_shows_and_a_disk_that_was_not_full_are_missed_targets() -> None:
    assert full_tempo(360_026, lost=151_303, counted=0, shown=0).verdict is Verdict.MISSED
    assert full_tempo(360_026, lost=0, counted=0, shown=0).verdict is Verdict.MISSED
