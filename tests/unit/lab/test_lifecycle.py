"""Tests how the lab's process is started and found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cluster import lifecycle, node


@pytest.mark.parametrize(
    ("module", "is_lab"), [(node.__name__, True), ("lab.node", True), ("lab.nodes", False), ("pytest", False)]
)
def test_a_lab_is_found_by_its_process_also_one_that_an_earlier_version_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, is_lab: bool
) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", module]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        (tmp_path / "node.pid").write_text(str(process.pid))
        monkeypatch.setattr(lifecycle, "PID_FILE", tmp_path / "node.pid")
        while module.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            os.sched_yield()
        assert lifecycle.is_running() is is_lab
        assert process.stdin
        process.stdin.close()
    assert not lifecycle.is_running()


def test_no_lab_runs_where_nothing_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "PID_FILE", tmp_path / "node.pid")
    assert not lifecycle.is_running()
