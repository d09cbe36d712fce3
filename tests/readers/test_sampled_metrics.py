"""Tests on loopback that metrics of sampled spans are those of all requests: NGINX, Collector, Tempo, Prometheus."""

import random
import secrets
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.documents.tempo_metrics import receiver
from lab.build.targets import NGINX
from settings.limits import Exports
from tests.module.nginx import Nginx
from tests.module.upstream import proxying
from tests.otlp import free_port
from tests.readers.collectors import running
from tests.readers.prometheus import RunningPrometheus, running_prometheus
from tests.readers.spans import message, requests
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS

pytestmark = pytest.mark.usefixtures("programs")

COUNT = 3000
"""Requests. With random IDs the rate of one in ten would be off by over 5 % in a third of the runs: they are fixed."""

CURRENT = next(iter(LAB_COLLECTORS))
CALLS = 'sum(traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"})'


@dataclass
class Backends:
    """Holds what makes metrics of spans."""

    tempo: RunningTempo
    prometheus: RunningPrometheus

    def rates(self, route: str) -> tuple[float, float]:
        """Returns the requests of a route, as TraceQL and PromQL count them."""
        of_route = f'{{ kind = server && span.http.route = "{route}" }} | sum_over_time(span.sampling.weight)'
        by_traceql = sum(map(sum, self.tempo.series(of_route).values()))
        by_promql = self.prometheus.values(CALLS.replace("{", f'{{http_route="{route}", ')).get((), 0)
        return by_traceql, by_promql


@pytest.fixture(scope="module")
def backends(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Backends]:
    """Runs a Prometheus, and a Tempo that writes to it."""
    with (
        running_prometheus(tmp_path_factory.mktemp("prometheus")) as prometheus,
        running_tempo(tmp_path_factory.mktemp("tempo"), [receiver(prometheus.url)]) as tempo,
    ):
        yield Backends(tempo, prometheus)


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    """Returns an NGINX that does not run yet."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    return Nginx(NGINX.folder, folder, free_port())


def send(nginx: Nginx, path: str, count: int, seed: int | None = None) -> None:
    """Sends requests, with trace IDs that are the same each time if there is a seed."""
    ids = random.Random(seed)  # noqa: S311 - no secrets
    with httpx.Client(trust_env=False) as client:
        for _ in range(count):
            trace_id, span_id = f"{ids.getrandbits(128):032x}", secrets.token_hex(8)
            headers = {"traceparent": f"00-{trace_id}-{span_id}-01"} if seed is not None else {}
            assert client.get(nginx.url(path), headers=headers).status_code == 200


ROUTES: list[dict[str, Any]] = [
    {"path": "/tenth/", "return": {"status": 200, "body": "ok"}},
    {
        "path": "/all/",
        "return": {"status": 200, "body": "ok"},
        "sampling": {"ratio": 1, "parentBased": False},
        "spanAttributes": {"of.route": "yes"},
    },
]


def test_one_in_ten_shows_the_true_rate(backends: Backends, nginx: Nginx, tmp_path: Path) -> None:
    configured = {"sampling": {"ratio": 0.1, "parentBased": False}, "routes": ROUTES}
    sampled = Exports(512, 25_600, are_sampled=True)
    folder = tmp_path / "collector"
    folder.mkdir()
    with running(CURRENT, folder, sampled, backend=backends.tempo.backend) as collector:
        with proxying(nginx, configured, receiver_port=collector.grpc_port):
            send(nginx, "/tenth/", COUNT, seed=2)
            send(nginx, "/all/", 50)
        wait_for("the exact count", lambda: backends.rates("/all/") == (50, 50), 30)
        wait_for("the same by both", lambda: len(set(backends.rates("/tenth/"))) == 1)
    tenth, _ = backends.rates("/tenth/")
    assert tenth == pytest.approx(COUNT, rel=0.05)
    # Without the weight it would be a tenth.
    spans = backends.tempo.series('{ kind = server && span.http.route = "/tenth/" } | count_over_time()')
    assert sum(map(sum, spans.values())) * 10 == pytest.approx(tenth)


def test_a_request_that_follows_its_traceparent_and_one_of_an_application_stand_for_themselves(
    backends: Backends, nginx: Nginx, tmp_path: Path
) -> None:
    routes = [{"path": "/follows/", "return": {"status": 200, "body": "ok"}}]
    configured = {"sampling": {"ratio": 0.0001, "parentBased": True}, "routes": routes}
    sampled = Exports(512, 25_600, are_sampled=True)
    folder = tmp_path / "collector"
    folder.mkdir()
    with running(CURRENT, folder, sampled, backend=backends.tempo.backend) as collector:
        with proxying(nginx, configured, receiver_port=collector.grpc_port):
            send(nginx, "/follows/", 40, seed=2)
        # Of an application, whose spans say nothing: a sum of weights has them, too.
        collector.export(message(requests(30, service="shop", route="/application/")))
        wait_for("the count", lambda: backends.rates("/follows/") == (40, 40), 30)
        wait_for("the application's", lambda: backends.rates("/application/") == (30, 30), 30)


def test_what_the_collector_samples_shows_the_true_rate(backends: Backends, tmp_path: Path) -> None:
    with running(CURRENT, tmp_path, backend=backends.tempo.backend, sampling={"ratio": 0.5}) as collector:
        collector.export(message(requests(20_000, service="shop", route="/half/")))
        # Of 20 000 random IDs the share is off by 5 % once in 10^12 runs.
        expected = pytest.approx(20_000, rel=0.05)
        wait_for("the rate", lambda: (found := backends.rates("/half/"))[0] == found[1] == expected, 30)
