"""`python -m probe --watch`: what the hops count while somebody else's traffic passes."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import httpx
import pytest

from probe.counters import Counters, Measured
from tests.unit.probe.conftest import Ended
from tests.unit.probe.fake_stack import FakeStack

Probe = Callable[..., Ended]


@contextmanager
def passing(stack: FakeStack, requests: int) -> Generator[None]:
    """Requests of others, once the watch has begun."""

    def send() -> None:
        time.sleep(0.5)
        for number in range(requests):
            parent = f"00-{number + 1:032x}-b7ad6b7169203331-01"
            httpx.get(stack.nginx.url, headers={"traceparent": parent})

    thread = threading.Thread(target=send)
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
    assert counted["Collector"]["otelcol_receiver_accepted_spans"] == 4
    assert counted["Tempo"]["tempo_distributor_spans_received_total"] == 4
    assert interval["losses"] == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("refused", "Collector: it refused 1 span"),
        ("collector", "Collector → Tempo: the Collector gave up 1 span"),
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


def test_a_loss_between_two_intervals_is_seen(probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Counters.finish
    finished = 0

    async def lose_after(counters: Counters, trace_ids: set[str]) -> Measured:
        nonlocal finished
        measured = await finish(counters, trace_ids)
        finished += 1
        if finished == 1:
            # The last reading of the first interval is over.
            stack.lose = {0: "refused"}
            await asyncio.to_thread(httpx.get, stack.nginx.url, headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
        return measured

    monkeypatch.setattr(Counters, "finish", lose_after)
    ended = probe("--watch", "0.2", "--rounds", "2", "--json")
    first, second = (json.loads(line) for line in ended.output.splitlines())
    assert first["losses"] == []
    assert "refused 1 span" in json.dumps(second["losses"])
