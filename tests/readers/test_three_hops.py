"""Tests a trace of three hops on loopback: two NGINX and an application, with the real Collector and the real Tempo."""

import contextlib
import io
import subprocess
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from rich.console import Console

from components.documents import dump
from components.documents.tempo import DATA, HTTP_PORT, OTLP_PORT, tempo_document
from lab.build.targets import NGINX, TEMPO
from settings import TempoSettings
from tests.module.nginx import Nginx
from tests.module.upstream import Application, proxying
from tests.otlp import free_port
from tests.readers.collectors import running
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_TEMPO
from tools.probe.report import draw
from tools.probe.result import Span
from tools.probe.trace import spans_of

pytestmark = pytest.mark.usefixtures("programs")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextlib.contextmanager
def _tempo(folder: Path, otlp_port: int, http_port: int) -> Generator[None]:
    folder.mkdir()
    document = tempo_document(TempoSettings.model_validate({"image": LAB_TEMPO}))
    document["server"] |= {"http_listen_port": http_port, "grpc_listen_port": free_port()}
    text = dump(document).replace(f"0.0.0.0:{OTLP_PORT}", f"127.0.0.1:{otlp_port}").replace(DATA, str(folder))
    (folder / "tempo.yaml").write_text(text.replace(f":{HTTP_PORT}", f":{http_port}"))
    command = [TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for("Tempo", lambda: _status(f"http://127.0.0.1:{http_port}/ready") == 200, seconds=30)
        yield
    finally:
        process.kill()
        process.wait()


def _status(url: str) -> int | None:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, trust_env=False).status_code
    return None


def _nginx(folder: Path) -> Nginx:
    folder.mkdir()
    return Nginx(NGINX.folder, folder, free_port())


def _spans(http_port: int, count: int) -> list[Span]:
    url, headers = f"http://127.0.0.1:{http_port}/api/traces/{TRACE}", {"Accept": "application/protobuf"}

    def found() -> list[Span]:
        answer = httpx.get(url, headers=headers, trust_env=False)
        spans = spans_of(TracesData.FromString(answer.content)) if answer.status_code == 200 else []
        return spans if len(spans) >= count else []

    return wait_for(f"{count} spans", found)


def test_a_trace_of_three_hops_shows_each_way(image: str, tmp_path: Path) -> None:
    application, otlp_port, http_port = Application(), free_port(), free_port()
    front, back = _nginx(tmp_path / "front"), _nginx(tmp_path / "back")
    folder = tmp_path / "collector"
    folder.mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(application.stop)
        ends.enter_context(_tempo(tmp_path / "tempo", otlp_port, http_port))
        backend = f"127.0.0.1:{otlp_port}"
        collector = ends.enter_context(running(image, folder, backend=backend, makes_pairs=True))
        for nginx, service, upstream in ((back, "shop", application.host), (front, "nginx", f"localhost:{back.port}")):
            routes = [{"path": "/", "upstream": upstream}]
            values = {"serviceName": service, "upstreamSpans": True, "routes": routes}
            ends.enter_context(proxying(nginx, values, receiver_port=collector.grpc_port))
        httpx.get(front.url(), headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, trust_env=False)
        spans = _spans(http_port, 4)
    by_parent = {span.parent_span_id: span for span in spans}
    way, parent = list[tuple[str, str]](), PARENT
    while parent in by_parent:
        span = by_parent[parent]
        way.append((span.service, span.kind))
        parent = span.span_id
    # An edge of Tempo's service graph is a CLIENT span whose child is a SERVER span of another service.
    assert way == [("nginx", "SERVER"), ("nginx", "CLIENT"), ("shop", "SERVER"), ("shop", "CLIENT")]
    assert len(spans) == 4
    drawn = io.StringIO()
    Console(file=drawn, width=160).print(draw(spans))
    assert "one trace: 4 spans of nginx, shop" in drawn.getvalue()
    assert drawn.getvalue().index("GET localhost  CLIENT") < drawn.getvalue().index("shop  /  SERVER")
