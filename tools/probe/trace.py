"""Reads the spans of a trace from OTLP."""

from collections.abc import Iterable, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from tools.probe.result import ExpectedTrace, Span
from tools.probe.words import listed


def spans_of(trace: TracesData) -> list[Span]:
    """Returns the spans of a trace, by their start."""
    spans: list[Span] = []
    for batch in trace.resource_spans:
        resource = texts(batch.resource.attributes)
        service = resource.pop("service.name", "(no service.name)")
        spans += [_plain(span, service, resource) for scope in batch.scope_spans for span in scope.spans]
    return sorted(spans, key=lambda span: span.start_unix_nano)


def why_not_whole(spans: Sequence[Span], expected: ExpectedTrace, parent_id: str) -> str | None:
    """Returns what a trace lacks, or has wrong; None if it is whole.

    Args:
        spans: the trace's.
        expected: its services, of which each sends the request on to the next, and the number of its spans.
        parent_id: the parent of its first span, which the sender of the request made up.
    """
    there = {span.service for span in spans}
    if absent := [service for service in expected.services if service not in there]:
        return f"no span of {listed(absent)}"
    # Services that have a span for the request that they send on have two each, but for the last one.
    sender_kind = "CLIENT" if expected.spans > len(expected.services) else "SERVER"
    before = dict(zip(expected.services[1:], expected.services, strict=False))
    known = {span.span_id: span for span in spans}
    for span in spans:
        of_span = f"of the span {span.name} ({span.kind}) of {span.service}"
        parent = known.get(span.parent_span_id)
        if parent is None:
            if span.service in before or span.parent_span_id != parent_id:
                return f"the parent {of_span} is missing"
            continue
        wanted = (span.service, "SERVER") if span.kind == "CLIENT" else (before.get(span.service), sender_kind)
        if (parent.service, parent.kind) != wanted:
            return f"the parent {of_span} is the span {parent.name} ({parent.kind}) of {parent.service}"
    return None if len(known) == expected.spans else f"it has {len(known)} spans, not {expected.spans}"


def _plain(span: OtlpSpan, service: str, resource: dict[str, str]) -> Span:
    return Span(
        service=service,
        name=span.name,
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        kind=_name(OtlpSpan.SpanKind.items(), span.kind, "SPAN_KIND_"),
        status=_name(Status.StatusCode.items(), span.status.code, "STATUS_CODE_"),
        status_message=span.status.message,
        start_unix_nano=span.start_time_unix_nano,
        duration_seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=texts(span.attributes),
        resource=resource,
    )


def _name(values: Iterable[tuple[str, int]], wanted: int, prefix: str) -> str:
    """Returns the name of an enumeration's value; its number where a later version of OTLP added it."""
    return next((name.removeprefix(prefix) for name, value in values if value == wanted), str(wanted))


def texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Returns attributes with their values as people read them."""
    return {attribute.key: _text(attribute.value) for attribute in attributes}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "array_value":
        return f"[{', '.join(map(_text, value.array_value.values))}]"
    content: object = getattr(value, kind)
    return str(content).lower() if isinstance(content, bool) else str(content)
