"""Reads what each hop on the way of a span counted while the probe ran.

The hops count all traffic, not only the probe's: a number that is too low proves a loss, and one that is high enough
proves nothing. Only NGINX's access log tells the probe's own requests apart. A watch sends no requests, and counts the
log's lines of all traced requests.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from components.plan.labels import COLLECTOR, DECIDER, NGINX, TEMPO
from tools.cluster import Access, ClusterError
from tools.probe.logs import Logs, TempoLog, unread_nginx
from tools.probe.metrics import Samples, parse_metrics, total
from tools.probe.names import (
    COLLECTOR_METRICS,
    COLLECTOR_METRICS_PORT,
    DECIDER_METRICS,
    FULL_LINES,
    NO_TEMPO,
    QUEUE_SIZE,
    TEMPO_METRICS,
    TEMPO_METRICS_PORT,
)
from tools.probe.pods import Pod, StackPods
from tools.probe.readings import Reading, difference, reasons
from tools.probe.result import Hop, HopCounters


@dataclass
class Measured:
    """The hops' counters, and the probe's trace IDs that NGINX logged."""

    hops: list[HopCounters]
    """NGINX, the Collectors, and Tempo; a stack without its own Tempo has that one as unreadable: `NO_TEMPO`."""

    logged: set[str] | None
    """None where NGINX's log could not be read."""

    waiting_at_start: float
    """Exports for Tempo in the Collectors' queues at the first reading, those under way among them."""

    others_waiting_at_start: set[str] = field(default_factory=set[str])
    """The other exporters that had some."""

    exporter_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """The last error of each exporter in the Collectors' logs, explained."""

    tempo_forgot: bool = False
    """Whether Tempo restarted during the run, and counts from 0."""

    log_is_off: bool = False
    """Whether no line of NGINX's log has a trace ID, of anybody's request."""


class Counters:
    """Reads the counters before the run (`start`) and after it (`finish`). Unreadable ones are reported, not raised."""

    def __init__(self, namespace: str, access: Access, *, has_tempo: bool = True, demo: Sequence[str] = ()) -> None:
        """Prepares it.

        Args:
            namespace: the stack's.
            access: how the stack's cluster is reached.
            has_tempo: whether the stack has a Tempo of its own.
            demo: the demo's components, whose NGINX sends spans too.
        """
        self._has_tempo = has_tempo
        self._demo = demo
        self._namespace = namespace
        self._access = access
        self._pods: StackPods | None = None
        self._no_cluster = "the cluster was not asked yet"
        self._collectors = Reading()
        self._tempos = Reading()
        self._nginx_pods = set[str]()
        self._started_at = 0.0

    async def start(self) -> None:
        """Reads the counters that the differences start from."""
        try:
            self._pods = await asyncio.to_thread(StackPods, self._namespace, self._access)
        except ClusterError as error:
            self._no_cluster = str(error)
        # Read in reverse pipeline order at the start and in pipeline order in `finish`, so each hop is measured over a
        # longer window than the previous one and concurrent traffic never looks like a loss.
        self._tempos = await asyncio.to_thread(self._read_tempo)
        self._collectors = await asyncio.to_thread(self._read_collectors)
        with contextlib.suppress(ClusterError):
            # `finish` reports why, if it cannot list them either.
            self._nginx_pods = {pod.name for pod in await asyncio.to_thread(self._opened().of, NGINX)}
        self._started_at = time.monotonic()

    async def finish(self, trace_ids: set[str] | None) -> Measured:
        """Returns the differences since the start, hop by hop, with the hops' messages in their logs.

        Args:
            trace_ids: the requests to find in the access log; with None, every line of a traced request is counted.
        """
        logs = Logs(self._pods, self._started_at, self._nginx_pods, self._demo) if self._pods else None
        log = await asyncio.to_thread(logs.nginx, trace_ids) if logs else unread_nginx(self._no_cluster)
        # Without a cluster, the other hops report why Tempo's log cannot be read.
        full = await asyncio.to_thread(logs.tempo) if logs and self._has_tempo else TempoLog(None, [])
        errors = await asyncio.to_thread(logs.collector) if logs else {}
        collector, tempo = await self.finish_without_log()
        measured = Measured(
            [log.nginx, collector, tempo],
            log.logged,
            sum(total(samples, QUEUE_SIZE) for samples in self._collectors.pods.values()),
            others_waiting_at_start={
                exporter
                for samples in self._collectors.pods.values()
                for series, size in samples.items()
                if size and series.name == QUEUE_SIZE and (exporter := series.other_exporter)
            },
            exporter_errors=errors,
            tempo_forgot=bool(tempo.gaps),
            log_is_off=log.is_off,
        )
        # Also of a Tempo whose metrics cannot be read: a full disk may have ended it.
        if full.lines is not None:
            tempo.counters |= {FULL_LINES: float(len(full.lines))}
            tempo.notes += full.lines[-1:]
        tempo.gaps += full.gaps
        tempo.incomplete = tempo.incomplete or bool(full.gaps)
        return measured

    async def finish_without_log(self) -> tuple[HopCounters, HopCounters]:
        """Returns the differences of the Collectors and of Tempo since the start: NGINX's log may be long."""
        collectors = await asyncio.to_thread(self._read_collectors)
        tempos = await asyncio.to_thread(self._read_tempo)
        if self._pods:
            self._pods.close()
        return (
            difference(Hop.COLLECTOR, COLLECTOR_METRICS, self._collectors, collectors),
            difference(Hop.TEMPO, TEMPO_METRICS, self._tempos, tempos),
        )

    def _opened(self) -> StackPods:
        if self._pods is None:
            raise ClusterError(self._no_cluster)
        return self._pods

    def _read_collectors(self) -> Reading:
        """Returns the counters of the Collectors, both tiers' if there are two."""
        first = self._read_metrics(COLLECTOR, COLLECTOR_METRICS_PORT, COLLECTOR_METRICS)
        if first.unreadable or not self._opened().has(DECIDER):
            return first
        second = self._read_metrics(DECIDER, COLLECTOR_METRICS_PORT, DECIDER_METRICS)
        unreadable_pods = first.unreadable_pods | second.unreadable_pods
        return Reading(first.pods | second.pods, unreadable_pods, second.unreadable)

    def _read_tempo(self) -> Reading:
        if not self._has_tempo:
            return Reading(unreadable=NO_TEMPO)
        return self._read_metrics(TEMPO, TEMPO_METRICS_PORT, TEMPO_METRICS)

    def _read_metrics(self, component: str, port: int, names: Collection[str]) -> Reading:
        def read(pod: Pod) -> Samples:
            return parse_metrics(self._opened().metrics(pod, port), names)

        try:
            pods, unreadable = self._opened().read_each(component, read)
        except ClusterError as error:
            return Reading(unreadable=str(error))
        return Reading(pods, unreadable, None if pods else reasons(unreadable))
