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
    "value",
    ["08", "-007", "12345678901234567890", "-9223372036854775808", f"{'9' * 400}.5", "1" * 5000, "٣", "1.", "nan"],
)
def test_digits_that_traceql_reads_as_no_number_are_looked_for_as_text(value: str) -> None:
    assert traceql({"annotationQuery": f"order={value}"}) == f'{{ .order = "{value}" }}{NEWEST}'


@pytest.mark.parametrize(
    ("tag", "condition"),
    [
        ("http.status_code>=500", ".http.status_code >= 500"),
        ("k<-1.5", ".k < -1.5"),
        ("k > 08=1", None),
        ("k>=x || true", None),
        ("k!=1", None),
        ("http.route=/a>b", '.http.route = "/a>b"'),
        ("http.route=nil", "(.http.route != nil || duration >= 0ns) && !(.http.route != nil)"),
        ("span:kind=server", "kind = server"),
        ("span:kind=x", '."span:kind" = "x"'),
        (r'k="a\u0020and\u0020b"', r'(.k = "\"a\\u0020and\\u0020b\"" || .k = "a and b")'),
        ('k="a', r'.k = "\"a"'),
    ],
)
def test_a_tag_compares_or_the_person_reads_how_it_can(tag: str, condition: str | None) -> None:
    if condition:
        assert traceql({"annotationQuery": tag}) == f"{{ {condition} }}{NEWEST}"
    else:
        with pytest.raises(
            ValueError, match=r"write key=value, key>=number \(also >, <=, <\), key=nil, or the key alone"
        ):
            traceql({"annotationQuery": tag})


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
