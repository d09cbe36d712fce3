"""Reads what the hops wrote into their logs since the run began."""

import contextlib
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.plan.labels import COLLECTOR, DECIDER, NGINX, TEMPO
from tools.cluster import ClusterError
from tools.probe.exporter_errors import told_by
from tools.probe.names import (
    DROPPED_LINES,
    DROPPED_TEXT,
    FAILURE_LINES,
    FAILURE_TEXT,
    FULL_TEXT,
    LOGGED,
)
from tools.probe.pods import Pod, StackPods
from tools.probe.readings import reasons, unread
from tools.probe.result import Hop, HopCounters

_TRACE_ID = re.compile(r"\b[0-9a-f]{32}\b")
# As the access log's format writes it. A request without a span has a trace ID, too, which its upstream gets.
_LOGGED_TRACE_ID = re.compile(r'"trace_id":"[0-9a-f]{32}"')
_TRACED = '"traced":true,'

_COLLECTOR_LOG_SECONDS = 60
"""The Collector retries up to 15 s after the retry before (`max_interval`; by chance half of that more), and writes ten
lines of the same words in ten seconds, whichever exporter they are about. Our choice: a time with several retries."""


@dataclass(frozen=True)
class NginxLog:
    """NGINX's log."""

    nginx: HopCounters
    logged: set[str] | None
    """The probe's trace IDs in the access log; None where it could not be read."""
    is_off: bool
    """Whether no line has a trace ID, of anybody's request."""


@dataclass(frozen=True)
class TempoLog:
    """Tempo's log."""

    lines: list[str] | None
    """The lines about a full disk; None where no pod could be read."""

    gaps: list[str]


class Logs:
    """Reads the pods' logs from a moment on."""

    def __init__(self, pods: StackPods, started_at: float, nginx_pods: set[str], demo: Sequence[str] = ()) -> None:
        """Prepares it.

        Args:
            pods: the stack's.
            started_at: the moment, of `time.monotonic`.
            nginx_pods: the names of NGINX's pods at that moment.
            demo: the demo's components, whose NGINX writes the same lines.
        """
        self._demo = demo
        self._pods = pods
        self._started_at = started_at
        self._nginx_pods = nginx_pods

    def nginx(self, trace_ids: set[str] | None) -> NginxLog:
        """Counts the requests in NGINX's access log, and its lines about drops and failed exports.

        Args:
            trace_ids: the requests to count; with None, every line of a traced request is counted.
        """
        logged: set[str] = set()
        with_id = traced = 0
        told: dict[str, list[str]] = {DROPPED_TEXT: [], FAILURE_TEXT: []}

        def read(pod: Pod) -> None:
            nonlocal with_id, traced
            for line in self._lines(pod):
                with_id += _LOGGED_TRACE_ID.search(line) is not None
                traced += _TRACED in line
                if trace_ids is not None:
                    logged.update(trace_ids.intersection(_TRACE_ID.findall(line)))
                for text, lines in told.items():
                    if text in line:
                        lines.append(f"{pod.name}: {line.strip()}")

        try:
            found, unreadable = self._pods.read_each(NGINX, read)
        except ClusterError as error:
            return unread_nginx(str(error))
        if not found:
            return unread_nginx(reasons(unreadable))
        for component in self._demo:
            with contextlib.suppress(ClusterError):
                unreadable |= self._pods.read_each(component, read)[1]
        ended = sorted(self._nginx_pods - found.keys() - unreadable.keys())
        counters = {
            LOGGED: float(traced if trace_ids is None else len(logged)),
            DROPPED_LINES: float(len(told[DROPPED_TEXT])),
            FAILURE_LINES: float(len(told[FAILURE_TEXT])),
        }
        nginx = HopCounters(
            hop=Hop.NGINX,
            counters=counters,
            notes=[lines[-1] for lines in told.values() if lines],
            gaps=[*(f"{pod} ended during the run; its log is gone with it" for pod in ended), *unread(unreadable)],
            incomplete=bool(unreadable),
        )
        return NginxLog(nginx, logged, is_off=not with_id)

    def collector(self) -> dict[str, str]:
        """Returns why exporters fail, as far as the Collectors' logs can be read: the counters tell whether they do."""
        errors: dict[str, str] = {}

        def read(pod: Pod) -> None:
            lines = self._lines(pod, _COLLECTOR_LOG_SECONDS)
            errors.update(told for line in lines if (told := told_by(line)))

        for component in (COLLECTOR, DECIDER):
            with contextlib.suppress(ClusterError):
                self._pods.read_each(component, read)
        return errors

    def tempo(self) -> TempoLog:
        """Returns Tempo's lines about a full disk: no counter of Tempo has the spans that it takes and cannot write."""
        lines: list[str] = []

        def read(pod: Pod) -> None:
            lines.extend(f"{pod.name}: {line.strip()}" for line in self._lines(pod) if FULL_TEXT in line)

        try:
            found, unreadable = self._pods.read_each(TEMPO, read)
        except ClusterError as error:
            return TempoLog(None, [f"its log could not be read: {error}"])
        gaps = [f"the log of {pod} could not be read: {why}" for pod, why in unreadable.items()]
        return TempoLog(lines if found else None, gaps)

    def _lines(self, pod: Pod, at_least_seconds: int = 0) -> Iterator[str]:
        # Counted back from the cluster's own now, since its clock may differ from this machine's. In whole seconds, and
        # NGINX writes a line up to 100 ms late (`flush` of its access_log): at the border of two intervals of a watch,
        # both may count a line, or the later interval a line of the earlier one.
        since_start = math.ceil(time.monotonic() - self._started_at)
        return self._pods.log_lines(pod, max(since_start, at_least_seconds))


def unread_nginx(why: str) -> NginxLog:
    """Returns the result for a log that could not be read."""
    return NginxLog(HopCounters(hop=Hop.NGINX, counters={}, unreadable=why), None, is_off=False)
