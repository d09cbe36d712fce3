"""The counters of a span's way beside the requests that were sent: look-ups tell what is lost, these tell where.

NGINX has no counters. What it says of drops and failed exports is among what the pods said around a fault; on the
ladder its log is not read, which has a line for each request.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.paths import KUBECONFIG
from lab.waiting import wait_until
from tools.cluster import Access
from tools.measure.reliability.faults import pods
from tools.measure.reliability.figures import Number
from tools.measure.reliability.traffic import Sent
from tools.probe.counters import Counters
from tools.probe.names import (
    ACCEPTED,
    DISCARDED,
    ENQUEUE_FAILED,
    QUEUE_SIZE,
    RECEIVED,
    REFUSED,
    SEND_FAILED,
    SENT,
)
from tools.probe.result import HopCounters

SETTLED_SECONDS = 1.0
"""Longer than spans are gathered for on their way: 0.5 s in NGINX, 0.2 s in the Collector."""

QUIET_LIMIT_SECONDS = 180
"""gRPC, which the Collector exports with, waits for up to 144 s before it dials a Tempo again that was away."""

_NAMES = {
    ACCEPTED: "spans the Collectors accepted",
    REFUSED: "spans the Collectors refused",
    SENT: "spans the Collectors sent",
    SEND_FAILED: "spans the Collectors gave up",
    ENQUEUE_FAILED: "spans the Collectors had no room for",
    RECEIVED: "spans Tempo received",
    DISCARDED: "spans Tempo discarded",
}
_LOSSES = (REFUSED, SEND_FAILED, ENQUEUE_FAILED, DISCARDED)


@dataclass(frozen=True)
class Balance:
    """What the counters say of some traffic."""

    details: dict[str, Number]
    """For a figure; whether they balance, or why not, is under `balance`."""

    holds: bool
    """Whether the counters agree with what was sent and found. Also where they cannot be judged."""


class Counting:
    """Reads the counters when the `with` block begins; `balance`, called in it, compares what was counted since."""

    def __init__(self, namespace: str | None) -> None:
        """Prepares it.

        Args:
            namespace: that of a stack of this program; None for another's, whose counters nobody can read.
        """
        self._namespace = namespace
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Lets what was sent before arrive, and reads.

        Raises:
            LabError: the pods cannot be listed, or spans go on arriving.
        """
        if self._namespace is not None:
            # One event loop for all readings, as the client's connections belong to it.
            self._runner = self._ends.enter_context(asyncio.Runner())

            def is_quiet() -> bool:
                return self._is_quiet(Counters(self._namespace or "", Access(str(KUBECONFIG))))

            wait_until(is_quiet, f"Spans were under way for {QUIET_LIMIT_SECONDS} s.", seconds=QUIET_LIMIT_SECONDS)
            self._counters = Counters(self._namespace, Access(str(KUBECONFIG)))
            self._pods = _lives(self._namespace)
            self._runner.run(self._counters.start())
        return self

    def _is_quiet(self, counters: Counters) -> bool:
        """Whether no span arrives anywhere, and none waits. The first ones of a new stack may take seconds."""
        self._runner.run(counters.start())
        time.sleep(SETTLED_SECONDS)
        collector, tempo = self._runner.run(counters.finish_without_log())
        # Counters that cannot be read are said so by `balance`.
        return not any(
            (collector.counters | tempo.counters).get(name) for name in (ACCEPTED, SENT, RECEIVED, QUEUE_SIZE)
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self._ends.close()

    def balance(self, sent: Sent, lost: int) -> Balance:
        """Reads again, after every trace was found or given up; once only.

        Args:
            sent: what was sent in the block.
            lost: how many traces of answered requests were not found.

        Raises:
            LabError: the pods cannot be listed.
        """
        if self._namespace is None:
            return Balance({"balance": "not judged: the counters are not readable"}, holds=True)
        time.sleep(SETTLED_SECONDS)
        collector, tempo = self._runner.run(self._counters.finish_without_log())
        return judge(collector, tempo, sent, lost, same_pods=_lives(self._namespace) == self._pods)


def judge(collector: HopCounters, tempo: HopCounters, sent: Sent, lost: int, *, same_pods: bool) -> Balance:
    """Compares the counters with what was sent, a span a request, and nothing else sending.

    A request that failed for its client may have a span or none, and nobody looks for it. Tempo may receive more than
    was sent: the Collector repeats an export whose answer came too late.

    Args:
        collector: what the Collectors counted.
        tempo: what Tempo counted.
        sent: the requests.
        lost: how many traces of answered requests were not found.
        same_pods: whether no pod ended meanwhile; else there is nothing to compare.
    """
    counted = {name: int(value) for name, value in (collector.counters | tempo.counters).items() if name in _NAMES}
    details: dict[str, Number] = {"requests answered": len(sent.answered)}
    details |= {_NAMES[name]: value for name, value in counted.items()}
    if not same_pods:
        return Balance(details | {"balance": "not judged: pods ended, and what they counted is gone"}, holds=True)
    if unreadable := collector.unreadable or tempo.unreadable:
        return Balance(details | {"balance": f"does not hold: not readable: {unreadable}"}, holds=False)
    least, most = len(sent.answered) - lost, sent.count
    wrong = [
        f"{_NAMES[name]} are {counted[name]}, not from {least} to {most}"
        for name in (ACCEPTED, SENT)
        if not least <= counted[name] <= most
    ]
    if counted[RECEIVED] < least:
        wrong.append(f"{_NAMES[RECEIVED]} are {counted[RECEIVED]}, below {least}")
    dropped, explained = sum(counted[name] for name in _LOSSES), lost + len(sent.failed)
    if dropped > explained:
        wrong.append(f"{dropped} refused, given up or discarded, {explained} lost or failed")
    said = f"does not hold: {'; '.join(wrong)}" if wrong else "holds"
    return Balance(details | {"balance": said}, holds=not wrong)


def _lives(namespace: str) -> dict[str, int]:
    """The pods that count, by their IDs, and how often each one's container was started again."""
    return {
        pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
        for component in ("otel-collector", "tempo")
        for pod in pods(namespace, component)
    }
