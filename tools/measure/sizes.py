"""Sends spans of many sizes, as applications do, and counts those that are found whole."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Generator, Mapping

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lab.cluster.lifecycle import kubectl_command
from lab.errors import LabError
from lab.waiting import poll_async
from tools.lab_stack import Stack
from tools.measure.results import Number, Result
from tools.tempo import LookUpError, Tempo

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""The size of a span's one attribute, in bytes."""

SPANS = 500
"""Of each size, or fewer of the largest ones. Our choice."""

MESSAGE_BYTES = 10_000_000
"""The largest message, in bytes: below what the Collector takes. Small spans all fit into one message."""

FOUND_SECONDS = 30.0
"""Our choice."""

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def sizes(stack: Stack) -> list[Result]:
    """Sends spans of 1 kB to 1 MB to the Collector's receiver, and looks each up with all of its text."""
    outputs = stack.outputs()
    results: list[Result] = []
    with receiver(stack.namespace, "service/otel-collector") as target, grpc.insecure_channel(target) as channel:
        for size in SIZES:
            # Tempo's memory holds no more than that of the largest spans.
            count = min(SPANS, 100_000_000 // size)
            sent = {os.urandom(16): os.urandom(size // 2).hex() for _ in range(count)}
            for message in messages(sent, size):
                channel.unary_unary(EXPORT, ExportTraceServiceRequest.SerializeToString)(message, timeout=60)
            whole = asyncio.run(found_whole(outputs["tempoUrl"], sent))
            details: dict[str, Number] = {"spans": count, "found whole": whole}
            results.append(
                Result(f"spans of {size // 1000} kB", "all found whole", f"{whole} of {count}", whole == count, details)
            )
    return results


def messages(sent: Mapping[bytes, str], size: int) -> Generator[ExportTraceServiceRequest]:
    """Packs spans into messages that the Collector takes.

    Args:
        sent: the spans' texts by trace ID.
        size: of each text, in bytes.
    """
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


async def found_whole(tempo_url: str, sent: Mapping[bytes, str]) -> int:
    """Counts the spans that Tempo has with their text as it was sent. Returns once all are found, or after a time."""
    pending = dict(sent)

    async def none_is_pending() -> bool:
        for trace_id, text in list(pending.items()):
            # Tempo refuses a look-up for a moment: it is asked again.
            with contextlib.suppress(LookUpError):
                if text in await _texts(tempo, trace_id):
                    del pending[trace_id]
        return not pending

    async with Tempo(tempo_url, timeout_seconds=60) as tempo:
        await poll_async(none_is_pending, seconds=FOUND_SECONDS, pause=0.5)
    return len(sent) - len(pending)


async def _texts(tempo: Tempo, trace_id: bytes) -> set[str]:
    """Returns the attributes' texts of a trace's spans."""
    found = await tempo.trace(trace_id.hex())
    scopes = [scope for resource in found.resource_spans for scope in resource.scope_spans]
    return {item.value.string_value for scope in scopes for span in scope.spans for item in span.attributes}


@contextlib.contextmanager
def receiver(namespace: str, target: str) -> Generator[str]:
    """Forwards a port of this machine to a Collector's receiver, and yields its address.

    Args:
        namespace: the stack's.
        target: a pod or the Service, as kubectl names it.

    Raises:
        LabError: kubectl ended before it listened.
    """
    command = kubectl_command(f"--namespace={namespace}", "port-forward", target, ":4317")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # Forwarding from 127.0.0.1:40123 -> 4317
            line = process.stdout.readline() if process.stdout else ""
            if " -> " not in line:
                raise LabError(f"`kubectl port-forward` to the Collector did not start: {line}")
            yield line.split()[2]
        finally:
            process.terminate()
