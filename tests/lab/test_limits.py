"""Tests sizes: each hop accepts what the one before sends, with the keys that bound sizes at their bounds.

The tests of this module share one stack and run in the order that they are written in.
"""

import os
import time
from collections.abc import Generator, Iterator
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lab.cluster.lifecycle import kubectl
from settings.limits import RECEIVER
from tests.lab.conftest import deploy, forwarded, laid_out, objects
from tests.waiting import wait_for

NAMESPACE = "tracing-limits"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SERVICE = "sizes"
AT_THEIR_BOUNDS = {
    "nginx.exporter.batchSize": "652",
    "nginx.exporter.batchCount": "30",
    "collector.batch.size": "5000",
    "tempo.retention": "720h",
    "tempo.ingestion.bytesPerTrace": "100000000",
    "tempo.resources.memoryLimit": "3000Mi",
    "tempo.ingestion.bytesPerSecond": "1000000000",
}


@pytest.fixture(scope="module")
def bounds(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Any]]:
    """Deploys a stack with its keys at their bounds, and yields its outputs."""
    with laid_out(tmp_path_factory.mktemp("bounds") / "program", "limits", NAMESPACE) as stack:
        stack.configure(AT_THEIR_BOUNDS)
        yield deploy(stack)


def exported(spans: int, attribute_bytes: int, trace_id: bytes | None = None) -> ExportTraceServiceRequest:
    """Makes an application's message: spans with one attribute each, in one trace if it is named, else in one each."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", SERVICE
    scope = resource.scope_spans.add()
    for _ in range(spans):
        span: Span = scope.spans.add()
        span.trace_id, span.span_id, span.name = trace_id or os.urandom(16), os.urandom(8), "query"
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = "db.statement", os.urandom(attribute_bytes // 2).hex()
    return message


def send(*messages: ExportTraceServiceRequest) -> None:
    """Sends messages to the Collector as an application does; raises `grpc.RpcError` if it refuses one."""
    with (
        forwarded(NAMESPACE, "deployment/otel-collector", 4317) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        for message in messages:
            channel.unary_unary(EXPORT, ExportTraceServiceRequest.SerializeToString)(message, timeout=60)


def spans_of(outputs: dict[str, Any], trace_id: bytes) -> list[dict[str, Any]]:
    """Returns the spans of a trace by its ID."""
    answer = httpx.get(f"{outputs['tempoUrl']}/api/traces/{trace_id.hex()}", timeout=120)
    if not answer.is_success:
        return []
    batches = answer.json()["batches"]
    return [span for batch in batches for scope in batch["scopeSpans"] for span in scope["spans"]]


def sent_ids(messages: list[ExportTraceServiceRequest]) -> set[str]:
    """Returns the IDs of the traces in some messages."""
    return {span.trace_id.hex() for message in messages for span in message.resource_spans[0].scope_spans[0].spans}


def found_ids(outputs: dict[str, Any]) -> Iterator[str]:
    """Returns the IDs of the traces that a search of the last ten minutes lists."""
    now = int(time.time())
    query = {"q": f'{{resource.service.name="{SERVICE}"}}', "limit": 100_000, "spss": 1}
    answer = httpx.get(f"{outputs['tempoUrl']}/api/search", params=query | {"start": now - 600, "end": now + 10})
    traces: list[dict[str, str]] = answer.json().get("traces") or []
    return (trace["traceID"].zfill(32) for trace in traces)


def test_every_span_of_an_application_that_sends_large_ones_is_found(bounds: dict[str, Any]) -> None:
    # Each message is below gRPC's own limit of 4 MiB; what a Collector makes of them need not be.
    messages = [exported(700, 3000) for _ in range(3)]
    send(*messages)
    sent = sent_ids(messages)
    assert len(sent) == 2100
    wait_for("2100 of 2100 spans", lambda: sent <= set(found_ids(bounds)), seconds=30)


@pytest.mark.parametrize("size", [1_000, 10_000, 100_000, 1_000_000, 15_000_000])
def test_a_span_is_found_whole_whatever_its_size(bounds: dict[str, Any], size: int) -> None:
    trace_id = os.urandom(16)
    message = exported(1, size, trace_id)
    send(message)
    (span,) = wait_for("the span", lambda: spans_of(bounds, trace_id), seconds=30)
    sent = message.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.string_value
    assert span["attributes"][0]["value"]["stringValue"] == sent


def test_a_message_that_nothing_could_take_is_refused_where_its_sender_is_told(bounds: dict[str, Any]) -> None:
    with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
        send(exported(1, RECEIVER))


def test_a_trace_of_many_times_tempo_s_own_limit_is_read_whole(bounds: dict[str, Any]) -> None:
    trace_id = os.urandom(16)
    send(*(exported(2000, 5000, trace_id) for _ in range(2)))
    wait_for("20 MB in one trace", lambda: len(spans_of(bounds, trace_id)) == 4000, seconds=60)


def test_a_search_may_be_of_all_that_is_kept(bounds: dict[str, Any]) -> None:
    now = int(time.time())
    for path in ("/api/search", "/api/v2/search/tags"):
        answer = httpx.get(f"{bounds['tempoUrl']}{path}", params={"start": now - 720 * 3600, "end": now}, timeout=60)
        assert answer.is_success, answer.text


def test_the_largest_heads_that_clients_can_send_become_spans(bounds: dict[str, Any]) -> None:
    ids = [os.urandom(16) for _ in range(20)]
    with httpx.Client(base_url=bounds["nginxUrl"]) as client:
        for trace_id in ids:
            headers = {"traceparent": f"00-{trace_id.hex()}-{os.urandom(8).hex()}-01", "User-Agent": "a" * 8000}
            assert client.get(f"/index.html?{'b' * 8000}", headers=headers).is_success
    for trace_id in ids:
        (span,) = wait_for("the span", lambda trace_id=trace_id: spans_of(bounds, trace_id), seconds=30)
        texts = {item["key"]: item["value"].get("stringValue", "") for item in span["attributes"]}
        assert len(texts["http.user_agent"]) == 8000
        assert len(texts["http.target"]) == len("/index.html?") + 8000


def test_nothing_was_refused_for_its_size(bounds: dict[str, Any]) -> None:
    collector = logs("otel-collector")
    assert "larger than max" not in collector
    assert "Dropping data" not in collector
    assert "OTel export failure" not in logs("nginx")
    refused = ("otelcol_receiver_refused_spans", "otelcol_exporter_send_failed_spans")
    for component, names in (("otel-collector", refused), ("tempo", ("tempo_discarded_spans_total",))):
        for page in counters(component):
            assert "# TYPE" in page
            assert [line for line in page.splitlines() if line.startswith(names) and not line.endswith(" 0")] == []


def logs(component: str) -> str:
    """Returns the logs of all pods of a component."""
    selector = f"--selector=app.kubernetes.io/name={component}"
    read = kubectl("logs", f"--namespace={NAMESPACE}", selector, "--tail=-1")
    assert read.returncode == 0, read.stderr
    return read.stdout


def counters(component: str) -> Iterator[str]:
    """Reads the page of counters of each pod of a component, at the port that its annotations name."""
    for pod in objects("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={component}"):
        metadata = pod["metadata"]
        with forwarded(
            NAMESPACE, f"pod/{metadata['name']}", int(metadata["annotations"]["prometheus.io/port"])
        ) as port:
            path = metadata["annotations"]["prometheus.io/path"]
            yield httpx.get(f"http://127.0.0.1:{port}{path}").text
