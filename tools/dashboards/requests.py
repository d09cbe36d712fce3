"""Makes the dashboard of requests. It asks Tempo alone, by TraceQL, and needs no Prometheus."""

from tools.dashboards.panels import Json, choice, dashboard, graph, heat_map, one_of, search, stat, table, text, traceql

REQUESTS = 'resource.service.name =~ "$service" && kind = server'
UPSTREAMS = 'resource.service.name =~ "$service" && kind = client && span.server.address != nil'
FAILED = "status = error"
"""NGINX's module marks a span whose response has a status of 500 or more."""

SAMPLED = "Counts the spans that Tempo has: under sampling that is the sampled share of the requests."
DETAILS = "select(span.http.route, span.http.status_code, span.http.response.status_code)"


def requests() -> Json:
    """Returns the dashboard."""
    variables = [
        choice("tempo", "tempo", "Tempo"),
        text("service", "Service", ".*", "Regular expression for `service.name`."),
        text("slow", "Slow from", "500ms", "Duration from which a request is in the list of slow ones."),
        one_of(
            "host",
            "Host is",
            ["net.host.name", "server.address"],
            "The span's attribute with the host: `server.address` where spans have the stable names alone.",
        ),
    ]
    rows = [
        ("Overview", 5, _overview()),
        ("Requests per second", 9, _rates()),
        ("Errors per second", 8, _errors()),
        ("Duration", 9, _durations()),
        ("Upstreams", 9, _upstreams()),
        ("Requests", 10, _lists()),
    ]
    about = "Rate, errors and duration of requests by host, route and upstream. It asks Tempo alone."
    return dashboard("requests", "NGINX requests", about, variables, rows)


def _overview() -> list[Json]:
    return [
        stat("Requests", traceql(f"{{ {REQUESTS} }} | count_over_time()"), unit="short", reduce="sum", about=SAMPLED),
        stat(
            "Requests before sampling",
            # A span without the attribute would let Tempo begin the sum again (tried with a commit after 2.7.2).
            traceql(f"{{ {REQUESTS} && span.sampling.weight != nil }} | sum_over_time(span.sampling.weight)"),
            unit="short",
            reduce="sum",
            about="The sum of `sampling.weight`, which spans have where NGINX samples by a ratio; else empty.",
        ),
        stat(
            "Failed requests",
            traceql(f"{{ {REQUESTS} && {FAILED} }} | count_over_time()"),
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
    return [
        graph("By route", traceql(f"{{ {REQUESTS} }} | rate() by (span.http.route)"), unit="reqps", about=SAMPLED),
        graph("By host", traceql(f"{{ {REQUESTS} }} | rate() by (span.$host)"), unit="reqps"),
        graph("By service", traceql(f"{{ {REQUESTS} }} | rate() by (resource.service.name)"), unit="reqps"),
    ]


def _errors() -> list[Json]:
    failed = f"{{ {REQUESTS} && {FAILED} }} | rate()"
    return [
        graph("By route", traceql(f"{failed} by (span.http.route)"), unit="reqps"),
        graph("By host", traceql(f"{failed} by (span.$host)"), unit="reqps"),
        graph("By service", traceql(f"{failed} by (resource.service.name)"), unit="reqps"),
    ]


def _durations() -> list[Json]:
    return [
        heat_map(
            "All requests",
            traceql(f"{{ {REQUESTS} }} | histogram_over_time(duration)"),
            about="Requests by duration: each row ends at a power of two.",
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
        graph(
            "Calls per second, by upstream",
            traceql(f"{{ {UPSTREAMS} }} | rate() by (span.server.address)"),
            unit="reqps",
            about=about,
        ),
        graph(
            "Failed calls per second, by upstream",
            traceql(f"{{ {UPSTREAMS} && {FAILED} }} | rate() by (span.server.address)"),
            unit="reqps",
        ),
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
