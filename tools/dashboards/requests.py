"""Makes the dashboard of requests. It asks Tempo alone, by TraceQL, and needs no Prometheus."""

from components.documents.grafana import COUNT_SPANS, COUNT_WEIGHTS
from tools.dashboards.panels import Json, choice, dashboard, graph, heat_map, one_of, search, stat, table, text, traceql

REQUESTS = 'resource.service.name =~ "$service" && kind = server'
UPSTREAMS = 'resource.service.name =~ "$service" && kind = client && span.server.address != nil'
FAILED = "status = error"
"""NGINX's module marks a span whose response has a status of 500 or more."""

DETAILS = "select(span.http.route, span.http.status_code, span.http.response.status_code)"
SPANS = "Counts spans. Under sampling by one ratio it looks as that of all requests does, with smaller numbers."
"""TraceQL has no histogram of weights."""


_SERVED_BY = {"By route": "span.http.route", "By host": "span.$host", "By service": "resource.service.name"}


def requests() -> Json:
    """Returns the dashboard."""
    variables = [
        choice("tempo", "tempo", "Tempo"),
        text("service", "Service", ".*", "Regular expression for `service.name`."),
        text("slow", "Slow from", "500ms", "Duration from which a request is in the list of slow ones."),
        one_of(
            "host",
            "Host is",
            {"net.host.name": "net.host.name", "server.address": "server.address"},
            "The span's attribute with the host: `server.address` where spans have the stable names alone.",
        ),
        one_of(
            "count",
            "Requests are",
            {"spans": COUNT_SPANS, "weights of spans": COUNT_WEIGHTS},
            "Weights, where NGINX or the Collector samples by a ratio: each span counts for the requests that it "
            "stands for (`sampling.weight`). Spans without the attribute are left out.",
        ),
    ]
    rows = [
        ("Overview", 5, _overview()),
        ("Requests per minute", 9, _rates()),
        ("Errors per minute", 8, _errors()),
        ("Duration", 9, _durations()),
        ("Upstreams", 9, _upstreams()),
        ("Requests", 10, _lists()),
    ]
    about = "Rate, errors and duration of requests by host, route and upstream. It asks Tempo alone."
    return dashboard("requests", "NGINX requests", about, variables, rows)


def _counted(spans: str) -> str:
    """Returns the query that counts requests, in each step of time."""
    return f"{{ {spans} }} | $count"


def _per_minute(title: str, spans: str, by: str, about: str = "") -> Json:
    # The sum of weights is that of a step: a rate per second would need a division, which TraceQL does not have.
    return graph(title, traceql(f"{_counted(spans)} by ({by})", step="1m"), unit="cpm", about=about)


def _overview() -> list[Json]:
    return [
        stat("Requests", traceql(_counted(REQUESTS)), unit="short", reduce="sum"),
        stat(
            "Failed requests",
            traceql(_counted(f"{REQUESTS} && {FAILED}")),
            unit="short",
            reduce="sum",
            about="Requests whose response has a status of 500 or more.",
        ),
        stat(
            "Longest duration",
            traceql(f"{{ {REQUESTS} }} | max_over_time(duration)"),
            unit="s",
            reduce="max",
            about="Of one request.",
        ),
    ]


def _rates() -> list[Json]:
    return [_per_minute(title, REQUESTS, by) for title, by in _SERVED_BY.items()]


def _errors() -> list[Json]:
    return [_per_minute(title, f"{REQUESTS} && {FAILED}", by) for title, by in _SERVED_BY.items()]


def _durations() -> list[Json]:
    return [
        heat_map(
            "All requests",
            traceql(f"{{ {REQUESTS} }} | histogram_over_time(duration)"),
            about=f"Requests by duration: each row ends at a power of two. {SPANS}",
        ),
        graph(
            "50, 95 and 99 of 100",
            traceql(f"{{ {REQUESTS} }} | quantile_over_time(duration, .5, .95, .99)"),
            unit="s",
            about="Tempo interpolates between the heat map's rows that have requests: of few requests, a figure may "
            "lie below all.",
        ),
        graph(
            "95 of 100, by route",
            traceql(f"{{ {REQUESTS} }} | quantile_over_time(duration, .95) by (span.http.route)"),
            unit="s",
        ),
        graph(
            "95 of 100, by host",
            traceql(f"{{ {REQUESTS} }} | quantile_over_time(duration, .95) by (span.$host)"),
            unit="s",
        ),
    ]


def _upstreams() -> list[Json]:
    about = "From the spans of kind CLIENT, which there are with `nginx.upstreamSpans`, and of applications that call."
    return [
        _per_minute("Calls per minute, by upstream", UPSTREAMS, "span.server.address", about),
        _per_minute("Failed calls per minute, by upstream", f"{UPSTREAMS} && {FAILED}", "span.server.address"),
        graph(
            "95 of 100 calls, by upstream",
            traceql(f"{{ {UPSTREAMS} }} | quantile_over_time(duration, .95) by (span.server.address)"),
            unit="s",
        ),
    ]


def _lists() -> list[Json]:
    return [
        table(
            "Slow requests",
            search(f"{{ {REQUESTS} && duration > $slow }} | {DETAILS}", limit=50),
            about="Up to 50 traces with a request that took longer than `Slow from`, the slowest of them first. The ID "
            "leads to the trace. Tempo does not search by duration: raise `Slow from` until fewer than 50 are found.",
            sort_by="Duration",
        ),
        table(
            "Failed requests",
            search(f"{{ {REQUESTS} && {FAILED} }} | {DETAILS}", limit=50),
            about="Up to 50 traces with a request whose response has a status of 500 or more.",
        ),
    ]
