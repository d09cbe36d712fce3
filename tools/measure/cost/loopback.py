"""Runs the Collector and Tempo on loopback with the program's documents, and reads what they use from the kernel."""

import contextlib
import json
import subprocess
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.documents import dump
from components.documents.collector import (
    ANYWHERE,
    HEALTH_PORT,
    METRICS_PORT,
    OTLP_PORT,
    QUEUE_FOLDER,
    collector_document,
)
from components.documents.tempo import DATA, tempo_document
from lab.build.targets import CURRENT_COLLECTOR, TEMPO
from settings import CollectorSettings, TempoSettings
from settings.limits import Exports
from tools.measure.configurations.documents import LAB_TEMPO
from tools.measure.cost.processes import usage_of
from tools.running import free_port, started

BLOCK_SECONDS = 60
"""Time after which this Tempo closes a block: the metrics generator's by default, so that a block is as large as there.

The ingester's are closed after 30 min by default, or at 500 MB.
"""


@dataclass(frozen=True)
class Process:
    """A program that runs, and the port that takes spans."""

    running: subprocess.Popen[bytes]
    otlp_port: int
    http_port: int

    @property
    def cpu_seconds(self) -> float:
        """CPU time since its start."""
        return usage_of(Path(f"/proc/{self.running.pid}")).cpu_seconds

    @property
    def peak_bytes(self) -> int:
        """The highest resident memory since its start."""
        return usage_of(Path(f"/proc/{self.running.pid}")).peak_bytes


@contextlib.contextmanager
def collector(folder: Path, backend: int, settings: CollectorSettings, exports: Exports) -> Generator[Process]:
    """Runs the Collector with the program's document and the pod's settings of Go.

    Args:
        folder: a folder for its files.
        backend: the port on loopback that takes its spans.
        settings: what can be configured.
        exports: what it gets.
    """
    document = collector_document(settings, backend=f"127.0.0.1:{backend}", namespace="bench", exports=exports)
    ports = {port: free_port() for port in (OTLP_PORT, HEALTH_PORT, METRICS_PORT)}
    (reader,) = document["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": ports[METRICS_PORT]}
    (folder / "queue").mkdir(parents=True, exist_ok=True)
    text = dump(document).replace(QUEUE_FOLDER, str(folder / "queue"))
    for port, free in ports.items():
        text = text.replace(f"{ANYWHERE}:{port}\n", f"127.0.0.1:{free}\n")
    (folder / "config.yaml").write_text(text)
    command = [str(CURRENT_COLLECTOR.folder / CURRENT_COLLECTOR.name), f"--config={folder}/config.yaml"]
    variables = {"GOGC": "200", "GOMAXPROCS": "1", "GOMEMLIMIT": "400MiB"}
    with started(command, folder / "log", f"http://127.0.0.1:{ports[HEALTH_PORT]}/", variables) as running:
        yield Process(running, ports[OTLP_PORT], ports[METRICS_PORT])


@contextlib.contextmanager
def tempo(folder: Path) -> Generator[Process]:
    """Runs the lab's Tempo with the program's document and the pod's limit of Go's memory; its blocks last a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = TempoSettings.model_validate({"image": LAB_TEMPO, "flush": {"maxBlockDuration": f"{BLOCK_SECONDS}s"}})
    document = json.loads(json.dumps(tempo_document(settings)).replace(f'"{DATA}/', f'"{folder}/'))
    http, otlp = free_port(), free_port()
    document["server"] |= {"http_listen_port": http, "grpc_listen_port": free_port()}
    document["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = f"127.0.0.1:{otlp}"
    (folder / "tempo.yaml").write_text(yaml.safe_dump(document))
    command = [str(TEMPO.folder / TEMPO.name), f"-config.file={folder}/tempo.yaml"]
    # 80 % of the limit, as the pod has it.
    variables = {"GOMEMLIMIT": "1600MiB"}
    with started(command, folder / "log", f"http://127.0.0.1:{http}/ready", variables) as running:
        yield Process(running, otlp, http)


def set_attributes(span: Any, attributes: Mapping[str, str | int]) -> None:
    """Gives an OTLP span its attributes."""
    for key, value in attributes.items():
        pair = span.attributes.add()
        pair.key = key
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
