"""Runs Grafana's data sources on loopback: the lab's Tempo and Prometheus. Asks them as Grafana does."""

import contextlib
import re
import subprocess
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from components.documents import dump
from components.documents.tempo import DATA, OTLP_PORT, tempo_document
from lab.build.targets import PROMETHEUS, TEMPO
from settings.tempo import TempoSettings
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO


@dataclass(frozen=True)
class Source:
    """A data source that runs."""

    port: int
    otlp_port: int = 0

    def get(self, path: str, **parameters: str | float) -> Any:
        """Returns an answer of its API."""
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = httpx.get(url, params=parameters, trust_env=False, timeout=30)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()

    def counted(self, counter: str) -> float:
        """Returns one of its own counters, summed over its labels; 0 as long as there is none."""
        page = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        return sum(map(float, re.findall(rf"^{counter}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)))


def send(port: int, spans: ExportTraceServiceRequest) -> None:
    """Sends spans by OTLP over gRPC to a port of loopback, where they are accepted."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = TraceServiceStub(channel)
        stub.Export(spans, timeout=10, wait_for_ready=True)


def set_attributes(holder: Any, attributes: Mapping[str, str | int | float]) -> None:
    """Sets attributes of a span or a resource."""
    for key, value in attributes.items():
        pair = holder.attributes.add()
        pair.key = key
        if isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value


def tempo_settings(prometheus: Source | None) -> dict[str, Any]:
    """Returns a document by which Tempo answers TraceQL metrics, and sends metrics of spans to a Prometheus."""
    document = tempo_document(TempoSettings.model_validate({"image": LAB_TEMPO}))
    generator: dict[str, Any] = {
        # Every span counts, also those of kind CLIENT.
        "processor": {"local_blocks": {"filter_server_spans": False, "flush_to_storage": True}},
        "storage": {"path": f"{DATA}/generator/wal"},
        "traces_storage": {"path": f"{DATA}/generator/traces"},
    }
    processors = ["local-blocks"]
    if prometheus:
        url = f"http://127.0.0.1:{prometheus.port}/api/v1/write"
        generator["storage"]["remote_write"] = [{"url": url, "send_exemplars": True}]
        # By default it writes each 15 s, and waits 10 s for the second span of an edge.
        generator["registry"] = {"collection_interval": "1s"}
        generator["processor"]["service_graphs"] = {"wait": "1s"}
        processors += ["span-metrics", "service-graphs"]
    document["metrics_generator"] = generator
    document["overrides"]["defaults"]["metrics_generator"] = {"processors": processors}
    return document


@contextlib.contextmanager
def running_tempo(folder: Path, prometheus: Source | None = None) -> Generator[Source]:
    """Runs the lab's Tempo.

    Args:
        folder: a folder for its files.
        prometheus: where it sends the metrics of spans; none to make none.
    """
    document = tempo_settings(prometheus)
    tempo = Source(free_port(), free_port())
    document["server"] |= {"http_listen_port": tempo.port, "grpc_listen_port": free_port()}
    text = dump(document).replace(DATA, str(folder / "data"))
    (folder / "tempo.yaml").write_text(text.replace(f"0.0.0.0:{OTLP_PORT}", f"127.0.0.1:{tempo.otlp_port}"))
    command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
    with _started(command, folder / "log", f"http://127.0.0.1:{tempo.port}/ready"):
        yield tempo


@contextlib.contextmanager
def running_prometheus(
    folder: Path, prometheus: Source, pods: Mapping[str, int], rules: Sequence[Any] = ()
) -> Generator[None]:
    """Runs the lab's Prometheus, which takes metrics of spans and reads counters every three seconds.

    Args:
        folder: a folder for its files.
        prometheus: where it listens.
        pods: ports of loopback with counters, by the name of the pod whose labels they get.
        rules: its rules.
    """
    labels = {"namespace": "tracing", "app_kubernetes_io_part_of": "nginx-tracing"}
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {**labels, "pod": pod}} for pod, port in pods.items()]
    document = {
        # A reading that takes longer than the interval counts as failed: a second is too short on a busy machine.
        "global": {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"},
        "scrape_configs": [{"job_name": "pods", "honor_labels": True, "static_configs": targets}],
        "rule_files": ["rules.yaml"],
    }
    groups = [{"name": "test", "rules": list(rules)}] if rules else []
    for name, content in {"prometheus.yaml": document, "rules.yaml": {"groups": groups}}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    command = [
        PROMETHEUS.folder / "prometheus",
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{prometheus.port}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
    ]
    with _started(command, folder / "log", f"http://127.0.0.1:{prometheus.port}/-/ready"):
        yield


@contextlib.contextmanager
def _started(command: Sequence[Path | str], log: Path, ready: str) -> Generator[None]:
    with log.open("w") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"{command[0]}; its log is {log}", lambda: process.poll() is not None or _answers(ready), 60)
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
