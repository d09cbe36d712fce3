"""What each hop on the way of a span counted while the probe ran.

The hops count all traffic, not only the probe's: a number that is too low proves a loss, one that is high enough
proves nothing. Only NGINX's access log tells the probe's own requests apart. A watch, which has none of its own, counts
every line of it that says that its request was traced.
"""

import asyncio
import contextlib
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from tools.probe.cluster import Cluster, ClusterError, Pod
from tools.probe.exporter_errors import told_by
from tools.probe.result import HopCounters

COLLECTOR_METRICS_PORT = 8888
# The gateway's in Tempo's pod: Tempo's own port is the pod's alone.
TEMPO_METRICS_PORT = 3101
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
FULL_LINES = "disk_full_lines"
# The texts of ngx_otel_module in NGINX's error log.
DROPPED_TEXT = "OTel dropped records"
FAILURE_TEXT = "OTel export failure"
# The operating system's, in Tempo's log.
FULL_TEXT = "no space left on device"
NO_TEMPO = "the stack has no Tempo of its own"

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_REASON = re.compile(r'(?:^|,)(reason="(?:[^"\\]|\\.)*")')
_EXPORTER = re.compile(r'(?:^|,)exporter="([^"]*)"')
_OF_EXPORTER = re.compile(r'\{exporter="([^"]*)"\}$')
_TRACE_ID = re.compile(r"\b[0-9a-f]{32}\b")
# As the access log's format has it. A request that makes no span has a trace ID, too, which its upstream gets.
_LOGGED_TRACE_ID = re.compile(r'"trace_id":"[0-9a-f]{32}"')
_TRACED = '"traced":true,'

Samples = dict[str, float]
_Read = TypeVar("_Read")


def parse_metrics(text: str, names: Collection[str]) -> Samples:
    """The named metrics of a page in the Prometheus text format, summed over all labels.

    Of the Collector's exporters the one to the stack's own Tempo is what a metric's plain name stands for: others get
    the same spans once more. What those count has their name in its key.

    A label `reason` stays in the key, after the sum: it is what tells one way of losing spans from another.
    """
    samples: Samples = defaultdict(float)
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match["name"] not in names:
            continue
        value = float(match["value"])
        exporter = _EXPORTER.search(match["labels"] or "")
        if exporter and exporter[1] != TO_TEMPO:
            samples[of_exporter(match["name"], exporter[1])] += value
            continue
        samples[match["name"]] += value
        if reason := _REASON.search(match["labels"] or ""):
            samples[f"{match['name']}{{{reason[1]}}}"] += value
    return dict(samples)


def of_exporter(name: str, exporter: str) -> str:
    """The key of what an exporter counts that is not the one to the stack's own Tempo."""
    return f'{name}{{exporter="{exporter}"}}'


def exporters(counters: Mapping[str, float]) -> list[str]:
    """The exporters that have keys of their own among the counters."""
    return sorted({match[1] for key in counters if (match := _OF_EXPORTER.search(key))})


@dataclass
class Reading:
    """The counters of a hop at one time, pod by pod; or why they could not be read."""

    pods: dict[str, Samples] = field(default_factory=dict[str, Samples])
    silent: dict[str, str] = field(default_factory=dict[str, str])
    """Pods that could not be read, and why."""

    unreadable: str | None = None


@dataclass
class Measured:
    """The hops' counters, and which of the probe's trace IDs NGINX logged (None where its log was unreadable)."""

    hops: list[HopCounters]
    """NGINX, the Collectors, and Tempo, which a stack without its own has as unreadable: `NO_TEMPO`."""

    logged: set[str] | None
    waiting_at_start: float
    """Exports for Tempo in the Collectors' queues at the first reading, those under way among them."""

    others_waiting_at_start: set[str] = field(default_factory=set[str])
    """The other exporters that had some."""

    exporter_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the Collectors' logs say last of each exporter that failed, explained."""

    tempo_forgot: bool = False
    """Tempo restarted meanwhile, and counts anew."""

    log_is_off: bool = False
    """No line of NGINX's log has a trace ID, anybody's."""


class Counters:
    """Reads the counters before the run (`start`) and after it (`finish`); what cannot be read is said, not raised."""

    def __init__(
        self, namespace: str, context: str | None, kubeconfig: Path | None = None, *, has_tempo: bool = True
    ) -> None:
        self._has_tempo = has_tempo
        self._namespace = namespace
        self._context = context
        self._kubeconfig = kubeconfig
        self._cluster: Cluster | None = None
        self._no_cluster = "the cluster was not asked yet"
        self._collectors = Reading()
        self._tempos = Reading()
        self._nginx_pods = set[str]()
        self._started_at = 0.0

    async def start(self) -> None:
        """Reads the counters that the differences start from."""
        try:
            self._cluster = await asyncio.to_thread(Cluster, self._namespace, self._context, self._kubeconfig)
        except ClusterError as error:
            self._no_cluster = str(error)
        # Against the spans' way here and along it in `finish`: so a hop counts over a longer time than the one before
        # it, and other traffic that passes between two readings never looks like a loss.
        self._tempos = await asyncio.to_thread(self._read_tempo)
        self._collectors = await asyncio.to_thread(self._read_collectors)
        with contextlib.suppress(ClusterError):
            # `finish` says why, if it cannot list them either.
            self._nginx_pods = {pod.name for pod in await asyncio.to_thread(self._open_cluster().pods, "nginx")}
        self._started_at = time.monotonic()

    async def finish(self, trace_ids: set[str] | None) -> Measured:
        """The differences since the start, hop by hop, with what the logs tell.

        Args:
            trace_ids: what is looked for in the access log; with None, every line of a traced request is counted.
        """
        log = await asyncio.to_thread(self._read_nginx, trace_ids)
        full = await asyncio.to_thread(self._read_tempo_log)
        errors = await asyncio.to_thread(self._read_collector_log)
        collector, tempo = await self.finish_without_log()
        at_start = self._collectors.pods.values()
        measured = Measured(
            [log.nginx, collector, tempo],
            log.logged,
            sum(samples.get(QUEUE_SIZE, 0.0) for samples in at_start),
            others_waiting_at_start={
                exporter
                for samples in at_start
                for exporter in exporters(samples)
                if samples.get(of_exporter(QUEUE_SIZE, exporter))
            },
            exporter_errors=errors,
            tempo_forgot=bool(tempo.gaps),
            log_is_off=log.is_off,
        )
        # Also of a Tempo whose metrics cannot be read: a full disk is what may have ended it.
        if full.lines is not None:
            tempo.counters |= {FULL_LINES: float(len(full.lines))}
            tempo.notes += full.lines[-1:]
        tempo.gaps += full.gaps
        tempo.blind = tempo.blind or bool(full.gaps)
        return measured

    async def finish_without_log(self) -> tuple[HopCounters, HopCounters]:
        """The differences of the Collectors and of Tempo since the start: NGINX's log may be long."""
        collectors = await asyncio.to_thread(self._read_collectors)
        tempos = await asyncio.to_thread(self._read_tempo)
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

    def _log_lines(self, pod: Pod, at_least_seconds: int = 0) -> Iterator[str]:
        # Counted back from the cluster's own now, since its clock may differ from this machine's. In whole seconds, and
        # NGINX writes a line up to 100 ms late (`flush` of its access_log): of two intervals of a watch, both may count
        # a line at their border, or the later one a line of the earlier one.
        since_start = math.ceil(time.monotonic() - self._started_at)
        return self._open_cluster().log_lines(pod, max(since_start, at_least_seconds))

    def _read_pods(self, component: str, read: Callable[[Pod], _Read]) -> tuple[dict[str, _Read], dict[str, str]]:
        """What each pod of a component gives, and of those that cannot be read why: one hides no other.

        Raises:
            ClusterError: they cannot be listed, or there is none.
        """
        found: dict[str, _Read] = {}
        silent: dict[str, str] = {}
        for pod in self._open_cluster().pods(component):
            try:
                found[pod.name] = read(pod)
            except ClusterError as error:
                silent[pod.name] = str(error)
        return found, silent

    def _read_collectors(self) -> Reading:
        return self._read_metrics("otel-collector", COLLECTOR_METRICS_PORT, COLLECTOR_METRICS)

    def _read_tempo(self) -> Reading:
        if not self._has_tempo:
            return Reading(unreadable=NO_TEMPO)
        return self._read_metrics("tempo", TEMPO_METRICS_PORT, TEMPO_METRICS)

    def _read_metrics(self, component: str, port: int, names: Collection[str]) -> Reading:
        def read(pod: Pod) -> Samples:
            return parse_metrics(self._open_cluster().metrics(pod, port), names)

        try:
            pods, silent = self._read_pods(component, read)
        except ClusterError as error:
            return Reading(unreadable=str(error))
        return Reading(pods, silent, None if pods else _reasons(silent))

    def _read_nginx(self, trace_ids: set[str] | None) -> "_NginxLog":
        logged: set[str] = set()
        with_id = traced = 0
        told: dict[str, list[str]] = {DROPPED_TEXT: [], FAILURE_TEXT: []}

        def read(pod: Pod) -> None:
            nonlocal with_id, traced
            for line in self._log_lines(pod):
                with_id += _LOGGED_TRACE_ID.search(line) is not None
                traced += _TRACED in line
                if trace_ids is not None:
                    logged.update(trace_ids.intersection(_TRACE_ID.findall(line)))
                for text, lines in told.items():
                    if text in line:
                        lines.append(f"{pod.name}: {line.strip()}")

        try:
            found, silent = self._read_pods("nginx", read)
        except ClusterError as error:
            return _NginxLog(HopCounters(hop="NGINX", counters={}, unreadable=str(error)), None, is_off=False)
        if not found:
            return _NginxLog(HopCounters(hop="NGINX", counters={}, unreadable=_reasons(silent)), None, is_off=False)
        ended = sorted(self._nginx_pods - found.keys() - silent.keys())
        gaps = [f"{pod} ended during the run; its log is gone with it" for pod in ended]
        counters = {
            LOGGED: float(traced if trace_ids is None else len(logged)),
            DROPPED_LINES: float(len(told[DROPPED_TEXT])),
            FAILURE_LINES: float(len(told[FAILURE_TEXT])),
        }
        notes = [lines[-1] for lines in told.values() if lines]
        gaps += _unread(silent)
        nginx = HopCounters(hop="NGINX", counters=counters, notes=notes, gaps=gaps, blind=bool(silent))
        return _NginxLog(nginx, logged, is_off=not with_id)

    def _read_collector_log(self) -> dict[str, str]:
        """Why exporters fail, as far as it can be read: the counters tell whether they do."""
        if self._cluster is None:
            return {}
        errors: dict[str, str] = {}

        def read(pod: Pod) -> None:
            # A retry may be 15 s after the one before it (`max_interval`, and half of it more by chance), and of lines
            # with the same words the Collector writes ten each ten seconds, whichever exporter they are of.
            errors.update(told for line in self._log_lines(pod, 60) if (told := told_by(line)))

        with contextlib.suppress(ClusterError):
            self._read_pods("otel-collector", read)
        return errors

    def _read_tempo_log(self) -> "_TempoLog":
        """What Tempo takes and cannot write it counts nowhere: its log alone tells."""
        # Without a cluster, the other hops say why it cannot be read.
        if not self._has_tempo or self._cluster is None:
            return _TempoLog(None, [])
        lines: list[str] = []

        def read(pod: Pod) -> None:
            lines.extend(f"{pod.name}: {line.strip()}" for line in self._log_lines(pod) if FULL_TEXT in line)

        try:
            found, silent = self._read_pods("tempo", read)
        except ClusterError as error:
            return _TempoLog(None, [f"its log could not be read: {error}"])
        return _TempoLog(
            lines if found else None, [f"the log of {pod} could not be read: {why}" for pod, why in silent.items()]
        )


@dataclass(frozen=True)
class _NginxLog:
    nginx: HopCounters
    logged: set[str] | None
    is_off: bool


@dataclass(frozen=True)
class _TempoLog:
    lines: list[str] | None
    """Those that tell of a full disk; None where nothing could be read."""

    gaps: list[str]


def difference(
    hop: Literal["Collector", "Tempo"], names: Collection[str], before: Reading, after: Reading
) -> HopCounters:
    """What a hop counted between two readings, over all pods; gauges as they are at the end."""
    if unreadable := before.unreadable or after.unreadable:
        return HopCounters(hop=hop, counters={}, unreadable=unreadable)
    # A counter that has not counted yet is not on the page.
    counters = dict.fromkeys(names, 0.0)
    silent = before.silent | after.silent
    gaps, waited = _unread(silent), False
    for pod, earlier in before.pods.items():
        if pod not in after.pods and pod not in silent:
            gaps.append(f"{pod} ended during the run; what it counted {_with_queue(earlier)}is not included")
            waited = waited or _waiting(earlier) > 0
    for pod, samples in after.pods.items():
        if pod in silent:
            continue
        earlier = before.pods.get(pod, {})
        # One that was there and is missing counts from 0 again, and has not counted yet.
        if any(samples.get(key, 0.0) < value for key, value in earlier.items() if not _is_gauge(key)):
            gaps.append(f"{pod} restarted during the run; what it counted before {_with_queue(earlier)}is not included")
            waited = waited or _waiting(earlier) > 0
            earlier = {}
        for key, value in samples.items():
            change = value if _is_gauge(key) else value - earlier.get(key, 0)
            # Series of a single reason, or of another exporter, are shown only when they tell something.
            if change or key in names:
                counters[key] = counters.get(key, 0) + change
    return HopCounters(hop=hop, counters=counters, gaps=gaps, blind=bool(silent) or waited)


def _reasons(silent: Mapping[str, str]) -> str:
    return "; ".join(f"{pod}: {why}" for pod, why in silent.items())


def _unread(silent: Mapping[str, str]) -> list[str]:
    return [f"{pod} could not be read, and is not included: {why}" for pod, why in silent.items()]


def _is_gauge(key: str) -> bool:
    return key.partition("{")[0] in GAUGES


def _waiting(samples: Samples) -> float:
    return sum(value for key, value in samples.items() if _is_gauge(key))


def _with_queue(samples: Samples) -> str:
    """What a pod held at the last look: with it go the exports of a queue in memory that it could not send any more."""
    waiting = _waiting(samples)
    return f"and what became of its queue of size {waiting:.0f} " if waiting else ""
