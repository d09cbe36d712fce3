"""Tests the content of a request's span, and the source of its context."""

import re
import subprocess
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.module.conftest import Start
from tests.otlp import Receiver, free_port
from tests.waiting import wait_for

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
PARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


@pytest.fixture
def upstream() -> Generator[tuple[int, list[list[tuple[str, str]]]]]:
    """Runs an application behind NGINX; returns its port, and the headers of each request that it got."""
    seen: list[list[tuple[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append([(name.lower(), value) for name, value in self.headers.items()])
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], seen
    server.shutdown()
    server.server_close()


def test_a_request_s_span_has_every_attribute(
    start: Start, receiver: Receiver, upstream: tuple[int, list[list[tuple[str, str]]]]
) -> None:
    nginx = start(f"location /app {{ proxy_pass http://127.0.0.1:{upstream[0]}; }}")
    answer = httpx.post(nginx.url("/app/x?y=1"), content=b"12345678", headers={"User-Agent": "tester/1"})
    span = receiver.one()
    port = span.attributes.pop("net.sock.peer.port")
    assert isinstance(port, int)
    assert 1024 <= port <= 65535
    assert span.attributes == {
        "http.method": "POST",
        "http.target": "/app/x?y=1",
        "http.route": "/app",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.user_agent": "tester/1",
        "http.request_content_length": 8,
        "http.response_content_length": len(answer.content),
        "http.status_code": 200,
        "net.host.name": "127.0.0.1",
        "net.host.port": nginx.port,
        "net.sock.peer.addr": "127.0.0.1",
    }
    assert (span.name, span.kind, span.status) == ("/app", 2, 0)
    assert span.scope == ("nginx", "1.28.3")
    assert span.resource == {"service.name": "unknown_service:nginx"}
    assert span.parent_id == ""
    assert 0 <= span.seconds < 5


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 0), (500, 2), (503, 2)])
def test_a_status_from_500_up_is_an_error(start: Start, receiver: Receiver, status: int, code: int) -> None:
    start(f"location / {{ return {status}; }}").get()
    assert (receiver.one().attributes["http.status_code"], receiver.one().status) == (status, code)


def test_a_file_s_length_is_the_body_s(start: Start, receiver: Receiver) -> None:
    nginx = start("location / { root html; }")
    (nginx.folder / "html").mkdir()
    (nginx.folder / "html" / "page").write_text("x" * 615)
    nginx.get("/page")
    assert receiver.one().attributes["http.response_content_length"] == 615


def test_http_1_0_and_http_2_are_named(start: Start, receiver: Receiver) -> None:
    nginx = start("http2 on; location / { return 200; }")
    subprocess.run(["curl", "-s", "--http1.0", nginx.url("/old")], check=True)
    subprocess.run(["curl", "-s", "--http2-prior-knowledge", nginx.url("/new")], check=True)
    flavors = {span.attributes["http.target"]: span.attributes["http.flavor"] for span in receiver.many(2)}
    assert flavors == {"/old": "1.0", "/new": "2.0"}


def test_the_configured_server_name_goes_before_the_host_header(start: Start, receiver: Receiver) -> None:
    start("server_name shop.example; location / { return 200; }").get(Host="other.example")
    assert receiver.one().attributes["net.host.name"] == "shop.example"


def test_tracing_is_off_unless_a_value_is_exactly_on_or_1(start: Start, receiver: Receiver) -> None:
    nginx = start(
        "otel_trace $arg_trace; location / { return 200; } location /off { otel_trace off; return 200; }"
        " location /last { otel_trace on; return 200; }"
    )
    for target in ("/?trace=on", "/?trace=1", "/?trace=On", "/?trace=yes", "/?trace=", "/", "/off?trace=on", "/last"):
        nginx.get(target)
    assert [span.attributes["http.target"] for span in receiver.many(3)] == ["/?trace=on", "/?trace=1", "/last"]


def test_a_share_of_the_traces_is_sampled_by_their_ids(start: Start, receiver: Receiver) -> None:
    nginx = start(
        "otel_trace $sampled; location / { return 200; } location /last { otel_trace on; return 200; }",
        http="split_clients $otel_trace_id $sampled { 25% on; * off; }",
    )
    with httpx.Client() as client:
        for _ in range(400):
            client.get(nginx.url())
    nginx.get("/last")
    wait_for("the last span", lambda: any(span.name == "/last" for span in receiver.spans))
    assert 60 <= len(receiver.spans) - 1 <= 140


def test_the_parent_s_decision_can_go_before_the_share(start: Start, receiver: Receiver) -> None:
    nginx = start(
        "otel_trace $sampled; otel_trace_context propagate; location / { return 200; }",
        http='map $otel_parent_id $sampled { "" on; default $otel_parent_sampled; }',
    )
    nginx.get("/unsampled", traceparent=PARENT[:-2] + "00")
    nginx.get("/sampled", traceparent=PARENT)
    nginx.get("/orphan")
    assert [span.attributes["http.target"] for span in receiver.many(2)] == ["/sampled", "/orphan"]


@pytest.mark.parametrize(
    ("mode", "extracts", "injects"),
    [("ignore", False, False), ("extract", True, False), ("inject", False, True), ("propagate", True, True)],
)
def test_the_four_context_modes(  # noqa: PLR0917 - two of them are the case's
    start: Start,
    receiver: Receiver,
    upstream: tuple[int, list[list[tuple[str, str]]]],
    mode: str,
    extracts: bool,
    injects: bool,
) -> None:
    port, seen = upstream
    nginx = start(f"otel_trace_context {mode}; location / {{ proxy_pass http://127.0.0.1:{port}; }}")
    nginx.get(traceparent=PARENT, tracestate="vendor=1")
    span = receiver.one()
    sent = dict(seen[0])
    assert (span.trace_id == TRACE_ID) is extracts
    assert span.parent_id == (PARENT_ID if extracts else "")
    assert span.trace_state == ("vendor=1" if extracts else "")
    expected = f"00-{span.trace_id}-{span.span_id}-01" if injects else PARENT
    assert sent["traceparent"] == expected
    # A `tracestate` of another trace is not sent on.
    assert sent["tracestate"] == ("" if mode == "inject" else "vendor=1")


def test_a_request_without_context_gets_one_without_an_empty_state(
    start: Start, receiver: Receiver, upstream: tuple[int, list[list[tuple[str, str]]]]
) -> None:
    nginx = start(
        f"otel_trace_context propagate; location / {{ proxy_pass http://127.0.0.1:{upstream[0]}; }}"
        f" location /own {{ proxy_set_header traceparent mine; proxy_pass http://127.0.0.1:{upstream[0]}; }}"
    )
    nginx.get("/")
    (span,) = receiver.many(1)
    nginx.get("/own")
    first, second = upstream[1]
    assert [value for name, value in first if name == "traceparent"] == [f"00-{span.trace_id}-{span.span_id}-01"]
    assert "tracestate" not in dict(first)
    assert [value for name, value in second if name == "traceparent"] == ["mine"]


def test_an_unsampled_request_sends_its_context_on_as_such(
    start: Start, upstream: tuple[int, list[list[tuple[str, str]]]]
) -> None:
    port, seen = upstream
    start(f"otel_trace off; otel_trace_context propagate; location / {{ proxy_pass http://127.0.0.1:{port}; }}").get(
        traceparent=PARENT
    )
    assert re.fullmatch(f"00-{TRACE_ID}-(?!{PARENT_ID})[0-9a-f]{{16}}-00", dict(seen[0])["traceparent"])


@pytest.mark.parametrize("header", [PARENT.upper(), PARENT + "-later"], ids=["upper case", "further fields"])
def test_a_traceparent_is_read_as_the_official_module_reads_it(start: Start, receiver: Receiver, header: str) -> None:
    start("otel_trace_context extract; location / { return 200; }").get(traceparent=header)
    assert (receiver.one().trace_id, receiver.one().parent_id) == (TRACE_ID, PARENT_ID)


@pytest.mark.parametrize("header", ["01" + PARENT[2:], PARENT[:-1], "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_traceparent_that_is_none_starts_a_new_trace(start: Start, receiver: Receiver, header: str) -> None:
    start("otel_trace_context extract; location / { return 200; }").get(traceparent=header)
    assert receiver.one().trace_id not in {TRACE_ID, "0" * 32}
    assert receiver.one().parent_id == ""


def test_a_trace_of_zeros_is_a_new_trace_whose_parent_is_kept(start: Start, receiver: Receiver) -> None:
    # As in the official module, which checks each of the two by itself.
    header = f"00-{'0' * 32}-{PARENT_ID}-01"
    start("otel_trace_context extract; location / { return 200; }").get(traceparent=header)
    assert receiver.one().trace_id not in {TRACE_ID, "0" * 32}
    assert receiver.one().parent_id == PARENT_ID


def test_the_variables_are_the_span_s_also_with_tracing_off(start: Start, receiver: Receiver) -> None:
    nginx = start(
        'otel_trace_context extract; location / { return 200 "$otel_trace_id $otel_span_id $otel_parent_id '
        '$otel_parent_sampled"; } location /off { otel_trace off; return 200 "$otel_trace_id,$otel_parent_id,'
        '$otel_parent_sampled"; }'
    )
    shown = nginx.get(traceparent=PARENT).text.split()
    span = receiver.one()
    assert shown == [TRACE_ID, span.span_id, PARENT_ID, "1"]
    assert re.fullmatch("[0-9a-f]{32},,0", nginx.get("/off").text)


def test_a_span_s_name_may_have_variables(start: Start, receiver: Receiver) -> None:
    start('otel_span_name "$request_method $uri"; location / { return 200; }').get("/things/7")
    assert (receiver.one().name, receiver.one().attributes["http.route"]) == ("GET /things/7", "/")


def test_span_attributes_of_a_level_replace_those_above_and_all_of_a_name_are_kept(
    start: Start, receiver: Receiver
) -> None:
    nginx = start(
        "otel_span_attr level server; location / { return 200; }"
        " location /own { otel_span_attr own $arg_v; otel_span_attr own twice; return 200; }"
        " location /header { otel_span_attr http.request.header.x-test $http_x_test; return 200; }",
        http="otel_span_attr level http;",
    )
    nginx.get("/")
    nginx.get("/own?v=first")
    nginx.get("/header", x_test="yes")
    inherited, own, header = (
        [pair for pair in span.pairs if pair[0] in {"level", "own", "http.request.header.x-test"}]
        for span in receiver.many(3)
    )
    assert inherited == [("level", "server")]
    assert own == [("own", "first"), ("own", "twice")]
    assert header == [("http.request.header.x-test", ["yes"])]


def test_resource_attributes_and_the_service_s_name(start: Start, receiver: Receiver) -> None:
    start(
        http='otel_resource_attr zone "a b"; otel_resource_attr zone last; otel_resource_attr service.name other;'
        " otel_service_name shop;"
    ).get()
    assert receiver.one().resource == {"service.name": "shop", "zone": "last"}


def test_an_internal_redirect_keeps_the_first_decision_and_shows_the_last_location(
    start: Start, receiver: Receiver
) -> None:
    nginx = start(
        "otel_trace_context propagate; error_page 404 /missing; root none; location / { otel_trace on; }"
        " location = /missing { otel_trace off; otel_span_name last; return 200 gone; }"
    )
    assert nginx.get("/x", traceparent=PARENT).text == "gone"
    span = receiver.one()
    assert (span.trace_id, span.parent_id, span.name) == (TRACE_ID, PARENT_ID, "last")
    assert (span.attributes["http.target"], span.attributes["http.route"]) == ("/x", "/missing")
    assert span.attributes["http.status_code"] == 404


def test_a_subrequest_has_no_span_of_its_own(start: Start, receiver: Receiver) -> None:
    nginx = start(
        "location /page { auth_request /auth; root .; try_files /nginx.conf =404; }"
        " location = /auth { otel_trace on; return 204; }"
    )
    assert nginx.get("/page").status_code == 200
    assert receiver.one().attributes["http.target"] == "/page"
