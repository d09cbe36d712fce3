"""Spans of many sizes, as applications send them: which of them are found whole."""

import contextlib
import os
import subprocess
import time
from collections.abc import Generator, Mapping

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lab.build.targets import KUBERNETES
from lab.errors import LabError
from lab.paths import KUBECONFIG
from tools.lab_stack import Stack
from tools.measure.reliability.figures import Figure, Number

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Bytes of the one attribute of a span."""

SPANS = 500
MESSAGE_BYTES = 10_000_000
"""Of a message at most, below what the Collector takes; of small spans a message has all."""

FOUND_SECONDS = 30.0
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def sizes(stack: Stack) -> list[Figure]:
    """Spans of 1 kB to 1 MB go to the Collector's receiver, and each is looked up with all of its text."""
    outputs = stack.outputs()
    figures: list[Figure] = []
    with _collector(stack) as target, grpc.insecure_channel(target) as channel:
        for size in SIZES:
            # No more than Tempo's memory holds of the largest ones.
            count = min(SPANS, 100_000_000 // size)
            sent = {os.urandom(16): os.urandom(size // 2).hex() for _ in range(count)}
            for message in messages(sent, size):
                channel.unary_unary(_EXPORT, ExportTraceServiceRequest.SerializeToString)(message, timeout=60)
            whole = _found_whole(outputs["tempoUrl"], sent)
            details: dict[str, Number] = {"spans": count, "found whole": whole}
            figures.append(
                Figure(f"spans of {size // 1000} kB", "all found whole", f"{whole} of {count}", whole == count, details)
            )
    return figures


def messages(sent: Mapping[bytes, str], size: int) -> Generator[ExportTraceServiceRequest]:
    """Some spans, by their traces' IDs and texts of a size, in messages that the Collector takes."""
    traces = list(sent.items())
    step = max(1, MESSAGE_BYTES // (size + 200))
    for first in range(0, len(traces), step):
        message = ExportTraceServiceRequest()
        resource = message.resource_spans.add()
        service = resource.resource.attributes.add()
        service.key, service.value.string_value = "service.name", "sizes"
        spans = resource.scope_spans.add().spans
        for trace_id, text in traces[first : first + step]:
            span = spans.add()
            span.trace_id, span.span_id, span.name = trace_id, os.urandom(8), "query"
            span.start_time_unix_nano = time.time_ns()
            span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
            attribute = span.attributes.add()
            attribute.key, attribute.value.string_value = "db.statement", text
        yield message


def _found_whole(tempo_url: str, sent: Mapping[bytes, str]) -> int:
    """How many of the spans are in Tempo with their text as it was sent, as soon as all are or after a time."""
    pending, until = dict(sent), time.monotonic() + FOUND_SECONDS
    # The proxies of the environment are not used: a node's address is reached directly.
    with httpx.Client(base_url=tempo_url, timeout=60, trust_env=False) as client:
        while pending and time.monotonic() < until:
            for trace_id, text in list(pending.items()):
                answer = client.get(f"/api/traces/{trace_id.hex()}", headers={"Accept": "application/json"})
                if answer.is_success and text in answer.text:
                    del pending[trace_id]
            if pending:
                time.sleep(0.5)
    return len(sent) - len(pending)


@contextlib.contextmanager
def _collector(stack: Stack) -> Generator[str]:
    """An address of this machine that leads to a Collector's receiver.

    Raises:
        LabError: kubectl ended before it listened.
    """
    command = [
        str(KUBERNETES.folder / "kubectl"),
        f"--kubeconfig={KUBECONFIG}",
        f"--namespace={stack.namespace}",
        "port-forward",
        "service/otel-collector",
        ":4317",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # Forwarding from 127.0.0.1:40123 -> 4317
            line = process.stdout.readline() if process.stdout else ""
            if " -> " not in line:
                raise LabError(f"`kubectl port-forward` to the Collector did not start: {line}")
            yield line.split()[2]
        finally:
            process.terminate()
