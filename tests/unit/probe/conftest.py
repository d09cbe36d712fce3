"""A stack on loopback, and the probe's command run against it."""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.probe.fake_stack import FakeStack
from tools.probe import reach
from tools.probe.command import main


@dataclass
class Ended:
    """The exit code and the output of a command."""

    code: int
    output: str
    errors: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on standard output, which holds nothing else."""
        return json.loads(self.output)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Sends requests closely one after the other, and waits only briefly for a server that is unreachable."""
    monkeypatch.setattr("tools.probe.traffic.SPACING_SECONDS", 0.01)
    monkeypatch.setattr(reach, "REACHABLE_WITHIN_SECONDS", 0.5)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FakeStack]:
    """A stack that loses nothing, and the kubeconfig of its cluster in KUBECONFIG."""
    stack = FakeStack()
    monkeypatch.setenv("KUBECONFIG", stack.write_kubeconfig(tmp_path))
    yield stack
    stack.stop()


@pytest.fixture
def probe(stack: FakeStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `python -m tools probe` against the stack with more arguments."""

    def ended(*arguments: str) -> Ended:
        code = main(["--outputs", stack.write_outputs(tmp_path), *arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return ended
