"""Measures what spans of several sizes and rates cost the Collector and Tempo, and take on the disk, on loopback.

`python -m tools size` computes with these figures. Spans are NGINX's of proxied requests, of which the Collector makes
two with old and stable names: the defaults, and a persistent queue.
"""

import json
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lab.waiting import wait_until
from settings import CollectorSettings, NginxSettings
from settings.limits import Exports
from settings.sizes import DEFAULT_BATCH, WORKERS
from settings.snippets.ours import UPSTREAM_ATTRIBUTE
from settings.types import seconds
from tools.measure.cost.loopback import BLOCK_SECONDS, Process, collector, set_attributes, tempo
from tools.measure.cost.upstreams import EXPORT
from tools.measure.results import Result
from tools.probe.metrics import parse_metrics, total

SECONDS = 40
"""Our choice: one block has all spans, because Tempo takes the most memory when it writes a large one."""


@dataclass(frozen=True)
class Case:
    """A kind of spans."""

    text: int
    """Characters of a request's query that no other request has: hexadecimal, which halves at best."""

    requests: int
    """Requests a second; each has two spans."""

    @property
    def batch(self) -> int:
        """Spans of an export: those of a worker's interval with two pods of NGINX, or a full batch."""
        interval = seconds(NginxSettings().exporter.interval)
        return min(DEFAULT_BATCH, round(self.requests * float(interval) / (2 * WORKERS)))


CASES = (Case(0, 500), Case(0, 2000), Case(0, 4000), Case(400, 1000), Case(2000, 500))
"""The rates are what two cores carry together with the sender, and the texts make spans of about 1, 2 and 5 kB.

Our choices: larger spans come more slowly, so that each second has about as many bytes.
"""

_COPIES = 2
"""Blocks have each span twice: once among the traces, and once for metrics by TraceQL, which is the default."""

_RECEIVED, _BYTES = "tempo_distributor_spans_received_total", "tempo_distributor_bytes_received_total"
_LATE_SECONDS = 60
_RANDOM = random.Random(0)  # noqa: S311 - the same values in each run, and no secret
_AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{100 + number}.0 Safari" for number in range(20)]


@dataclass(frozen=True)
class Stored:
    """Holds what the spans of a case cost."""

    spans: int
    received: int
    """Bytes, as Tempo counts them."""

    stored: int
    """Bytes of the blocks."""

    seconds: float
    collector_cpu: float
    tempo_cpu: float
    collector_peak: int
    tempo_peak: int


def stored(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends spans of each case to a Collector before a Tempo, until Tempo has written all of them to blocks.

    Raises:
        LabError: a program did not start, or Tempo did not get or write each span.
    """
    results: list[Result] = []
    for number, case in enumerate(CASES):
        show(f"{case.requests} requests a second, {case.text} characters more")
        results.append(result(case, measured(scratch / f"stored-{number}", case)))
    return results


def result(case: Case, found: Stored) -> Result:
    """Returns the result of a case, whose details are what `python -m tools size` reads."""
    millions = found.spans / 1e6
    details: dict[str, float | int | str] = {
        "requests/s": case.requests,
        "spans/s": round(found.spans / found.seconds),
        "bytes a span": round(found.received / found.spans),
        "stored bytes a span": round(found.stored / found.spans),
        "Collector: CPU seconds of a million spans": round(found.collector_cpu / millions, 1),
        "Tempo: CPU seconds of a million spans": round(found.tempo_cpu / millions, 1),
        "Collector: MiB": round(found.collector_peak / 2**20),
        "Tempo: MiB": round(found.tempo_peak / 2**20),
    }
    value = (
        f"{details['stored bytes a span']} bytes each on the disk; a million take the Collector "
        f"{found.collector_cpu / millions:.1f} s and Tempo {found.tempo_cpu / millions:.1f} s; at most "
        f"{details['Collector: MiB']} and {details['Tempo: MiB']} MiB"
    )
    name = f"spans of {details['bytes a span']} bytes, {details['spans/s']} a second"
    return Result(name, None, value, details=details)


def measured(folder: Path, case: Case) -> Stored:
    """Sends spans of a case until Tempo has written all of them to blocks.

    Raises:
        LabError: a program did not start, or Tempo did not get or write each span.
    """
    settings = CollectorSettings.model_validate({"queue": {"storage": "persistent"}})
    exports = Exports(DEFAULT_BATCH, 25_600, upstream_spans=True)
    with (
        tempo(folder / "tempo") as backend,
        collector(folder / "collector", backend.otlp_port, settings, exports) as sender,
        grpc.insecure_channel(f"127.0.0.1:{sender.otlp_port}") as channel,
    ):
        send = cast("Any", channel.unary_unary(EXPORT))
        send(_export(case), wait_for_ready=True)
        time.sleep(1)
        before, start, count = (sender.cpu_seconds, backend.cpu_seconds), time.monotonic(), 0
        while count < SECONDS * case.requests:
            send(_export(case))
            count += case.batch
            time.sleep(max(0.0, start + count / case.requests - time.monotonic()))
        lasted = time.monotonic() - start
        traces = count + case.batch
        blocks = folder / "tempo" / "blocks"
        wait_until(
            lambda: _count(backend, _RECEIVED) >= 2 * traces and _traces(blocks) >= _COPIES * traces,
            f"Of {traces} traces, two spans each, Tempo got {_count(backend, _RECEIVED):.0f} spans and wrote "
            f"{_traces(blocks)} traces to blocks.",
            seconds=_LATE_SECONDS + 2 * BLOCK_SECONDS,
            pause=0.5,
        )
        return Stored(
            # The first export was before the clock started, and is a hundredth of the others.
            spans=2 * traces,
            received=round(_count(backend, _BYTES)),
            stored=sum(file.stat().st_size for folder in _blocks(blocks) for file in folder.iterdir()),
            seconds=lasted,
            collector_cpu=sender.cpu_seconds - before[0],
            tempo_cpu=backend.cpu_seconds - before[1],
            collector_peak=sender.peak_bytes,
            tempo_peak=backend.peak_bytes,
        )


def _count(process: Process, counter: str) -> float:
    page = httpx2.get(f"http://127.0.0.1:{process.http_port}/metrics", trust_env=False).text
    return total(parse_metrics(page, {counter}), counter)


def _blocks(folder: Path) -> list[Path]:
    """Returns the blocks that no compaction has replaced."""
    return [meta.parent for meta in folder.glob("*/*/meta.json")]


def _traces(folder: Path) -> int:
    return sum(json.loads((block / "meta.json").read_text())["totalObjects"] for block in _blocks(folder))


def _export(case: Case) -> bytes:
    """Makes an export of NGINX whose spans differ as those of real requests do."""
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = "nginx"
    now = time.time_ns()
    for _ in range(case.batch):
        span: Any = scoped.spans.add()
        taken = round(_RANDOM.lognormvariate(1.5, 1) * 1e6)
        span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        span.name, span.kind = "/shop/", 2
        span.start_time_unix_nano, span.end_time_unix_nano = now - taken, now
        set_attributes(span, _attributes(case, taken / 1e9))
    return request.SerializeToString()


def _attributes(case: Case, taken: float) -> dict[str, str | int]:
    status = 200 if _RANDOM.random() < 0.98 else 503
    query = f"id={_RANDOM.randrange(10**7)}{'&q=' if case.text else ''}{_RANDOM.randbytes(case.text // 2).hex()}"
    times = f"{taken * 0.8:.3f}|{taken * 0.9:.3f}"
    return {
        "http.method": "GET",
        "http.target": f"/shop/item?{query}",
        "http.route": "/shop/",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.user_agent": _RANDOM.choice(_AGENTS),
        "http.request_content_length": 0,
        "http.response_content_length": _RANDOM.randrange(200, 20_000),
        "http.status_code": status,
        "net.host.name": "shop.example",
        "net.host.port": 8080,
        "net.sock.peer.addr": f"10.0.{_RANDOM.randrange(4)}.{_RANDOM.randrange(256)}",
        "net.sock.peer.port": _RANDOM.randrange(32_768, 61_000),
        UPSTREAM_ATTRIBUTE: f"GET|shop|8080|shop|0.001|10.1.0.{_RANDOM.randrange(8)}:8080|{status}|{times}",
    }
