"""Makes the dashboard of services, from the metrics that Tempo makes of spans. It needs a Prometheus that has them."""

from tools.dashboards.panels import Json, choice, dashboard, graph, panel, promql, service_map

_RATE = "[$__rate_interval]"
_SERVERS = 'span_kind="SPAN_KIND_SERVER"'


def services() -> Json:
    """Returns the dashboard."""
    variables = [choice("tempo", "tempo", "Tempo"), choice("prometheus", "prometheus", "Prometheus")]
    rows = [("Graph", 14, [_graph()]), ("Calls between services", 9, _edges()), ("Requests of services", 9, _spans())]
    about = "Which service calls which, how often and how long. Tempo's metrics generator makes the metrics of spans."
    return dashboard("services", "NGINX services", about, variables, rows)


def _graph() -> Json:
    about = "An arrow for each pair of a CLIENT and a SERVER span; `user` calls what has no caller."
    made = panel("nodeGraph", "Services", [service_map()], about=about)
    made["fieldConfig"] = {"defaults": {}, "overrides": []}
    return made


def _edges() -> list[Json]:
    by = "sum by (client, server)"
    seconds = f"rate(traces_service_graph_request_server_seconds_bucket{_RATE})"
    return [
        graph(
            "Calls per second",
            promql(f"{by} (rate(traces_service_graph_request_total{_RATE}))", "{{client}} → {{server}}"),
            unit="reqps",
        ),
        graph(
            "Failed calls per second",
            promql(f"{by} (rate(traces_service_graph_request_failed_total{_RATE}))", "{{client}} → {{server}}"),
            unit="reqps",
        ),
        graph(
            "95 of 100 calls",
            promql(
                f"histogram_quantile(0.95, sum by (le, client, server) ({seconds}))",
                "{{client}} → {{server}}",
                has_exemplars=True,
            ),
            unit="s",
            about="The time that the called service took.",
        ),
    ]


def _spans() -> list[Json]:
    by = "sum by (service, span_name)"
    calls, name = "traces_spanmetrics_calls_total", "{{service}} {{span_name}}"
    return [
        graph("Requests per second", promql(f"{by} (rate({calls}{{{_SERVERS}}}{_RATE}))", name), unit="reqps"),
        graph(
            "Failed requests per second",
            promql(f'{by} (rate({calls}{{{_SERVERS}, status_code="STATUS_CODE_ERROR"}}{_RATE}))', name),
            unit="reqps",
        ),
        graph(
            "95 of 100 requests",
            promql(
                "histogram_quantile(0.95, sum by (le, service, span_name) "
                f"(rate(traces_spanmetrics_latency_bucket{{{_SERVERS}}}{_RATE})))",
                name,
                has_exemplars=True,
            ),
            unit="s",
        ),
    ]
