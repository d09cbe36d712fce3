"""Judges results, and replaces those of a part in the checked-in file."""

import io
import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

from lab.errors import LabError
from tools.measure import results
from tools.measure.results import MODULE, Entry, Result, Verdict, exit_code, not_measured, show

MET = Result("rollout", "0 failed", "0 failed")
MISSED = Result("kill", "0 failed", "1 failed", met=False)
GAP = Result("full disk", "counted", "not counted", met=False, known_gap="Nothing counts it.")
CLOSED = Result("full disk", "counted", "counted", met=True, known_gap="Nothing counts it.")
COMPARED = Result("baseline", None, "5 s")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (MET, Verdict.MET),
        (MISSED, Verdict.MISSED),
        (GAP, Verdict.KNOWN_GAP),
        (CLOSED, Verdict.CLOSED_GAP),
        (COMPARED, Verdict.NO_TARGET),
    ],
)
def test_a_result_is_judged_by_its_target_and_its_known_gap(result: Result, verdict: Verdict) -> None:
    assert result.verdict is verdict


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([MET, COMPARED], 0),
        ([MET, GAP], 0),
        ([MET, CLOSED], 0),
        ([MET, GAP, MISSED], 1),
        ([MET, not_measured("killed", LabError("no lab"))], 1),
        ([not_measured("killed", LabError("no lab"))], 2),
        ([], 2),
    ],
)
def test_a_known_gap_leaves_the_exit_code_to_missed_targets(found: list[Result], code: int) -> None:
    assert exit_code(found) == code


def printed(*found: Result) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_known_gap_whose_target_is_met_is_told() -> None:
    assert "full disk: this run met the target of a known gap." in printed(MET, CLOSED)
    assert "this run met" not in printed(MET, GAP)


def test_the_table_names_the_stand_in() -> None:
    assert MODULE in " ".join(printed(MET).split())


def entry(*found: Result) -> Entry:
    return Entry('make bench ARGS="--only growth"', "2026-11-26", "abc1234", MODULE, list(found))


def test_written_results_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    detailed = Result("steps", "0", "0 of 4", details={"p99, ms": 1.5, "failed": 0, "log errors": "{}"})
    entries = {"growth": entry(COMPARED), "killed": entry(MET, GAP, detailed)}
    results.write(entries, file)
    assert results.read(file) == entries


def test_a_field_that_there_is_not_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "measurements.json"
    results.write({"growth": entry(COMPARED)}, file)
    document = json.loads(file.read_text())
    document["growth"]["results"][0]["bar"] = "0"
    file.write_text(json.dumps(document))
    with pytest.raises(ValidationError, match="bar"):
        results.read(file)
