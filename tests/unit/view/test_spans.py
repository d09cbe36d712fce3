"""Tests how a trace from Tempo looks to the page."""

from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from tools.view.spans import zipkin_spans

TRACE, PARENT, ID = bytes(range(16)), b"12345678", b"abcdefgh"


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def converted(resource: list[KeyValue] | None = None, **fields: Any) -> dict[str, Any]:
    """Returns what the page gets of a span with more fields."""
    span = Span(trace_id=TRACE, span_id=ID, name="GET /", **fields)
    named = [text("service.name", "nginx"), *(resource or [])]
    batch = ResourceSpans(resource=Resource(attributes=named), scope_spans=[ScopeSpans(spans=[span])])
    (found,) = zipkin_spans(TracesData(resource_spans=[batch]))
    return found


def test_a_span_keeps_its_ids_name_service_and_times() -> None:
    found = converted(
        parent_span_id=PARENT,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1_700_000_000_000_001_999,
        end_time_unix_nano=1_700_000_000_000_500_000,
    )
    assert found == {
        "traceId": "000102030405060708090a0b0c0d0e0f",
        "id": ID.hex(),
        "parentId": PARENT.hex(),
        "name": "GET /",
        "kind": "SERVER",
        "timestamp": 1_700_000_000_000_001,
        "duration": 499,
        "localEndpoint": {"serviceName": "nginx"},
        "tags": {},
        "annotations": [],
    }


def test_a_root_has_no_parent_and_an_internal_span_no_kind() -> None:
    assert {"parentId", "kind"} & converted(kind=Span.SPAN_KIND_INTERNAL).keys() == set()


def test_a_span_shorter_than_a_microsecond_is_not_one_that_has_not_ended() -> None:
    assert converted(start_time_unix_nano=1000, end_time_unix_nano=1001)["duration"] == 1


def test_attributes_of_the_span_win_over_those_of_its_resource() -> None:
    found = converted([text("host.name", "node-1"), text("a", "resource")], attributes=[text("a", "span")])
    assert found["tags"] == {"a": "span", "host.name": "node-1"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": Status(code=Status.STATUS_CODE_ERROR, message="no route")}, "no route"),
        (
            {
                "status": Status(code=Status.STATUS_CODE_ERROR),
                "attributes": [KeyValue(key="http.status_code", value=AnyValue(int_value=502))],
            },
            "HTTP 502",
        ),
        ({"status": Status(code=Status.STATUS_CODE_ERROR)}, "true"),
        ({"status": Status(code=Status.STATUS_CODE_OK)}, None),
        ({"attributes": [KeyValue(key="error", value=AnyValue(bool_value=False))]}, None),
        ({"attributes": [KeyValue(key="error", value=AnyValue(bool_value=True))]}, "true"),
    ],
)
def test_a_failed_span_is_red_and_says_why(fields: dict[str, Any], error: str | None) -> None:
    assert converted(**fields)["tags"].get("error") == error


def test_a_client_s_span_names_the_other_end() -> None:
    attributes = [text("server.address", "10.0.0.7"), text("peer.service", "shop")]
    client = converted(kind=Span.SPAN_KIND_CLIENT, attributes=attributes)
    assert client["remoteEndpoint"] == {"serviceName": "shop"}
    assert "remoteEndpoint" not in converted(kind=Span.SPAN_KIND_SERVER, attributes=attributes)


def test_events_and_links_are_annotations() -> None:
    event = Span.Event(name="exception", time_unix_nano=5000, attributes=[text("exception.type", "KeyError")])
    link = Span.Link(trace_id=TRACE, span_id=PARENT)
    assert converted(start_time_unix_nano=3000, events=[event], links=[link])["annotations"] == [
        {"timestamp": 5, "value": "exception exception.type=KeyError"},
        {"timestamp": 3, "value": f"link to span {PARENT.hex()} of trace {TRACE.hex()}"},
    ]


def test_a_span_without_a_service_says_so() -> None:
    batch = ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(trace_id=TRACE, span_id=ID)])])
    (found,) = zipkin_spans(TracesData(resource_spans=[batch]))
    assert found["localEndpoint"] == {"serviceName": "(no service.name)"}


@pytest.mark.parametrize(
    ("parents", "cut"),
    [
        ({"a": "", "b": "a", "c": "b"}, []),
        ({"a": "elsewhere", "b": "a"}, []),
        ({"a": "a"}, ["a"]),
        ({"a": "b", "b": "a", "c": "b"}, ["a"]),
        ({"a": "c", "b": "", "c": "d", "d": "c"}, ["c"]),
    ],
)
def test_a_circle_of_parents_is_cut_where_it_begins(parents: dict[str, str], cut: list[str]) -> None:
    # Lens draws nothing of a circle.
    spans = [
        Span(trace_id=TRACE, span_id=one.encode(), parent_span_id=parent.encode(), start_time_unix_nano=number * 1000)
        for number, (one, parent) in enumerate(parents.items())
    ]
    found = zipkin_spans(TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]))
    kept = {bytes.fromhex(span["id"]).decode(): bytes.fromhex(span.get("parentId", "")).decode() for span in found}
    assert kept == {one: "" if one in cut else parent for one, parent in parents.items()}
