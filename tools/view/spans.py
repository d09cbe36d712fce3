"""Converts traces from OTLP to version 2 of Zipkin's API, which Lens reads: https://zipkin.io/zipkin-api/."""

from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tools.probe.trace import texts

Json = dict[str, Any]

# An INTERNAL span has no kind in Zipkin.
_KINDS = {
    Span.SPAN_KIND_SERVER: "SERVER",
    Span.SPAN_KIND_CLIENT: "CLIENT",
    Span.SPAN_KIND_PRODUCER: "PRODUCER",
    Span.SPAN_KIND_CONSUMER: "CONSUMER",
}

PEERS = ("peer.service", "server.address")
"""The attributes that name the other end of a client's span; the first one that it has counts."""

_STATUS_CODES = ("http.response.status_code", "http.status_code")
"""The stable name of the attribute, and the old one, which NGINX's module has."""


def zipkin_spans(trace: TracesData) -> list[Json]:
    """Returns the spans of a trace, those of one resource behind each other."""
    converted: list[Json] = []
    for batch in trace.resource_spans:
        resource = texts(batch.resource.attributes)
        service = resource.pop("service.name", "(no service.name)")
        converted += [_converted(span, service, resource) for scope in batch.scope_spans for span in scope.spans]
    _cut_circles(converted)
    return converted


def _cut_circles(spans: list[Json]) -> None:
    """Takes the parent from one span of each circle of parents, of which Lens would draw nothing."""
    by_id: dict[str, list[Json]] = {}
    for span in sorted(spans, key=lambda each: each["timestamp"]):
        by_id.setdefault(span["id"], []).append(span)
    seen = set[str]()
    for start in by_id:
        way, place = dict[str, None](), start
        while place in by_id and place not in seen and place not in way:
            way[place] = None
            place = by_id[place][0].get("parentId", "")
        if place in way:
            for span in by_id[place]:
                span.pop("parentId", None)
        seen |= way.keys()


def unread(listed: Json, reason: str) -> Json:
    """Returns a span that stands for a trace that cannot be read.

    Args:
        listed: the trace in the answer to Tempo's search.
        reason: why it cannot be read.
    """
    trace_id = listed["traceID"].zfill(32)
    return {
        "traceId": trace_id,
        "id": trace_id[16:],
        "name": f"{listed.get('rootTraceName', '')} (this trace cannot be read)".strip(),
        "timestamp": int(listed.get("startTimeUnixNano", 0)) // 1000,
        "duration": max(1, int(listed.get("durationMs", 0)) * 1000),
        "localEndpoint": {"serviceName": listed.get("rootServiceName", "(no service.name)")},
        "tags": {"error": reason},
        "annotations": [],
    }


def _converted(span: Span, service: str, resource: dict[str, str]) -> Json:
    attributes = texts(span.attributes)
    start = span.start_time_unix_nano // 1000
    found: Json = {
        "traceId": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "name": span.name,
        "timestamp": start,
        # Zipkin takes 0 for a span that has not ended.
        "duration": max(1, span.end_time_unix_nano // 1000 - start),
        "localEndpoint": {"serviceName": service},
        "tags": _tags(span, attributes, resource),
        "annotations": _annotations(span),
    }
    if span.parent_span_id:
        found["parentId"] = span.parent_span_id.hex()
    if kind := _KINDS.get(span.kind):
        found["kind"] = kind
    if span.kind == Span.SPAN_KIND_CLIENT and (peer := _first(attributes, PEERS)):
        found["remoteEndpoint"] = {"serviceName": peer}
    return found


def _tags(span: Span, attributes: dict[str, str], resource: dict[str, str]) -> dict[str, str]:
    """Returns the span's error, its attributes and those of its resource, each in the order of their names."""
    own = {key: value for key, value in resource.items() if key not in attributes}
    tags = dict(sorted(attributes.items()) + sorted(own.items()))
    # Lens shows a span with this tag in red, whatever its value is.
    if tags.get("error") == "false":
        del tags["error"]
    if span.status.code == Status.STATUS_CODE_ERROR:
        code = _first(attributes, _STATUS_CODES)
        tags.pop("error", None)
        tags = {"error": span.status.message or (f"HTTP {code}" if code else "true")} | tags
    return tags


def _annotations(span: Span) -> list[Json]:
    """Returns the span's events and links. Zipkin knows neither: an annotation is a text with a time."""
    events = [
        {"timestamp": event.time_unix_nano // 1000, "value": _event_text(event.name, texts(event.attributes))}
        for event in span.events
    ]
    links = [
        {"timestamp": span.start_time_unix_nano // 1000, "value": f"link to span {link.span_id.hex()} of trace {trace}"}
        for link in span.links
        for trace in [link.trace_id.hex()]
    ]
    return events + links


def _event_text(name: str, attributes: dict[str, str]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in attributes.items())])


def _first(attributes: dict[str, str], keys: tuple[str, ...]) -> str | None:
    return next((attributes[key] for key in keys if attributes.get(key)), None)
