"""Holds the figures that sizes are computed from, each with its source: measured by this project, or published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from tools.errors import ToolError
from tools.measure.results import RESULTS, Entries, Entry, Number, read

STORED, PROXIED, RATES, PLAIN = "stored-spans", "official-module-cost", "proxied", "tracing"
"""The measurements that are read, by their names in docs/explanation/measurements.json."""


@dataclass(frozen=True)
class Source:
    """Says where figures are from."""

    is_measured: bool
    text: str

    @property
    def kind(self) -> str:
        """How a table calls it."""
        return "measured" if self.is_measured else "quoted"


TEMPO_MODES = Source(
    False,
    "Grafana, Tempo 3.0, Deployment modes: use monolithic mode when “your trace volume is under 25-35 MB/s or 55k-80k "
    "spans/s”; https://grafana.com/docs/tempo/v3.0.x/set-up-for-tracing/setup-tempo/plan/deployment-modes/",
)
TEMPO_SIZE = Source(
    False,
    "Grafana, Tempo 2, Size the cluster: distributor “1 replica per every 10MB/s of received traffic”, 2 cores, 2 GB; "
    "ingester per 3-5 MB/s, 2.5 cores, 4-20 GB; querier per 1-2 MB/s, 4-20 GB; query-frontend 2 replicas, 4-20 GB; "
    "compactor per 3-5 MB/s, 1 core, 4-20 GB; https://grafana.com/docs/tempo/latest/setup/size",
)
COLLECTOR_SIZE = Source(
    False,
    "Splunk, Sizing and scaling of the Collector: “with a single CPU core” “15,000 spans per second”, “a ratio of one "
    "CPU to 2 GB of memory”, “scale increases linearly with the number of Collectors”; "
    "https://help.splunk.com/splunk-observability-cloud/manage-data/splunk-distribution-of-the-opentelemetry-collector/"
    "get-started-with-the-splunk-distribution-of-the-opentelemetry-collector/collector-requirements/sizing-and-scaling",
)
NGINX_SIZE = Source(
    False,
    "NGINX, Testing the Performance of NGINX and NGINX Plus Web Servers: 145,551 requests/s of an empty file with one "
    "CPU, on bare metal and without tracing; "
    "https://www.nginx.com/blog/testing-the-performance-of-nginx-and-nginx-plus-web-servers/",
)

MONOLITHIC_MEGABYTES, MONOLITHIC_SPANS = 25.0, 55_000.0
"""A second: the lower ends of `TEMPO_MODES`, because a trace's share of text differs."""

COLLECTOR_SPANS = 15_000.0
"""Spans a second that a core takes, of `COLLECTOR_SIZE`."""

GIGABYTES_PER_CORE = 2.0
"""Memory of a Collector, of `COLLECTOR_SIZE`."""

TEMPO_IDLE = 87.0
"""MiB of a Tempo that has no spans yet, measured on the lab."""


@dataclass(frozen=True)
class Point:
    """Holds what spans of one size cost at one rate."""

    spans: float
    """A second."""

    span_bytes: float
    stored: float
    """Bytes of a span in Tempo's blocks, where it stands twice by default."""

    collector_cpu: float
    tempo_cpu: float
    """CPU seconds of a million spans, as Tempo gets them."""

    collector_mebibytes: float
    tempo_mebibytes: float
    """The highest memory."""

    @property
    def megabytes(self) -> float:
        """MB a second."""
        return self.spans * self.span_bytes / 1e6


@dataclass(frozen=True)
class Figures:
    """Holds what was measured."""

    points: Sequence[Point]
    workers: Sequence[tuple[float, float]]
    """Proxied requests a second of one of NGINX's workers, all traced, and the cores that it uses for them."""

    nginx_cpu: float
    """CPU seconds of NGINX with the official module of a million proxied requests, all traced, with full cores."""

    lab_cpu: float
    """The same with the lab's stand-in for the module, of answers that NGINX makes itself."""

    sources: dict[str, Source]

    @property
    def _ordinary(self) -> list[Point]:
        """The spans without additional text, by their rate."""
        least = min(point.span_bytes for point in self.points)
        # Tempo counts a few bytes more or less in each run.
        return sorted((p for p in self.points if p.span_bytes < 1.1 * least), key=lambda point: point.spans)

    @property
    def largest_rate(self) -> Point:
        """The spans with the most MB a second."""
        return max(self.points, key=lambda point: point.megabytes)

    def basis(self, spans: float, megabytes: float) -> str:
        """Returns how a table calls what is computed for so much a second: beyond what was measured it is a line."""
        most = max(point.spans for point in self.points), self.largest_rate.megabytes
        if spans <= most[0] and megabytes <= most[1]:
            return "measured"
        return f"measured up to {most[0]:.0f} spans/s and {most[1]:.1f} MB/s, a straight line beyond"

    def nginx_cores(self, requests: float, workers: int) -> float:
        """Returns the cores that NGINX's workers use for so many proxied requests a second, all traced.

        A worker with little to do wakes up for each step of a request, and a busy one finds several at once. So a
        request takes the less CPU time, the more come: from what was measured at low rates down to `nginx_cpu`.
        """
        return workers * _rising([(0.0, 0.0), *self.workers, (1e6 / self.nginx_cpu, 1.0)])(requests / workers)

    def stored(self, span_bytes: float) -> float:
        """Returns the bytes that a span of a size takes in Tempo's blocks."""
        return _rising([(point.span_bytes, point.stored) for point in self.points])(span_bytes)

    def collector_cores(self, spans: float, span_bytes: float) -> float:
        """Returns the cores that the Collectors use for so many spans a second, as Tempo gets them."""
        return self._cores(lambda point: point.collector_cpu, spans, span_bytes)

    def tempo_cores(self, spans: float, span_bytes: float) -> float:
        """Returns the cores that Tempo uses for so many spans a second."""
        return self._cores(lambda point: point.tempo_cpu, spans, span_bytes)

    def collector_bytes(self, megabytes: float) -> float:
        """Returns the memory that a Collector uses for so many MB a second."""
        return 2**20 * _rising([(point.megabytes, point.collector_mebibytes) for point in self.points])(megabytes)

    def tempo_bytes(self, spans: float, span_bytes: float) -> float:
        """Returns the memory that Tempo uses for so many spans a second."""
        return 2**20 * (TEMPO_IDLE + self._of_load(lambda point: point.tempo_mebibytes - TEMPO_IDLE, spans, span_bytes))

    def _cores(self, cpu: Callable[[Point], float], spans: float, span_bytes: float) -> float:
        return self._of_load(lambda point: point.spans * cpu(point) / 1e6, spans, span_bytes)

    def _of_load(self, cost: Callable[[Point], float], spans: float, span_bytes: float) -> float:
        """Returns what ordinary spans cost at that rate, times what larger spans cost beside these.

        Bytes a second alone do not tell it: a text that no other span has takes more than one that many have.
        """
        ordinary = _rising([(0.0, 0.0), *((point.spans, cost(point)) for point in self._ordinary)])
        factors = [(point.span_bytes, cost(point) / ordinary(point.spans)) for point in self.points]
        return ordinary(spans) * max(1.0, _rising(factors)(span_bytes))


def figures(file: Path = RESULTS) -> Figures:
    """Reads the figures from the results of the measurements.

    Raises:
        ToolError: a result is missing.
    """
    entries = read(file)
    points = [
        Point(
            *(
                float(result.details[name])
                for name in (
                    "spans/s",
                    "bytes a span",
                    "stored bytes a span",
                    "Collector: CPU seconds of a million spans",
                    "Tempo: CPU seconds of a million spans",
                    "Collector: MiB",
                    "Tempo: MiB",
                )
            )
        )
        for result in _entry(entries, STORED).results
        if result.is_measured
    ]
    if len(points) < 2:
        raise ToolError(
            f'docs/explanation/measurements.json: `make bench ARGS="--only {STORED}"` measures what it lacks'
        )
    return Figures(
        points,
        workers=[_worker(result.details) for result in _entry(entries, RATES).results if result.is_measured],
        nginx_cpu=_detail(_entry(entries, PROXIED), "proxied, all traced"),
        lab_cpu=_detail(_entry(entries, PLAIN), "100 % traced"),
        sources={name: _measured(name, _entry(entries, name)) for name in (STORED, PROXIED, RATES, PLAIN)},
    )


def _entry(entries: Entries, name: str) -> Entry:
    if name not in entries:
        repeat = "" if name == PROXIED else f': `make bench ARGS="--only {name}"`'
        raise ToolError(f"docs/explanation/measurements.json lacks `{name}`, which sizes are computed from{repeat}")
    return entries[name]


def _worker(details: Mapping[str, Number]) -> tuple[float, float]:
    """Returns the requests a second of one of some workers of NGINX, and its cores."""
    requests = float(details["requests/s"]) / float(details["workers"])
    return requests, requests * float(details["CPU, s"]) / 1e6


def _detail(entry: Entry, words: str) -> float:
    """Returns the CPU seconds of the result whose name ends with some words."""
    found = [result for result in entry.results if result.name.endswith(words) and "CPU, s" in result.details]
    if not found:
        raise ToolError(f"docs/explanation/measurements.json has no CPU time that was measured by {entry.command}")
    return float(found[0].details["CPU, s"])


def _measured(name: str, entry: Entry) -> Source:
    module = f"NGINX's module: {entry.module}"
    return Source(True, f"`{name}`: {entry.command}; {entry.date}, version {entry.version}; {module}")


def _rising(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Returns the function through some points that never falls.

    Below the first point it is the first value, and beyond the last one it rises as from the first to the last: a
    larger load is never a smaller answer.
    """
    known = sorted(points)
    xs, ys = [x for x, _ in known], list(accumulate((y for _, y in known), max))

    def value(x: float) -> float:
        if x <= xs[0]:
            return ys[0]
        for (left, right), (low, high) in zip(pairwise(xs), pairwise(ys), strict=True):
            if x <= right:
                return low + (high - low) * (x - left) / (right - left) if right > left else high
        slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0]) if xs[-1] > xs[0] else 0.0
        return ys[-1] + slope * (x - xs[-1])

    return value
