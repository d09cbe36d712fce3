"""Runs the lab's Tempo and Prometheus on loopback, with documents of the program."""

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from components.documents import Document, dump
from components.documents.prometheus import (
    ALERTS_FILE,
    CONFIG_FILE,
    alerts,
    flags,
    prometheus_document,
)
from components.documents.prometheus import DATA as PROMETHEUS_DATA
from components.documents.prometheus import FOLDER as PROMETHEUS_FOLDER
from components.documents.tempo import DATA, tempo_document
from components.documents.tempo_metrics import CONFIG_FOLDER, SECRETS_FOLDER
from lab.build.targets import PROMETHEUS, TEMPO
from settings import PrometheusSettings, TempoSettings
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO
from tools.probe.result import Span
from tools.probe.trace import spans_of

SERVER, CLIENT = 2, 3
"""Kinds of spans, as OTLP numbers them."""


def ask(url: str, **parameters: Any) -> Any:
    """Returns the JSON that a program on loopback answers with."""
    answer = httpx.get(url, params=parameters, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@dataclass(frozen=True)
class Spans:
    """Spans of one service, each in a trace of its own, that ended at the same time."""

    count: int
    service: str = "nginx"
    route: str = "/"
    kind: int = SERVER
    milliseconds: int = 50
    failed: int = 0
    age: float = 0
    """Seconds since their end."""

    def request(self) -> ExportTraceServiceRequest:
        """Returns the message that exports them."""
        request = ExportTraceServiceRequest()
        of_service = request.resource_spans.add()
        attribute(of_service.resource, "service.name", self.service)
        scope = of_service.scope_spans.add()
        end = time.time_ns() - int(self.age * 1e9)
        for number in range(self.count):
            span: Any = scope.spans.add()
            span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
            span.name, span.kind = self.route, self.kind
            span.start_time_unix_nano, span.end_time_unix_nano = end - self.milliseconds * 1_000_000, end
            attribute(span, "http.route", self.route)
            if number < self.failed:
                span.status.code = 2
        return request


def attribute(holder: Any, key: str, value: str) -> None:
    """Gives a resource or a span an attribute."""
    added = holder.attributes.add()
    added.key, added.value.string_value = key, value


def export(port: int, request: ExportTraceServiceRequest) -> None:
    """Sends a message to a receiver on loopback, which takes it."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = TraceServiceStub(channel)
        stub.Export(request, timeout=30, wait_for_ready=True)


@dataclass
class RunningTempo:
    """Holds a Tempo that runs."""

    http_port: int
    otlp_port: int

    @property
    def backend(self) -> str:
        """Returns the address that takes spans."""
        return f"127.0.0.1:{self.otlp_port}"

    def spans(self, trace_id: str) -> list[Span]:
        """Returns the spans of a trace; none while Tempo does not know it."""
        url = f"http://127.0.0.1:{self.http_port}/api/traces/{trace_id}"
        answer = httpx.get(url, headers={"Accept": "application/protobuf"}, timeout=60, trust_env=False)
        return spans_of(TracesData.FromString(answer.content)) if answer.status_code == 200 else []

    def send(self, spans: Spans) -> list[str]:
        """Sends spans, which Tempo accepts. Returns the IDs of their traces."""
        request = spans.request()
        export(self.otlp_port, request)
        return [span.trace_id.hex() for span in request.resource_spans[0].scope_spans[0].spans]

    def series(self, query: str, *, fold: Callable[[Iterable[float]], float] = sum) -> dict[str, float]:
        """Returns each series of a TraceQL metrics query over the last twenty minutes, by the values of its labels.

        Args:
            query: the query.
            fold: makes one number of those of the minutes.
        """
        end = int(time.time()) + 60
        url = f"http://127.0.0.1:{self.http_port}/api/metrics/query_range"
        found = ask(url, q=query, start=end - 1200, end=end, step="1m")["series"]
        return {
            ",".join(str(next(iter(label["value"].values()))) for label in one["labels"]): fold(
                sample.get("value", 0) for sample in one["samples"]
            )
            for one in found
        }

    def counted(self, counter: str) -> str:
        """Returns the lines of a counter."""
        page = httpx.get(f"http://127.0.0.1:{self.http_port}/metrics", trust_env=False).text
        return "\n".join(line for line in page.splitlines() if line.startswith(counter))


@contextlib.contextmanager
def running_tempo(
    folder: Path, receivers: Sequence[Document] = (), files: Mapping[str, str] | None = None, **configured: Any
) -> Generator[RunningTempo]:
    """Runs the lab's Tempo with the document of a configuration. It hurries where it waits for the clock.

    Args:
        folder: a folder for its files, which may have those of an earlier Tempo.
        receivers: where it writes metrics.
        files: the files of secrets, and of authorities.
        configured: the keys of `tempo`.
    """
    settings = TempoSettings.model_validate({"image": LAB_TEMPO} | configured)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tempo_document(settings, receivers))
    for old in (DATA, SECRETS_FOLDER, CONFIG_FOLDER):
        text = text.replace(f'"{old}/', f'"{folder}/')
    document = json.loads(text)
    http_port, otlp_port = free_port(), free_port()
    document["server"] |= {"http_listen_port": http_port, "grpc_listen_port": free_port()}
    document["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = f"127.0.0.1:{otlp_port}"
    if "metrics_generator" in document:
        # By default it writes each 15 s, and waits 10 s for the second span of an edge.
        document["metrics_generator"]["registry"] = {"collection_interval": "1s"}
        document["metrics_generator"]["processor"].setdefault("service_graphs", {})["wait"] = "1s"
    for name, content in ({"tempo.yaml": yaml.safe_dump(document)} | dict(files or {})).items():
        (folder / name).write_text(content)
    command = [str(TEMPO.folder / "tempo"), f"-config.file={folder}/tempo.yaml"]
    with _started(command, folder / "tempo.log", f"http://127.0.0.1:{http_port}/ready"):
        yield RunningTempo(http_port, otlp_port)


@dataclass
class RunningPrometheus:
    """Holds a Prometheus that runs."""

    url: str

    def values(self, query: str, label: str = "") -> dict[str, float]:
        """Returns the values of a query, by a label."""
        found = ask(f"{self.url}/api/v1/query", query=query)["data"]["result"]
        return {one["metric"].get(label, ""): float(one["value"][1]) for one in found}

    def exemplars(self, query: str) -> set[str]:
        """Returns the IDs of the traces beside a series."""
        found = ask(f"{self.url}/api/v1/query_exemplars", query=query, start=time.time() - 600, end=time.time() + 60)
        return {label for series in found["data"] for one in series["exemplars"] for label in one["labels"].values()}


@contextlib.contextmanager
def running_prometheus(folder: Path, scraped: Sequence[int] = (), **configured: Any) -> Generator[RunningPrometheus]:
    """Runs the lab's Prometheus with the document and the flags of a configuration.

    Args:
        folder: a folder for its files.
        scraped: ports of loopback whose counters it reads, since there are no pods. They get the labels of pods.
        configured: the keys of `prometheus`.
    """
    settings = PrometheusSettings.model_validate({"enabled": True} | configured)
    document = prometheus_document(settings, "tracing")
    labels = {"app_kubernetes_io_part_of": "nginx-tracing", "namespace": "tracing", "pod": "tempo-0"}
    targets = [{"targets": [f"127.0.0.1:{port}" for port in scraped], "labels": labels}]
    document["scrape_configs"] = [{"job_name": "loopback", "static_configs": targets}]
    moved = {f"{PROMETHEUS_FOLDER}/": f"{folder}/", f"={PROMETHEUS_DATA}": f"={folder}/data"}
    for name, text in {CONFIG_FILE: dump(document), ALERTS_FILE: alerts()}.items():
        (folder / name).write_text(text.replace(f"{PROMETHEUS_FOLDER}/", f"{folder}/"))
    arguments = flags(settings)
    for old, new in moved.items():
        arguments = [argument.replace(old, new) for argument in arguments]
    port = free_port()
    command = [str(PROMETHEUS.folder / "prometheus"), *arguments, f"--web.listen-address=127.0.0.1:{port}"]
    with _started(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield RunningPrometheus(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def _started(command: Sequence[str], log: Path, ready: str) -> Generator[None]:
    with log.open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"{command[0]}; see {log}", lambda: process.poll() is not None or _answers(ready), 30)
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        # A Tempo that has answered a query may take its whole grace period.
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, trust_env=False).status_code == 200
    return False
