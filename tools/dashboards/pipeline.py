"""Makes the dashboard of the pipeline: each hop's counters on a span's way, and what the alerts look at."""

from collections.abc import Sequence

from components.documents.collector_spans import PROXIED
from settings.versions.collector import KNOWN, CollectorRelease
from tools.dashboards.panels import Json, choice, dashboard, graph, promql, table

OWN = 'app_kubernetes_io_part_of="nginx-tracing"'
"""The label of the stack's pods, as in monitoring/alerts.yaml."""

SELECTED = f'{OWN}, namespace=~"$namespace"'
_RATE = "[$__rate_interval]"
_VOLUMES = (
    'persistentvolumeclaim=~"data-(tempo|tempo-metrics-generator|tempo-ingester-.+|prometheus|grafana)-[0-9]+|'
    'queue-otel-collector(-decider)?-[0-9]+", '
    'namespace=~"$namespace"'
)
_TO_TEMPO = 'exporter=~"otlp(_grpc)?/tempo"'
_ONCE = 'exporter!~".+_.+:4317"'
"""Leaves out what the exporter to the deciders counts a second time, for each of them, before Collector 0.140."""
_LIMITED = "|".join(sorted({f"{CollectorRelease(each).memory_limiter_counters}refused_spans" for each in KNOWN}))
"""The memory limiter's counter, by its name in every version of the Collector."""


_ALERTS = (
    "Collector.+|Tempo.+|Metrics.+|SpansDoNotArrive|NoCollector|ServiceGraphDropsSpans|VolumeIsNearlyFull|"
    "StackHasNoLabels"
)


def pipeline() -> Json:
    """Returns the dashboard."""
    variables = [choice("prometheus", "prometheus", "Prometheus"), _namespaces()]
    rows = [
        ("Alerts and freshness", 8, _state()),
        ("NGINX → Collector", 8, _into_collector()),
        ("Collector → Tempo", 8, _out_of_collector()),
        ("The Collector's queues", 8, _queues()),
        ("Decisions about whole traces", 8, _decisions()),
        ("Tempo", 8, _tempo()),
        ("Metrics that Tempo makes of spans", 8, _metrics()),
        ("Volumes", 7, _volumes()),
    ]
    about = (
        "What each hop got, sent, refused and lost. NGINX's module counts no spans: `tools probe --watch` counts them."
    )
    return dashboard("pipeline", "NGINX tracing pipeline", about, variables, rows)


def _namespaces() -> Json:
    query = f"label_values(nginx_connections{{{OWN}}}, namespace)"
    return {
        "type": "query",
        "name": "namespace",
        "label": "Namespace",
        "datasource": {"type": "prometheus", "uid": "${prometheus}"},
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }


def _rate(counter: str, by: Sequence[str] = ("pod",), name: str = "", only: str = "") -> Json:
    """Returns the rate of a counter by labels.

    Args:
        counter: the counter.
        by: the labels, which the legend shows.
        name: what the legend shows before them.
        only: matchers besides those of the stack's pods.
    """
    selected = f"{SELECTED}, {only}" if only else SELECTED
    legend = " ".join([*([f"{name}:"] if name else []), *(f"{{{{{label}}}}}" for label in by)])
    return promql(f"sum by ({', '.join(by)}) (rate({counter}{{{selected}}}{_RATE}))", legend)


def _state() -> list[Json]:
    counter = f"tempo_distributor_spans_received_total{{{SELECTED}}}"
    now, before = (f"sum by (namespace) ({counter}{offset})" for offset in ("", " offset 1m"))
    # The counter appears with the first span: where it was not there a minute ago, it was 0.
    grew = f"{now} > ({before} or {now} * 0)"
    return [
        table(
            "Alerts that fire",
            promql(
                f'ALERTS{{alertstate="firing", namespace=~"$namespace", alertname=~"{_ALERTS}"}}',
                is_instant=True,
            ),
            about="Those of monitoring/alerts.yaml, if Prometheus has the file.",
        ),
        graph(
            "Seconds since Tempo got a span",
            promql(f"time() - max_over_time(timestamp({grew})[1h:15s])", "{{namespace}}"),
            unit="s",
            about="It rises without requests as well, from a minute on. Empty after an hour without a span.",
        ),
        graph(
            "Pods that Prometheus reads",
            promql(f"sum by (pod) (up{{{SELECTED}}})", "{{pod}}"),
            unit="short",
            about="1: Prometheus read the pod. 0: it did not, and the pod's counters are old.",
        ),
    ]


def _into_collector() -> list[Json]:
    return [
        graph(
            "Connections of NGINX",
            promql(f"sum by (state) (nginx_connections{{{SELECTED}}})", "{{state}}"),
            unit="short",
            about="Only clients' connections: NGINX's module counts neither spans nor lost exports.",
        ),
        graph("Spans in", _rate("otelcol_receiver_accepted_spans"), unit="cps"),
        graph(
            "Spans made of upstreams' time",
            promql(
                f'sum by (pod) (rate(otelcol_processor_outgoing_items{{processor="{PROXIED}", {SELECTED}}}{_RATE}))',
                "{{pod}}",
            ),
            unit="cps",
            about="One for each request that an upstream got, beside its span of NGINX: `nginx.upstreamSpans`.",
        ),
        graph(
            "Spans refused",
            _rate("otelcol_receiver_refused_spans"),
            promql(
                f'sum by (pod) (rate({{__name__=~"{_LIMITED}", {SELECTED}}}{_RATE}))', "by the memory limiter: {{pod}}"
            ),
            unit="cps",
            about="NGINX never sends them again. Those that the memory limiter refuses are among the others. What "
            "`otel-collector-decider` refuses, the first tier of Collectors sends again.",
        ),
    ]


def _out_of_collector() -> list[Json]:
    sent, received = "otelcol_exporter_sent_spans", "tempo_distributor_spans_received_total"
    return [
        graph("Spans out", _rate(sent, ("exporter", "pod"), only=_ONCE), unit="cps"),
        graph(
            "Spans lost",
            _rate("otelcol_exporter_send_failed_spans", ("exporter", "pod"), "refused for good", _ONCE),
            _rate("otelcol_exporter_enqueue_failed_spans", ("exporter", "pod"), "queue full"),
            unit="cps",
        ),
        graph(
            "Spans sent to Tempo, and received there",
            promql(f"sum by (namespace) (increase({sent}{{{SELECTED}, {_TO_TEMPO}}}[10m]))", "sent, {{namespace}}"),
            promql(f"sum by (namespace) (increase({received}{{{SELECTED}}}[10m]))", "received, {{namespace}}"),
            unit="short",
            about="In ten minutes, as the alert SpansDoNotArrive compares them.",
        ),
    ]


def _queues() -> list[Json]:
    size, capacity = "otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"
    legend = "{{exporter}} {{pod}}"
    return [
        graph(
            "Queued",
            promql(f"sum by (exporter, pod) ({size}{{{SELECTED}}})", legend),
            unit="short",
            about="In bytes; on a volume, before Collector 0.130, in exports. What is under way counts too.",
        ),
        graph(
            "Part of the queue that is full",
            promql(f"max by (exporter, pod) ({size}{{{SELECTED}}} / {capacity}{{{SELECTED}}})", legend),
            unit="percentunit",
        ),
    ]


def _decisions() -> list[Json]:
    tail, balancer = "otelcol_processor_tail_sampling", "otelcol_loadbalancer"
    begun = f"sum by (namespace) (rate({tail}_new_trace_id_received{{{SELECTED}}}{_RATE}))"
    changes = f"max by (namespace) (increase({balancer}_num_backend_updates{{{SELECTED}}}{_RATE}))"
    return [
        graph(
            "Deciders that a pod knows",
            promql(f"sum by (pod) ({balancer}_num_backends{{{SELECTED}}})", "{{pod}}"),
            unit="short",
            about="Two tiers alone have them. Pods learn of a change up to 5 s apart, or longer where DNS is cached.",
        ),
        graph(
            "Traces begun while deciders changed",
            promql(f"{begun} and on (namespace) {changes} > 0", "{{namespace}}"),
            unit="cps",
            about="A change of the deciders splits, at most, as many traces as begin in `decisionWait` and the time "
            "until each pod knows of it.",
        ),
        graph(
            "Traces dropped undecided",
            _rate(f"{tail}_sampling_trace_dropped_too_early"),
            unit="cps",
            about="More wait than `collector.sampling.tail.traces`.",
        ),
        graph(
            "Spans after the decision",
            _rate(f"{tail}_sampling_late_span_age_count"),
            unit="cps",
            about="They came later than `decisionWait`, and went the way of their trace.",
        ),
    ]


def _tempo() -> list[Json]:
    return [
        graph("Spans received", _rate("tempo_distributor_spans_received_total"), unit="cps"),
        graph("Bytes received", _rate("tempo_distributor_bytes_received_total"), unit="Bps"),
        graph(
            "Spans discarded",
            _rate("tempo_discarded_spans_total", ("reason",)),
            unit="cps",
            about="Tempo reports success to the sender, except for `rate_limited`, which the sender retries.",
        ),
        graph(
            "Live traces",
            promql(f"sum by (pod) (tempo_ingester_live_traces{{{SELECTED}}})", "{{pod}}"),
            unit="short",
            about="Traces that Tempo 2 holds in memory..",
        ),
        graph(
            "Ingesters",
            promql(f'max by (state) (tempo_ring_members{{{SELECTED}, name="ingester"}})', "{{state}}"),
            unit="short",
            about="As Tempo's distributors and queriers know them. One process has one.",
        ),
        graph(
            "Failures of the storage",
            _rate("tempo_ingester_failed_flushes_total", name="to write a block"),
            _rate("tempodb_blocklist_poll_errors_total", name="to list the blocks"),
            _rate("tempodb_retention_errors_total", name="to delete a block"),
            unit="cps",
            about="Tempo repeats each of them.",
        ),
    ]


def _metrics() -> list[Json]:
    generator, pushes = "tempo_metrics_generator", "pushes_failures_total"
    return [
        graph("Spans counted", _rate(f"{generator}_spans_received_total"), unit="cps"),
        graph(
            "Spans left out",
            _rate(f"{generator}_spans_discarded_total", ("reason",), "out of time"),
            _rate(f"tempo_distributor_queue_{pushes}", name="generator too slow"),
            _rate(f"tempo_distributor_metrics_generator_{pushes}", name="generator fails"),
            _rate(f"{generator}_processor_service_graphs_dropped_spans", name="too many edges wait"),
            _rate(f"{generator}_registry_series_limited_total", name="too many series"),
            unit="cps",
            about="The traces have them; rates, errors, durations and the service graph do not.",
        ),
        graph(
            "Samples that the Prometheus does not take",
            _rate("prometheus_remote_storage_samples_failed_total", ("url",), "refused for good"),
            _rate("prometheus_remote_storage_samples_retried_total", ("url",), "repeated"),
            unit="cps",
        ),
    ]


def _volumes() -> list[Json]:
    free, size = "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"
    by, legend = "sum by (namespace, persistentvolumeclaim)", "{{persistentvolumeclaim}}, {{namespace}}"
    return [
        graph(
            "Free",
            promql(f"{by} ({free}{{{_VOLUMES}}})", legend),
            unit="bytes",
            about="From the kubelets, if Prometheus reads them and they report the kind of volume.",
        ),
        graph("Free part", promql(f"{by} ({free}{{{_VOLUMES}}} / {size}{{{_VOLUMES}}})", legend), unit="percentunit"),
    ]
