"""The comments on previews of the real engine, each as a whole."""

from pathlib import Path

import pytest

from tests.unit.pull_request.trim import FIXTURES
from tools.__main__ import main

EXPECTED = Path(__file__).parent / "expected"
# The engine's JSON names no violations: its event log does.
REFUSED = "refused"
CASES = {file.stem: [f"dev={file}"] for file in FIXTURES.glob("*.json")} | {
    REFUSED: [f"dev={FIXTURES / REFUSED}.json", "--event-log", f"dev={FIXTURES / REFUSED}.events"],
    "several": [
        *(f"{name}={FIXTURES / file}.json" for name, file in (("dev", "same"), ("staging", "edit"), ("prod", "gone"))),
        "--commit",
        "0123456789abcdef0123456789abcdef01234567",
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_every_comment_is_the_expected_one(
    case: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    assert main(["comment", *CASES[case]]) == 0
    comment = capsys.readouterr().out
    file = EXPECTED / f"{case}.md"
    if request.config.getoption("--write-golden", default=False):
        file.write_text(comment)
    assert comment == file.read_text(), "`make golden` writes them again; `git diff` shows the changes"


def test_no_comment_is_expected_that_nothing_makes() -> None:
    assert {file.stem for file in EXPECTED.iterdir()} == set(CASES)
