"""Makes the dashboard of the pipeline: each hop's counters on a span's way, and what the alerts look at."""

from components.documents.collector_spans import PROXIED
from settings.versions.collector import KNOWN, CollectorRelease
from tools.dashboards.counters import OWN, RATE, SELECTED, rate
from tools.dashboards.panels import Json, choice, dashboard, graph, promql, table
from tools.dashboards.tempo import blocks, metrics, tempo

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
        ("Tempo", 8, tempo()),
        ("Tempo's blocks and queries", 8, blocks()),
        ("Metrics that Tempo makes of spans", 8, metrics()),
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
        graph("Spans in", rate("otelcol_receiver_accepted_spans"), unit="cps"),
        graph(
            "Spans made of upstreams' time",
            promql(
                f'sum by (pod) (rate(otelcol_processor_outgoing_items{{processor="{PROXIED}", {SELECTED}}}{RATE}))',
                "{{pod}}",
            ),
            unit="cps",
            about="One for each request that an upstream got, beside its span of NGINX: `nginx.upstreamSpans`.",
        ),
        graph(
            "Spans refused",
            rate("otelcol_receiver_refused_spans"),
            promql(
                f'sum by (pod) (rate({{__name__=~"{_LIMITED}", {SELECTED}}}{RATE}))', "by the memory limiter: {{pod}}"
            ),
            unit="cps",
            about="NGINX never sends them again. Those that the memory limiter refuses are among the others. What "
            "`otel-collector-decider` refuses, the first tier of Collectors sends again.",
        ),
    ]


def _out_of_collector() -> list[Json]:
    sent, received = "otelcol_exporter_sent_spans", "tempo_distributor_spans_received_total"
    return [
        graph("Spans out", rate(sent, ("exporter", "pod"), only=_ONCE), unit="cps"),
        graph(
            "Spans lost",
            rate("otelcol_exporter_send_failed_spans", ("exporter", "pod"), "refused for good", _ONCE),
            rate("otelcol_exporter_enqueue_failed_spans", ("exporter", "pod"), "queue full"),
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
    begun = f"sum by (namespace) (rate({tail}_new_trace_id_received{{{SELECTED}}}{RATE}))"
    changes = f"max by (namespace) (increase({balancer}_num_backend_updates{{{SELECTED}}}{RATE}))"
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
            rate(f"{tail}_sampling_trace_dropped_too_early"),
            unit="cps",
            about="More wait than `collector.sampling.tail.traces`.",
        ),
        graph(
            "Spans after the decision",
            rate(f"{tail}_sampling_late_span_age_count"),
            unit="cps",
            about="They came later than `decisionWait`, and went the way of their trace.",
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
