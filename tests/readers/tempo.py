"""Runs the lab's Tempo on loopback, with the document of the program, and sends it spans."""

import contextlib
import secrets
import subprocess
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from components.documents import dump
from components.documents.tempo import DATA, OTLP_PORT, tempo_document
from lab.build.targets import TEMPO
from settings import Settings
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL

# What TraceQL metrics need before Tempo 3. A test waits for the traces: they get the times of the program's ingester.
_METRICS: dict[str, Any] = {
    "metrics_generator": {
        "processor": {
            "local_blocks": {
                "filter_server_spans": False,
                "flush_to_storage": True,
                "flush_check_period": "500ms",
                "trace_idle_period": "500ms",
            }
        },
        # By default it leaves out spans older than 30 s, and tests send older ones.
        "metrics_ingestion_time_range_slack": "1h",
        "storage": {"path": f"{DATA}/generator"},
        "traces_storage": {"path": f"{DATA}/generator-traces"},
    }
}


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
    attributes: dict[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    resource: dict[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
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


def request(spans: Iterable[Sent]) -> ExportTraceServiceRequest:
    """Returns the message that exports spans."""
    made = ExportTraceServiceRequest()
    for sent in spans:
        resource_spans = made.resource_spans.add()
        resource_spans.resource.attributes.extend(_pairs({"service.name": sent.service} | sent.resource))
        resource_spans.scope_spans.add().spans.append(sent.otlp())
    return made


def _pairs(attributes: dict[str, str | int | bool]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: str | int | bool) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


@dataclass
class RunningTempo:
    """Holds a Tempo that runs."""

    url: str
    otlp_port: int

    def send(self, spans: list[Sent]) -> None:
        """Sends spans in one message, and waits until a search finds the last one."""
        with grpc.insecure_channel(f"127.0.0.1:{self.otlp_port}") as channel:
            stub: Any = TraceServiceStub(channel)
            stub.Export(request(spans), timeout=30, wait_for_ready=True)
        wait_for("the spans", lambda: self._finds(spans[-1]))

    def _finds(self, span: Sent) -> bool:
        query = f'{{ span:id = "{span.id}" }}'
        start = span.start // 10**9
        parameters = {"q": query, "start": start - 60, "end": start + 60}
        answer = httpx.get(f"{self.url}/api/search", params=parameters, trust_env=False)
        return bool(answer.json().get("traces"))


@contextlib.contextmanager
def running_tempo(folder: Path, *, metrics: bool) -> Generator[RunningTempo]:
    """Runs the lab's Tempo with the document of the default stack.

    Args:
        folder: a new folder for its files.
        metrics: whether it answers TraceQL metrics.
    """
    document = tempo_document(Settings().tempo.model_copy(update={"image": LAB_TEMPO}))
    document.pop("metrics_generator", None)
    document["overrides"]["defaults"].pop("metrics_generator", None)
    if metrics:
        document |= _METRICS
        document["overrides"]["defaults"]["metrics_generator"] = {"processors": ["local-blocks"]}
    http_port, otlp_port = free_port(), free_port()
    document["server"] |= {"http_listen_port": http_port, "grpc_listen_port": free_port()}
    text = dump(document).replace(f"0.0.0.0:{OTLP_PORT}", f"127.0.0.1:{otlp_port}").replace(DATA, str(folder / "data"))
    (folder / "tempo.yaml").write_text(text)
    with (folder / "log").open("w") as log:
        command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{http_port}"
        wait_for(f"Tempo; it says {(folder / 'log').read_text()[-500:]}", lambda: _is_ready(url), 30)
        yield RunningTempo(url, otlp_port)
    finally:
        # Asked to end, it waits for what only a cluster needs.
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    return False
