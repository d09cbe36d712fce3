"""Tests two tiers of the lab's Collectors on loopback: whole decisions, a change of the deciders, and their ends."""

import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from signal import SIGKILL, SIGTERM
from threading import Event
from typing import Any

import pytest

from lab.paths import REPOSITORY
from settings.versions.collector import collector_release
from tests.readers.collectors import version_of
from tests.readers.spans import Sent, export, message, new_id
from tests.readers.tiers import Tiers, decider, two_tiers
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS, NEXT_IMAGE
from tools.probe import names

pytestmark = pytest.mark.usefixtures("programs")

ALERTS = (REPOSITORY / "monitoring" / "alerts.yaml").read_text()
PIPELINE = (REPOSITORY / "monitoring" / "dashboards" / "pipeline.json").read_text()
CURRENT, *OTHERS = [*LAB_COLLECTORS, NEXT_IMAGE]
SLOW = pytest.mark.parametrize(
    "image", [CURRENT, *(pytest.param(image, marks=pytest.mark.deep) for image in OTHERS)], ids=version_of
)
"""For tests that take half a minute: with the current Collector alone, unless deeper ones run."""

A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
SPANS = ("gateway", "shop", "stock", "database")
EVERYTHING: dict[str, Any] = {"decisionWait": "2s", "errors": False, "ratio": "1"}


def trace(*, error: bool = False) -> list[Sent]:
    """Makes the spans of a trace, whose last one may have an error."""
    made, start = new_id(), time.time_ns()
    return [Sent(name, name, made, start, 0.01, error=error and name == SPANS[-1]) for name in SPANS]


def send(tiers: Tiers, spans: Iterable[Sent]) -> None:
    """Sends spans one by one, to one Collector of the first tier after another."""
    for span, sender in zip(spans, cycle(tiers.senders)):
        sender.export(message([span]))


def lost(tiers: Tiers) -> float:
    """Returns the spans that the first tier refused or dropped, by its counters."""
    return counted(tiers, names.REFUSED, names.SEND_FAILED, names.ENQUEUE_FAILED)


def counted(tiers: Tiers, *counters: str) -> float:
    """Returns the sum of counters of the first tier."""
    # The probe's sum leaves out exporters that are not Tempo's.
    pages = [sender.counters() for sender in tiers.senders]
    lines = [line for page in pages for line in page.splitlines() if line.startswith(counters)]
    return sum(float(line.rpartition(" ")[2]) for line in lines if not is_counted_twice(line))


def is_counted_twice(line: str) -> bool:
    """Tells whether a counter is that of attempts at one decider, which an older Collector counts as well."""
    return "deciders_127.0.0" in line


def test_each_trace_with_an_error_is_found_whole_with_one_decider_and_no_other_trace(
    image: str, tmp_path: Path
) -> None:
    traces = [trace(error=number % 3 == 0) for number in range(60)]
    expected = {spans[0].trace_id for spans in traces if spans[-1].error}
    with two_tiers(image, tmp_path, 2, A, B, C, tail={"decisionWait": "5s"}) as tiers:
        for spans in traces:
            send(tiers, spans)
        wait_for("the traces", lambda: sum(len(tempo.spans) for tempo in tiers.tempos.values()) == 20 * len(SPANS), 30)
        found = tiers.decided()
        assert lost(tiers) == 0
    assert found.keys() == expected
    assert {len(parts) for parts in found.values()} == {1}
    assert {tuple(sorted(names)) for parts in found.values() for names in parts.values()} == {tuple(sorted(SPANS))}
    assert {address for parts in found.values() for address in parts} == {A, B, C}


@pytest.mark.deep
def test_a_late_span_shares_the_decision_until_more_traces_have_come(image: str, tmp_path: Path) -> None:
    def late(trace_id: str, name: str, *, error: bool = False) -> Sent:
        return Sent("shop", name, trace_id, time.time_ns(), 0.01, error=error)

    tail = {"decisionWait": "1s", "traces": 20}
    with two_tiers(image, tmp_path, 1, A, tail=tail) as tiers:
        (sender,), tempo = tiers.senders, tiers.tempos[A]
        kept, left_out = trace(error=True), trace()
        send(tiers, [*kept, *left_out])
        tempo.many(len(SPANS))
        sender.export(message([late(kept[0].trace_id, "late"), late(left_out[0].trace_id, "late", error=True)]))
        tempo.many(len(SPANS) + 1)
        # More than `traces` others: the decider has forgotten both.
        sender.export(message([late(new_id(), "other") for _ in range(25)]))
        sender.export(message([late(kept[0].trace_id, "later"), late(left_out[0].trace_id, "later", error=True)]))
        tempo.many(len(SPANS) + 2)
        found = [(span.trace_id == kept[0].trace_id, span.name) for span in tempo.spans]
    assert sorted(found) == sorted([*((True, name) for name in SPANS), (True, "late"), (False, "later")])


@pytest.mark.deep
def test_spans_wait_in_the_first_tier_until_there_is_a_decider(image: str, tmp_path: Path) -> None:
    with two_tiers(image, tmp_path, 2, tail=EVERYTHING) as tiers:
        traces = [trace() for _ in range(10)]
        for spans in traces:
            send(tiers, spans)
        with decider(tiers, A):
            tiers.publish(A)
            tiers.tempos[A].many(10 * len(SPANS), 30)
        assert lost(tiers) == 0
        assert tiers.decided().keys() == {spans[0].trace_id for spans in traces}


@pytest.mark.deep
def test_a_message_of_many_traces_with_a_large_resource_passes_both_tiers(image: str, tmp_path: Path) -> None:
    # The older Collector repeats the resource for each trace: 31 MiB for the only decider.
    large = {"process.command_line": "x" * 16_000}
    spans = [Sent("shop", "span", new_id(), time.time_ns(), 0.01, resource=large) for _ in range(2000)]
    # The receiver in Tempo's place takes 4 MiB at most.
    with two_tiers(image, tmp_path, 1, A, batch=100, tail=EVERYTHING) as tiers:
        tiers.senders[0].export(message(spans))
        tiers.tempos[A].many(2000, 60)
        assert lost(tiers) == 0


@dataclass
class Traffic:
    """Traces whose spans come over a second, some at each Collector of the first tier."""

    tiers: Tiers
    sent: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """When a trace's first and last span were accepted, by its ID."""

    ended: Event = field(default_factory=Event)

    def run(self, rate: int = 15) -> None:
        """Sends traces at a constant rate, until `ended` is set."""
        with ThreadPoolExecutor(2 * rate) as pool:
            while not self.ended.wait(1 / rate):
                pool.submit(self._send, trace())

    def _send(self, spans: list[Sent]) -> None:
        first = time.monotonic()
        for span, sender in zip(spans, cycle(self.tiers.senders)):
            export(sender.grpc_port, message([span]))
            time.sleep(1 / len(SPANS))
        self.sent[spans[0].trace_id] = first, time.monotonic()


@pytest.mark.deep
@SLOW
def test_a_change_of_deciders_under_traffic_splits_traces_of_that_time_alone_and_loses_none(
    image: str, tmp_path: Path
) -> None:
    changes: list[tuple[float, float]] = []

    def change(tiers: Tiers, *addresses: str) -> None:
        started = time.monotonic()
        tiers.publish(*addresses)
        changes.append((started, time.monotonic()))

    with two_tiers(image, tmp_path, 2, A, B, C, tail=EVERYTHING) as tiers, ThreadPoolExecutor(1) as background:
        traffic = Traffic(tiers)
        running = background.submit(traffic.run)
        time.sleep(3)
        change(tiers, A, B)
        # Its pod goes on for the decision's wait, and is then told to end.
        time.sleep(3)
        tiers.deciders[C].end(SIGTERM)
        tiers.tempos["before"] = tiers.tempos.pop(C)
        with decider(tiers, C):
            change(tiers, A, B, C)
            time.sleep(3)
            traffic.ended.set()
            running.result()
            total = len(traffic.sent) * len(SPANS)
            wait_for("all spans", lambda: sum(len(tempo.spans) for tempo in tiers.tempos.values()) >= total, 20)
        assert lost(tiers) == 0
        found = tiers.decided()
    split = {made for made, parts in found.items() if len(parts) > 1}
    during = {
        made
        for made, (first, last) in traffic.sent.items()
        if any(first <= end and start <= last for start, end in changes)
    }
    print(f"\n{image}: split {len(split)} of {len(during)} during changes, of {len(traffic.sent)} traces; {changes}")
    assert {made: sum(map(len, parts.values())) for made, parts in found.items()} == dict.fromkeys(traffic.sent, 4)
    assert len(split) > 0
    assert split <= during


@pytest.mark.deep
@SLOW
def test_the_counters_of_alerts_and_dashboards_are_those_of_each_version(image: str, tmp_path: Path) -> None:
    shown = set(re.findall(r"otelcol_(?:loadbalancer|processor_tail)\w+", ALERTS + PIPELINE))
    with two_tiers(image, tmp_path, 1, A, tail=EVERYTHING | {"traces": 10}) as tiers:
        tiers.senders[0].export(message(span for _ in range(30) for span in trace()))
        kept = tiers.tempos[A].many(len(SPANS))[-1]
        late = Sent("shop", "late", kept.trace_id, time.time_ns(), 0.01)
        tiers.senders[0].export(message([late]))

        def lacking() -> set[str]:
            return shown - set(
                re.findall(r"^otelcol_\w+", tiers.senders[0].counters() + tiers.deciders[A].counters(), re.M)
            )

        wait_for("all counters", lambda: not lacking(), 20)


@pytest.mark.deep
@SLOW
def test_a_killed_decider_costs_what_it_held_and_no_span_that_comes_later(image: str, tmp_path: Path) -> None:
    with two_tiers(image, tmp_path, 2, A, B, C, tail=EVERYTHING | {"decisionWait": "4s"}) as tiers:
        before = [trace() for _ in range(30)]
        for spans in before:
            send(tiers, spans)
        sender = tiers.senders[0]
        wait_for("the spans at the deciders", lambda: exported(tiers) == 30 * len(SPANS))
        tiers.deciders[C].end(SIGKILL)
        after = [trace() for _ in range(30)]
        for spans in after:
            send(tiers, spans)
        tiers.publish(A, B)
        expected = {spans[0].trace_id for spans in after}
        wait_for("all that came later", lambda: whole(tiers) >= expected, 60)
        assert lost(tiers) == 0, sender.log.read_text()[-3000:]
        missing = {spans[0].trace_id for spans in before} - whole(tiers)
        # About a third: those that it was to decide.
        assert 0 < len(missing) < 20


def whole(tiers: Tiers) -> set[str]:
    """Returns the traces of which every span was sent on."""
    found = tiers.decided()
    return {made for made, parts in found.items() if {name for part in parts.values() for name in part} == {*SPANS}}


def exported(tiers: Tiers) -> float:
    """Returns the spans that the first tier says deciders have taken."""
    return counted(tiers, names.SENT)


@pytest.mark.deep
def test_a_decider_that_is_told_to_end_decides_about_the_traces_that_wait(image: str, tmp_path: Path) -> None:
    with two_tiers(image, tmp_path, 1, A, tail=EVERYTHING | {"decisionWait": "60s"}) as tiers:
        for _ in range(10):
            send(tiers, trace())
        wait_for("the spans at the decider", lambda: exported(tiers) == 10 * len(SPANS))
        tiers.deciders[A].end(SIGTERM)
        found = len(tiers.tempos[A].spans)
    # An older one drops them: its pod goes on for the decision's wait before it is told.
    assert found == (10 * len(SPANS) if collector_release(image, (0, 126)).decides_at_its_end else 0)
