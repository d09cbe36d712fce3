"""Judges updates that were killed."""

from tools.measure.results import Verdict
from tools.measure.updates.interrupted import killed_results


def verdicts(steps: int, failures: list[str], orphans: list[str]) -> list[Verdict]:
    return [result.verdict for result in killed_results(steps, failures, orphans)]


def test_orphans_with_random_names_are_a_known_gap() -> None:
    assert verdicts(18, [], ["ConfigMap tempo-config-7da53428", "NetworkPolicy nginx-444fcecb"]) == [
        Verdict.MET,
        Verdict.KNOWN_GAP,
    ]
    assert verdicts(18, [], []) == [Verdict.MET, Verdict.CLOSED_GAP]


def test_an_orphan_with_a_fixed_name_and_an_update_that_does_not_recover_are_missed_targets() -> None:
    assert verdicts(18, ["3: up failed"], ["Deployment nginx"]) == [Verdict.MISSED, Verdict.MISSED]


def test_no_kill_proves_nothing() -> None:
    assert verdicts(0, [], [])[0] is Verdict.MISSED
