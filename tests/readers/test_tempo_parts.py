"""Tests Tempo in parts on loopback, with an S3 server: what is sent while a part ends is accepted, and found."""

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.documents import Document
from components.documents.tempo import HTTP_PORT
from components.documents.tempo_parts import parts_document
from lab.paths import REPOSITORY
from settings.tempo_parts import COMPACTOR, DISTRIBUTOR, INGESTER, METRICS_GENERATOR, QUERIER, QUERY_FRONTEND
from tests.readers import tempo_parts
from tests.readers.storage import Bucket
from tests.readers.tempo_parts import (
    INGESTERS,
    PARTS,
    SOON,
    One,
    Part,
    RunningParts,
    Traffic,
    monolith,
    running_parts,
    traffic,
)
from tests.waiting import wait_for
from tools.measure.traces import missing
from tools.probe.metrics import parse_metrics, total

LAST = INGESTERS[-1]


# Eight Tempos on two cores take a minute. test_documents.py has Tempo verify the document of each part.
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def tempo(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningParts]:
    """Runs the parts. Each test starts again what it ends."""
    with running_parts(tmp_path_factory.mktemp("parts"), bucket, flush=SOON) as running:
        yield running


def send(tempo: RunningParts | One, count: int = 1000) -> Traffic:
    """Sends traces, which are all accepted."""
    with traffic(tempo) as sent:
        wait_for("the exports", lambda: sent.accepted >= count, 60)
    return sent


def found(tempo: RunningParts, sent: Traffic) -> None:
    """Fails the test unless each export was accepted, and each of its traces is found by search and by ID."""
    assert sent.sent.reasons() == {}
    tempo_parts.found(tempo, sent)


def test_spans_are_accepted_and_found_while_a_killed_ingester_is_away(tempo: RunningParts) -> None:
    with traffic(tempo) as sent:
        wait_for("spans before", lambda: sent.accepted > 1000)
        tempo.parts[LAST].kill()
        so_far = sent.accepted
        wait_for("spans after", lambda: sent.accepted > so_far + 2000, 30)
    found(tempo, sent)
    tempo.start(LAST)


def test_a_rollout_of_the_ingesters_refuses_and_loses_nothing(tempo: RunningParts) -> None:
    with traffic(tempo) as sent:
        for name in reversed(INGESTERS):
            tempo.parts[name].end()
            tempo.start(name)
    found(tempo, sent)


def test_with_two_ingesters_away_spans_are_refused_with_a_code_that_the_collector_repeats(tempo: RunningParts) -> None:
    away = INGESTERS[1:]
    for name in away:
        tempo.parts[name].kill()
    with traffic(tempo) as sent:
        wait_for("refusals", lambda: len(sent.codes) >= 5, 60)
    assert set(sent.codes) == {"UNAVAILABLE"}
    tempo.start(*away)
    found(tempo, send(tempo, 200))


def test_spans_that_a_killed_generator_did_not_get_are_counted_and_their_traces_found(tempo: RunningParts) -> None:
    lost = "tempo_distributor_metrics_generator_pushes_failures_total"

    def counted() -> float:
        page = httpx.get(f"{tempo.parts[DISTRIBUTOR].url}/metrics", trust_env=False).text
        return total(parse_metrics(page, {lost}), lost)

    before = counted()
    with traffic(tempo) as sent:
        wait_for("spans before", lambda: sent.accepted > 400)
        tempo.parts[METRICS_GENERATOR].kill()
        wait_for("a span that was not counted", lambda: counted() > before, 60)
    found(tempo, sent)
    tempo.start(METRICS_GENERATOR)


def test_an_ingester_that_ends_first_writes_what_it_holds_to_the_bucket(tempo: RunningParts) -> None:
    found(tempo, move_to_the_bucket(tempo))


def test_without_a_compactor_queriers_list_the_bucket_themselves(bucket: Bucket, tempo: RunningParts) -> None:
    move_to_the_bucket(tempo)
    wait_for("the compactor's list", lambda: list(bucket.folder.rglob("index.json.gz")), 60)
    tempo.parts[COMPACTOR].kill()
    found(tempo, move_to_the_bucket(tempo))
    tempo.start(COMPACTOR)


def move_to_the_bucket(tempo: RunningParts) -> Traffic:
    """Sends traces, and replaces the ingesters and their volumes: the bucket alone has the traces."""
    sent = send(tempo, 200)
    tempo.end_and_forget(*INGESTERS)
    tempo.start(*INGESTERS)
    return sent


def test_a_tempo_of_another_stack_that_gets_an_address_does_not_join(
    tempo: RunningParts, bucket: Bucket, tmp_path: Path
) -> None:
    def knows_the_first(other: RunningParts) -> None:
        for part in other.parts.values():
            part.document["memberlist"]["join_members"] += tempo.parts[LAST].document["memberlist"]["join_members"]

    names = (f"{INGESTER}-7", QUERIER, QUERY_FRONTEND)
    with running_parts(tmp_path, bucket, names=names, before=knows_the_first, traceqlMetrics=False) as other:
        assert ingesters_of(other.parts[QUERIER]) == 1
        assert ingesters_of(tempo.parts[DISTRIBUTOR]) == len(INGESTERS)


def ingesters_of(part: Part) -> int:
    """Returns how many ingesters a part knows."""
    counters = httpx.get(f"{part.url}/metrics", trust_env=False).text
    found = re.search(r'^tempo_ring_members\{name="ingester",state="ACTIVE"\} (\d+)$', counters, re.MULTILINE)
    assert found
    return int(found[1])


def test_an_ingester_that_does_not_come_back_is_forgotten_by_the_command_of_the_how_to(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REPOSITORY / "docs/how-to/run-tempo-in-parts.md").read_text()
    command = re.search(rf"curl --data (forget=)tempo-3 http://127.0.0.1:{HTTP_PORT}(/\S+)", page)
    assert command
    monkeypatch.setattr(tempo_parts, "parts_document", lose_ingesters_soon)
    gone = f"{INGESTER}-3"
    with running_parts(tmp_path, bucket, names=(*INGESTERS, gone, *QUERIES), traceqlMetrics=False) as tempo:
        tempo.parts[gone].kill()
        last, distributor = tempo.parts[LAST], tempo.parts[DISTRIBUTOR]
        last.end()
        last.start()
        wait_for("a word of the lost one", lambda: "past heartbeat timeout" in ready(last), 60)
        form = f"{command[1]}{gone}"
        httpx.post(f"{distributor.url}{command[2]}", content=form, headers=FORM, trust_env=False)
        wait_for("the started one", last.is_ready, 60)


QUERIES = (DISTRIBUTOR, QUERY_FRONTEND, QUERIER)
FORM = {"content-type": "application/x-www-form-urlencoded"}


def lose_ingesters_soon(*arguments: Any, **named: Any) -> Document:
    """Returns the document of the program with an ingester that counts as lost after 10 s instead of five minutes."""
    document = parts_document(*arguments, **named)
    document["ingester"]["lifecycler"]["ring"]["heartbeat_timeout"] = "10s"
    document["ingester"]["lifecycler"]["heartbeat_period"] = "2s"
    return document


def ready(part: Part) -> str:
    """Returns what a part says of its readiness; nothing if it does not answer."""
    try:
        return httpx.get(f"{part.url}/ready", trust_env=False).text
    except httpx.TransportError:
        return ""


def test_a_killed_monolithic_tempo_leaves_its_volume_to_the_first_ingester(s3_server: None, tmp_path: Path) -> None:
    bucket, made = Bucket(tmp_path / "s3"), list[Traffic]()

    def before(tempo: RunningParts) -> None:
        with monolith(tempo, bucket, traceqlMetrics=False) as one:
            made.append(send(one))
            # A search finds what is in the write-ahead log.
            assert missing(one.url, made[0].sent) == []
        assert not bucket.blocks()

    names = [part for part in PARTS if part != METRICS_GENERATOR]
    # The first ingester alone has them, and Tempo answers once two of three have. It finds all of them in the bucket.
    with (
        bucket.served(),
        running_parts(tmp_path, bucket, names=names, before=before, flush=SOON, traceqlMetrics=False) as tempo,
    ):
        wait_for("a block in the bucket", bucket.blocks, 60)
        found(tempo, *made)
