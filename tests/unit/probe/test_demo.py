"""Tests the probe of a stack with the demo: each trace has to be whole."""

from collections.abc import Callable

import pytest

from settings.demo import DEMO_SERVICES, SHOP, STOCK
from tests.unit.probe.conftest import Ended
from tests.unit.probe.fake_stack import FakeStack
from tools.probe.result import ExpectedTrace, Span
from tools.probe.trace import why_not_whole

Probe = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _demo(stack: FakeStack) -> None:  # pyright: ignore[reportUnusedFunction]
    stack.demo = [*DEMO_SERVICES]


@pytest.mark.parametrize(("upstream_spans", "spans"), [(False, 3), (True, 5)])
def test_requests_go_through_the_demo_and_whole_traces_are_counted(
    probe: Probe, stack: FakeStack, upstream_spans: bool, spans: int
) -> None:
    stack.upstream_spans = upstream_spans
    ended = probe()
    assert ended.code == 0
    assert {seen.path for seen in stack.received} == {"/demo/"}
    lines = ended.output.splitlines()
    assert lines[0] == f"20 requests to {stack.nginx.url}/demo/: 20 answered with 200"
    assert lines[1] == (
        f"Every trace is whole: {spans} spans, of nginx, demo-shop and demo-stock, each below its right parent"
    )


def test_requests_that_the_demo_fails_are_counted_as_expected(probe: Probe, stack: FakeStack) -> None:
    stack.failing = frozenset({3, 7})
    ended = probe()
    assert ended.code == 0
    assert "18 answered with 200, 2 answered with 503, which the demo does on purpose" in ended.output


def test_a_503_elsewhere_is_no_demo_s(probe: Probe, stack: FakeStack) -> None:
    stack.failing = frozenset({0})
    ended = probe("--requests", "2", "--path", "/other")
    assert f"2 requests to {stack.nginx.url}: 1 answered with 200, 1 answered with 503\n" in ended.output
    assert "whole" not in ended.output


@pytest.mark.parametrize(("service", "lack"), [(STOCK, "no span of demo-stock"), (SHOP, "no span of demo-shop")])
def test_a_trace_without_a_service_is_missing_and_named(
    probe: Probe, stack: FakeStack, service: str, lack: str
) -> None:
    stack.lose_spans_of = {1: service}
    ended = probe("--requests", "3", "--timeout", "0.5")
    assert ended.code == 1
    assert "2 of 3 traces are whole: 3 spans, of nginx, demo-shop and demo-stock" in ended.output
    assert "unknown: 1 trace came without a part, and no counter shows a loss." in ended.output
    assert f"{stack.received[1].trace_id} is not whole: {lack}" in ended.output


def test_a_drop_of_the_demo_s_own_nginx_is_named(probe: Probe, stack: FakeStack) -> None:
    stack.lose_spans_of = {0: STOCK}
    stack.demo_log = ["2026/01/01 00:00:00 [notice] 7#7: OTel dropped records: 3"]
    ended = probe("--requests", "1", "--timeout", "0.5")
    assert "NGINX: its export buffer was full: demo-stock-1: 2026/01/01" in ended.output


def test_the_trace_is_drawn_with_a_line_for_each_span(probe: Probe) -> None:
    drawn = probe("--requests", "1").output.partition("the slowest trace: ")[2].splitlines()
    assert drawn[0].strip() == "3 spans of nginx, demo-shop, demo-stock, 1.00 ms"
    bar = "━" * 20
    assert [line.split() for line in drawn[1:4]] == [
        ["nginx", "/", "SERVER", "1.00", "ms", bar],
        ["└─", "demo-shop", "/", "SERVER", "1.00", "ms", bar],
        ["└─", "demo-stock", "/", "SERVER", "1.00", "ms", bar],
    ]


def test_attributes_are_drawn_if_they_are_asked_for(probe: Probe) -> None:
    assert "http.user_agent" not in probe("--requests", "1").output.partition("the slowest trace")[2]
    assert (
        probe("--requests", "1", "--attributes").output.partition("the slowest trace")[2].count("http.user_agent") == 3
    )


CLIENT = "c1"
"""The parent of a trace's first span."""

THREE = ExpectedTrace(path="/demo/", services=["nginx", SHOP, STOCK], spans=3)
FIVE = ExpectedTrace(path="/demo/", services=["nginx", SHOP, STOCK], spans=5)


def span(service: str, span_id: str, parent: str, kind: str = "SERVER") -> Span:
    return Span(
        service=service,
        name="/demo/",
        span_id=span_id,
        parent_span_id=parent,
        kind=kind,
        status="UNSET",
        status_message="",
        start_unix_nano=0,
        duration_seconds=0,
        attributes={},
        resource={},
    )


NGINX_SPAN, SHOP_SPAN, STOCK_SPAN = span("nginx", "n", CLIENT), span(SHOP, "s", "n"), span(STOCK, "t", "s")
WITH_UPSTREAMS = [
    NGINX_SPAN,
    span("nginx", "nc", "n", "CLIENT"),
    span(SHOP, "s", "nc"),
    span(SHOP, "sc", "s", "CLIENT"),
    span(STOCK, "t", "sc"),
]


@pytest.mark.parametrize(
    ("spans", "expected", "why"),
    [
        ([NGINX_SPAN, SHOP_SPAN, STOCK_SPAN], THREE, None),
        (WITH_UPSTREAMS, FIVE, None),
        ([NGINX_SPAN], THREE, "no span of demo-shop and demo-stock"),
        (
            [span("nginx", "n", "x"), SHOP_SPAN, STOCK_SPAN],
            THREE,
            "the parent of the span /demo/ (SERVER) of nginx is missing",
        ),
        (
            [NGINX_SPAN, span(SHOP, "s", CLIENT), STOCK_SPAN],
            THREE,
            "the parent of the span /demo/ (SERVER) of demo-shop is missing",
        ),
        (
            [NGINX_SPAN, SHOP_SPAN, span(STOCK, "t", "n")],
            THREE,
            "the parent of the span /demo/ (SERVER) of demo-stock is the span /demo/ (SERVER) of nginx",
        ),
        (
            [NGINX_SPAN, SHOP_SPAN, STOCK_SPAN],
            FIVE,
            "the parent of the span /demo/ (SERVER) of demo-shop is the span /demo/ (SERVER) of nginx",
        ),
        (
            WITH_UPSTREAMS,
            THREE,
            "the parent of the span /demo/ (SERVER) of demo-shop is the span /demo/ (CLIENT) of nginx",
        ),
        (
            [span for span in WITH_UPSTREAMS if span.span_id != "sc"],
            FIVE,
            "the parent of the span /demo/ (SERVER) of demo-stock is missing",
        ),
        ([*WITH_UPSTREAMS, span(SHOP, "sc2", "s", "CLIENT")], FIVE, "it has 6 spans, not 5"),
        ([NGINX_SPAN, SHOP_SPAN, STOCK_SPAN, STOCK_SPAN], THREE, None),
    ],
)
def test_a_trace_is_whole_with_all_services_below_their_right_parents(
    spans: list[Span], expected: ExpectedTrace, why: str | None
) -> None:
    assert why_not_whole(spans, expected, CLIENT) == why
