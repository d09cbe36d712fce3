"""`python -m previews drift` with a `pulumi` that answers anything; `tests/lab/test_previews.py` has the real one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from previews.__main__ import main
from tests.unit.previews.making import preview


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a `pulumi` that prints something and exits with something; keeps what it was asked."""

    def made(text: str, code: int = 0, error: str = "") -> Path:
        (tmp_path / "answer").write_text(text)
        program = tmp_path / "pulumi"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = config ] && exit 1\necho "$@" >{tmp_path}/asked\ncat {tmp_path}/answer\n'
            f'echo "{error}" >&2\nexit {code}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "asked"

    return made


def test_no_drift_is_said_and_nothing_is_changed_for_it(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked = answer(json.dumps(preview()))
    assert main(["drift", "--stack", "dev"]) == 0
    assert capsys.readouterr().out == "No object drifted.\n"
    assert asked.read_text().split() == [
        *("refresh", "--preview-only", "--run-program", "--json", "--non-interactive", "--stack", "dev")
    ]


def test_what_cannot_be_determined_is_no_success(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"message": "error: this is not the stack's cluster", "severity": "error"}] * 2
    answer(json.dumps(preview() | {"diagnostics": errors}), code=1)
    assert main(["drift"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("this is not the stack's cluster") == 1
    answer("no JSON", code=0)
    assert main(["drift"]) == 2
    answer("", code=6, error="error: no stack named 'nope' found")
    assert main(["drift"]) == 2
    assert "error: no stack named 'nope' found" in capsys.readouterr().err


def test_a_missing_pulumi_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["drift"]) == 2
    assert "`pulumi` was not found" in capsys.readouterr().err
