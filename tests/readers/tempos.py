"""Runs the lab's Tempo on loopback, with the program's document, and asks it as Grafana does."""

import contextlib
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from components.documents import dump
from components.documents.tempo import DATA, HTTP_PORT, OTLP_PORT, tempo_document
from lab.build.targets import TEMPO
from settings.tempo import TempoSettings
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO


@dataclass
class Running:
    """Holds a Tempo that runs."""

    process: subprocess.Popen[bytes]
    url: str
    otlp_port: int
    log: Path

    def send(self, spans: ExportTraceServiceRequest) -> None:
        """Sends spans, which Tempo accepts."""
        with grpc.insecure_channel(f"127.0.0.1:{self.otlp_port}") as channel:
            stub: Any = TraceServiceStub(channel)
            stub.Export(spans, timeout=10, wait_for_ready=True)

    def get(self, path: str, **parameters: str | float) -> Any:
        """Returns an answer of Tempo's API."""
        answer = httpx.get(f"{self.url}{path}", params=parameters, trust_env=False, timeout=30)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()


def document_of(remote_write: str | None = None) -> dict[str, Any]:
    """Returns the document of a Tempo that answers TraceQL metrics, and sends metrics of spans to a Prometheus."""
    document = tempo_document(TempoSettings.model_validate({"image": LAB_TEMPO}))
    generator: dict[str, Any] = {
        # Every span counts, also those of kind CLIENT.
        "processor": {"local_blocks": {"filter_server_spans": False, "flush_to_storage": True}},
        "storage": {"path": f"{DATA}/generator/wal"},
        "traces_storage": {"path": f"{DATA}/generator/traces"},
    }
    processors = ["local-blocks"]
    if remote_write:
        generator["storage"]["remote_write"] = [{"url": remote_write, "send_exemplars": True}]
        # By default 15s: a test waits for the first.
        generator["registry"] = {"collection_interval": "1s"}
        # An edge is written once both of its spans are there, or the time is over: `user` has none.
        generator["processor"]["service_graphs"] = {"wait": "1s"}
        processors += ["span-metrics", "service-graphs"]
    document["metrics_generator"] = generator
    document["overrides"]["defaults"]["metrics_generator"] = {"processors": processors}
    return document


@contextlib.contextmanager
def running(folder: Path, *, remote_write: str | None = None) -> Generator[Running]:
    """Runs the lab's Tempo.

    Args:
        folder: a folder for its files.
        remote_write: where it sends the metrics of spans; none to make none.
    """
    document = document_of(remote_write)
    http_port, inside_port, otlp_port = free_port(), free_port(), free_port()
    document["server"] |= {"http_listen_port": http_port, "grpc_listen_port": inside_port}
    text = dump(document).replace(DATA, str(folder / "data"))
    text = text.replace(f"0.0.0.0:{OTLP_PORT}", f"127.0.0.1:{otlp_port}")
    assert f": {HTTP_PORT}\n" not in text
    (folder / "tempo.yaml").write_text(text)
    log = folder / "log"
    with log.open("w") as output:
        command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{http_port}"
    try:
        wait_for(f"Tempo; its log is {log}", lambda: _is_ready(url), 60)
        yield Running(process, url, otlp_port, log)
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    return False
