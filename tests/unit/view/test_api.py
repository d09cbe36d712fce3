"""Tests what the page answers itself: pages, errors, and what it asks Tempo for."""

import hashlib
import json
import re
import time
from http import HTTPStatus

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from lab.paths import REPOSITORY
from tests.unit.view.conftest import FakeTempo, View
from tools.view import assets

API = "/zipkin/api/v2"


def trace(trace_id: str) -> bytes:
    span = Span(trace_id=bytes.fromhex(trace_id), span_id=b"12345678", name="GET /")
    return TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])]).SerializeToString()


def test_lens_is_the_one_that_its_licences_name() -> None:
    assert hashlib.sha256(assets.LENS.read_bytes()).hexdigest() == assets.LENS_SHA256
    notice = (assets.FOLDER / "NOTICE.md").read_text()
    assert assets.LENS.name in notice
    assert assets.LENS_SHA256 in notice


def test_each_change_of_lens_s_script_meets_its_place() -> None:
    file = assets.lens_file(assets.SCRIPT)
    assert file
    for slow, fast in assets.FASTER.items():
        assert (file.content.count(slow), file.content.count(fast)) == (0, 1)


def test_lens_shows_a_page_for_each_path_of_its_own(view: View) -> None:
    pages = [view.get(path).text for path in ("/zipkin/", "/zipkin/traces/0af7651916cd43dd8448eb211c80319c")]
    assert pages[0] == pages[1]
    script = re.search(r'src="(/zipkin/static/[^"]+)"', pages[0])
    assert script
    assert view.get(script[1]).headers["content-type"] == "text/javascript; charset=utf-8"


def test_the_root_leads_to_the_traces(view: View) -> None:
    answer = view.get("/")
    assert (answer.status_code, answer.headers["location"]) == (HTTPStatus.FOUND, "/zipkin/")


def test_a_search_asks_for_the_time_and_the_number_that_the_person_chose(view: View, tempo: FakeTempo) -> None:
    one, gone = "0af7651916cd43dd8448eb211c80319c", "f" * 31
    tempo.answers["/api/search"] = 200, json.dumps({"traces": [{"traceID": one}, {"traceID": gone}]})
    tempo.answers[f"/api/traces/{one}"] = 200, trace(one)
    asked = {"serviceName": "nginx", "limit": "7", "endTs": "1700000100000", "lookback": "60000"}
    (found,) = view.get(f"{API}/traces", params=asked).json()
    assert [span["traceId"] for span in found] == [one]
    (query,) = [query for path, query, _ in tempo.asked if path == "/api/search"]
    # A minute more at the end: the nodes' clocks may be ahead.
    assert (query["limit"], query["start"], query["end"]) == ("7", "1700000040", "1700000160")
    assert query["q"].startswith('{ resource.service.name = "nginx" }')


def test_text_that_is_not_utf_8_is_shown_repaired(view: View, tempo: FakeTempo) -> None:
    one = "0af7651916cd43dd8448eb211c80319c"
    tempo.answers[f"/api/traces/{one}"] = 200, trace(one).replace(b"GET /", b"GET \xff")
    (span,) = view.get(f"{API}/trace/{one}").json()
    assert (span["name"], span["traceId"]) == ("GET \ufffd", one)


@pytest.mark.parametrize("answer", [(500, "trace exceeds max size"), (200, b"\xff\xff"), (200, b"\x0a\x7f\x00")])
def test_a_trace_that_cannot_be_read_does_not_hide_the_others(
    view: View, tempo: FakeTempo, answer: tuple[int, str | bytes]
) -> None:
    one, large = "0af7651916cd43dd8448eb211c80319c", "f" * 31
    listed = {"traceID": large, "rootServiceName": "nginx", "startTimeUnixNano": "1700000000000001000"}
    tempo.answers["/api/search"] = 200, json.dumps({"traces": [listed, {"traceID": one}]})
    tempo.answers[f"/api/traces/{large}"] = answer
    tempo.answers[f"/api/traces/{one}"] = 200, trace(one)
    found = view.get(f"{API}/traces?limit=9&endTs=1700000100000&lookback=60000").json()
    assert [spans[0]["traceId"] for spans in found] == [f"0{large}", one]
    ((unread,), _) = found
    assert (unread["name"], unread["timestamp"]) == ("(this trace cannot be read)", 1_700_000_000_000_001)
    assert unread["localEndpoint"] == {"serviceName": "nginx"}
    assert unread["tags"]["error"].startswith("HTTP 500: trace exceeds" if answer[0] == 500 else "http://127.0.0.1:")


def test_names_are_looked_for_in_the_last_day(view: View, tempo: FakeTempo) -> None:
    path = "/api/v2/search/tag/name/values"
    tempo.answers[path] = 200, json.dumps({"tagValues": [{"type": "string", "value": name} for name in "ba"]})
    assert view.get(f"{API}/spans", params={"serviceName": "nginx"}).json() == ["a", "b"]
    ((_, query, _),) = tempo.asked
    assert query["q"] == '{ resource.service.name = "nginx" }'
    assert int(query["end"]) - int(query["start"]) == 24 * 3600 + 60
    assert abs(int(query["end"]) - 60 - time.time()) < 30


def test_keys_are_those_of_spans_and_resources_and_first_of_all_error(view: View, tempo: FakeTempo) -> None:
    scopes = [
        {"name": "span", "tags": ["http.route", "error"]},
        {"name": "resource", "tags": ["service.name", "host.name", "app.kubernetes.io/name"]},
        {"name": "intrinsic", "tags": ["duration"]},
        {"name": "event"},
    ]
    tempo.answers["/api/v2/search/tags"] = 200, json.dumps({"scopes": scopes})
    assert view.get(f"{API}/autocompleteKeys").json() == ["error", "host.name", "http.route"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (f"{API}/services", HTTPStatus.BAD_GATEWAY, "Tempo: HTTP 503: too many\tjobs, really"),
        (f"{API}/trace/{'a' * 32}", HTTPStatus.NOT_FOUND, "not found"),
        (f"{API}/trace/..%2f..%2fready", HTTPStatus.NOT_FOUND, "not found"),
        (f"{API}/dependencies", HTTPStatus.NOT_FOUND, "not found"),
        (f"{API}/spans", HTTPStatus.BAD_REQUEST, "a parameter is missing or wrong: 'serviceName'"),
        (f"{API}/traces?limit=x&endTs=1&lookback=1", HTTPStatus.BAD_REQUEST, "a parameter is missing or wrong: "),
        (
            f"{API}/traces?limit=1&endTs=1&lookback=1&annotationQuery=a%3C%3Dx",
            HTTPStatus.BAD_REQUEST,
            "a parameter is missing or wrong: a<=x: write key=value, key>=number",
        ),
        ("/elsewhere", HTTPStatus.NOT_FOUND, "no such page"),
        (f"/own/{'a' * 5000}", HTTPStatus.NOT_FOUND, "no such page"),
    ],
)
def test_an_error_says_what_is_wrong(view: View, tempo: FakeTempo, path: str, status: HTTPStatus, says: str) -> None:
    tempo.answers["/api/v2/search/tag/resource.service.name/values"] = 503, "too many\tjobs, really\n"
    answer = view.get(path)
    assert answer.status_code == status
    assert answer.text.startswith(says)
    # Lens shows the status line's reason.
    assert answer.reason_phrase.startswith(" ".join(says.split()))
    assert not any(path in ("/ready", "/api/traces/..") for path, _, _ in tempo.asked)


def test_a_tempo_that_does_not_answer_is_named(view: View, tempo: FakeTempo) -> None:
    tempo.answers["/api/v2/search/tag/resource.service.name/values"] = None
    answer = view.get(f"{API}/services")
    assert answer.status_code == HTTPStatus.BAD_GATEWAY
    assert answer.text.startswith("Tempo: RemoteProtocolError")


def test_an_answer_of_another_shape_is_told(view: View, tempo: FakeTempo) -> None:
    tempo.answers["/api/v2/search/tag/resource.service.name/values"] = (200, '{"tagValues": ["shop"]}')
    answer = view.get("/zipkin/api/v2/services")
    assert answer.status_code == HTTPStatus.BAD_GATEWAY
    assert "answers something else than Tempo would" in answer.text


def test_no_file_of_the_page_names_a_server() -> None:
    named = [
        f"{file.relative_to(REPOSITORY)}: {found}"
        for file in assets.OWN.iterdir()
        for found in re.findall(r"(?:https?:)?//[\w.-]+\.\w+", file.read_text())
        if found != "http://www.w3.org"
    ]
    assert named == []
