"""Makes spans, and sends them by OTLP over gRPC."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL
Attributes = Mapping[str, str | int | float | bool]


def new_id() -> str:
    """Returns a trace's ID."""
    return secrets.token_hex(16)


@dataclass
class Sent:
    """A span to send."""

    service: str
    name: str
    trace_id: str
    start: int
    """Unix time in nanoseconds."""
    seconds: float
    kind: Span.SpanKind.ValueType = SERVER
    parent: "Sent | None" = None
    attributes: Attributes = field(default_factory=dict[str, str | int | float | bool])
    resource: Attributes = field(default_factory=dict[str, str | int | float | bool])
    scope: str = ""
    error: bool = False
    message: str = ""
    event: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def otlp(self) -> Span:
        """Returns the span as OTLP has it."""
        span = Span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.id),
            parent_span_id=bytes.fromhex(self.parent.id) if self.parent else b"",
            name=self.name,
            kind=self.kind,
            start_time_unix_nano=self.start,
            end_time_unix_nano=self.start + round(self.seconds * 1e9),
            attributes=_pairs(self.attributes),
        )
        if self.error:
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=self.message))
        if self.event:
            span.events.add(name=self.event, time_unix_nano=self.start)
        return span


def requests(
    count: int,
    *,
    service: str = "nginx",
    route: str = "/",
    kind: Span.SpanKind.ValueType = SERVER,
    seconds: float = 0.05,
    failed: int = 0,
    age: float = 0,
) -> list[Sent]:
    """Makes spans of one service, each in a trace of its own, that ended `age` seconds ago."""
    start = time.time_ns() - int((age + seconds) * 1e9)
    return [
        Sent(service, route, new_id(), start, seconds, kind, attributes={"http.route": route}, error=number < failed)
        for number in range(count)
    ]


def message(spans: Iterable[Sent]) -> ExportTraceServiceRequest:
    """Returns the message that exports spans."""
    made, scopes = ExportTraceServiceRequest(), dict[Any, Any]()
    for sent in spans:
        resource = {"service.name": sent.service, **sent.resource}
        place = (sent.scope, *resource.items())
        if place not in scopes:
            of_resource = made.resource_spans.add()
            of_resource.resource.attributes.extend(_pairs(resource))
            scopes[place] = of_resource.scope_spans.add()
            scopes[place].scope.name = sent.scope
        scopes[place].spans.append(sent.otlp())
    return made


def export(port: int, message: ExportTraceServiceRequest) -> None:
    """Sends a message to a receiver on loopback, which accepts it."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = TraceServiceStub(channel)
        stub.Export(message, timeout=30, wait_for_ready=True)


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: str | float | bool) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
