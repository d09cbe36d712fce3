"""Runs the lab's Collectors on loopback, with documents of the program."""

import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.documents import Document, dump
from components.documents.collector import (
    ANYWHERE,
    FOLDER,
    HEALTH_PORT,
    OTLP_HTTP_PORT,
    OTLP_PORT,
    QUEUE_FOLDER,
    SECRETS_FOLDER,
    certificate_files,
    collector_document,
    secret_files,
)
from components.documents.collector_proxy import not_proxied, proxy_url
from settings import CollectorSettings
from settings.limits import Exports
from tests.otlp import free_port
from tests.readers.spans import export
from tools.measure.configurations.documents import COLLECTOR_BUILDS
from tools.probe.exporter_errors import told_by
from tools.probe.metrics import parse_metrics, total
from tools.running import started


def version_of(image: str) -> str:
    """Returns the version in the image of one of the lab's Collectors: the name of its tests."""
    return image.rpartition(":")[2]


@dataclass
class Running:
    """Holds a Collector that runs."""

    process: subprocess.Popen[bytes]
    settings: CollectorSettings
    grpc_port: int
    http_port: int
    metrics_port: int
    log: Path

    def send(self, spans: int = 1, text: str = "") -> None:
        """Sends spans in one message, which the Collector accepts. Each span has the text."""
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for _ in range(spans):
            span = scope.spans.add()
            span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
            span.name, span.end_time_unix_nano, span.trace_state = "span", time.time_ns(), text
        self.export(request)

    def export(self, request: ExportTraceServiceRequest) -> None:
        """Sends a message, which the Collector accepts."""
        export(self.grpc_port, request)

    def told(self, exporter: str) -> str | None:
        """Returns what the probe reads about an exporter, by its name without the type, from the Collector's log."""
        found = [told for line in self.log.read_text().splitlines() if (told := told_by(line))]
        return {name.partition("/")[2]: error for name, error in found}.get(exporter)

    def counters(self) -> str:
        """Returns the page of the Collector's counters."""
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False).text

    def counted(self, counter: str) -> float:
        """Returns a counter, summed over its labels."""
        return total(parse_metrics(self.counters(), {counter}), counter)

    def end(self, how: signal.Signals) -> None:
        """Ends the Collector by a signal."""
        self.process.send_signal(how)
        self.process.wait(30)


NGINX_EXPORTS = Exports(512, 25_600)
UPSTREAM_EXPORTS = Exports(512, 25_600, upstream_spans=True)


@contextlib.contextmanager
def running(
    image: str,
    folder: Path,
    exports: Exports = NGINX_EXPORTS,
    /,
    *,
    backend: str | None = None,
    run_by: str | None = None,
    gate: str = "",
    level: str | None = None,
    **configured: Any,
) -> Generator[Running]:
    """Runs one of the lab's Collectors with the document, the files and the variables of a configuration.

    Args:
        image: one of `COLLECTOR_BUILDS`, or with `run_by` any: the document is for its version.
        folder: a folder for its files. The queue's volume is in it, and is kept for the next Collector.
        exports: what NGINX exports.
        backend: `host:port` of the stack's own Tempo; none if it has none.
        run_by: the image of the Collector that runs, if it is another one.
        gate: a feature that is turned on.
        level: which of its own counters it shows; the Collector's default if none.
        configured: the keys of `collector`.
    """
    settings = CollectorSettings.model_validate({"image": image} | configured)
    document = collector_document(settings, backend=backend, namespace="tracing", exports=exports)
    with run(document, settings, folder, run_by=run_by, gate=gate, level=level) as collector:
        yield collector


@contextlib.contextmanager
def run(
    document: Document,
    settings: CollectorSettings,
    folder: Path,
    *,
    run_by: str | None = None,
    gate: str = "",
    level: str | None = None,
    inside: Sequence[str] = (),
    listen: tuple[str, int] | None = None,
) -> Generator[Running]:
    """Runs a Collector with a document and the files of its settings.

    Args:
        document: the document.
        settings: the Collector's settings.
        folder: as of `running`, like the next three.
        run_by: the image of the Collector that runs.
        gate: a feature that is turned on.
        level: which of its own counters it shows.
        inside: the command that runs the Collector as its last arguments.
        listen: the address at which it takes OTLP over gRPC; a free one of 127.0.0.1 if none.
    """
    (reader,) = document["service"]["telemetry"]["metrics"]["readers"]
    if level:
        document["service"]["telemetry"]["metrics"]["level"] = level
    metrics_port = free_port()
    reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": metrics_port}
    ports = {port: free_port() for port in (OTLP_PORT, OTLP_HTTP_PORT, HEALTH_PORT)}
    host, port = listen or ("127.0.0.1", ports[OTLP_PORT])
    ports[OTLP_PORT] = port
    text = dump(document).replace(f"{ANYWHERE}:{OTLP_PORT}\n", f"{host}:{port}\n")
    for port, free in ports.items():
        text = text.replace(f"{ANYWHERE}:{port}\n", f"127.0.0.1:{free}\n")
    for old in (f"{SECRETS_FOLDER}/", f"{FOLDER}/"):
        text = text.replace(old, f"{folder}/")
    volume = folder / "volume"
    volume.mkdir(exist_ok=True)
    text = text.replace(QUEUE_FOLDER, str(volume))
    files = {"config.yaml": text} | certificate_files(settings.exporters) | secret_files(settings.exporters)
    for name, content in files.items():
        (folder / name).write_text(content)
    variables: dict[str, str] = {}
    if settings.proxy:
        url = proxy_url(settings.proxy)
        variables = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": not_proxied(settings)}
    build = COLLECTOR_BUILDS[run_by or settings.pulled_image]
    log = folder / "log"
    command = [*inside, build.folder / build.name, f"--config={folder}/config.yaml"]
    command += [f"--feature-gates={gate}"] if gate else []
    with started(command, log, f"http://127.0.0.1:{ports[HEALTH_PORT]}/", variables) as process:
        yield Running(process, settings, ports[OTLP_PORT], ports[OTLP_HTTP_PORT], metrics_port, log)
