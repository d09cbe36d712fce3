"""Runs the lab's Tempo on loopback, with the program's document."""

import contextlib
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from components.documents import dump
from components.documents.tempo import DATA, HTTP_PORT, OTLP_PORT, tempo_document
from lab.build.targets import TEMPO
from settings import TempoSettings
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO
from tools.probe.result import Span
from tools.probe.trace import spans_of


@dataclass
class RunningTempo:
    """Holds a Tempo that runs."""

    otlp_port: int
    http_port: int

    @property
    def backend(self) -> str:
        """Returns the address that takes spans."""
        return f"127.0.0.1:{self.otlp_port}"

    def spans(self, trace_id: str) -> list[Span]:
        """Returns the spans of a trace; none while Tempo does not know it."""
        url = f"http://127.0.0.1:{self.http_port}/api/traces/{trace_id}"
        answer = httpx.get(url, headers={"Accept": "application/protobuf"}, timeout=60, trust_env=False)
        return spans_of(TracesData.FromString(answer.content)) if answer.status_code == 200 else []


@contextlib.contextmanager
def running_tempo(folder: Path) -> Generator[RunningTempo]:
    """Runs the lab's Tempo, with its blocks in a folder."""
    made = RunningTempo(free_port(), free_port())
    document = tempo_document(TempoSettings.model_validate({"image": LAB_TEMPO}))
    document["server"] |= {"http_listen_port": made.http_port, "grpc_listen_port": free_port()}
    (folder / "blocks").mkdir(parents=True)
    text = dump(document).replace(f"0.0.0.0:{OTLP_PORT}", made.backend).replace(DATA, str(folder))
    (folder / "tempo.yaml").write_text(text.replace(f":{HTTP_PORT}", f":{made.http_port}"))
    log = folder / "log"
    command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{made.http_port}/ready", trust_env=False).status_code == 200
        return False

    try:
        wait_for("Tempo", is_ready, seconds=30)
        yield made
    finally:
        process.kill()
        process.wait()
