"""Tests three hops on loopback: two NGINX and an application, with the real Collector, Tempo and Prometheus."""

import contextlib
import io
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from components.documents.tempo_metrics import receiver
from lab.build.targets import NGINX
from tests.module.nginx import Nginx
from tests.module.upstream import Application, proxying
from tests.otlp import free_port
from tests.readers.collectors import UPSTREAM_EXPORTS, running, version_of
from tests.readers.prometheus import RunningPrometheus, running_prometheus
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS
from tools.probe.drawing import draw

CURRENT, *OLDER = LAB_COLLECTORS
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
COUNT = 40
"""Requests that begin their traces, beside the one that continues `TRACE`."""


@dataclass
class Hops:
    """Holds what has the spans of the requests, and what has their metrics."""

    tempo: RunningTempo
    prometheus: RunningPrometheus


def _nginx(folder: Path) -> Nginx:
    folder.mkdir()
    return Nginx(NGINX.folder, folder, free_port())


@pytest.fixture(scope="module")
def hops(image: str, programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Hops]:
    """Sends requests through two NGINX to an application that makes no spans."""
    folder, application = tmp_path_factory.mktemp("hops"), Application()
    front, back = _nginx(folder / "front"), _nginx(folder / "back")
    for name in ("collector", "prometheus"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(application.stop)
        prometheus = ends.enter_context(running_prometheus(folder / "prometheus"))
        tempo = ends.enter_context(running_tempo(folder / "tempo", [receiver(prometheus.url)]))
        collector = ends.enter_context(running(image, folder / "collector", UPSTREAM_EXPORTS, backend=tempo.backend))
        for nginx, service, upstream in ((back, "shop", application.host), (front, "nginx", f"localhost:{back.port}")):
            routes = [{"path": "/", "upstream": upstream}]
            values = {"serviceName": service, "upstreamSpans": True, "routes": routes}
            ends.enter_context(proxying(nginx, values, receiver_port=collector.grpc_port))
        with httpx.Client(trust_env=False) as client:
            client.get(front.url(), headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            for _ in range(COUNT):
                assert client.get(front.url()).status_code == 200
        yield Hops(tempo, prometheus)


def test_a_trace_of_three_hops_shows_each_way(hops: Hops) -> None:
    spans = wait_for("4 spans", lambda: found if len(found := hops.tempo.spans(TRACE)) >= 4 else None)
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


# Beside the trace, which is the same with each Collector, the others find nothing of another kind.
@pytest.mark.parametrize(
    "image",
    [CURRENT, *(pytest.param(image, marks=pytest.mark.deep) for image in OLDER)],
    ids=version_of,
    indirect=True,
    scope="module",
)
def test_the_service_graph_has_each_request_on_each_edge(hops: Hops) -> None:
    def edges() -> dict[tuple[str, ...], float]:
        return hops.prometheus.values("sum by (client, server) (traces_service_graph_request_total)")

    # `user` stands before a trace's first span alone. The application has no spans: its address names it.
    expected = {("user", "nginx"): COUNT, ("nginx", "shop"): COUNT + 1, ("shop", "127.0.0.1"): COUNT + 1}
    # Tempo writes each 15 s.
    wait_for(f"the edges; there are {edges()}", lambda: edges() == expected, 60)
    failed = hops.prometheus.values("sum(traces_service_graph_request_failed_total)")
    assert set(failed.values()) <= {0}
