"""The models of the probe's JSON document, and the figures made from single requests."""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
"""Raised when a key or an identifier of the JSON documents is renamed or removed."""


class Hop(StrEnum):
    """A hop on the way of a span, or the way between two; the values are those of the JSON documents."""

    PROBE_TO_NGINX = "probe_to_nginx"
    NGINX = "nginx"
    NGINX_TO_COLLECTOR = "nginx_to_collector"
    COLLECTOR = "collector"
    COLLECTOR_TO_DECIDER = "collector_to_decider"
    COLLECTOR_TO_TEMPO = "collector_to_tempo"
    COLLECTOR_TO_EXPORTER = "collector_to_exporter"
    TEMPO = "tempo"
    UNKNOWN = "unknown"

    @property
    def display_name(self) -> str:
        """The name for people."""
        names = {"probe": "probe", "nginx": "NGINX", "exporter": "exporter", "unknown": "unknown"}
        return " → ".join(names.get(part, part.capitalize()) for part in self.value.split("_to_"))


class Document(BaseModel):
    """A part of the JSON document; keys are the names of the fields, durations end in `_seconds`."""

    model_config = ConfigDict(extra="forbid")


class RequestResult(Document):
    """One request and the time until its trace was found.

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


class ExpectedTrace(Document):
    """The shape of each trace of a stack's demo: the stack output `demo`."""

    path: str = Field(description="the path of NGINX that leads to the demo")
    services: list[str] = Field(description="in the order of a request's way")
    spans: int


class HopCounters(Document):
    """The counts of one hop during the run, other traffic included; or why they could not be read."""

    hop: Hop
    counters: dict[str, float] = Field(
        description="by metric, summed over labels; of the Collector's exporters, the one to the stack's Tempo alone"
    )
    exporters: dict[str, dict[str, float]] = Field(
        default_factory=dict[str, dict[str, float]],
        description="the counters of the Collector's other exporters, by the exporters' names, without zeros",
    )
    discarded_by_reason: dict[str, float] = Field(
        default_factory=dict[str, float], description="the spans that Tempo discarded, by its reasons, without zeros"
    )
    notes: list[str] = Field(
        default_factory=list, description="the messages about losses in its log: the last line of each kind"
    )
    gaps: list[str] = Field(default_factory=list, description="what the counters do not include, and why")
    incomplete: bool = Field(default=False, description="whether the gaps may hide a loss")
    unreadable: str | None = None


class Finding(Document):
    """A hop that lost spans, and the evidence."""

    hop: Hop
    why: str


class Verdict(Document):
    """Where the missing traces were lost: the first finding on the way of a span, then all of them."""

    hop: Hop
    findings: list[Finding]


class ProbeResult(Document):
    """The JSON document of `python -m tools probe --json`."""

    version: Literal[1] = Field(default=VERSION, description="of the document's keys and identifiers")
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
    expected: ExpectedTrace | None = Field(
        default=None,
        description="what each trace has that counts as found by ID; null where any span is enough, since only the "
        "stack's demo is known",
    )
    not_whole: dict[str, str] = Field(
        default_factory=dict[str, str], description="what traces lack that were found, but not whole, by their IDs"
    )
    freshness_by_id: Freshness
    freshness_by_search: Freshness
    look_up_errors: int
    last_look_up_error: str | None
    hops: list[HopCounters]
    verdict: Verdict | None = Field(description="null when nothing is missing")
    other_exporters: list[Finding] = Field(
        default_factory=list[Finding],
        description="exporters of the Collector, besides the one to the stack's Tempo, that lose or hold spans",
    )
    trace: list[Span] = Field(description="the spans of the slowest request whose trace was found")
    requests: list[RequestResult]

    @property
    def complete(self) -> bool:
        """Whether every request's trace was found, both ways."""
        return not self.missing_by_id and not self.missing_by_search


class Interval(Document):
    """The counts of one interval: the JSON document of a line of `python -m tools probe --watch --json`."""

    version: Literal[1] = Field(default=VERSION, description="of the document's keys and identifiers")
    seconds: float
    hops: list[HopCounters]
    losses: list[Finding] = Field(
        description="in the order of a span's way; empty when each hop has taken all that the one before it sent"
    )
    incomplete_readings: list[str] = Field(description="what could not be read, and may hide losses")


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Returns the smallest value that at least `percent` % of the values do not exceed (nearest rank); None for none.

    Nearest rank gives a value that was measured; interpolation would invent one between the few of a probe.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
