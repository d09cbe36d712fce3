"""Runs every query of the dashboards of services and of the pipeline.

Prometheus' own engine evaluates each query on known series, which gives exact numbers; then the lab's Prometheus, with
the counters of the lab's Collectors and of its Tempo, and with the metrics that Tempo makes of known spans.
"""

import json
import re
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from components.documents.grafana import Source as Configured
from components.documents.grafana import Sources, dashboards, sources_document
from components.documents.tempo_metrics import receiver
from lab.build.targets import PROMTOOL
from lab.build.targets import TEMPO as TEMPO_BUILD
from tests.otlp import free_port
from tests.readers import collectors
from tests.readers.loopback import ask
from tests.readers.prometheus import RunningPrometheus, running_prometheus
from tests.readers.spans import CLIENT, Sent, message, new_id
from tests.readers.tempo import running_tempo
from tests.waiting import wait_for
from tools.measure.configurations.documents import COLLECTOR_BUILDS, LAB_COLLECTORS
from tools.probe import names

pytestmark = pytest.mark.usefixtures("programs")

SOURCES = Sources(
    "tracing", "http://tempo.tracing.svc:3100", prometheus=Configured("prometheus", "http://prometheus:9090")
)
BOARDS = {name: json.loads(text) for name, text in dashboards(SOURCES).items()}
Place = tuple[str, str, str]
"""Dashboard, panel, and the letter of the query."""


def queries() -> Iterator[tuple[Place, str]]:
    """Yields the PromQL queries of all panels."""
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if target["datasource"]["uid"] == "${prometheus}":
                    yield (name, panel["title"], target["refId"]), target["expr"]


def queries_of_a_span() -> Iterator[tuple[Place, str]]:
    """Yields the PromQL queries that a span of NGINX leads to from the data source, with its tags filled in."""
    tempo, _ = sources_document(SOURCES, is_default=True)["datasources"]
    to_metrics = tempo["jsonData"]["tracesToMetrics"]
    tags = ", ".join(f'{tag["value"]}="{ATTRIBUTES[tag["key"]]}"' for tag in to_metrics["tags"])
    for query in to_metrics["queries"]:
        # Grafana makes one dollar sign of two in what it provisions.
        yield ("a span", query["name"], "A"), query["query"].replace("$$", "$").replace("$__tags", tags)


def filled(query: str, interval: str = "5m") -> str:
    """Puts the values of the variables into a query. The data source's own queries have an interval of five minutes."""
    return query.replace("$__rate_interval", interval).replace("[5m]", f"[{interval}]").replace("$namespace", ".*")


ATTRIBUTES = {"service.name": "nginx"}
QUERIES = dict([*queries(), *queries_of_a_span()])

OWN = 'app_kubernetes_io_part_of="nginx-tracing",namespace="tracing"'
POD, NGINX, TEMPO = f'{OWN},pod="otel-collector-0"', f'{OWN},pod="nginx-0"', f'{OWN},pod="tempo-0"'
TO_TEMPO = f'{POD},exporter="otlp/tempo"'
TO_VENDOR = f'{POD},exporter="otlp_http/vendor"'
TO_ONE_DECIDER = f'{POD},exporter="otlp/loadbalancing/deciders_10.0.0.2:4317"'
"""What the exporter to the deciders counts once more before Collector 0.140: no panel shows it."""
DECIDER = f'{OWN},pod="otel-collector-decider-0"'
VOLUME = 'namespace="tracing",persistentvolumeclaim="data-tempo-0"'
EDGE = 'client="nginx",server="shop"'
SPAN = 'service="nginx",span_name="/shop/",span_kind="SPAN_KIND_SERVER"'

MINUTES = 30
SERIES = {
    # A counter that grows by 60 a minute grows by one a second.
    f"otelcol_receiver_accepted_spans{{{POD}}}": "0+600x40",
    f'otelcol_processor_outgoing_items{{{POD}, processor="filter/proxied"}}': "0+480x40",
    f"otelcol_receiver_refused_spans{{{POD}}}": "0+180x40",
    f'otelcol_processor_refused_spans{{{POD},processor="memory_limiter"}}': "0+60x40",
    f'otelcol_processor_memory_limiter_refused_spans{{{OWN},pod="otel-collector-1"}}': "0+120x40",
    f"otelcol_exporter_sent_spans{{{TO_TEMPO}}}": "0+300x40",
    f"otelcol_exporter_sent_spans{{{TO_VENDOR}}}": "0+120x40",
    f"otelcol_exporter_send_failed_spans{{{TO_VENDOR}}}": "0+60x40",
    f"otelcol_exporter_enqueue_failed_spans{{{TO_TEMPO}}}": "0+120x40",
    f"otelcol_exporter_queue_size{{{TO_TEMPO}}}": "25x40",
    f"otelcol_exporter_queue_capacity{{{TO_TEMPO}}}": "100x40",
    f"otelcol_exporter_sent_spans{{{TO_ONE_DECIDER}}}": "0+60x40",
    f"otelcol_exporter_send_failed_spans{{{TO_ONE_DECIDER}}}": "0+60x40",
    f"otelcol_loadbalancer_num_backends{{{POD}}}": "3x40",
    f"otelcol_loadbalancer_num_backend_updates{{{POD}}}": "1x27 2x12",
    f"otelcol_processor_tail_sampling_new_trace_id_received{{{DECIDER}}}": "0+600x40",
    f"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early{{{DECIDER}}}": "0+60x40",
    f"otelcol_processor_tail_sampling_sampling_late_span_age_count{{{DECIDER}}}": "0+120x40",
    f"tempo_distributor_spans_received_total{{{TEMPO}}}": "0+300x20 6000x20",
    f"tempo_distributor_bytes_received_total{{{TEMPO}}}": "0+30000x40",
    f'tempo_discarded_spans_total{{{TEMPO},reason="trace_too_large"}}': "0+60x40",
    f"tempo_ingester_live_traces{{{TEMPO}}}": "7x40",
    f'tempo_ring_members{{{TEMPO},name="ingester",state="ACTIVE"}}': "3x40",
    f'tempo_ring_members{{{TEMPO},name="compactor",state="ACTIVE"}}': "9x40",
    f"tempo_ingester_failed_flushes_total{{{TEMPO}}}": "0+60x40",
    f"tempodb_blocklist_poll_errors_total{{{TEMPO}}}": "0+120x40",
    f"tempodb_blocklist_tenant_index_errors_total{{{TEMPO}}}": "0+240x40",
    f"tempodb_retention_errors_total{{{TEMPO}}}": "0+300x40",
    f'tempodb_blocklist_length{{{TEMPO},tenant="single-tenant"}}': "40x40",
    f'tempodb_compaction_outstanding_blocks{{{TEMPO},tenant="single-tenant"}}': "6x40",
    f'tempodb_compaction_blocks_total{{{TEMPO},level="0"}}': "0+60x40",
    f"tempodb_retention_deleted_total{{{TEMPO}}}": "0+120x40",
    f"tempodb_compaction_errors_total{{{TEMPO}}}": "0+180x40",
    f'tempo_query_frontend_queries_total{{{TEMPO},op="search"}}': "0+240x40",
    f'tempo_query_frontend_queue_length{{{TEMPO},user="single-tenant"}}': "5x40",
    f"tempo_metrics_generator_spans_received_total{{{TEMPO}}}": "0+600x40",
    f'tempo_metrics_generator_spans_discarded_total{{{TEMPO},reason="late"}}': "0+60x40",
    f"tempo_distributor_queue_pushes_failures_total{{{TEMPO}}}": "0+120x40",
    f"tempo_distributor_metrics_generator_pushes_failures_total{{{TEMPO}}}": "0+180x40",
    f"tempo_metrics_generator_processor_service_graphs_dropped_spans{{{TEMPO}}}": "0+240x40",
    f"tempo_metrics_generator_registry_series_limited_total{{{TEMPO}}}": "0+300x40",
    f'prometheus_remote_storage_samples_failed_total{{{TEMPO},url="http://a"}}': "0+60x40",
    f'prometheus_remote_storage_samples_retried_total{{{TEMPO},url="http://a"}}': "0+120x40",
    f'nginx_connections{{{NGINX},state="active"}}': "3x40",
    f"up{{{POD}}}": "1x40",
    f"kubelet_volume_stats_available_bytes{{{VOLUME}}}": "25x40",
    f"kubelet_volume_stats_capacity_bytes{{{VOLUME}}}": "100x40",
    'ALERTS{alertname="CollectorDown",alertstate="firing",namespace="tracing"}': "1x40",
    f"traces_service_graph_request_total{{{EDGE}}}": "0+600x40",
    f"traces_service_graph_request_failed_total{{{EDGE}}}": "0+60x40",
    f'traces_service_graph_request_server_seconds_bucket{{{EDGE},le="0.1"}}': "0+300x40",
    f'traces_service_graph_request_server_seconds_bucket{{{EDGE},le="0.3"}}': "0+600x40",
    f'traces_service_graph_request_server_seconds_bucket{{{EDGE},le="+Inf"}}': "0+600x40",
    f'traces_spanmetrics_calls_total{{{SPAN},status_code="STATUS_CODE_UNSET"}}': "0+540x40",
    f'traces_spanmetrics_calls_total{{{SPAN},status_code="STATUS_CODE_ERROR"}}': "0+60x40",
    f'traces_spanmetrics_calls_total{{{SPAN.replace("SERVER", "CLIENT")},status_code="STATUS_CODE_UNSET"}}': "0+60x40",
    f'traces_spanmetrics_latency_bucket{{{SPAN},le="0.1"}}': "0+300x40",
    f'traces_spanmetrics_latency_bucket{{{SPAN},le="0.3"}}': "0+600x40",
    f'traces_spanmetrics_latency_bucket{{{SPAN},le="+Inf"}}': "0+600x40",
}
"""What Prometheus has, minute by minute. Others' pods have the same counters, and no panel shows them."""

OTHERS = {
    series.replace('"nginx-tracing"', '"theirs"'): "0+6000x40"
    for series in SERIES
    if 'part_of="nginx-tracing"' in series
}

COLLECTOR, COLLECTOR_1 = '{pod="otel-collector-0"}', '{pod="otel-collector-1"}'
IN_TEMPO, IN_NAMESPACE = '{pod="tempo-0"}', '{namespace="tracing"}'
IN_DECIDER = '{pod="otel-collector-decider-0"}'
CLAIM = f"{{{VOLUME}}}"
EXPORTER = '{exporter="otlp/tempo",pod="otel-collector-0"}'
VENDOR = '{exporter="otlp_http/vendor",pod="otel-collector-0"}'
OF_SPAN = '{service="nginx",span_name="/shop/"}'
NAME = '{span_name="/shop/"}'
# 95 of 100 lie at nine tenths of the bucket from 0.1 to 0.3.
PERCENTILE = 0.28

EXPECTED: dict[Place, dict[str, float]] = {
    ("services", "Calls per second", "A"): {f"{{{EDGE}}}": 10},
    ("services", "Failed calls per second", "A"): {f"{{{EDGE}}}": 1},
    ("services", "95 of 100 calls", "A"): {f"{{{EDGE}}}": PERCENTILE},
    ("services", "Requests per second", "A"): {OF_SPAN: 10},
    ("services", "Failed requests per second", "A"): {OF_SPAN: 1},
    ("services", "95 of 100 requests", "A"): {OF_SPAN: PERCENTILE},
    ("a span", "Requests per second", "A"): {NAME: 10},
    ("a span", "Errors per second", "A"): {NAME: 1},
    ("a span", "95th percentile of the duration", "A"): {NAME: PERCENTILE},
    ("pipeline", "Alerts that fire", "A"): {
        'ALERTS{alertname="CollectorDown",alertstate="firing",namespace="tracing"}': 1
    },
    # The counter grew last at the minute 20, which the query sees for 45 s.
    ("pipeline", "Seconds since Tempo got a span", "A"): {IN_NAMESPACE: 555},
    ("pipeline", "Pods that Prometheus reads", "A"): {COLLECTOR: 1},
    ("pipeline", "Connections of NGINX", "A"): {'{state="active"}': 3},
    ("pipeline", "Spans in", "A"): {COLLECTOR: 10},
    ("pipeline", "Spans made of upstreams' time", "A"): {COLLECTOR: 8},
    ("pipeline", "Spans refused", "A"): {COLLECTOR: 3},
    ("pipeline", "Spans refused", "B"): {COLLECTOR: 1, COLLECTOR_1: 2},
    ("pipeline", "Spans out", "A"): {EXPORTER: 5, VENDOR: 2},
    ("pipeline", "Spans lost", "A"): {VENDOR: 1},
    ("pipeline", "Spans lost", "B"): {EXPORTER: 2},
    ("pipeline", "Spans sent to Tempo, and received there", "A"): {IN_NAMESPACE: 3000},
    ("pipeline", "Spans sent to Tempo, and received there", "B"): {IN_NAMESPACE: 0},
    ("pipeline", "Queued", "A"): {EXPORTER: 25},
    ("pipeline", "Part of the queue that is full", "A"): {EXPORTER: 0.25},
    ("pipeline", "Deciders that a pod knows", "A"): {COLLECTOR: 3},
    ("pipeline", "Traces begun while deciders changed", "A"): {IN_NAMESPACE: 10},
    ("pipeline", "Traces dropped undecided", "A"): {IN_DECIDER: 1},
    ("pipeline", "Spans after the decision", "A"): {IN_DECIDER: 2},
    ("pipeline", "Spans received", "A"): {IN_TEMPO: 0},
    ("pipeline", "Bytes received", "A"): {IN_TEMPO: 500},
    ("pipeline", "Spans discarded", "A"): {'{reason="trace_too_large"}': 1},
    ("pipeline", "Live traces", "A"): {IN_TEMPO: 7},
    ("pipeline", "Ingesters", "A"): {'{state="ACTIVE"}': 3},
    ("pipeline", "Failures of the storage", "A"): {IN_TEMPO: 1},
    ("pipeline", "Failures of the storage", "B"): {IN_TEMPO: 2},
    ("pipeline", "Failures of the storage", "C"): {IN_TEMPO: 4},
    ("pipeline", "Failures of the storage", "D"): {IN_TEMPO: 3},
    ("pipeline", "Failures of the storage", "E"): {IN_TEMPO: 5},
    ("pipeline", "Blocks in the storage", "A"): {IN_NAMESPACE: 40},
    ("pipeline", "Blocks in the storage", "B"): {IN_NAMESPACE: 6},
    ("pipeline", "Blocks joined and deleted", "A"): {IN_TEMPO: 1},
    ("pipeline", "Blocks joined and deleted", "B"): {IN_TEMPO: 2},
    ("pipeline", "Queries", "A"): {'{op="search"}': 4},
    ("pipeline", "Queries", "B"): {IN_TEMPO: 5},
    ("pipeline", "Spans counted", "A"): {IN_TEMPO: 10},
    ("pipeline", "Spans left out", "A"): {'{reason="late"}': 1},
    ("pipeline", "Spans left out", "B"): {IN_TEMPO: 2},
    ("pipeline", "Spans left out", "C"): {IN_TEMPO: 3},
    ("pipeline", "Spans left out", "D"): {IN_TEMPO: 4},
    ("pipeline", "Spans left out", "E"): {IN_TEMPO: 5},
    ("pipeline", "Samples that the Prometheus does not take", "A"): {'{url="http://a"}': 1},
    ("pipeline", "Samples that the Prometheus does not take", "B"): {'{url="http://a"}': 2},
    ("pipeline", "Free", "A"): {CLAIM: 25},
    ("pipeline", "Free part", "A"): {CLAIM: 0.25},
}
"""By query, the labels and the values after thirty minutes."""


def test_each_query_has_its_numbers_here() -> None:
    assert set(QUERIES) == set(EXPECTED)


@pytest.mark.parametrize("place", EXPECTED, ids=": ".join)
def test_a_query_gives_the_known_numbers_of_known_series(place: Place, tmp_path: Path) -> None:
    samples = [{"labels": labels, "value": value} for labels, value in EXPECTED[place].items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in (SERIES | OTHERS).items()],
        "promql_expr_test": [{"expr": filled(QUERIES[place]), "eval_time": f"{MINUTES}m", "exp_samples": samples}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "fuzzy_compare": True, "tests": [test]})
    )
    command = [str(PROMTOOL.folder / "promtool"), "test", "rules", str(file)]
    tested = subprocess.run(command, check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


LONG = "30m"
"""The interval of rates that sees all that the real programs have counted, however slow the machine is."""

CALLS, FAILED = 40, 10
RECEIVED, COLLECTIONS = "tempo_distributor_spans_received_total", "tempo_metrics_generator_registry_collections_total"


def hops() -> list[Sent]:
    """Makes requests that NGINX proxies to a shop: three spans each, of which some end in an error."""
    start, made = time.time_ns() - 50_000_000, list[Sent]()
    for number in range(CALLS):
        trace_id, error = new_id(), number < FAILED
        nginx = Sent("nginx", "/shop/", trace_id, start, 0.05, error=error)
        call = Sent("nginx", "/shop/", trace_id, start, 0.05, CLIENT, nginx, error=error)
        made += [nginx, call, Sent("shop", "/shop/", trace_id, start, 0.05, parent=call, error=error)]
    return made


COUNTERS_OF_PODS = """\
nginx_connections{state="active"} 3
"""
COUNTERS_OF_KUBELETS = """\
kubelet_volume_stats_available_bytes{namespace="tracing",persistentvolumeclaim="data-tempo-0"} 25
kubelet_volume_stats_capacity_bytes{namespace="tracing",persistentvolumeclaim="data-tempo-0"} 100
"""
ALERT = {"alert": "CollectorDown", "expr": "vector(1)", "labels": {"namespace": "tracing"}}
RULES = yaml.safe_dump({"groups": [{"name": "test", "rules": [ALERT]}]})


@pytest.fixture(scope="module")
def page() -> Generator[int]:
    """Serves the counters of NGINX and of a kubelet, as Prometheus reads them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (COUNTERS_OF_PODS + COUNTERS_OF_KUBELETS).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object, **__: object) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def have_counted(prometheus: RunningPrometheus, calls: int) -> bool:
    """Tells whether every hop has counted the spans of so many calls."""
    edge = 'sum(traces_service_graph_request_total{client="nginx",server="shop"})'
    counters = ("otelcol_receiver_accepted_spans", "otelcol_exporter_sent_spans", RECEIVED)
    counts = {edge: calls} | {f"sum({counter})": 3 * calls for counter in counters}
    return all(prometheus.values(query) == {(): count} for query, count in counts.items())


CURRENT, *OLDER = LAB_COLLECTORS
# Beside the known series, which have the names of every version, the older Collector finds nothing of another kind.
COLLECTORS = [CURRENT, *(pytest.param(image, marks=pytest.mark.deep) for image in OLDER)]


@dataclass(frozen=True)
class Pipeline:
    """Holds a Collector, a Tempo and the Prometheus that reads them, on loopback."""

    collector: collectors.Running
    prometheus: RunningPrometheus


@pytest.fixture(scope="module", params=COLLECTORS, ids=collectors.version_of)
def whole_pipeline(
    request: pytest.FixtureRequest, programs: None, page: int, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Pipeline]:
    """Yields programs that have had the known spans."""
    folders = [tmp_path_factory.mktemp(name) for name in ("prometheus", "tempo", "collector")]
    prometheus = RunningPrometheus()
    with (
        running_tempo(folders[1], [receiver(prometheus.url)]) as tempo,
        collectors.running(request.param, folders[2], collectors.UPSTREAM_EXPORTS, backend=tempo.backend) as collector,
        running_prometheus(
            folders[0],
            prometheus,
            {"nginx-0": page, "otel-collector-0": collector.metrics_port, "tempo-0": tempo.http_port},
            RULES,
            # A reading that takes longer counts as failed: a second is too short on a busy machine.
            scrapeInterval="3s",
        ),
    ):
        wait_for("the first readings", lambda: prometheus.values("count(up == 1)") == {(): 3}, 60)
        # Counters appear with the first spans, and a rate needs two values of each.
        collector.export(message(hops()))
        wait_for("the first spans", lambda: tempo.counted(RECEIVED) == 3 * CALLS)
        ask(f"{tempo.url}/api/search", q="{}")
        read = tempo.counted(COLLECTIONS)
        # An edge waits for a second, and Tempo makes its metrics once a second.
        wait_for("their metrics", lambda: tempo.counted(COLLECTIONS) >= read + 4)
        collector.export(message(hops()))
        ask(f"{tempo.url}/api/search", q="{}")
        # Tempo writes them within 15 s: so often it looks whether there is something new.
        wait_for("the counts", lambda: have_counted(prometheus, 2 * CALLS), 60)
        yield Pipeline(collector, prometheus)


@pytest.fixture
def pipeline(whole_pipeline: Pipeline) -> RunningPrometheus:
    """Returns the Prometheus of the programs."""
    return whole_pipeline.prometheus


LOSSES = [
    place
    for place in QUERIES
    if place[1]
    in {
        "Failures of the storage",
        "Samples that the Prometheus does not take",
        "Spans discarded",
        "Spans left out",
        "Spans lost",
        "Spans refused",
        "Traces dropped undecided",
    }
]
"""The queries of losses: some of their counters appear with the first loss alone."""


DECISIONS = [place for place in QUERIES if "Deciders" in place[1] or "deciders" in place[1] or "decision" in place[1]]
"""The queries of two tiers' counters, which a Collector that stands alone does not have: `test_tiers.py` has them."""


BLOCKS = [place for place in QUERIES if "Blocks" in place[1]]
"""The queries of counters that appear with a block, which Tempo writes after minutes: `test_storage.py` has blocks."""


@pytest.mark.parametrize(
    "place", [place for place in QUERIES if place not in (*LOSSES, *DECISIONS, *BLOCKS)], ids=": ".join
)
def test_a_query_finds_what_the_real_programs_count(place: Place, pipeline: RunningPrometheus) -> None:
    labels_of = set(re.findall(r"(\w+)=", " ".join(EXPECTED[place])))
    query = filled(QUERIES[place], LONG)

    def found() -> list[dict[str, str]]:
        return [one["metric"] for one in pipeline.series(query)]

    assert {name for labels in wait_for(f"series of {query}", found) for name in labels} - {"__name__"} == labels_of


@pytest.mark.parametrize("place", LOSSES, ids=": ".join)
def test_nothing_is_lost_and_the_queries_of_losses_say_so(place: Place, pipeline: RunningPrometheus) -> None:
    assert set(pipeline.values(filled(QUERIES[place], LONG)).values()) <= {0}


LATE = " ".join(QUERIES[place] for place in (*LOSSES, *BLOCKS))
COUNTERS = sorted(set(re.findall(r"\b(?:otelcol|tempo|tempodb|prometheus)_\w+", LATE)))


def programs_with(counter: str, pipeline: Pipeline) -> list[Path]:
    """Returns the files of the programs that may have a counter of losses."""
    if not counter.startswith("otelcol_"):
        return [TEMPO_BUILD.folder / "tempo"]
    # One that was renamed is that of another version.
    images = COLLECTOR_BUILDS if counter in names.RENAMED else [pipeline.collector.settings.image]
    builds = [COLLECTOR_BUILDS[image] for image in images if image]
    return [build.folder / build.name for build in builds if build.folder.is_dir()]


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_counter_is_there_or_the_program_knows_its_name(counter: str, whole_pipeline: Pipeline) -> None:
    if whole_pipeline.prometheus.series(counter):
        return
    # It appears with the first loss or block. Tempo puts `tempo_` and `tempodb_` before names when it registers them.
    name = re.sub("^tempo(db)?_", "", counter).encode()
    assert any(name in file.read_bytes() for file in programs_with(counter, whole_pipeline))


def test_the_rates_of_edges_are_those_of_the_known_calls(whole_pipeline: Pipeline, pipeline: RunningPrometheus) -> None:
    # A counter's first value is no growth, and it may have a part of the first message alone: it has to be a small one.
    for _ in range(20):
        whole_pipeline.collector.export(message(hops()))
    # `rate` extrapolates: the shares are exact where the rates are not.
    calls, failed = (
        filled(QUERIES["services", title, "A"], LONG) for title in ("Calls per second", "Failed calls per second")
    )
    edge = ("nginx", "shop")

    def share() -> float:
        return pipeline.values(failed).get(edge, 0) / (pipeline.values(calls).get(edge) or 1)

    wait_for("a quarter of the calls to have failed", lambda: share() == pytest.approx(FAILED / CALLS, rel=0.1))


def test_the_service_graph_has_the_metrics_that_grafana_asks_for(pipeline: RunningPrometheus) -> None:
    # Of Grafana's Tempo data source: the metrics of the query type `serviceMap`.
    for metric in ("request_total", "request_failed_total", "request_server_seconds_sum"):
        by_edge = pipeline.values(f"sum by (client, server) (traces_service_graph_{metric})")
        assert {("nginx", "shop"), ("user", "nginx")} <= set(by_edge), metric


def test_an_exemplar_leads_to_a_trace_by_a_label_that_the_data_source_knows(whole_pipeline: Pipeline) -> None:
    (prometheus,) = [
        one
        for one in sources_document(
            Sources("tracing", "http://tempo:3100", prometheus=Configured("prometheus", "http://prometheus:9090")),
            is_default=True,
        )["datasources"]
        if one["type"] == "prometheus"
    ]
    known = {one["name"] for one in prometheus["jsonData"]["exemplarTraceIdDestinations"]}
    for title in ("95 of 100 calls", "95 of 100 requests"):
        query = filled(QUERIES["services", title, "A"])

        def labels(query: str = query) -> set[str]:
            # Tempo writes an exemplar once, and Prometheus drops one that arrives before its series.
            whole_pipeline.collector.export(message(hops()[:3]))
            return {name for labels in whole_pipeline.prometheus.exemplars(query) for name in labels}

        assert wait_for(f"exemplars of {title}", labels, 30) & known
