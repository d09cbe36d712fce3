"""Runs a real OTLP receiver that keeps the spans that it gets."""

import contextlib
import os
import secrets
import socket
import threading
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,  # pyright: ignore[reportUnknownVariableType]
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tests.waiting import wait_for

# Below those that Linux gives to outgoing connections, and each once: two servers of a test must not share one. Of
# several processes that run tests (`PYTEST_XDIST_WORKER` is `gw0`, `gw1` and so on), each has ports of its own.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OWN = range(20_000 + _PROCESS, 32_768, _PROCESSES)
_PORTS = iter(secrets.SystemRandom().sample(_OWN, k=len(_OWN)))


def free_port() -> int:
    """Returns a port of loopback that no program listens on."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    pytest.fail("no port of loopback between 20000 and 32767 is free")


@dataclass
class Span:
    """Holds a span as it arrived."""

    resource: dict[str, Any]
    scope: tuple[str, str]
    name: str
    kind: int
    status: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    start: float
    """Unix time in seconds."""
    seconds: float
    attributes: dict[str, Any]
    pairs: list[tuple[str, Any]]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _spans(resource: Any, scoped: ScopeSpans) -> list[Span]:
    attributes_of_resource = {pair.key: _value(pair.value) for pair in resource.attributes}
    return [
        Span(
            attributes_of_resource,
            (scoped.scope.name, scoped.scope.version),
            span.name,
            span.kind,
            span.status.code,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.trace_state,
            span.start_time_unix_nano / 1e9,
            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            {pair.key: _value(pair.value) for pair in span.attributes},
            [(pair.key, _value(pair.value)) for pair in span.attributes],
        )
        for span in scoped.spans
    ]


@dataclass
class Receiver(TraceServiceServicer):
    """Receives OTLP. Starts and stops on one port; hangs while `go_on` is cleared."""

    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    credentials: grpc.ServerCredentials | None = None
    connection_age: int | None = None
    """Milliseconds after which it asks the client to reconnect."""
    refusal: str = ""
    """The message with which it refuses every batch, as a Collector does that is short of memory."""
    refused: int = 0
    spans: list[Span] = field(default_factory=list[Span])
    batches: list[int] = field(default_factory=list[int])
    metadata: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self._server: grpc.Server | None = None
        self.start()

    def start(self) -> None:
        """Listens."""
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=self._options())
        add_TraceServiceServicer_to_server(self, self._server)
        address = f"{self.host}:{self.port}"
        if self.credentials:
            assert self._server.add_secure_port(address, self.credentials)
        else:
            assert self._server.add_insecure_port(address)
        self._server.start()

    def _options(self) -> list[tuple[str, int]]:
        return [("grpc.max_connection_age_ms", self.connection_age)] if self.connection_age else []

    def stop(self) -> None:
        """Closes all connections."""
        self.go_on.set()
        if self._server:
            self._server.stop(None).wait()

    def Export(  # noqa: N802 - gRPC's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Keeps a batch."""
        self.go_on.wait(60)
        if self.refusal:
            self.refused += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self.refusal)
        got = [
            span
            for resource_spans in request.resource_spans
            for scoped in resource_spans.scope_spans
            for span in _spans(resource_spans.resource, scoped)
        ]
        self.metadata.append({str(pair[0]): pair[1] for pair in context.invocation_metadata() or ()})
        self.batches.append(len(got))
        self.spans += got
        return ExportTraceServiceResponse()

    def one(self) -> Span:
        """Waits for a span, and returns the only one that has arrived."""
        wait_for("a span", lambda: self.spans)
        (span,) = self.spans
        return span

    def many(self, count: int, seconds: float = 15) -> list[Span]:
        """Waits for so many spans. Returns all that have arrived, by their start: one export may overtake another."""
        wait_for(f"{count} spans; there are {len(self.spans)}", lambda: len(self.spans) >= count, seconds)
        return sorted(self.spans, key=lambda span: span.start)
