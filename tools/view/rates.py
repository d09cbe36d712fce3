"""Computes rates, errors and durations by route: from TraceQL metrics, or from a search where Tempo has none."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from settings.sampling import WEIGHT
from tools.tempo import CLOCK_MARGIN_SECONDS, LookUpError, Tempo

POINTS = 30
"""Intervals of a route's chart: our choice."""

SAMPLED_TRACES, SPANS_OF_A_TRACE = 1000, 100
"""Limits of the search: our choice."""

# A request is counted by its SERVER span alone: a CLIENT span beside it is of the same request.
_SERVERS = "kind = server"
# With the weight, so that each span counts for the requests that it stands for. `sum_over_time` of the weight alone
# would leave out spans without it, and durations.
_SELECTED = f"resource.service.name, span.http.route, span.{WEIGHT}, status"
_BY_ROUTE = f"by (resource.service.name, span.http.route, span.{WEIGHT})"

_WEIGHTED = f"Where NGINX or the Collector samples by a ratio, a span counts for all requests it stands for ({WEIGHT})."
_STORED = f"No span has {WEIGHT}, so each stored span counts once: if sampling left requests out, rates are higher."

Route = tuple[str, str]
"""A service and its route; the route is empty where spans have none."""


@dataclass(frozen=True)
class Row:
    """The requests of one route."""

    service: str
    route: str
    rate: float
    """Requests a second."""
    errors: float
    """The share of requests whose span has the status ERROR."""
    p50: float | None
    """Seconds; as `p95`."""
    p95: float | None
    slow: float | None
    """Seconds: a search for spans that took longer finds the slowest requests. From metrics, `p95` may be longer than
    all of them."""
    points: list[float]
    """Requests in each interval."""
    weighted: bool
    """Whether a span says how many requests it stands for."""


@dataclass(frozen=True)
class Window:
    """The time that is counted, in whole intervals up to the one that runs now. Tempo would round it by itself."""

    start: int
    step: int
    seconds: float
    """From the start until now."""

    @classmethod
    def until(cls, now: float, seconds: int) -> "Window":
        """Returns the window that ends now, and is that long or up to one interval longer."""
        step = max(1, seconds // POINTS)
        start = int(now) // step * step - POINTS * step
        return cls(start, step, now - start)

    @property
    def end(self) -> int:
        """The end of the interval that runs now."""
        return self.start + (POINTS + 1) * self.step

    def point(self, at: float) -> int:
        """Returns the interval of a time; the first or the last one for a time outside."""
        return min(POINTS, max(0, int(at - self.start) // self.step))

    def parameters(self) -> dict[str, str | int]:
        """Returns the parameters of a query of metrics."""
        return {"start": self.start, "end": self.end, "step": f"{self.step}s"}


async def rates(tempo: Tempo, seconds: int) -> dict[str, Any]:
    """Returns the rows, those with the most requests first, and a note that says how they were counted.

    Raises:
        LookUpError: Tempo answers no search either.
    """
    window = Window.until(time.time(), seconds)
    note = "Tempo counted the requests (TraceQL metrics). Durations are estimated from buckets that double."
    try:
        rows, reason = await _from_metrics(tempo, window), "TraceQL metrics have no spans of this time"
    except LookUpError as error:
        rows, reason = [], f"Tempo answers no TraceQL metrics ({error})"
    if not rows:
        rows, complete = await _from_search(tempo, window)
        covers = "all traces" if complete else f"{SAMPLED_TRACES} traces and no more, so the true rates are higher"
        note = f"Counted from a search: {reason}. The search returned {covers}."
    if rows:
        note += f" {_WEIGHTED if any(row.weighted for row in rows) else _STORED}"
    rows.sort(key=lambda row: (-row.rate, row.service, row.route))
    return {"note": note, "seconds": seconds, "rows": [asdict(row) for row in rows]}


async def _from_metrics(tempo: Tempo, window: Window) -> list[Row]:
    points: dict[Route, list[float]] = defaultdict(lambda: [0.0] * (POINTS + 1))
    buckets: dict[Route, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    failed: dict[Route, float] = defaultdict(float)
    weighted = set[Route]()
    durations = await _queried(tempo, window, f"{{ {_SERVERS} }} | histogram_over_time(duration)")
    for labels, at, requests in durations:
        route = _route(labels)
        points[route][window.point(at)] += requests
        buckets[route][float(labels["__bucket"])] += requests
        if _weight(labels):
            weighted.add(route)
    failures = await _queried(tempo, window, f"{{ {_SERVERS} && status = error }} | count_over_time()")
    for labels, _, requests in failures:
        failed[_route(labels)] += requests
    return [
        Row(
            *route,
            rate=total / window.seconds,
            errors=failed[route] / total,
            p50=quantile(buckets[route], 0.5),
            p95=quantile(buckets[route], 0.95),
            slow=bucket(buckets[route], 0.95),
            points=counted,
            weighted=route in weighted,
        )
        for route, counted in points.items()
        if (total := sum(counted))
    ]


async def _queried(tempo: Tempo, window: Window, query: str) -> list[tuple[dict[str, str], float, float]]:
    """Returns the labels, the time and the requests of each sample of a query of metrics."""
    found: list[tuple[dict[str, str], float, float]] = []
    parameters = {"q": f"{query} {_BY_ROUTE}"} | window.parameters()
    for series in await tempo.listed("/api/metrics/query_range", "series", parameters):
        labels = _texts(series["labels"])
        weight = _weight(labels) or 1
        # Protobuf's JSON leaves out what is 0.
        found += [
            (labels, int(sample["timestampMs"]) / 1000, weight * sample.get("value", 0.0))
            for sample in series.get("samples", ())
        ]
    return found


async def _from_search(tempo: Tempo, window: Window) -> tuple[list[Row], bool]:
    """Returns the rows, and whether the search found all traces of the window."""
    parameters: dict[str, str | int] = {
        "q": f"{{ {_SERVERS} }} | select({_SELECTED}) with (most_recent=true)",
        "limit": SAMPLED_TRACES,
        "spss": SPANS_OF_A_TRACE,
        "start": window.start,
        "end": window.end + CLOCK_MARGIN_SECONDS,
    }
    traces = await tempo.listed("/api/search", "traces", parameters)
    spans: dict[Route, list[Any]] = defaultdict(list)
    for trace in traces:
        for span in trace["spanSet"]["spans"]:
            spans[_route(_texts(span["attributes"]))].append(span)
    return [_row(route, found, window) for route, found in spans.items()], len(traces) < SAMPLED_TRACES


def _row(route: Route, spans: list[Any], window: Window) -> Row:
    points = [0.0] * (POINTS + 1)
    durations: dict[float, float] = defaultdict(float)
    failed, weighted = 0.0, False
    for span in spans:
        labels = _texts(span["attributes"])
        weight = _weight(labels) or 1
        points[window.point(int(span["startTimeUnixNano"]) / 1e9)] += weight
        durations[int(span["durationNanos"]) / 1e9] += weight
        failed += weight if labels.get("status") == "error" else 0
        weighted = weighted or bool(_weight(labels))
    total = sum(points)
    p95 = _nearest(durations, 0.95)
    return Row(
        *route,
        rate=total / window.seconds,
        errors=failed / total,
        p50=_nearest(durations, 0.5),
        p95=p95,
        slow=p95,
        points=points,
        weighted=weighted,
    )


def _nearest(durations: Mapping[float, float], share: float) -> float:
    """Returns the least duration that a share of the requests does not exceed."""
    wanted = sum(durations.values()) * share
    for duration, requests in sorted(durations.items()):
        wanted -= requests
        if wanted <= 0:
            return duration
    return max(durations)


def _texts(labels: list[Any]) -> dict[str, str]:
    """Returns labels, or the attributes of a span; a value is an object with one key that names its type."""
    return {label["key"]: str(next(iter(label["value"].values()), "")) for label in labels}


def _route(labels: dict[str, str]) -> Route:
    return _label(labels, "resource.service.name"), _label(labels, "span.http.route")


def _label(labels: dict[str, str], name: str) -> str:
    """Returns a label; a search leaves the scope out of the attributes' names, and metrics may say `nil`."""
    found = labels.get(name) or labels.get(name.partition(".")[2]) or ""
    return "" if found == "nil" else found


def _weight(labels: dict[str, str]) -> float | None:
    """Returns the requests that a span stands for; None where it does not say so."""
    try:
        weight = float(_label(labels, f"span.{WEIGHT}"))
    except ValueError:
        return None
    return weight if 1 <= weight < math.inf else None


def bucket(buckets: Mapping[float, float], share: float) -> float | None:
    """Returns the beginning of the bucket that `quantile` is in, in seconds; None without requests."""
    found = quantile(buckets, share)
    return min((end for end in buckets if end >= found), default=0.0) / 2 if found is not None else None


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Returns the duration that a share of the requests does not exceed, in seconds; None without requests.

    Args:
        buckets: by their ends, in seconds: the requests. Each begins at half its end, and durations within it are
            taken to be spread evenly on a logarithmic scale, as Tempo's own `quantile_over_time` does.
        share: 0.95 for the 95th percentile.
    """
    wanted = sum(buckets.values()) * share
    for end, count in sorted(buckets.items()):
        if count and wanted <= count:
            return end * 2 ** (wanted / count - 1)
        wanted -= count
    return None
