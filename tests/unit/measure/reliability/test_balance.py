"""The counters beside what was sent, read from a stack on loopback."""

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.probe.fake_stack import FakeStack
from tools.measure.reliability import balance, ladder
from tools.measure.reliability.balance import Balance, Counting
from tools.measure.reliability.figures import Figure
from tools.measure.reliability.traffic import Sent

Lives = dict[str, int]
"""The restarts of pods, by their names."""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FakeStack]:
    """A stack in a cluster that only the lab's kubeconfig leads to."""
    stack = FakeStack()
    monkeypatch.setenv("KUBECONFIG", "no-such-file")
    monkeypatch.setattr(balance, "KUBECONFIG", Path(stack.write_kubeconfig(tmp_path)))
    monkeypatch.setattr(balance, "SETTLED_SECONDS", 0.0)
    yield stack
    stack.stop()


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> Lives:
    """The pods as kubectl lists them."""
    lives = {"otel-collector": 0, "tempo": 0}

    def pods(namespace: str, component: str) -> list[dict[str, Any]]:
        statuses = [{"restartCount": lives[component]}]
        return [{"metadata": {"uid": component}, "status": {"containerStatuses": statuses}}]

    monkeypatch.setattr(balance, "pods", pods)
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


def counted(stack: FakeStack, *, lost: int = 0, meanwhile: Callable[[], object] = lambda: None) -> Balance:
    """Four requests, of which some traces were not found."""
    with Counting("tracing") as counting:
        sent = send(stack, 4)
        meanwhile()
        return counting.balance(sent, lost)


def test_every_hop_that_counts_each_span_once_balances(stack: FakeStack, lives: Lives) -> None:
    send(stack, 3)
    assert counted(stack) == Balance(
        {
            "requests answered": 4,
            "spans the Collectors accepted": 4,
            "spans the Collectors refused": 0,
            "spans the Collectors sent": 4,
            "spans the Collectors gave up": 0,
            "spans the Collectors had no room for": 0,
            "spans Tempo received": 4,
            "spans Tempo discarded": 0,
            "balance": "holds",
        },
        holds=True,
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("unsent", "spans the Collectors accepted are 3, not from 4 to 4; "),
        ("held", "spans the Collectors sent are 3, not from 4 to 4; "),
        ("refused", "1 refused, given up or discarded, 0 lost or failed"),
        ("collector", "1 refused, given up or discarded, 0 lost or failed"),
        ("elsewhere", "spans Tempo received are 3, below 4"),
        ("discarded", "1 refused, given up or discarded, 0 lost or failed"),
    ],
)
def test_what_no_lost_trace_explains_does_not_balance(stack: FakeStack, lives: Lives, place: str, said: str) -> None:
    stack.lose = {2: place}
    found = counted(stack)
    assert not found.holds
    assert str(found.details["balance"]).startswith("does not hold: ")
    assert said in str(found.details["balance"])
    stack.lose = {6: place}
    assert counted(stack, lost=1).details["balance"] == "holds"


def test_counting_begins_when_nothing_of_before_is_under_way(
    stack: FakeStack, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance, "SETTLED_SECONDS", 2.0)
    of_before = iter(range(3))

    def settle(seconds: float) -> None:
        # A span of before arrives in each of the first three waits for quiet.
        if seconds == balance.SETTLED_SECONDS and next(of_before, None) is not None:
            send(stack, 1)

    monkeypatch.setattr(time, "sleep", settle)
    found = counted(stack)
    assert next(of_before, None) is None
    assert found.holds
    assert found.details["spans the Collectors accepted"] == 4


def test_spans_of_nobody_s_requests_do_not_balance(stack: FakeStack, lives: Lives) -> None:
    assert not counted(stack, meanwhile=lambda: send(stack, 1)).holds


def test_a_request_that_failed_may_have_a_span_or_none(stack: FakeStack, lives: Lives) -> None:
    for answered in (3, 4):
        with Counting("tracing") as counting:
            sent = send(stack, answered)
            sent.answered, sent.failed = sent.answered[:3], {"f" * 32: "timeout"}
            assert counting.balance(sent, 0).holds


def test_counters_of_pods_that_ended_are_not_judged(stack: FakeStack, lives: Lives) -> None:
    stack.lose = {0: "unsent"}
    found = counted(stack, meanwhile=lambda: lives.update(tempo=1))
    assert found.holds
    assert found.details["balance"] == "not judged: pods ended, and what they counted is gone"
    assert found.details["spans the Collectors accepted"] == 3


def test_counters_that_cannot_be_read_prove_nothing(stack: FakeStack, lives: Lives) -> None:
    stack.api_status = 403
    found = counted(stack)
    assert not found.holds
    assert "not readable: the API server answers HTTP 403: pods is forbidden" in str(found.details["balance"])


def step(stack: FakeStack, monkeypatch: pytest.MonkeyPatch, outputs: dict[str, str], *, has_bar: bool = True) -> Figure:
    """A ladder of one step, which finds every trace."""

    def send_for(seconds: float, url: str, rate: float) -> Sent:
        return send(stack, 4)

    def missing(tempo_url: str, sent: Sent, *, show: Callable[[str], None]) -> list[str]:
        return []

    monkeypatch.setattr(ladder, "send_for", send_for)
    monkeypatch.setattr(ladder, "missing", missing)
    urls = {"nginxUrl": stack.nginx.url, "tempoUrl": stack.tempo.url}
    (figure,) = ladder.ladder("it", urls | outputs, rates=[100], seconds=1, has_bar=has_bar, show=lambda _: None)
    return figure


def test_a_step_of_the_ladder_is_met_only_with_counters_that_balance(
    stack: FakeStack, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = step(stack, monkeypatch, {"namespace": "tracing"})
    assert (met.met, met.details["balance"]) == (True, "holds")
    stack.lose = {5: "discarded"}
    missed = step(stack, monkeypatch, {"namespace": "tracing"})
    assert not missed.met
    assert missed.details["spans Tempo discarded"] == 1


def test_a_ladder_of_another_s_stack_has_no_counters(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = step(stack, monkeypatch, {}, has_bar=False)
    assert figure.met
    assert figure.details["balance"] == "not judged: the counters are not readable"
