"""Runs every query of every dashboard against the lab's Tempo and Prometheus, after known traffic.

Grafana itself is not run: its image cannot be pulled on the lab. These tests put the values of a dashboard's variables
into its queries, and send them to the data source's API as Grafana's data sources do.
"""

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from components.documents.grafana import COUNT_WEIGHTS, Sources, dashboards
from tests.readers.loopback import ask
from tests.readers.spans import CLIENT, SERVER, Attributes, Sent, new_id
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

SOURCES = Sources("tracing", "http://tempo.tracing.svc:3100")
BOARD: dict[str, Any] = json.loads(dashboards(SOURCES)["requests"])
TARGETS = {
    (row["title"], panel["title"]): panel["targets"]
    for row, panel in [
        (next(row for row in reversed(BOARD["panels"][:number]) if row["type"] == "row"), panel)
        for number, panel in enumerate(BOARD["panels"])
        if panel["type"] != "row"
    ]
}
VARIABLES = {one["name"]: one["current"]["value"] for one in BOARD["templating"]["list"]}


@dataclass(frozen=True)
class Request:
    """A request to NGINX."""

    host: str
    route: str
    status: int
    milliseconds: int
    upstream: str = ""
    """Its upstream, if it went on to one."""

    service: str = "nginx"
    weight: float = 0
    """How many requests its span stands for; 0 without sampling."""


class Traffic:
    """Makes the spans of requests that ended a second ago."""

    def __init__(self) -> None:
        self.spans: list[Sent] = []
        self.trace_ids: dict[str, set[str]] = {"slow": set(), "failed": set()}
        now = time.time_ns() - 1_000_000_000
        # All requests begin in one minute: each has percentiles of its own, and the longest request took two seconds.
        into_minute = now % 60_000_000_000
        self._end = now - into_minute - 1_000_000_000 if into_minute < 3_000_000_000 else now

    def add(self, times: int, request: Request) -> None:
        """Adds a request some times: a span of kind SERVER, and one of kind CLIENT if it went on to an upstream."""
        server: dict[str, str | int | float] = {
            "http.route": request.route,
            "http.status_code": request.status,
            "net.host.name": request.host,
            "server.address": request.host,
        }
        weight = {"sampling.weight": request.weight} if request.weight else {}
        for _ in range(times):
            self.spans.append(self._span(new_id(), request, server | weight))
            if request.upstream:
                client = {"server.address": request.upstream, "server.port": 80, **weight}
                self.spans.append(self._span(self.spans[-1].trace_id, request, client, self.spans[-1]))
            if request.milliseconds > 500:
                self.trace_ids["slow"].add(self.spans[-1].trace_id)
            if request.status >= 500:
                self.trace_ids["failed"].add(self.spans[-1].trace_id)

    def _span(self, trace_id: str, request: Request, attributes: Attributes, parent: Sent | None = None) -> Sent:
        return Sent(
            request.service,
            request.route,
            trace_id,
            self._end - request.milliseconds * 1_000_000,
            request.milliseconds / 1000,
            CLIENT if parent else SERVER,
            parent,
            attributes={**attributes, "http.response.status_code": request.status},
            error=request.status >= 500,
        )


def known_traffic() -> Traffic:
    """Makes 30 requests: 20 of a shop, of which 3 failed after two seconds, and 10 of a page.

    Of all of them but those of the page that NGINX served before it sampled, a span says what it stands for.
    """
    traffic = Traffic()
    traffic.add(17, Request("shop.example", "/shop/", 200, 100, "192.0.2.1", weight=10.0))
    traffic.add(3, Request("shop.example", "/shop/", 502, 2000, "192.0.2.2", weight=10.0))
    traffic.add(6, Request("page.example", "/", 200, 1))
    traffic.add(4, Request("page.example", "/", 404, 1, service="other", weight=1.0))
    return traffic


@pytest.fixture(scope="module")
def tempo(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[RunningTempo, Traffic]]:
    """Runs a Tempo that has the known traffic."""
    traffic = known_traffic()
    with running_tempo(tmp_path_factory.mktemp("tempo")) as running:
        running.send(traffic.spans)
        query = "{ kind = server } | count_over_time()"
        wait_for("all requests in TraceQL metrics", lambda: total(running.series(query)) == 30, 60)
        yield running, traffic


def total(series: dict[str, list[float]]) -> float:
    return sum(map(sum, series.values()))


def filled(query: str, **chosen: str) -> str:
    """Puts the values of the variables into a query, or others that are chosen. Grafana escapes none of these."""
    for name, value in (VARIABLES | chosen).items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


def counts(series: dict[str, list[float]]) -> dict[str, float]:
    """Returns how many are counted in all minutes, by label, without those of which there is none."""
    return {label: sum(values) for label, values in series.items() if sum(values)}


def largest(series: dict[str, list[float]]) -> dict[str, float]:
    return {label: max(values) for label, values in series.items() if max(values)}


SHORT, MIDDLE, LONG = ROWS = (0.001048576, 0.134217728, 2.147483648)
"""The ends of the heat map's rows that have requests: of 1 ms, 100 ms and 2 s. Tempo counts by powers of two, in ns."""


def rows(series: dict[str, list[float]]) -> dict[str, float]:
    """Returns the rows that percentiles lie in. Tempo interpolates between rows: it knows no more of a duration."""
    return {label: min(row for row in ROWS if value <= row) for label, value in largest(series).items()}


EXPECTED: dict[tuple[str, str], tuple[Callable[[dict[str, list[float]]], dict[str, float]], dict[str, float]]] = {
    ("Overview", "Requests"): (counts, {"count_over_time": 30}),
    ("Overview", "Failed requests"): (counts, {"count_over_time": 3}),
    ("Overview", "Longest duration"): (largest, {"max_over_time": 2}),
    ("Requests per minute", "By route"): (counts, {"/shop/": 20, "/": 10}),
    ("Requests per minute", "By host"): (counts, {"shop.example": 20, "page.example": 10}),
    ("Requests per minute", "By service"): (counts, {"nginx": 26, "other": 4}),
    ("Errors per minute", "By route"): (counts, {"/shop/": 3}),
    ("Errors per minute", "By host"): (counts, {"shop.example": 3}),
    ("Errors per minute", "By service"): (counts, {"nginx": 3}),
    ("Duration", "50, 95 and 99 of 100"): (rows, {"0.5": MIDDLE, "0.95": LONG, "0.99": LONG}),
    ("Duration", "95 of 100, by route"): (rows, {"/, 0.95": SHORT, "/shop/, 0.95": LONG}),
    ("Duration", "95 of 100, by host"): (rows, {"page.example, 0.95": SHORT, "shop.example, 0.95": LONG}),
    ("Upstreams", "Calls per minute, by upstream"): (counts, {"192.0.2.1": 17, "192.0.2.2": 3}),
    ("Upstreams", "Failed calls per minute, by upstream"): (counts, {"192.0.2.2": 3}),
    ("Upstreams", "95 of 100 calls, by upstream"): (
        rows,
        {"192.0.2.1, 0.95": MIDDLE, "192.0.2.2, 0.95": LONG},
    ),
}
"""By row and panel: how to read the values, and what they are."""

WEIGHED: dict[tuple[str, str], dict[str, float]] = {
    ("Overview", "Requests"): {"sum_over_time": 204},
    ("Overview", "Failed requests"): {"sum_over_time": 30},
    ("Requests per minute", "By route"): {"/shop/": 200, "/": 4},
    ("Requests per minute", "By host"): {"shop.example": 200, "page.example": 4},
    ("Requests per minute", "By service"): {"nginx": 200, "other": 4},
    ("Errors per minute", "By route"): {"/shop/": 30},
    ("Errors per minute", "By host"): {"shop.example": 30},
    ("Errors per minute", "By service"): {"nginx": 30},
    ("Upstreams", "Calls per minute, by upstream"): {"192.0.2.1": 170, "192.0.2.2": 30},
    ("Upstreams", "Failed calls per minute, by upstream"): {"192.0.2.2": 30},
}
"""What panels show of a stack that samples: the requests that its spans stand for."""

LISTS = {("Requests", "Slow requests"): "slow", ("Requests", "Failed requests"): "failed"}
HEAT_MAP = ("Duration", "All requests")


def test_each_panel_has_its_numbers_here() -> None:
    assert set(TARGETS) == {*EXPECTED, *LISTS, HEAT_MAP}


@pytest.mark.parametrize("place", EXPECTED, ids=": ".join)
def test_a_panel_of_requests_shows_the_known_numbers(
    place: tuple[str, str], tempo: tuple[RunningTempo, Traffic]
) -> None:
    (target,) = TARGETS[place]
    read, expected = EXPECTED[place]
    assert read(tempo[0].series(filled(target["query"]))) == pytest.approx(expected)


@pytest.mark.parametrize("place", WEIGHED, ids=": ".join)
def test_under_sampling_a_panel_shows_the_requests_that_spans_stand_for(
    place: tuple[str, str], tempo: tuple[RunningTempo, Traffic]
) -> None:
    (target,) = TARGETS[place]
    query = filled(target["query"], count=COUNT_WEIGHTS)
    assert counts(tempo[0].series(query)) == pytest.approx(WEIGHED[place])


def test_each_number_of_requests_is_weighed_and_each_rate_is_that_of_a_minute() -> None:
    assert {place for place, targets in TARGETS.items() if "$count" in targets[0]["query"]} == set(WEIGHED)
    rates = {target.get("step") for place, (target,) in TARGETS.items() if "per minute" in " ".join(place)}
    assert rates == {"1m"}


def test_the_heat_map_has_each_request_in_the_row_of_its_duration(tempo: tuple[RunningTempo, Traffic]) -> None:
    (target,) = TARGETS[HEAT_MAP]
    found = counts(tempo[0].series(filled(target["query"])))
    assert {float(end): count for end, count in found.items()} == {SHORT: 10, MIDDLE: 17, LONG: 3}


@pytest.mark.parametrize("place", LISTS, ids=": ".join)
def test_a_list_has_the_traces_that_it_names(place: tuple[str, str], tempo: tuple[RunningTempo, Traffic]) -> None:
    running, traffic = tempo
    (target,) = TARGETS[place]
    now = int(time.time())
    asked = {"q": filled(target["query"]), "limit": target["limit"], "spss": 10}
    found = ask(f"{running.url}/api/search", **asked, start=now - 600, end=now + 60)
    assert {trace["traceID"].zfill(32) for trace in found["traces"]} == traffic.trace_ids[LISTS[place]]
    (span,) = found["traces"][0]["spanSets"][0]["spans"]
    shown = {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}
    assert (shown["http.route"], shown["http.status_code"]) == ("/shop/", "502")


def test_spans_with_the_stable_names_alone_are_found_by_them(tempo: tuple[RunningTempo, Traffic]) -> None:
    (target,) = TARGETS["Requests per minute", "By host"]
    query = filled(target["query"], host="server.address")
    assert counts(tempo[0].series(query)) == {"shop.example": 20, "page.example": 10}


def test_the_service_can_be_chosen(tempo: tuple[RunningTempo, Traffic]) -> None:
    (target,) = TARGETS["Requests per minute", "By route"]
    query = filled(target["query"], service="other")
    assert counts(tempo[0].series(query)) == {"/": 4}


def test_no_query_asks_for_another_data_source() -> None:
    kinds = {target["datasource"]["uid"] for targets in TARGETS.values() for target in targets}
    assert kinds == {"${tempo}"}
