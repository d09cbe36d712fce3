"""What each hop on the way of a span counted while the probe ran.

The hops count all traffic, not only the probe's: a number that is too low proves a loss, one that is high enough
proves nothing. Only NGINX's access log tells the probe's own requests apart. A watch, which has none of its own, counts
every line of it that carries a trace ID.
"""

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from probe.cluster import Cluster, ClusterError
from probe.result import HopCounters
from probe.tempo import LookUpError, Tempo

COLLECTOR_METRICS_PORT = 8888
ACCEPTED = "otelcol_receiver_accepted_spans"
REFUSED = "otelcol_receiver_refused_spans"
SENT = "otelcol_exporter_sent_spans"
SEND_FAILED = "otelcol_exporter_send_failed_spans"
ENQUEUE_FAILED = "otelcol_exporter_enqueue_failed_spans"
QUEUE_SIZE = "otelcol_exporter_queue_size"
RECEIVED = "tempo_distributor_spans_received_total"
DISCARDED = "tempo_discarded_spans_total"
TO_TEMPO = "otlp/tempo"
# A gauge: its value after the run counts, not the difference. In exports, not in spans, and with those under way.
GAUGES = {QUEUE_SIZE}
# In the order of a span's way.
COLLECTOR_METRICS = (ACCEPTED, REFUSED, SENT, SEND_FAILED, ENQUEUE_FAILED, QUEUE_SIZE)
TEMPO_METRICS = (RECEIVED, DISCARDED)

LOGGED = "requests_in_access_log"
DROPPED_LINES = "dropped_records_lines"
FAILURE_LINES = "export_failure_lines"
# The texts of ngx_otel_module in NGINX's error log.
DROPPED_TEXT = "OTel dropped records"
FAILURE_TEXT = "OTel export failure"

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_REASON = re.compile(r'(?:^|,)(reason="(?:[^"\\]|\\.)*")')
_EXPORTER = re.compile(r'(?:^|,)exporter="([^"]*)"')
_TRACE_ID = re.compile(r"\b[0-9a-f]{32}\b")
# As the access log's format has it: empty for a request without a trace.
_LOGGED_TRACE_ID = re.compile(r'"trace_id":"[0-9a-f]{32}"')

Samples = dict[str, float]


def parse_metrics(text: str, names: Collection[str]) -> Samples:
    """The named metrics of a page in the Prometheus text format, summed over all labels.

    Of the Collector's exporters only the one to the stack's own Tempo counts: others get the same spans once more.

    A label `reason` stays in the key, after the sum: it is what tells one way of losing spans from another.
    """
    samples: Samples = defaultdict(float)
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match["name"] not in names:
            continue
        exporter = _EXPORTER.search(match["labels"] or "")
        if exporter and exporter[1] != TO_TEMPO:
            continue
        value = float(match["value"])
        samples[match["name"]] += value
        if reason := _REASON.search(match["labels"] or ""):
            samples[f"{match['name']}{{{reason[1]}}}"] += value
    return dict(samples)


@dataclass
class Reading:
    """The counters of a hop at one time, pod by pod; or why they could not be read."""

    pods: dict[str, Samples] = field(default_factory=dict[str, Samples])
    unreadable: str | None = None


@dataclass
class Measured:
    """The hops' counters, and which of the probe's trace IDs NGINX logged (None where its log was unreadable)."""

    hops: list[HopCounters]
    logged: set[str] | None
    waiting_at_start: float
    """Exports in the Collectors' queues at the first reading, those under way among them."""


class Counters:
    """Reads the counters before the run (`start`) and after it (`finish`); what cannot be read is said, not raised."""

    def __init__(self, tempo: Tempo, namespace: str, context: str | None, kubeconfig: Path | None = None) -> None:
        self._tempo = tempo
        self._namespace = namespace
        self._context = context
        self._kubeconfig = kubeconfig
        self._cluster: Cluster | None = None
        self._no_cluster = "the cluster was not asked yet"
        self._collectors = Reading()
        self._tempos = Reading()
        self._started_at = 0.0

    async def start(self) -> None:
        """Reads the counters that the differences start from."""
        try:
            self._cluster = await asyncio.to_thread(Cluster, self._namespace, self._context, self._kubeconfig)
        except ClusterError as error:
            self._no_cluster = str(error)
        # Against the spans' way here and along it in `finish`: so a hop counts over a longer time than the one before
        # it, and other traffic that passes between two readings never looks like a loss.
        self._tempos = await self._read_tempo()
        self._collectors = await asyncio.to_thread(self._read_collectors)
        self._started_at = time.monotonic()

    async def finish(self, trace_ids: set[str] | None) -> Measured:
        """The differences since the start, hop by hop.

        Args:
            trace_ids: what is looked for in the access log; with None, every line with a trace ID is counted.
        """
        nginx, logged = await asyncio.to_thread(self._read_nginx, trace_ids)
        collector, tempo = await self.finish_without_log()
        waiting = sum(samples.get(QUEUE_SIZE, 0.0) for samples in self._collectors.pods.values())
        return Measured([nginx, collector, tempo], logged, waiting)

    async def finish_without_log(self) -> tuple[HopCounters, HopCounters]:
        """The differences of the Collectors and of Tempo since the start: NGINX's log may be long."""
        collectors = await asyncio.to_thread(self._read_collectors)
        tempos = await self._read_tempo()
        if self._cluster:
            self._cluster.close()
        return (
            difference("Collector", COLLECTOR_METRICS, self._collectors, collectors),
            difference("Tempo", TEMPO_METRICS, self._tempos, tempos),
        )

    def _open_cluster(self) -> Cluster:
        if self._cluster is None:
            raise ClusterError(self._no_cluster)
        return self._cluster

    def _read_collectors(self) -> Reading:
        try:
            cluster = self._open_cluster()
            return Reading(
                {
                    pod.name: parse_metrics(cluster.metrics(pod, COLLECTOR_METRICS_PORT), COLLECTOR_METRICS)
                    for pod in cluster.pods("otel-collector")
                }
            )
        except ClusterError as error:
            return Reading(unreadable=str(error))

    async def _read_tempo(self) -> Reading:
        try:
            return Reading({"tempo": parse_metrics(await self._tempo.metrics(), TEMPO_METRICS)})
        except LookUpError as error:
            return Reading(unreadable=f"Tempo's /metrics: {error}")

    def _read_nginx(self, trace_ids: set[str] | None) -> tuple[HopCounters, set[str] | None]:
        # Counted back from the cluster's own now, since its clock may differ from this machine's. In whole seconds, and
        # NGINX writes a line up to 100 ms late (`flush` of its access_log): of two intervals of a watch, both may count
        # a line at their border, or the later one a line of the earlier one.
        last_seconds = math.ceil(time.monotonic() - self._started_at)
        logged: set[str] = set()
        traced = 0
        told: dict[str, list[str]] = {DROPPED_TEXT: [], FAILURE_TEXT: []}
        try:
            cluster = self._open_cluster()
            for pod in cluster.pods("nginx"):
                for line in cluster.log_lines(pod, last_seconds):
                    if trace_ids is None:
                        traced += _LOGGED_TRACE_ID.search(line) is not None
                    else:
                        logged.update(trace_ids.intersection(_TRACE_ID.findall(line)))
                    for text, lines in told.items():
                        if text in line:
                            lines.append(f"{pod.name}: {line.strip()}")
        except ClusterError as error:
            return HopCounters(hop="NGINX", counters={}, unreadable=str(error)), None
        counters = {
            LOGGED: float(traced if trace_ids is None else len(logged)),
            DROPPED_LINES: float(len(told[DROPPED_TEXT])),
            FAILURE_LINES: float(len(told[FAILURE_TEXT])),
        }
        notes = [lines[-1] for lines in told.values() if lines]
        return HopCounters(hop="NGINX", counters=counters, notes=notes), logged


def difference(
    hop: Literal["Collector", "Tempo"], names: Collection[str], before: Reading, after: Reading
) -> HopCounters:
    """What a hop counted between two readings, over all pods; gauges as they are at the end."""
    if unreadable := before.unreadable or after.unreadable:
        return HopCounters(hop=hop, counters={}, unreadable=unreadable)
    # A counter that has not counted yet is not on the page.
    counters = dict.fromkeys(names, 0.0)
    notes = [
        f"{pod} ended during the run; what it counted is not included" for pod in before.pods if pod not in after.pods
    ]
    for pod, samples in after.pods.items():
        earlier = before.pods.get(pod, {})
        if any(value < earlier.get(key, 0) for key, value in samples.items() if key not in GAUGES):
            notes.append(f"{pod} restarted during the run; what it counted before is not included")
            earlier = {}
        for key, value in samples.items():
            change = value if key in GAUGES else value - earlier.get(key, 0)
            # Series of a single reason are shown only when they tell something.
            if change or key in names:
                counters[key] = counters.get(key, 0) + change
    return HopCounters(hop=hop, counters=counters, notes=notes)
