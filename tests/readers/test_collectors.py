"""Tests the lab's Collectors on loopback: what a persistent queue keeps, and how each version names its counters."""

import re
from collections.abc import Generator
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from settings.sizes import SPAN_BYTES, STORED_SPAN
from settings.versions.collector import KNOWN, collector_release
from tests.otlp import Receiver
from tests.readers.collectors import Running, running, version_of
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS, NEXT_IMAGE
from tools.probe import names

pytestmark = pytest.mark.usefixtures("programs")

OLD, NEW = sorted(LAB_COLLECTORS)
NEXT = pytest.param(NEXT_IMAGE, marks=pytest.mark.deep)
PERSISTENT: dict[str, Any] = {"distribution": "k8s", "queue": {"storage": "persistent"}}
EXPORTS, SPANS = 40, 50


@pytest.fixture
def tempo() -> Generator[Receiver]:
    """Runs a receiver in Tempo's place."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


def address(receiver: Receiver) -> str:
    """Returns a receiver's address."""
    return f"127.0.0.1:{receiver.port}"


def fill(image: str, folder: Path, tempo: Receiver, end: Signals = SIGTERM) -> None:
    """Leaves exports in the queue of a Collector that ends while the receiver is away."""
    tempo.stop()
    with running(image, folder, backend=address(tempo), **PERSISTENT) as collector:
        for _ in range(EXPORTS):
            collector.send(SPANS)
        collector.end(end)
    tempo.start()


@pytest.mark.parametrize("end", [SIGKILL, SIGTERM])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(OLD, OLD, id="old"),
        pytest.param(OLD, NEW, id="upgrade"),
        pytest.param(NEW, NEW, id="new"),
        pytest.param(NEW, NEXT_IMAGE, id="next upgrade", marks=pytest.mark.deep),
        pytest.param(NEXT_IMAGE, NEXT_IMAGE, id="next", marks=pytest.mark.deep),
        pytest.param(NEXT_IMAGE, NEW, id="way back from next", marks=pytest.mark.deep),
    ],
)
def test_what_waits_on_the_volume_is_sent_by_the_next_collector(
    tmp_path: Path, tempo: Receiver, first: str, second: str, end: Signals
) -> None:
    fill(first, tmp_path, tempo, end)
    with running(second, tmp_path, backend=address(tempo), **PERSISTENT):
        found = tempo.many(EXPORTS * SPANS)
    assert len({span.span_id for span in found}) == EXPORTS * SPANS
    # 2000 of these short spans are a fraction of a batch. The ten exports that were under way come in a second one.
    assert (len(tempo.batches) == EXPORTS) if second == OLD else (len(tempo.batches) <= 3)


def test_an_older_collector_starts_with_an_empty_queue_and_overwrites_that_of_a_newer_one(
    tmp_path: Path, tempo: Receiver
) -> None:
    fill(NEW, tmp_path, tempo)
    with running(OLD, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        collector.send(7)
        tempo.many(7)
        collector.end(SIGTERM)
    assert len(tempo.spans) == 7
    with running(NEW, tmp_path, backend=address(tempo), **PERSISTENT):
        # The old Collector put its one export where the first of the forty was.
        tempo.many(7 + (EXPORTS - 1) * SPANS)


def test_a_newer_collector_that_returns_to_a_volume_does_not_send_what_an_older_one_put_there(
    tmp_path: Path, tempo: Receiver
) -> None:
    with running(NEW, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        # Two, so that its place in the queue is not that at which the old one starts.
        for spans in (1, 2):
            collector.send(1)
            tempo.many(spans)
        collector.end(SIGTERM)
    fill(OLD, tmp_path, tempo)
    with running(NEW, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        collector.send(7)
        tempo.many(2 + 7)
        collector.end(SIGTERM)
    assert len(tempo.spans) == 2 + 7


@pytest.mark.parametrize("newer", [NEW, NEXT], ids=version_of)
def test_a_span_that_a_killed_collector_was_gathering_is_on_the_volume(
    newer: str, tmp_path: Path, tempo: Receiver
) -> None:
    gathering: dict[str, Any] = PERSISTENT | {"batch": {"timeout": "10m"}}
    with running(newer, tmp_path, backend=address(tempo), **gathering) as collector:
        collector.send()
        collector.end(SIGKILL)
    assert not tempo.spans
    with running(newer, tmp_path, backend=address(tempo), **PERSISTENT):
        assert tempo.one().name == "span"


@pytest.mark.parametrize("newer", [NEW, NEXT], ids=version_of)
# So many that the pages which bbolt frees, and the next transaction takes, are few beside them.
@pytest.mark.parametrize(("spans", "exports"), [(12, 200), (100, 100)])
def test_a_queue_takes_no_more_of_the_volume_than_it_counts(
    newer: str, tmp_path: Path, tempo: Receiver, spans: int, exports: int
) -> None:
    tempo.stop()
    with running(newer, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        for _ in range(exports):
            collector.send(spans, text="x" * (SPAN_BYTES - 50))
        counted = collector.counted(names.QUEUE_SIZE)
        (file,) = (tmp_path / "volume").iterdir()
        taken = file.stat().st_blocks * 512
    assert counted > exports * spans * (SPAN_BYTES - 50)
    assert taken < counted * STORED_SPAN / SPAN_BYTES


@pytest.mark.parametrize("storage", ["memory", "persistent"])
def test_the_probe_knows_the_counters_of_each_version(
    image: str, tmp_path: Path, tempo: Receiver, storage: str
) -> None:
    queue: dict[str, Any] = {"distribution": "k8s", "queue": {"storage": storage}}
    with running(image, tmp_path, backend=address(tempo), **queue) as collector:
        collector.send(7)
        tempo.many(7)
        wait_for("the counter of sent spans", lambda: collector.counted(names.SENT) == 7)
        page = collector.counters()
        assert collector.counted(names.ACCEPTED) == 7
        limiter = f"{collector.settings.release.memory_limiter_counters}accepted_spans"
        assert collector.counted(limiter) == 7
    exporters = re.findall(rf'^{names.SENT}\{{.*exporter="([^"]+)"', page, re.MULTILINE)
    assert set(exporters) <= names.TO_TEMPO
    # An alert divides them, which Prometheus does for series whose labels are the same.
    gauges = [f"otelcol_exporter_queue_{of}" for of in ("size", "capacity")]
    size, capacity = (re.findall(rf"^{gauge}(\{{.*\}}) ", page, re.MULTILINE) for gauge in gauges)
    assert size == capacity != []
    # With a volume the exporter keeps its old name, of which newer Collectors warn.
    is_old_name = image != OLD and storage == "persistent"
    assert ("deprecated" in collector.log.read_text()) == is_old_name


def test_the_counters_have_no_labels_of_the_service_and_sizes_only_if_all_are_asked_for(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    pages = [page_of(image, tmp_path, tempo, level) for level in (None, "detailed")]
    labels = [re.findall(rf"^{names.SENT}\{{(.*)\}} ", page, re.MULTILINE) for page in pages]
    assert "service_" not in str(labels)
    sizes = ["\notelcol_exporter_enqueue_size" in page for page in pages]
    assert sizes == [False, collector_release(image, KNOWN[0]).counts_enqueued_sizes]


def page_of(image: str, folder: Path, tempo: Receiver, level: str | None) -> str:
    """Returns a Collector's page of counters, which has sent spans."""
    with running(image, folder, backend=address(tempo), level=level) as collector:
        collector.send(7)
        wait_for("the counter of sent spans", lambda: collector.counted(names.SENT) == 7)
        return collector.counters()


def test_an_exporter_that_is_not_told_to_batch_sends_each_message_by_itself(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    with running(image, tmp_path, exporters=to(tempo)) as collector:
        send_apart(collector, tempo)
    assert len(tempo.batches) == EXPORTS


@pytest.mark.deep
@pytest.mark.parametrize(("announced", "is_joined"), [("0.165.0", True), ("0.171.0", False)])
def test_where_exporters_batch_by_default_the_document_keeps_messages_apart(
    tmp_path: Path, tempo: Receiver, announced: str, *, is_joined: bool
) -> None:
    # 0.171 is to have this feature on. The first document, which does not know of it, shows that it works.
    gate = "pkg.exporterhelper.queueBatchEnabled"
    image = f"localhost:5000/lab/otelcol:{announced}"
    with running(image, tmp_path, run_by=NEXT_IMAGE, gate=gate, exporters=to(tempo)) as collector:
        send_apart(collector, tempo)
    assert (len(tempo.batches) < EXPORTS) == is_joined


def to(receiver: Receiver) -> dict[str, Any]:
    """Returns the key `exporters` with one that leads to a receiver."""
    return {"mine": {"endpoint": address(receiver), "tls": {"enabled": False}}}


def send_apart(collector: Running, receiver: Receiver) -> None:
    """Sends messages, and waits until a receiver has them all."""
    for _ in range(EXPORTS):
        collector.send(SPANS)
    receiver.many(EXPORTS * SPANS)
