"""Tests Tempo in parts on loopback: what is sent while a part ends is accepted, and found.

The parts share a folder, by Tempo's backend `local`, where a stack has a bucket.
"""

import time
from collections.abc import Generator
from pathlib import Path

import pytest

from settings.tempo_parts import COMPACTOR, INGESTER
from tests.readers.tempo_parts import RunningParts, running_parts, traffic
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

LAST = f"{INGESTER}-2"


@pytest.fixture
def tempo(programs: None, tmp_path: Path) -> Generator[RunningParts]:
    with running_parts(tmp_path) as running:
        yield running


def found(tempo: RunningParts, traces: list[str]) -> None:
    """Fails the test unless each of the traces is found; the queriers hear of an ingester that left within seconds."""
    missing = traces

    def nothing_missing() -> bool:
        nonlocal missing
        missing = tempo.lacks(missing)
        return not missing

    wait_for(f"all of {len(traces)} traces", nothing_missing, 30)


def test_spans_are_accepted_and_found_while_a_killed_ingester_is_away(tempo: RunningParts) -> None:
    with traffic(tempo) as sent:
        wait_for("spans before", lambda: len(sent.sent) > 1000)
        tempo.parts[LAST].kill()
        so_far = len(sent.sent)
        wait_for("spans after", lambda: len(sent.sent) > so_far + 2000, 30)
    assert not sent.failures
    found(tempo, sent.sent)
