"""Tests the metrics of spans on loopback: the lab's Tempo and Prometheus, known traffic, known numbers."""

import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.documents.tempo_metrics import receiver
from lab.paths import REPOSITORY
from tests.readers.tempos import (
    CLIENT,
    SERVER,
    RunningPrometheus,
    RunningTempo,
    Spans,
    ask,
    attribute,
    export,
    running_prometheus,
    running_tempo,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

CALLS = "traces_spanmetrics_calls_total"
REQUESTS = "traces_service_graph_request_total"
TWO_HOURS = 7200
OF_NGINX = 'service="nginx", span_kind="SPAN_KIND_SERVER"'


@dataclass
class Measured:
    """Holds what has taken the known traffic, and the traffic's traces."""

    tempo: RunningTempo
    prometheus: RunningPrometheus
    ids: set[str]


@pytest.fixture(scope="module")
def measured(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Measured]:
    """Runs a Tempo that writes to a Prometheus, and sends both the known traffic."""
    with (
        running_prometheus(
            tmp_path_factory.mktemp("prometheus"), persistence={"size": "1Gi"}, scrapeInterval="1s"
        ) as prometheus,
        running_tempo(tmp_path_factory.mktemp("tempo"), [receiver(prometheus.url)]) as tempo,
    ):
        ids = set(tempo.send(Spans(120, route="/shop/", failed=6)))
        tempo.send(Spans(40, route="/slow/", milliseconds=900))
        # A CLIENT span is a part of a request that its SERVER span counts already.
        tempo.send(Spans(50, route="/shop/", kind=CLIENT))
        hops(tempo, 30)
        tempo.send(Spans(70, route="/late/", age=TWO_HOURS))
        yield Measured(tempo, prometheus, ids)


def hops(tempo: RunningTempo, count: int) -> None:
    """Sends traces of a request that NGINX proxies to an application that sends spans, or to one that does not."""
    request = ExportTraceServiceRequest()
    by_service: dict[str, Any] = {}
    for service in ("edge", "shop"):
        resource = request.resource_spans.add()
        attribute(resource.resource, "service.name", service)
        by_service[service] = resource.scope_spans.add()
    now = time.time_ns()
    for number in range(2 * count):
        trace_id, ids = secrets.token_bytes(16), [secrets.token_bytes(8) for _ in range(3)]
        spans = [("edge", SERVER, b"", ids[0]), ("edge", CLIENT, ids[0], ids[1])]
        # Every second one has no spans of its own.
        spans += [("shop", SERVER, ids[1], ids[2])] if number % 2 else []
        for service, kind, parent, own in spans:
            span: Any = by_service[service].spans.add()
            span.trace_id, span.span_id, span.parent_span_id, span.kind = trace_id, own, parent, kind
            span.name, span.start_time_unix_nano, span.end_time_unix_nano = "hop", now - 1_000_000, now
            if kind == CLIENT and not number % 2:
                attribute(span, "server.address", "db.internal")
    export(tempo.otlp_port, request)


def test_traceql_counts_requests_by_route(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server } | count_over_time() by (span.http.route)'
    expected = {"/shop/": 120, "/slow/": 40}
    wait_for("the counts", lambda: measured.tempo.series(query) == expected)


def test_traceql_counts_errors(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server && status = error } | count_over_time()'
    wait_for("the errors", lambda: list(measured.tempo.series(query).values()) == [6])


def test_traceql_tells_durations(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server } | quantile_over_time(duration, .5, .9)'

    def told() -> bool:
        half, most = (measured.tempo.series(query, fold=max).get(share, 0) for share in ("0.5", "0.9"))
        # Of 50 ms and 900 ms. Tempo estimates them from buckets, each twice as wide as the one before it.
        return 0.025 < half < 0.1 and 0.3 < most < 1.2

    wait_for("the durations", told)


def test_traceql_keeps_spans_of_every_kind(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = client } | count_over_time()'
    wait_for("the spans", lambda: list(measured.tempo.series(query).values()) == [50])


def test_prometheus_has_the_same_numbers(measured: Measured) -> None:
    def numbers() -> dict[str, float]:
        return measured.prometheus.values(f"sum by (http_route) ({CALLS}{{{OF_NGINX}}})", "http_route")

    # What came late counts when it comes: no request is missing.
    expected = {"/shop/": 120, "/slow/": 40, "/late/": 70}
    wait_for(f"the numbers; there are {numbers()}", lambda: numbers() == expected)
    errors = f'{CALLS}{{{OF_NGINX}, status_code="STATUS_CODE_ERROR"}}'
    assert measured.prometheus.values(errors, "http_route") == {"/shop/": 6}
    slow = f'sum(traces_spanmetrics_latency_bucket{{{OF_NGINX}, http_route="/slow/", le="0.512"}})'
    assert measured.prometheus.values(slow) == {"": 0}


def test_prometheus_has_the_edges_of_the_service_graph(measured: Measured) -> None:
    def edges() -> dict[tuple[str, str], float]:
        clients = measured.prometheus.values(f"sum by (client) ({REQUESTS})", "client")
        return {
            (client, server): count
            for client in clients
            for server, count in measured.prometheus.values(f'{REQUESTS}{{client="{client}"}}', "server").items()
        }

    expected = {("user", "nginx"): 230, ("user", "edge"): 60, ("edge", "shop"): 30, ("edge", "db.internal"): 30}
    wait_for(f"the edges; there are {edges()}", lambda: edges() == expected, 30)


def test_an_exemplar_leads_to_a_trace(measured: Measured) -> None:
    series = 'traces_spanmetrics_latency_bucket{http_route="/shop/", span_kind="SPAN_KIND_SERVER"}'
    # Tempo writes IDs without leading zeros.
    known = {trace_id.lstrip("0") for trace_id in measured.ids}
    found = wait_for("an exemplar", lambda: measured.prometheus.exemplars(series))
    assert found <= known


def test_prometheus_evaluates_the_project_s_alerts(measured: Measured) -> None:
    written = yaml.safe_load((REPOSITORY / "monitoring" / "alerts.yaml").read_text())["groups"]

    def healthy() -> list[str]:
        groups = ask(f"{measured.prometheus.url}/api/v1/rules")["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"]

    names = [rule["alert"] for group in written for rule in group["rules"]]
    wait_for("the alerts", lambda: healthy() == names)


def test_spans_older_than_a_day_are_counted_as_left_out(measured: Measured) -> None:
    measured.tempo.send(Spans(9, route="/ancient/", age=25 * 3600))
    counter = 'tempo_metrics_generator_spans_discarded_total{reason="outside_metrics_ingestion_slack"'
    wait_for("the counter", lambda: measured.tempo.counted(counter).endswith(" 9"))


def test_traceql_finds_late_spans_at_their_own_time(tmp_path: Path) -> None:
    # By default they wait for the next poll of the blocks, five minutes.
    flush = {"blocklistPoll": "1s", "completeBlockTimeout": "15m"}
    query = "{ kind = server } | count_over_time() by (span.http.route)"
    with running_tempo(tmp_path, flush=flush) as tempo:
        tempo.send(Spans(25, route="/late/", age=600))
        wait_for("spans of ten minutes ago", lambda: tempo.series(query) == {"/late/": 25})


def test_without_traceql_metrics_tempo_keeps_spans_once(tmp_path: Path) -> None:
    with running_tempo(tmp_path, traceqlMetrics=False) as tempo:
        tempo.send(Spans(5))
        assert tempo.counted("tempo_metrics_generator_spans_received_total") == ""
    assert not (tmp_path / "generator").exists()
