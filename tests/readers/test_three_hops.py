"""Tests a trace of three hops on loopback: two NGINX and an application, with the real Collector and the real Tempo."""

import contextlib
import io
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from lab.build.targets import NGINX
from tests.module.nginx import Nginx
from tests.module.upstream import Application, proxying
from tests.otlp import free_port
from tests.readers.collectors import UPSTREAM_EXPORTS, running
from tests.readers.tempo import running_tempo
from tests.waiting import wait_for
from tools.probe.drawing import draw

pytestmark = pytest.mark.usefixtures("programs")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def _nginx(folder: Path) -> Nginx:
    folder.mkdir()
    return Nginx(NGINX.folder, folder, free_port())


def test_a_trace_of_three_hops_shows_each_way(image: str, tmp_path: Path) -> None:
    application = Application()
    front, back = _nginx(tmp_path / "front"), _nginx(tmp_path / "back")
    folder = tmp_path / "collector"
    folder.mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(application.stop)
        tempo = ends.enter_context(running_tempo(tmp_path / "tempo"))
        collector = ends.enter_context(running(image, folder, UPSTREAM_EXPORTS, backend=tempo.backend))
        for nginx, service, upstream in ((back, "shop", application.host), (front, "nginx", f"localhost:{back.port}")):
            routes = [{"path": "/", "upstream": upstream}]
            values = {"serviceName": service, "upstreamSpans": True, "routes": routes}
            ends.enter_context(proxying(nginx, values, receiver_port=collector.grpc_port))
        httpx.get(front.url(), headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, trust_env=False)
        spans = wait_for("4 spans", lambda: found if len(found := tempo.spans(TRACE)) >= 4 else None)
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
    assert "the slowest trace: 4 spans of nginx, shop," in drawn.getvalue()
    assert drawn.getvalue().index("GET localhost  CLIENT") < drawn.getvalue().index("shop  /  SERVER")
