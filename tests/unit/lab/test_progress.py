"""Tests what a person sees of long work: a line for each step, with the time that is left."""

import time

import pytest

from lab.progress import Progress, Step


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_step_tells_the_time_that_is_left_and_then_how_much_longer_it_takes(clock: list[float]) -> None:
    step = Step("build Tempo", 150)
    assert step.line() == "build Tempo: waits, about 2.5 min"
    step.begin()
    step.detail("go build")
    clock[0] += 30
    assert step.line() == "build Tempo: 30 s, about 2.0 min left (go build)"
    clock[0] += 180
    assert step.line() == "build Tempo: 3.5 min, 60 s longer than expected (go build)"


def test_a_step_of_which_nothing_is_known_tells_its_own_time_alone(clock: list[float]) -> None:
    step = Step("start Kubernetes")
    step.begin()
    clock[0] += 5
    assert step.line() == "start Kubernetes: 5 s"


def test_each_planned_step_has_a_line_until_it_ends() -> None:
    progress, first, second = Progress(), Step("first", 60), Step("second", 30)
    with progress.plan([first, second]):
        assert progress.lines() == ["· first: waits, about 60 s", "· second: waits, about 30 s"]
        with progress.run(first):
            assert progress.lines() == ["… first: 0 s, about 60 s left", "· second: waits, about 30 s"]
        assert progress.lines() == ["· second: waits, about 30 s"]
    assert progress.lines() == []


def test_a_log_gets_a_line_when_a_step_begins_and_one_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    with progress.plan([Step("never begun", 5)]):
        with progress.step("first", 60):
            pass
        with pytest.raises(ValueError, match="disk"), progress.step("second"):
            raise ValueError("disk")
    assert capsys.readouterr().err.splitlines() == [
        "… first: 0 s, about 60 s left", "✓ first: 0 s", "… second: 0 s", "✗ second: 0 s",
    ]  # fmt: skip
