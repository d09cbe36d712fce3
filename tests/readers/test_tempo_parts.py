"""Tests Tempo in parts on loopback: what is sent while a part ends is accepted, and found.

The parts share a folder, by Tempo's backend `local`, where a stack has a bucket.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

from settings.tempo_parts import COMPACTOR, METRICS_GENERATOR
from tests.readers.tempo_parts import INGESTERS, PARTS, One, RunningParts, monolith, running_parts, traffic
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

LAST = INGESTERS[-1]


@pytest.fixture(scope="module")
def tempo(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningParts]:
    """Runs the parts. Each test starts again what it ends."""
    flush = {"blocklistPoll": "1s", "completeBlockTimeout": "2s"}
    with running_parts(tmp_path_factory.mktemp("parts"), flush=flush) as running:
        yield running


def send(tempo: RunningParts | One, count: int = 1000) -> list[str]:
    """Sends traces, which are all accepted, and returns their IDs."""
    with traffic(tempo) as sent:
        wait_for("the exports", lambda: len(sent.sent) >= count, 60)
    assert not sent.failures
    return sent.sent


def found(tempo: RunningParts, traces: list[str]) -> None:
    """Fails the test unless each of the traces is found; the queriers hear of an ingester that left within seconds."""
    missing = traces

    def nothing_missing() -> bool:
        nonlocal missing
        missing = tempo.lacks(missing)
        return not missing

    wait_for(f"all of {len(traces)} traces", nothing_missing, 60)


def test_spans_are_accepted_and_found_while_a_killed_ingester_is_away(tempo: RunningParts) -> None:
    with traffic(tempo) as sent:
        wait_for("spans before", lambda: len(sent.sent) > 1000)
        tempo.parts[LAST].kill()
        so_far = len(sent.sent)
        wait_for("spans after", lambda: len(sent.sent) > so_far + 2000, 30)
    assert not sent.failures
    found(tempo, sent.sent)
    tempo.start(LAST)


def test_a_rollout_of_the_ingesters_refuses_and_loses_nothing(tempo: RunningParts) -> None:
    with traffic(tempo) as sent:
        for name in reversed(INGESTERS):
            tempo.parts[name].end()
            tempo.start(name)
    assert not sent.failures
    found(tempo, sent.sent)


def test_with_two_ingesters_away_spans_are_refused_with_a_code_that_the_collector_repeats(tempo: RunningParts) -> None:
    away = INGESTERS[1:]
    for name in away:
        tempo.parts[name].kill()
    with traffic(tempo) as sent:
        wait_for("refusals", lambda: len(sent.codes) >= 5, 60)
    assert set(sent.codes) == {"UNAVAILABLE"}
    tempo.start(*away)
    found(tempo, send(tempo, 200))


def test_an_ingester_that_is_scaled_down_first_writes_what_it_holds_to_the_bucket(tempo: RunningParts) -> None:
    traces = send(tempo)
    # With the volumes of all of them gone, the bucket alone has the traces.
    tempo.end_and_forget(*INGESTERS)
    tempo.start(*INGESTERS)
    found(tempo, traces)


def test_without_a_compactor_queriers_list_the_bucket_themselves(tempo: RunningParts) -> None:
    tempo.parts[COMPACTOR].kill()
    traces = send(tempo, 200)
    tempo.end_and_forget(*INGESTERS)
    tempo.start(*INGESTERS)
    found(tempo, traces)
    tempo.start(COMPACTOR)


def test_a_killed_monolithic_tempo_leaves_its_volume_to_the_first_ingester(programs: None, tmp_path: Path) -> None:
    traces: list[str] = []

    def before(tempo: RunningParts) -> None:
        with monolith(tempo) as one:
            traces.extend(send(one))
            wait_for("the write-ahead log", lambda: not one.counted("tempo_ingester_live_traces"))

    names = [part for part in PARTS if part != METRICS_GENERATOR]
    with running_parts(tmp_path, names=names, before=before, traceqlMetrics=False) as tempo:
        assert traces
        found(tempo, traces)
