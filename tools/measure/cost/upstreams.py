"""Measures what spans of upstreams and stable names cost the Collector, on loopback and without a cluster."""

import contextlib
import secrets
import statistics
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from settings import CollectorSettings
from settings.limits import Exports
from settings.sizes import DEFAULT_BATCH
from settings.snippets.ours import UPSTREAM_ATTRIBUTE
from tools.measure.cost.loopback import collector, set_attributes
from tools.measure.results import Result

ROUNDS = 3
SECONDS = 10
RATE = 5000
"""Spans of NGINX a second. The three numbers are our choice."""

CASES = (("old", False), ("both", False), ("stable", False), ("old", True), ("both", True), ("stable", True))
"""`collector.semanticConventions` and `nginx.upstreamSpans`. The first one is the base."""

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_OF_A_SPAN: dict[str, str | int] = {
    "http.method": "GET",
    "http.target": "/shop/item?id=4711",
    "http.route": "/shop/",
    "http.scheme": "http",
    "http.flavor": "1.1",
    "http.user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "http.request_content_length": 0,
    "http.response_content_length": 1512,
    "http.status_code": 200,
    "net.host.name": "shop.example",
    "net.host.port": 30080,
    "net.sock.peer.addr": "10.0.0.17",
    "net.sock.peer.port": 43210,
}
_TOLD = "GET|shop|8080|shop|0.001|10.0.0.9:8080|200|0.004|0.005"


@dataclass(frozen=True)
class Cost:
    """The cost of a million spans of NGINX."""

    cpu: float
    """CPU seconds of the Collector."""

    sent: float
    """Bytes that it sends for each."""


def upstreams(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends spans as NGINX does to a Collector, with each combination of the two keys, in turns."""
    found: dict[tuple[str, bool], list[Cost]] = {case: [] for case in CASES}
    for number in range(ROUNDS):
        for conventions, is_doubled in CASES:
            show(f"round {number + 1} of {ROUNDS}: {conventions}{', spans of upstreams' if is_doubled else ''}")
            folder = scratch / f"{number}-{conventions}-{is_doubled}"
            folder.mkdir(parents=True)
            found[conventions, is_doubled].append(_cost(folder, conventions, is_doubled=is_doubled))
    return compared(
        {
            case: Cost(statistics.median(cost.cpu for cost in costs), statistics.median(cost.sent for cost in costs))
            for case, costs in found.items()
        }
    )


def compared(costs: dict[tuple[str, bool], Cost]) -> list[Result]:
    """Returns the results, each beside the base."""
    base = costs[CASES[0]]
    return [
        Result(
            f"Collector: CPU time of a million spans of NGINX, names {conventions}"
            f"{', and spans of upstreams' if is_doubled else ''}",
            None,
            f"{cost.cpu:.1f} s, {cost.cpu / base.cpu:.2f} times; it sends {cost.sent:.0f} bytes for each",
            details={"CPU, s": round(cost.cpu, 1), "bytes": round(cost.sent), "ratio": round(cost.cpu / base.cpu, 2)},
        )
        for (conventions, is_doubled), cost in costs.items()
    ]


def _cost(folder: Path, conventions: str, *, is_doubled: bool) -> Cost:
    settings = CollectorSettings.model_validate({"semanticConventions": conventions})
    exports = Exports(DEFAULT_BATCH, 25_600, is_doubled)
    with (
        _backend() as backend,
        collector(folder, backend.port, settings, exports) as process,
        grpc.insecure_channel(f"127.0.0.1:{process.otlp_port}") as channel,
    ):
        send = cast("Any", channel.unary_unary(EXPORT))
        export = _export(is_doubled=is_doubled)
        send(export, wait_for_ready=True)
        time.sleep(1)
        received, used, start, count = backend.bytes, process.cpu_seconds, time.monotonic(), 0
        while count < SECONDS * RATE:
            send(export)
            count += DEFAULT_BATCH
            time.sleep(max(0.0, start + count / RATE - time.monotonic()))
        # Longer than the Collector gathers.
        time.sleep(1)
        return Cost((process.cpu_seconds - used) / count * 1e6, (backend.bytes - received) / count)


class _Backend:
    """Takes exports, and counts their bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        handler = cast("Any", grpc.unary_unary_rpc_method_handler(self._take))
        service = grpc.method_handlers_generic_handler(EXPORT.split("/")[1], {"Export": handler})
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers((service,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _take(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        self.bytes += len(request)
        return b""


@contextlib.contextmanager
def _backend() -> Generator[_Backend]:
    made = _Backend()
    try:
        yield made
    finally:
        made.server.stop(None).wait()


def _export(*, is_doubled: bool) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    scoped = resource.scope_spans.add()
    scoped.scope.name = "nginx"
    now = time.time_ns()
    for _ in range(DEFAULT_BATCH):
        span: Any = scoped.spans.add()
        span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        span.name, span.kind = "/shop/", 2
        span.start_time_unix_nano, span.end_time_unix_nano = now - 7_000_000, now
        set_attributes(span, _OF_A_SPAN | ({UPSTREAM_ATTRIBUTE: _TOLD} if is_doubled else {}))
    return request.SerializeToString()
