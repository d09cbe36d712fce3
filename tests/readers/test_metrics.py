"""Tests the metrics of spans on loopback: the lab's Tempo and Prometheus, known traffic, known numbers."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from components.documents.tempo_metrics import receiver
from lab.paths import REPOSITORY
from tests.readers.loopback import ask
from tests.readers.prometheus import RunningPrometheus, running_prometheus
from tests.readers.spans import CLIENT, Sent, new_id, requests
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.probe.metrics import Series, parse_metrics

pytestmark = pytest.mark.usefixtures("programs")

CALLS = "traces_spanmetrics_calls_total"
REQUESTS = "traces_service_graph_request_total"
TWO_HOURS = 7200
OF_NGINX = 'service="nginx", span_kind="SPAN_KIND_SERVER"'


@dataclass
class Measured:
    """Holds what has taken the known traffic."""

    tempo: RunningTempo
    prometheus: RunningPrometheus


@pytest.fixture(scope="module")
def measured(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Measured]:
    """Runs a Tempo that writes to a Prometheus, and sends both the known traffic."""
    with (
        running_prometheus(
            tmp_path_factory.mktemp("prometheus"), persistence={"size": "1Gi"}, scrapeInterval="1s"
        ) as prometheus,
        running_tempo(tmp_path_factory.mktemp("tempo"), [receiver(prometheus.url)]) as tempo,
    ):
        tempo.send(requests(120, route="/shop/", failed=6))
        tempo.send(requests(40, route="/slow/", seconds=0.9))
        # A CLIENT span is a part of a request that its SERVER span counts already.
        tempo.send(requests(50, route="/shop/", kind=CLIENT))
        tempo.send(hops(30))
        tempo.send(requests(70, route="/late/", age=TWO_HOURS))
        yield Measured(tempo, prometheus)


def hops(count: int) -> list[Sent]:
    """Makes traces of a request that NGINX proxies to an application that sends spans, or to one that does not."""
    made: list[Sent] = []
    for number in range(2 * count):
        trace_id, start = new_id(), time.time_ns() - 1_000_000
        edge = Sent("edge", "hop", trace_id, start, 0.001)
        call = Sent("edge", "hop", trace_id, start, 0.001, CLIENT, edge)
        made += [edge, call]
        if number % 2:
            made.append(Sent("shop", "hop", trace_id, start, 0.001, parent=call))
        else:
            call.attributes = {"server.address": "db.internal"}
    return made


def totals(tempo: RunningTempo, query: str) -> dict[str, float]:
    """Returns what each series of a TraceQL metrics query has counted."""
    return {labels: sum(values) for labels, values in tempo.series(query).items()}


def test_traceql_counts_requests_by_route(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server } | count_over_time() by (span.http.route)'
    expected = {"/shop/": 120, "/slow/": 40}
    wait_for("the counts", lambda: totals(measured.tempo, query) == expected)


def test_traceql_counts_errors(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server && status = error } | count_over_time()'
    wait_for("the errors", lambda: list(totals(measured.tempo, query).values()) == [6])


def test_traceql_tells_durations(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = server } | quantile_over_time(duration, .5, .9)'

    def told() -> bool:
        found = measured.tempo.series(query)
        half, most = (max(found.get(share, [0])) for share in ("0.5", "0.9"))
        # Of 50 ms and 900 ms. Tempo estimates them from buckets, each twice as wide as the one before it.
        return 0.025 < half < 0.1 and 0.3 < most < 1.2

    wait_for("the durations", told)


def test_traceql_keeps_spans_of_every_kind(measured: Measured) -> None:
    query = '{ resource.service.name = "nginx" && kind = client } | count_over_time()'
    wait_for("the spans", lambda: list(totals(measured.tempo, query).values()) == [50])


def test_prometheus_has_the_same_numbers(measured: Measured) -> None:
    def numbers(more: str = "") -> dict[tuple[str, ...], float]:
        return measured.prometheus.values(f"sum by (http_route) ({CALLS}{{{OF_NGINX}{more}}})")

    # What came late counts when it comes: no request is missing.
    expected = {("/shop/",): 120, ("/slow/",): 40, ("/late/",): 70}
    wait_for(f"the numbers; there are {numbers()}", lambda: numbers() == expected)
    assert numbers(', status_code="STATUS_CODE_ERROR"') == {("/shop/",): 6}
    slow = f'sum(traces_spanmetrics_latency_bucket{{{OF_NGINX}, http_route="/slow/", le="0.512"}})'
    assert measured.prometheus.values(slow) == {(): 0}


def test_prometheus_has_the_edges_of_the_service_graph(measured: Measured) -> None:
    def edges() -> dict[tuple[str, ...], float]:
        return measured.prometheus.values(f"sum by (client, server) ({REQUESTS})")

    expected = {("user", "nginx"): 230, ("user", "edge"): 60, ("edge", "shop"): 30, ("edge", "db.internal"): 30}
    wait_for(f"the edges; there are {edges()}", lambda: edges() == expected, 30)


def test_an_exemplar_leads_to_a_trace(measured: Measured) -> None:
    series = 'traces_spanmetrics_latency_bucket{http_route="/exemplar/", span_kind="SPAN_KIND_SERVER"}'
    sent = set[str]()

    def exemplars() -> list[dict[str, str]]:
        # Tempo writes an exemplar once, and Prometheus drops one that arrives before its series.
        (request,) = requests(1, route="/exemplar/")
        measured.tempo.send([request])
        # Tempo writes IDs without leading zeros.
        sent.add(request.trace_id.lstrip("0"))
        return measured.prometheus.exemplars(series)

    found = wait_for("an exemplar", exemplars, 60)
    assert {trace_id for labels in found for trace_id in labels.values()} <= sent


def test_prometheus_evaluates_the_project_s_alerts(measured: Measured) -> None:
    written = yaml.safe_load((REPOSITORY / "monitoring" / "alerts.yaml").read_text())["groups"]

    def healthy() -> list[str]:
        groups = ask(f"{measured.prometheus.url}/api/v1/rules")["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"]

    names = [rule["alert"] for group in written for rule in group["rules"]]
    wait_for("the alerts", lambda: healthy() == names)


def test_spans_older_than_a_day_are_counted_as_left_out(measured: Measured) -> None:
    measured.tempo.send(requests(9, route="/ancient/", age=25 * 3600))
    counter = "tempo_metrics_generator_spans_discarded_total"
    late = Series(counter, frozenset({("reason", "outside_metrics_ingestion_slack")}))
    wait_for("the counter", lambda: parse_metrics(measured.tempo.counters(), {counter}).get(late) == 9)


def test_traceql_finds_late_spans_at_their_own_time(tmp_path: Path) -> None:
    # By default they wait for the next poll of the blocks, five minutes.
    flush = {"blocklistPoll": "1s", "completeBlockTimeout": "15m"}
    query = "{ kind = server } | count_over_time() by (span.http.route)"
    with running_tempo(tmp_path, flush=flush) as tempo:
        tempo.send(requests(25, route="/late/", age=600))
        wait_for("spans of ten minutes ago", lambda: totals(tempo, query) == {"/late/": 25})


def test_without_traceql_metrics_tempo_keeps_spans_once(tmp_path: Path) -> None:
    with running_tempo(tmp_path, traceqlMetrics=False) as tempo:
        tempo.send(requests(5))
        assert "tempo_metrics_generator_spans_received_total" not in tempo.counters()
    assert not (tmp_path / "generator").exists()
