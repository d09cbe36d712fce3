"""Compares the counters of a stack on loopback with the requests that were sent."""

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.probe.fake_stack import FakeStack
from tools.measure import load_steps, span_accounting
from tools.measure.results import Result
from tools.measure.span_accounting import Agreement, SpanAccounting
from tools.measure.traffic import Sent

Lives = dict[str, int]
"""The restarts of pods, by their names."""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FakeStack]:
    """Runs a stack in a cluster that only the lab's kubeconfig names."""
    stack = FakeStack()
    monkeypatch.setenv("KUBECONFIG", "no-such-file")
    monkeypatch.setattr(span_accounting, "KUBECONFIG", Path(stack.write_kubeconfig(tmp_path)))
    monkeypatch.setattr(span_accounting, "SETTLED_SECONDS", 0.0)
    yield stack
    stack.stop()


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> Lives:
    """Fakes the pods that kubectl lists."""
    lives = {"otel-collector": 0, "tempo": 0}

    def pods(namespace: str, component: str) -> list[dict[str, Any]]:
        statuses = [{"restartCount": lives[component]}]
        return [{"metadata": {"uid": component}, "status": {"containerStatuses": statuses}}]

    monkeypatch.setattr(span_accounting, "pods", pods)
    return lives


def send(stack: FakeStack, count: int) -> Sent:
    sent = Sent(rate=100)
    for number in range(count):
        trace_id = f"{number + 1:032x}"
        httpx.get(stack.nginx.url, headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}, trust_env=False)
        sent.answered.append(trace_id)
        sent.started.append(number / 100)
        sent.latencies.append(0.001)
    return sent


def counted(stack: FakeStack, *, lost: int = 0, meanwhile: Callable[[], object] = lambda: None) -> Agreement:
    """Sends four requests, some of whose traces are not found."""
    with SpanAccounting("tracing") as accounting:
        sent = send(stack, 4)
        meanwhile()
        return accounting.compare(sent, lost)


def test_counters_agree_when_every_hop_counts_each_span_once(stack: FakeStack, lives: Lives) -> None:
    send(stack, 3)
    assert counted(stack) == Agreement(
        {
            "requests answered": 4,
            "spans the Collectors accepted": 4,
            "spans the Collectors refused": 0,
            "spans the Collectors made of upstreams": 0,
            "spans the Collectors sent": 4,
            "spans the Collectors failed to send": 0,
            "spans the Collectors failed to enqueue": 0,
            "spans Tempo received": 4,
            "spans Tempo discarded": 0,
            "span accounting": "holds",
        },
        holds=True,
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("unsent", "spans the Collectors accepted are 3, not from 4 to 4; "),
        ("held", "spans the Collectors sent are 3, not from 4 to 4; "),
        ("refused", "1 refused, send_failed, enqueue_failed or discarded; 0 lost or failed"),
        ("collector", "1 refused, send_failed, enqueue_failed or discarded; 0 lost or failed"),
        ("elsewhere", "spans Tempo received are 3, below 4"),
        ("discarded", "1 refused, send_failed, enqueue_failed or discarded; 0 lost or failed"),
    ],
)
def test_counters_disagree_about_a_loss_that_no_lost_trace_explains(
    stack: FakeStack, lives: Lives, place: str, said: str
) -> None:
    stack.lose = {2: place}
    found = counted(stack)
    assert not found.holds
    assert str(found.details["span accounting"]).startswith("does not hold: ")
    assert said in str(found.details["span accounting"])
    stack.lose = {6: place}
    assert counted(stack, lost=1).details["span accounting"] == "holds"


def test_a_request_that_an_upstream_got_has_two_spans(stack: FakeStack, lives: Lives) -> None:
    stack.has_upstream = True
    found = counted(stack)
    assert found.holds
    assert found.details["spans the Collectors made of upstreams"] == 4
    assert found.details["spans the Collectors sent"] == 8


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("half", "spans the Collectors sent are 7, not from 8 to 8; spans Tempo received are 7, below 8"),
        ("elsewhere", "spans Tempo received are 6, below 8"),
    ],
)
def test_counters_disagree_about_one_of_two_spans(stack: FakeStack, lives: Lives, place: str, said: str) -> None:
    stack.has_upstream = True
    stack.lose = {2: place}
    found = counted(stack)
    assert found.details["span accounting"] == f"does not hold: {said}"


def test_accounting_begins_once_no_earlier_span_is_under_way(
    stack: FakeStack, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_accounting, "SETTLED_SECONDS", 2.0)
    earlier = iter(range(3))

    def settle(seconds: float) -> None:
        # An earlier span arrives in each of the first three waits for quiet.
        if seconds == span_accounting.SETTLED_SECONDS and next(earlier, None) is not None:
            send(stack, 1)

    monkeypatch.setattr(time, "sleep", settle)
    found = counted(stack)
    assert next(earlier, None) is None
    assert found.holds
    assert found.details["spans the Collectors accepted"] == 4


def test_counters_disagree_about_spans_without_a_request(stack: FakeStack, lives: Lives) -> None:
    assert not counted(stack, meanwhile=lambda: send(stack, 1)).holds


def test_a_request_that_failed_may_have_a_span_or_none(stack: FakeStack, lives: Lives) -> None:
    for answered in (3, 4):
        with SpanAccounting("tracing") as accounting:
            sent = send(stack, answered)
            sent.answered, sent.failed = sent.answered[:3], {"f" * 32: "timeout"}
            assert accounting.compare(sent, 0).holds


def test_counters_of_pods_that_ended_are_not_judged(stack: FakeStack, lives: Lives) -> None:
    stack.lose = {0: "unsent"}
    found = counted(stack, meanwhile=lambda: lives.update(tempo=1))
    assert found.holds
    assert found.details["span accounting"] == "not judged: pods ended, and what they counted is gone"
    assert found.details["spans the Collectors accepted"] == 3


def test_counters_that_cannot_be_read_prove_nothing(stack: FakeStack, lives: Lives) -> None:
    stack.api_status = 403
    found = counted(stack)
    assert not found.holds
    assert "not readable: the API server answers HTTP 403: pods is forbidden" in str(found.details["span accounting"])


def step(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, outputs: dict[str, str], *, has_target: bool = True
) -> Result:
    """Measures one load step, which finds every trace."""

    def send_for(seconds: float, url: str, rate: float) -> Sent:
        return send(stack, 4)

    def missing(tempo_url: str, sent: Sent, *, show: Callable[[str], None]) -> list[str]:
        return []

    monkeypatch.setattr(load_steps, "send_for", send_for)
    monkeypatch.setattr(load_steps, "missing", missing)
    urls = {"nginxUrl": stack.nginx.url, "tempoUrl": stack.tempo.url}
    (result,) = load_steps.load_steps(
        "it", urls | outputs, rates=[100], seconds=1, has_target=has_target, show=lambda _: None
    )
    return result


def test_a_load_step_meets_its_target_only_if_the_counters_agree(
    stack: FakeStack, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = step(stack, monkeypatch, {"namespace": "tracing"})
    assert (met.met, met.details["span accounting"]) == (True, "holds")
    stack.lose = {5: "discarded"}
    missed = step(stack, monkeypatch, {"namespace": "tracing"})
    assert not missed.met
    assert missed.details["spans Tempo discarded"] == 1


def test_a_load_step_of_the_baseline_has_no_counters(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    result = step(stack, monkeypatch, {}, has_target=False)
    assert result.met
    assert result.details["span accounting"] == "not judged: the counters are not readable"
