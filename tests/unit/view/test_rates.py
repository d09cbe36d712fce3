"""Tests the figures of the page of rates."""

import json
import time
from typing import Any

import pytest

from tests.unit.view.conftest import FakeTempo, View
from tools.view import rates

METRICS = "/api/metrics/query_range"


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 4}, 1.0, 1.0),
        # In the middle of a bucket that doubles: the square root of 2 times its beginning.
        ({1.0: 4}, 0.5, 0.5**0.5),
        ({1.0: 1, 4.0: 1}, 0.5, 1.0),
        ({1.0: 1, 4.0: 1}, 0.95, 2 * 2**0.9),
        ({4.0: 1, 1.0: 99, 2.0: 0}, 0.5, 0.5 * 2 ** (50 / 99)),
    ],
)
def test_a_duration_is_taken_from_its_bucket(buckets: dict[float, float], share: float, expected: float | None) -> None:
    assert rates.quantile(buckets, share) == (expected and pytest.approx(expected))


def test_the_search_for_slow_requests_begins_where_their_bucket_does() -> None:
    # All took 300 ms; the estimate is 497 ms, and a search for longer ones finds nothing.
    assert rates.bucket({0.512: 20, 0.064: 1}, 0.95) == 0.256
    assert rates.bucket({}, 0.95) is None


@pytest.mark.parametrize("seconds", [60, 900, 24 * 3600])
def test_the_window_is_whole_intervals_and_the_one_that_runs(seconds: int) -> None:
    now = 1_700_000_123.7
    window = rates.Window.until(now, seconds)
    assert window.start % window.step == 0
    assert window.end - window.step <= now < window.end
    assert 0 <= window.seconds - seconds <= window.step
    assert [window.point(at) for at in (0, window.start, now, now + 1e6)] == [0, 0, rates.POINTS, rates.POINTS]


def series(route: str, value: float, **labels: Any) -> dict[str, Any]:
    named = {"resource.service.name": {"stringValue": "nginx"}, "span.http.route": {"stringValue": route}} | labels
    at = int(time.time() - 100) * 1000
    return {
        "labels": [{"key": key, "value": text} for key, text in named.items()],
        "samples": [{"timestampMs": str(at), "value": value}, {"timestampMs": str(at + 30_000)}],
    }


def test_a_route_s_row_has_its_rate_and_the_share_of_errors(view: View, tempo: FakeTempo) -> None:
    # The fake answers both queries alike: each span has a duration, and each one failed.
    listed = [series("/", 90, __bucket={"doubleValue": 0.1}), series("/api/", 900, __bucket={"doubleValue": 0.2})]
    tempo.answers[METRICS] = 200, json.dumps({"series": listed})
    found = view.get("/zipkin/api/v2/rates?seconds=900").json()
    assert "TraceQL metrics" in found["note"]
    assert "No span has sampling.weight, so each stored span counts once" in found["note"]
    assert [(row["service"], row["route"], round(row["rate"], 1), row["errors"]) for row in found["rows"]] == [
        ("nginx", "/api/", 1.0, 1.0),
        ("nginx", "/", 0.1, 1.0),
    ]
    assert [sum(row["points"]) for row in found["rows"]] == [900, 90]
    queries = [query["q"] for path, query, _ in tempo.asked if path == METRICS]
    # A CLIENT span beside a SERVER span is of the same request.
    assert all(query.startswith("{ kind = server") for query in queries)


def test_a_sampled_span_counts_for_the_requests_that_it_stands_for(view: View, tempo: FakeTempo) -> None:
    name = "span.sampling.weight"
    listed = [
        series("/", 90, __bucket={"doubleValue": 0.1}, **{name: {"intValue": "10"}}),
        series("/", 60, __bucket={"doubleValue": 0.8}, **{name: {"doubleValue": 2.5}}),
        series("/", 50, __bucket={"doubleValue": 0.8}),
        series("/", 7, __bucket={"doubleValue": 0.8}, **{name: {"stringValue": "nil"}}),
    ]
    tempo.answers[METRICS] = 200, json.dumps({"series": listed})
    found = view.get("/zipkin/api/v2/rates?seconds=900").json()
    (row,) = found["rows"]
    assert (sum(row["points"]), row["errors"]) == (900 + 150 + 57, 1.0)
    # Of the stored spans alone, most are slow.
    assert row["p50"] <= 0.1 < row["p95"]
    assert "a span counts for all requests it stands for (sampling.weight)" in found["note"]


def test_a_search_counts_sampled_spans_like_metrics(view: View, tempo: FakeTempo) -> None:
    def span(seconds: int, **attributes: str) -> dict[str, Any]:
        named = {"service.name": "nginx", "http.route": "/"} | attributes
        pairs = [{"key": key, "value": {"stringValue": text}} for key, text in named.items()]
        return {"startTimeUnixNano": str(time.time_ns()), "durationNanos": f"{seconds}000000000", "attributes": pairs}

    spans = [span(1, **{"sampling.weight": "8"}), span(5, status="error"), span(6)]
    tempo.answers[METRICS] = 404, ""
    tempo.answers["/api/search"] = 200, json.dumps({"traces": [{"traceID": "a", "spanSet": {"spans": spans}}]})
    found = view.get("/zipkin/api/v2/rates?seconds=900").json()
    (row,) = found["rows"]
    assert (sum(row["points"]), row["errors"], row["p50"], row["p95"]) == (10, 0.1, 1.0, 6.0)
    assert "a span counts for all requests" in found["note"]


@pytest.mark.parametrize(("number", "says"), [(2, "The search returned all traces."), (3, "the true rates are higher")])
def test_rates_from_a_search_say_so(
    view: View, tempo: FakeTempo, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    monkeypatch.setattr(rates, "SAMPLED_TRACES", 3)
    tempo.answers[METRICS] = 500, "error finding generators in Querier.queryRangeRecent: empty ring"
    span = {
        "startTimeUnixNano": str(time.time_ns()),
        "durationNanos": "2000000",
        "attributes": [
            {"key": "service.name", "value": {"stringValue": "nginx"}},
            {"key": "http.route", "value": {"stringValue": "/"}},
            {"key": "status", "value": {"stringValue": "error"}},
        ],
    }
    found_trace = {"traceID": "a", "spanSet": {"spans": [span]}}
    tempo.answers["/api/search"] = 200, json.dumps({"traces": [found_trace] * number})
    found = view.get("/zipkin/api/v2/rates?seconds=900").json()
    assert "Tempo answers no TraceQL metrics (HTTP 500: error finding generators" in found["note"]
    assert says in found["note"]
    (row,) = found["rows"]
    assert (row["route"], row["errors"], row["p50"], sum(row["points"])) == ("/", 1.0, 0.002, number)


def test_a_stack_without_requests_has_no_rows(view: View, tempo: FakeTempo) -> None:
    tempo.answers[METRICS] = tempo.answers["/api/search"] = 200, "{}"
    found = view.get("/zipkin/api/v2/rates?seconds=900").json()
    assert (found["rows"], "TraceQL metrics have no spans of this time" in found["note"]) == ([], True)
