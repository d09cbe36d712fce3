"""Tests what a search of the page asks Tempo for."""

import pytest

from tools.view.search import traceql

NEWEST = " with (most_recent=true)"


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({}, "{  }"),
        ({"serviceName": "nginx"}, '{ resource.service.name = "nginx" }'),
        ({"serviceName": "nginx", "spanName": "GET /"}, '{ resource.service.name = "nginx" && name = "GET /" }'),
        ({"remoteServiceName": "db"}, '{ (span.peer.service = "db" || span.server.address = "db") }'),
        ({"minDuration": "1500", "maxDuration": "2000000"}, "{ duration >= 1500us && duration <= 2000000us }"),
        ({"annotationQuery": "error"}, "{ status = error }"),
        ({"annotationQuery": "http.route=/api/ and error"}, '{ .http.route = "/api/" && status = error }'),
        ({"annotationQuery": "http.route"}, "{ .http.route != nil }"),
        ({"annotationQuery": "error and "}, "{ status = error }"),
    ],
)
def test_a_filter_of_the_page_is_a_condition_of_the_search(asked: dict[str, str], query: str) -> None:
    assert traceql(asked) == query + NEWEST


@pytest.mark.parametrize(("value", "typed"), [("502", "502"), ("-1.5", "-1.5"), ("true", "true")])
def test_a_value_is_looked_for_as_a_text_and_as_the_type_that_it_may_have(value: str, typed: str) -> None:
    # NGINX's status is a number; an attribute of `otel_span_attr` is a text, even if it has only digits.
    assert traceql({"annotationQuery": f"k={value}"}) == f'{{ (.k = "{value}" || .k = {typed}) }}{NEWEST}'


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({"serviceName": 'a" || true || "'}, r'{ resource.service.name = "a\" || true || \"" }'),
        ({"spanName": "back\\slash\nline"}, r'{ name = "back\\slash\nline" }'),
        ({"annotationQuery": 'a b} || {"x=1"'}, r'{ ."a b} || {\"x" = "1\"" }'),
        ({"annotationQuery": "한국어=값"}, '{ ."한국어" = "값" }'),
        ({"minDuration": "1 || true"}, "{  }"),
    ],
)
def test_no_text_of_the_page_ends_the_condition_that_it_stands_in(asked: dict[str, str], query: str) -> None:
    assert traceql(asked) == query + NEWEST
