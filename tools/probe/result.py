"""What a probe found: the models of the JSON document, and the figures made from single requests."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HopName = Literal[
    "probe → NGINX",
    "NGINX",
    "NGINX → Collector",
    "Collector",
    "Collector → Tempo",
    "Collector → exporter",
    "Tempo",
    "unknown",
]


class Document(BaseModel):
    """A part of the JSON document; keys are the names of the fields, durations end in `_seconds`."""

    model_config = ConfigDict(extra="forbid")


class RequestResult(Document):
    """One request and when its trace was found.

    Freshness counts from the end of NGINX's answer, which is when the span ends, to the end of the look-up that found
    the trace; it is null for a trace that was not found within the limit.
    """

    trace_id: str
    status: int | None = Field(description="HTTP status of the answer; null when there was no answer")
    error: str | None = Field(description="why there was no answer")
    duration_seconds: float
    fresh_by_id_seconds: float | None
    fresh_by_search_seconds: float | None


class Freshness(Document):
    """Time from the end of a request to its trace being found, over the traces that were found.

    `resolution_seconds` is the longest time between the look-up that found a trace and the one before it: a real
    value may be lower than the measured one by that much, never higher.
    """

    p50_seconds: float | None
    p95_seconds: float | None
    resolution_seconds: float | None


class Span(Document):
    """One span of the trace that is drawn. Attributes are given as text, whatever their type."""

    service: str
    name: str
    span_id: str
    parent_span_id: str
    kind: str
    status: str
    status_message: str
    start_unix_nano: int
    duration_seconds: float
    attributes: dict[str, str]
    resource: dict[str, str]


class HopCounters(Document):
    """What one hop counted during the run, other traffic included; or why that could not be read."""

    hop: Literal["NGINX", "Collector", "Tempo"]
    counters: dict[str, float]
    notes: list[str] = Field(
        default_factory=list, description="what its log tells of losses: the last line of each kind"
    )
    gaps: list[str] = Field(default_factory=list, description="what the counters do not include, and why")
    blind: bool = Field(default=False, description="whether a loss may be hidden in the gaps")
    unreadable: str | None = None


class Finding(Document):
    """A hop that lost spans, and the evidence."""

    hop: HopName
    why: str


class Verdict(Document):
    """Where the missing traces were lost: the first finding on the way of a span, then all of them."""

    hop: HopName
    findings: list[Finding]


class ProbeResult(Document):
    """The JSON document of `python -m tools probe --json`."""

    run: str = Field(description="marks this run: the requests' User-Agent ends with it")
    nginx_url: str
    tempo_url: str
    namespace: str
    search_query: str = Field(description="TraceQL that finds all traces of this run")
    limit_seconds: float
    sent: int
    answers: dict[str, int] = Field(description="requests by HTTP status")
    unanswered: int
    found_by_id: int
    found_by_search: int
    missing_by_id: list[str]
    missing_by_search: list[str]
    freshness_by_id: Freshness
    freshness_by_search: Freshness
    look_up_errors: int
    last_look_up_error: str | None
    hops: list[HopCounters]
    verdict: Verdict | None = Field(description="null when nothing is missing")
    other_exporters: list[Finding] = Field(
        default_factory=list[Finding],
        description="exporters of the Collector, besides that to the stack's Tempo, that do not get rid of spans",
    )
    trace: list[Span] = Field(description="the spans of one trace that was found")
    requests: list[RequestResult]

    @property
    def complete(self) -> bool:
        """Every request's trace was found, both ways."""
        return not self.missing_by_id and not self.missing_by_search


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least `percent` % of the values do not exceed (nearest rank); None without values.

    Nearest rank gives a value that was measured; interpolation would invent one between the few of a probe.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
