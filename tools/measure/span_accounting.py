"""Compares the counters of each hop with the requests that were sent: look-ups tell what is lost, counters tell where.

NGINX has no counters. `log_errors` gathers its lines about drops and failed exports around a fault. The load steps do
not read its log, which has a line for each request.
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
from tools.measure.faults.inject import pods
from tools.measure.results import Number
from tools.measure.traffic import Sent
from tools.probe.counters import Counters
from tools.probe.names import (
    ACCEPTED,
    DISCARDED,
    ENQUEUE_FAILED,
    MADE,
    QUEUE_SIZE,
    RECEIVED,
    REFUSED,
    SEND_FAILED,
    SENT,
)
from tools.probe.result import HopCounters

SETTLED_SECONDS = 1.0
"""Longer than a hop gathers spans: 0.5 s in NGINX, 0.5 s in the Collector (`collector.batch.timeout`)."""

QUIET_LIMIT_SECONDS = 180
"""The Collector exports with gRPC, which waits up to 144 s before it dials a Tempo again that was away."""

_NAMES = {
    ACCEPTED: "spans the Collectors accepted",
    REFUSED: "spans the Collectors refused",
    MADE: "spans the Collectors made of upstreams",
    SENT: "spans the Collectors sent",
    SEND_FAILED: "spans the Collectors failed to send",
    ENQUEUE_FAILED: "spans the Collectors failed to enqueue",
    RECEIVED: "spans Tempo received",
    DISCARDED: "spans Tempo discarded",
}
_LOSSES = (REFUSED, SEND_FAILED, ENQUEUE_FAILED, DISCARDED)


@dataclass(frozen=True)
class Agreement:
    """Tells whether the counters agree with what was sent and found."""

    details: dict[str, Number]
    """The counters, for a result. `span accounting` tells whether they agree, or why not."""

    holds: bool
    """Also true where the counters cannot be judged."""


class SpanAccounting:
    """Reads the counters when its `with` block begins. Call `compare` within the block."""

    def __init__(self, namespace: str | None) -> None:
        """Prepares it.

        Args:
            namespace: of a stack of this program; None for the baseline, whose counters cannot be read.
        """
        self._namespace = namespace
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Waits until all earlier spans have arrived, and reads the counters.

        Raises:
            LabError: the pods cannot be listed, or spans keep arriving.
        """
        if self._namespace is not None:
            # All readings share one event loop, because the client's connections belong to it.
            self._runner = self._ends.enter_context(asyncio.Runner())

            def is_quiet() -> bool:
                return self._is_quiet(Counters(self._namespace or "", Access(str(KUBECONFIG))))

            wait_until(is_quiet, f"Spans kept arriving for {QUIET_LIMIT_SECONDS} s.", seconds=QUIET_LIMIT_SECONDS)
            self._counters = Counters(self._namespace, Access(str(KUBECONFIG)))
            self._pods = _lives(self._namespace)
            self._runner.run(self._counters.start())
        return self

    def _is_quiet(self, counters: Counters) -> bool:
        """Tells whether no span arrives at any hop and none waits. The first spans of a new stack may take seconds."""
        self._runner.run(counters.start())
        time.sleep(SETTLED_SECONDS)
        collector, tempo = self._runner.run(counters.finish_without_log())
        # `compare` reports counters that cannot be read.
        return not any(
            (collector.counters | tempo.counters).get(name) for name in (ACCEPTED, SENT, RECEIVED, QUEUE_SIZE)
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self._ends.close()

    def compare(self, sent: Sent, lost: int) -> Agreement:
        """Reads the counters again and compares them. Call it once, after the look-up of all traces has ended.

        Args:
            sent: the traffic of the block.
            lost: how many traces of answered requests were not found.

        Raises:
            LabError: the pods cannot be listed.
        """
        if self._namespace is None:
            return Agreement({"span accounting": "not judged: the counters are not readable"}, holds=True)
        time.sleep(SETTLED_SECONDS)
        collector, tempo = self._runner.run(self._counters.finish_without_log())
        return judge(collector, tempo, sent, lost, same_pods=_lives(self._namespace) == self._pods)


def judge(collector: HopCounters, tempo: HopCounters, sent: Sent, lost: int, *, same_pods: bool) -> Agreement:
    """Compares the counters with the requests, which all go to one route. No other client sends.

    NGINX sends one span for each request. If the route has an upstream, the Collector makes a second one of it.

    A request that failed for its client may have a span or none, and its trace is not looked up. Tempo may receive more
    spans than were sent: the Collector repeats an export whose answer came too late.

    Args:
        collector: what the Collectors counted.
        tempo: what Tempo counted.
        sent: the requests.
        lost: how many traces of answered requests were not found.
        same_pods: whether no pod ended meanwhile. Otherwise its counters are gone, and nothing can be compared.
    """
    counted = {name: int(value) for name, value in (collector.counters | tempo.counters).items() if name in _NAMES}
    details: dict[str, Number] = {"requests answered": len(sent.answered)}
    details |= {_NAMES[name]: value for name, value in counted.items()}
    if not same_pods:
        return Agreement(
            details | {"span accounting": "not judged: pods ended, and what they counted is gone"}, holds=True
        )
    if unreadable := collector.unreadable or tempo.unreadable:
        return Agreement(details | {"span accounting": f"does not hold: not readable: {unreadable}"}, holds=False)
    least, most = len(sent.answered) - lost, sent.count
    each = 2 if counted[MADE] else 1
    # Of a trace that was lost behind the fork, the Collector made two spans and sent none.
    bounds = {ACCEPTED: (least, most), MADE: (least, most) if counted[MADE] else (0, 0)}
    bounds[SENT] = (each * least, each * most)
    problems = [
        f"{_NAMES[name]} are {counted[name]}, not from {fewest} to {highest}"
        for name, (fewest, highest) in bounds.items()
        if not fewest <= counted[name] <= highest
    ]
    if counted[RECEIVED] < each * least:
        problems.append(f"{_NAMES[RECEIVED]} are {counted[RECEIVED]}, below {each * least}")
    dropped, explained = sum(counted[name] for name in _LOSSES), each * (lost + len(sent.failed))
    if dropped > explained:
        problems.append(f"{dropped} refused, send_failed, enqueue_failed or discarded; {explained} lost or failed")
    verdict = f"does not hold: {'; '.join(problems)}" if problems else "holds"
    return Agreement(details | {"span accounting": verdict}, holds=not problems)


def _lives(namespace: str) -> dict[str, int]:
    """Returns the number of container restarts of each pod that has counters, by the pod's UID."""
    return {
        pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
        for component in ("otel-collector", "tempo")
        for pod in pods(namespace, component)
    }
