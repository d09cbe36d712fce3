"""The trace that is drawn in the terminal."""

import io

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from rich.console import Console

from tools.probe.drawing import draw, duration, waterfall
from tools.probe.trace import spans_of

TWO_SERVICES = """{"resourceSpans": [
  {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
   "scopeSpans": [{"spans": [
     {"spanId": "AAAAAAAAAAM=", "parentSpanId": "AAAAAAAAAAI=", "name": "SELECT", "kind": "SPAN_KIND_CLIENT",
      "startTimeUnixNano": "1000000400", "endTimeUnixNano": "1000000900",
      "status": {"code": "STATUS_CODE_ERROR", "message": "dead [lock]"}},
     {"spanId": "AAAAAAAAAAI=", "parentSpanId": "AAAAAAAAAAE=", "name": "GET /items",
      "startTimeUnixNano": "1000000200", "endTimeUnixNano": "1002000200"}]}]},
  {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "nginx"}},
                               {"key": "host.name", "value": {"stringValue": "node-1"}}]},
   "scopeSpans": [{"spans": [
     {"spanId": "AAAAAAAAAAE=", "parentSpanId": "AQEBAQEBAQE=", "name": "/", "kind": "SPAN_KIND_SERVER",
      "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1012300000",
      "attributes": [{"key": "http.status_code", "value": {"intValue": "200"}},
                     {"key": "http.target", "value": {"stringValue": "/[bold]"}},
                     {"key": "empty", "value": {}},
                     {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": 1.5}]}}}]}]}]}
]}"""  # noqa: E501


def drawn(document: str) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(draw(spans_of(Parse(document, TracesData()))))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_trace_of_several_services_is_drawn_from_parents_to_children() -> None:
    assert drawn(TWO_SERVICES) == [
        "the slowest trace: 3 spans of nginx, shop, 12.3 ms",
        "└── nginx  /  SERVER  12.3 ms  status UNSET",
        "    ├── span ID             0000000000000001",
        "    │   parent span ID      0101010101010101",
        "    │   empty",
        "    │   http.status_code    200",
        "    │   http.target         /[bold]",
        "    │   tags                [true, 1.5]",
        "    │   resource.host.name  node-1",
        "    └── shop  GET /items  UNSPECIFIED  2.00 ms  status UNSET",
        "        ├── span ID         0000000000000002",
        "        │   parent span ID  0000000000000001",
        "        └── shop  SELECT  CLIENT  500 ns  status ERROR: dead [lock]",
        "            └── span ID         0000000000000003",
        "                parent span ID  0000000000000002",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 ns"),
        (0.00000042, "420 ns"),
        (0.0000123, "12.3 µs"),
        (0.001, "1.00 ms"),
        (0.3055, "306 ms"),
        (1.2345, "1.23 s"),
        (75.0, "75.0 s"),
    ],
)
def test_a_duration_has_its_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_name_is_cut_and_keeps_its_span_on_one_line() -> None:
    spans = spans_of(Parse(TWO_SERVICES, TracesData()))
    name = f"GET {'a-long-host.' * 6}svc"
    long = [span.model_copy(update={"name": name}) for span in spans]
    output = io.StringIO()
    Console(width=80, file=output, color_system=None).print(waterfall(long))
    lines = output.getvalue().splitlines()
    assert len(lines) == 1 + len(spans)
    assert all("…" in line and line.rstrip()[-1] in "━▏" for line in lines[1:])
