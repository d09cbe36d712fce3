"""`python -m tools probe --watch`: the hops' counts while other traffic passes."""

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import httpx2
import pytest

from tests.unit.probe.conftest import Ended
from tests.unit.probe.fake_stack import FakeStack
from tests.unit.probe.test_exporter_errors import PLAIN_TEXT, line_of
from tools.probe import names
from tools.probe.counters import Counters, Measured
from tools.probe.diagnosis import losses
from tools.probe.result import Hop, HopCounters

Probe = Callable[..., Ended]


@contextmanager
def passing(stack: FakeStack, requests: int) -> Generator[None]:
    """Requests of others, once the watch has read all counters a first time."""
    begun, read = threading.Event(), Counters.start

    async def start(counters: Counters) -> None:
        await read(counters)
        begun.set()

    def send() -> None:
        begun.wait()
        for number in range(requests):
            parent = f"00-{number + 1:032x}-b7ad6b7169203331-01"
            httpx2.get(stack.nginx.url, headers={"traceparent": parent})

    thread = threading.Thread(target=send, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counters, "start", start)
        thread.start()
        yield
        thread.join()


def test_hops_that_balance_are_counted_and_nothing_else_is_said(probe: Probe, stack: FakeStack) -> None:
    with passing(stack, 4):
        ended = probe("--watch", "1.5", "--rounds", "1", "--json")
    assert ended.code == 0
    (line,) = ended.output.splitlines()
    interval = json.loads(line)
    counted = {hop["hop"]: hop["counters"] for hop in interval["hops"]}
    assert counted["nginx"]["requests_in_access_log"] == 4
    assert counted["collector"]["otelcol_receiver_accepted_spans"] == 4
    assert counted["tempo"]["tempo_distributor_spans_received_total"] == 4
    assert interval["losses"] == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("refused", "Collector: it refused 1 span"),
        ("collector", "Collector → Tempo: the Collector dropped 1 span"),
        ("elsewhere", "Collector → Tempo: the Collector sent 4 spans, this Tempo received 3"),
        ("discarded", "Tempo: it discarded 1 span"),
        ("dropped", "NGINX: its export buffer was full"),
        ("export", "NGINX → Collector: exports failed"),
    ],
)
def test_a_loss_is_named_with_its_hop(probe: Probe, stack: FakeStack, place: str, said: str) -> None:
    stack.lose = {2: place}
    with passing(stack, 4):
        ended = probe("--watch", "1.5", "--rounds", "1")
    assert ended.code == 1
    assert said in ended.output


def test_logged_requests_are_counted_if_they_were_traced_and_are_no_loss_without_spans(
    probe: Probe, stack: FakeStack
) -> None:
    # As a route that is not traced, a request that is not sampled, and a message of NGINX.
    stack.log = [
        '{"request":"GET /healthz HTTP/1.1","status":200,"traced":false,"trace_id":"","span_id":""}',
        f'{{"request":"GET / HTTP/1.1","status":200,"traced":false,"trace_id":"{"b" * 32}","span_id":"{"c" * 16}"}}',
        f"2026/01/01 00:00:00 [notice] 7#7: reload {'a' * 32}",
    ]
    stack.lose = {1: "unsent"}
    with passing(stack, 4):
        ended = probe("--watch", "1.5", "--rounds", "1")
    assert "NGINX: traced requests 4, drops 0" in ended.output
    assert "accepted 3" in ended.output
    assert ended.code == 0


def measured(*, waiting_at_start: float = 0, waiting: float = 0, sent: float = 0, received: float = 0) -> Measured:
    """An interval in which 100 spans were accepted."""
    collector = {names.ACCEPTED: 100.0, names.REFUSED: 0.0, names.SENT: sent, names.SEND_FAILED: 0.0}
    collector |= {names.ENQUEUE_FAILED: 0.0, names.LIMITED: 0.0, names.QUEUE_SIZE: waiting}
    hops = [
        HopCounters(hop=Hop.NGINX, counters={names.LOGGED: 1000, names.DROPPED_LINES: 0, names.FAILURE_LINES: 0}),
        HopCounters(hop=Hop.COLLECTOR, counters=collector),
        HopCounters(hop=Hop.TEMPO, counters={names.RECEIVED: received, names.DISCARDED: 0}),
    ]
    return Measured(hops, set(), waiting_at_start)


@pytest.mark.parametrize(
    "interval",
    [
        # The Collector counts an export when it is answered, Tempo when it comes: at either end one may be between.
        measured(waiting_at_start=1, sent=100, received=60),
        measured(waiting=1, sent=60, received=100),
        # The first export of a burst is under way.
        measured(waiting=1),
        # Tempo slows down and goes on.
        measured(waiting_at_start=3, waiting=9, sent=40, received=40),
        # A batch is being gathered, or sampling drops what was accepted.
        measured(sent=40, received=40),
        # Others send to Tempo, too.
        measured(sent=100, received=900),
    ],
)
def test_what_is_on_its_way_is_no_loss(interval: Measured) -> None:
    assert losses(interval) == []


def test_spans_that_wait_for_a_whole_interval_are_told() -> None:
    (finding,) = losses(measured(waiting_at_start=2, waiting=5))
    assert finding.hop == "collector_to_tempo"
    assert "still holds spans that it could not send to Tempo (otelcol_exporter_queue_size 5)" in finding.why


def test_a_watch_that_sees_nothing_is_no_proof(probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "no-such-file")
    stack.tempo.stop()
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 2
    assert ended.output.count("could not be read") == 3


def test_a_log_of_tempo_that_cannot_be_read_is_no_proof_and_hides_no_other(probe: Probe, stack: FakeStack) -> None:
    stack.more_pods = {"tempo-2": "broken"}
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 2
    assert "Tempo: the log of tempo-2 could not be read: " in ended.output
    stack.tempo_log = ["no space left on device"]
    # As after the panic that a full disk ends in.
    stack.tempo.stop()
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 1
    assert "Tempo: its disk is full" in ended.output


def test_an_exporter_that_gets_rid_of_nothing_is_told(probe: Probe, stack: FakeStack) -> None:
    stack.exporters = {f'{names.QUEUE_SIZE}{{exporter="otlp/vendor"}}': 3}
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 1
    assert (
        "Collector → exporter: the Collector still holds spans that it could not send with otlp/vendor" in ended.output
    )


def test_what_the_collector_s_log_says_of_an_exporter_is_told_at_the_first_look(
    probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {f'{names.QUEUE_SIZE}{{exporter="otlp/vendor"}}': 3}
    finish = Counters.finish

    async def wait_before(counters: Counters, trace_ids: set[str] | None) -> Measured:
        stack.exporters = waiting
        return await finish(counters, trace_ids)

    monkeypatch.setattr(Counters, "finish", wait_before)
    stack.collector_log = [line_of("otlp/vendor", PLAIN_TEXT)]
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 1
    assert (
        "could not send with otlp/vendor (otelcol_exporter_queue_size 3); it retries; "
        "“tls: first record does not look like a TLS handshake”: the receiver speaks plain text, and the Collector "
        "TLS: `pulumi config set --path collector.exporters.vendor.tls.enabled false`."
    ) in ended.output


def test_an_exporter_that_fails_beside_tempo_is_told_though_every_trace_is_found(
    probe: Probe, stack: FakeStack
) -> None:
    stack.exporters = {f'{names.QUEUE_SIZE}{{exporter="otlp/vendor"}}': 3}
    stack.collector_log = [line_of("otlp/vendor", PLAIN_TEXT)]
    ended = probe("--requests", "2")
    assert ended.code == 0
    assert "Collector → exporter: the Collector still holds spans" in ended.output
    assert "collector.exporters.vendor.tls.enabled false" in ended.output


@pytest.mark.parametrize(("place", "code"), [("refused", 1), ("", 2)])
def test_a_pod_that_cannot_be_read_hides_no_other(probe: Probe, stack: FakeStack, place: str, code: int) -> None:
    stack.more_pods = {"otel-collector-2": "broken"}
    stack.lose = {2: place}
    with passing(stack, 4):
        ended = probe("--watch", "1.5", "--rounds", "1")
    assert ended.code == code
    assert ("it refused 1 span" in ended.output) == (code == 1)
    assert "Collector: otel-collector-2 could not be read, and is not included: " in ended.output


def test_a_disk_of_tempo_that_is_full_is_told_by_its_log(probe: Probe, stack: FakeStack) -> None:
    stack.tempo_log = ['level=error msg="failed to cut traces" err="write: no space left on device"']
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 1
    assert "Tempo: its disk is full" in ended.output
    assert "tempo-1: level=error" in ended.output


def test_exporters_beside_the_stack_s_tempo_are_told_by_their_names(
    probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.has_tempo = False
    failed, sent = (f'{name}{{exporter="otlp/vendor"}}' for name in (names.SEND_FAILED, names.SENT))
    stack.exporters = {failed: 7, sent: 10, f'{names.QUEUE_SIZE}{{exporter="otlp/vendor"}}': 3}
    finish = Counters.finish

    async def give_up_before(counters: Counters, trace_ids: set[str] | None) -> Measured:
        stack.exporters |= {failed: 9, sent: 15}
        return await finish(counters, trace_ids)

    monkeypatch.setattr(Counters, "finish", give_up_before)
    ended = probe("--watch", "0.1", "--rounds", "1")
    assert ended.code == 1
    assert "otlp/vendor: sent 5, send failed 2, waiting 3" in ended.output
    assert "dropped 2 spans that it could not send with otlp/vendor" in ended.output
    assert "Tempo" not in ended.output


def test_a_tempo_that_forgot_what_it_received_is_no_loss() -> None:
    interval = measured(sent=100, received=60)
    assert len(losses(interval)) == 1
    interval.tempo_forgot = True
    assert losses(interval) == []


def test_an_export_that_is_under_way_when_the_watch_begins_is_no_loss(
    probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.collector = {names.SENT: 10, names.QUEUE_SIZE: 1}
    finish = Counters.finish

    async def answer_before(counters: Counters, trace_ids: set[str] | None) -> Measured:
        # Tempo had received it before its counters were read for the first time.
        stack.collector = {names.SENT: 13, names.QUEUE_SIZE: 0}
        return await finish(counters, trace_ids)

    monkeypatch.setattr(Counters, "finish", answer_before)
    ended = probe("--watch", "0.2", "--rounds", "1")
    assert "sent 3" in ended.output
    assert ended.code == 0


def test_a_loss_between_two_intervals_is_seen(probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Counters.finish
    finished = 0

    async def lose_after(counters: Counters, trace_ids: set[str] | None) -> Measured:
        nonlocal finished
        measured = await finish(counters, trace_ids)
        finished += 1
        if finished == 1:
            # The last reading of the first interval is over.
            stack.lose = {0: "refused"}
            await asyncio.to_thread(
                httpx2.get, stack.nginx.url, headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
            )
        return measured

    monkeypatch.setattr(Counters, "finish", lose_after)
    ended = probe("--watch", "0.2", "--rounds", "2", "--json")
    first, second = (json.loads(line) for line in ended.output.splitlines())
    assert first["losses"] == []
    assert "refused 1 span" in json.dumps(second["losses"])
