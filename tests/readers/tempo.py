"""Runs the lab's Tempo on loopback, with the document of the program."""

import contextlib
import dataclasses
import json
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from components.documents import Document
from components.documents.tempo import DATA, tempo_document
from components.documents.tempo_metrics import CONFIG_FOLDER, SECRETS_FOLDER
from lab.build.targets import TEMPO
from settings import TempoSettings
from tests.otlp import free_port
from tests.readers.loopback import ask
from tests.readers.spans import Sent, export, message
from tools.measure.configurations.documents import LAB_TEMPO
from tools.probe.metrics import parse_metrics, total
from tools.probe.result import Span
from tools.probe.trace import spans_of
from tools.running import started


@dataclass(frozen=True)
class RunningTempo:
    """Holds a Tempo that runs."""

    http_port: int
    otlp_port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Returns the address of its API."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def backend(self) -> str:
        """Returns the address that takes spans."""
        return f"127.0.0.1:{self.otlp_port}"

    def send(self, spans: Iterable[Sent]) -> None:
        """Sends spans in one message, which Tempo accepts."""
        export(self.otlp_port, message(spans))

    def spans(self, trace_id: str) -> list[Span]:
        """Returns the spans of a trace; none while Tempo does not know it."""
        url, headers = f"{self.url}/api/traces/{trace_id}", {"Accept": "application/protobuf"}
        answer = httpx.get(url, headers=headers, timeout=60, trust_env=False)
        return spans_of(TracesData.FromString(answer.content)) if answer.status_code == 200 else []

    def series(self, query: str) -> dict[str, list[float]]:
        """Returns the values of a TraceQL metrics query in each of the last twenty minutes, by each series' labels.

        The labels are as Grafana shows them in a legend.
        """
        end = int(time.time()) + 60
        found = ask(f"{self.url}/api/metrics/query_range", q=query, start=end - 1200, end=end, step="1m")
        return {
            ", ".join(str(next(iter(label["value"].values()))) for label in one.get("labels", [])): [
                float(sample.get("value", 0)) for sample in one.get("samples", [])
            ]
            for one in found.get("series", [])
        }

    def end(self) -> None:
        """Ends it as the kubelet does, and waits. One that has answered a query may take its whole grace period."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=60)

    def counters(self) -> str:
        """Returns the page of its own counters."""
        return httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False).text

    def counted(self, counter: str) -> float:
        """Returns a counter, summed over its labels."""
        return total(parse_metrics(self.counters(), {counter}), counter)


@contextlib.contextmanager
def running_tempo(
    folder: Path,
    receivers: Sequence[Document] = (),
    files: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    edit: Callable[[Document], None] = lambda _: None,
    **configured: Any,
) -> Generator[RunningTempo]:
    """Runs the lab's Tempo with the document of a configuration. It hurries where it waits for the clock.

    Args:
        folder: a folder for its files.
        receivers: where it writes metrics.
        files: the files of secrets, and of authorities.
        variables: its environment variables.
        edit: changes the document where a test cannot wait for what is in it.
        configured: the keys of `tempo`.
    """
    settings = TempoSettings.model_validate({"image": LAB_TEMPO} | configured)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tempo_document(settings, receivers))
    for old in (DATA, SECRETS_FOLDER, CONFIG_FOLDER):
        text = text.replace(f'"{old}/', f'"{folder}/')
    document = json.loads(text)
    tempo = RunningTempo(free_port(), free_port())
    document["server"] |= {"http_listen_port": tempo.http_port, "grpc_listen_port": free_port()}
    document["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = tempo.backend
    if "metrics_generator" in document:
        # By default it writes each 15 s, and waits 10 s for the second span of an edge.
        document["metrics_generator"]["registry"] = {"collection_interval": "1s"}
        document["metrics_generator"]["processor"].setdefault("service_graphs", {})["wait"] = "1s"
    edit(document)
    for name, content in ({"tempo.yaml": yaml.safe_dump(document)} | dict(files or {})).items():
        (folder / name).write_text(content)
    command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
    with started(command, folder / "log", f"{tempo.url}/ready", variables) as process:
        yield dataclasses.replace(tempo, process=process)
