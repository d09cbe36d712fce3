"""Tests the spans of every kind of request: protocols, listeners, bodies, redirects inside NGINX, subrequests."""

import http.client
import os
import socket
import ssl
import time
from pathlib import Path

import httpx
import pytest

from tests.module.conftest import Start
from tests.module.nginx import exchange
from tests.otlp import Receiver, free_port

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def upstream(port: int, does: str = 'return 200 "$http_traceparent";') -> str:
    """Returns an untraced server that answers with every `traceparent` that it got, joined by commas."""
    return f"server {{ listen 127.0.0.1:{port}; otel_trace off; {does} }}"


def test_a_span_covers_the_time_from_the_first_byte_to_the_last(start: Start, receiver: Receiver) -> None:
    nginx = start("location / { proxy_pass http://127.0.0.1:1; }")
    began = time.time()
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        seen = time.time()
        time.sleep(0.2)  # The span has to measure this duration.
        connection.sendall(b"x")
        assert connection.recv(4096).startswith(b"HTTP/1.1 502")
    span = receiver.one()
    millisecond = 0.001  # The resolution of NGINX's clock.
    assert began - millisecond <= span.start <= seen
    assert seen + 0.2 - millisecond <= span.start + span.seconds <= time.time()
    assert span.status == 2


def test_requests_of_one_connection_have_spans_of_their_own(start: Start, receiver: Receiver) -> None:
    nginx = start('location /a { return 200 "three"; } location /b { return 200 "eleven"; }')
    with httpx.Client() as client:
        client.get(nginx.url("/a"))
        client.get(nginx.url("/b"))
    first, second = receiver.many(2)
    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id
    assert first.attributes["net.sock.peer.port"] == second.attributes["net.sock.peer.port"]
    assert [span.attributes["http.response_content_length"] for span in (first, second)] == [5, 6]
    assert [span.attributes["http.request_content_length"] for span in (first, second)] == [0, 0]


def test_a_body_without_a_length_is_measured(start: Start, receiver: Receiver) -> None:
    nginx = start("location / { proxy_pass http://127.0.0.1:1; }")
    httpx.post(nginx.url(), content=iter([b"1234", b"5678"]))
    assert receiver.one().attributes["http.request_content_length"] == 8


def test_a_length_from_2_gib_up_overflows(start: Start, receiver: Receiver) -> None:
    # The official module keeps lengths in 32 bits.
    nginx = start("client_max_body_size 0; location / { return 200; }")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert receiver.one().attributes["http.request_content_length"] == 3_000_000_000 - 2**32


def test_a_post_that_is_redirected_inside_nginx_becomes_a_get(start: Start, receiver: Receiver) -> None:
    # NGINX changes the method itself, unless it goes to a named location.
    nginx = start(
        "location /x { error_page 404 = /app; return 404; } location /y { error_page 404 = @app; return 404; }"
        " location /app { return 200; } location @app { return 200; }"
    )
    httpx.post(nginx.url("/x"))
    httpx.post(nginx.url("/y"))
    methods = {span.attributes["http.target"]: span.attributes["http.method"] for span in receiver.many(2)}
    assert methods == {"/x": "GET", "/y": "POST"}


def test_http_0_9_has_no_version_and_no_headers_but_a_context(start: Start, receiver: Receiver) -> None:
    port = free_port()
    nginx = start(
        f"otel_trace_context propagate; location / {{ proxy_pass http://127.0.0.1:{port}; }}",
        http=upstream(port),
    )
    sent = exchange(nginx.port, b"GET /old\r\n").decode()
    span = receiver.one()
    assert sent == f"00-{span.trace_id}-{span.span_id}-01"
    assert span.attributes["http.target"] == "/old"
    assert "http.flavor" not in span.attributes
    assert "http.user_agent" not in span.attributes


def test_a_request_by_tls_has_the_scheme_https(start: Start, receiver: Receiver, certificates: Path) -> None:
    port = free_port()
    start(
        http=f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate localhost.crt;"
        " ssl_certificate_key localhost.key; location / { return 200; } }"
    )
    trust = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    httpx.get(f"https://localhost:{port}/", verify=trust)
    attributes = receiver.one().attributes
    assert (attributes["http.scheme"], attributes["net.host.port"]) == ("https", port)
    assert attributes["net.host.name"] == "localhost"


def test_a_request_by_a_unix_socket_has_no_ports(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    start(http=f"server {{ listen unix:{tmp_path}/socket; location / {{ return 200; }} }}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "socket"))) as client:
        client.get("http://shop.example/")
    attributes = receiver.one().attributes
    assert attributes["net.host.name"] == "shop.example"
    assert [attributes[f"net.{key}"] for key in ("sock.peer.addr", "sock.peer.port", "host.port")] == ["unix:", 0, 0]


def _may_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.2", port))
        except OSError:
            return False
    return True


@pytest.mark.parametrize(("port", "shown"), [(80, None), (443, 443)])
def test_the_port_is_left_out_where_it_is_the_scheme_s_own(
    start: Start, receiver: Receiver, port: int, shown: int | None
) -> None:
    if not _may_listen(port):
        pytest.skip(f"port {port} of 127.0.0.2 cannot be listened on here (user {os.geteuid()})")
    start(http=f"server {{ listen 127.0.0.2:{port}; location / {{ return 200; }} }}")
    httpx.get(f"http://127.0.0.2:{port}/")
    assert receiver.one().attributes.get("net.host.port") == shown


def test_what_ends_before_its_location_has_no_span(start: Start, receiver: Receiver) -> None:
    nginx = start(
        "if ($arg_early) { return 200; } location / { client_max_body_size 4; return 200; }"
        " location /last { return 200; }"
    )
    assert nginx.get("/?early=1").status_code == 200
    assert httpx.post(nginx.url(), content=b"12345").status_code == 413
    assert b" 400 " in exchange(nginx.port, b"nonsense\r\n\r\n")
    assert b" 405 " in exchange(nginx.port, b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert httpx.get(nginx.url(f"/{'a' * 40_000}")).status_code == 414
    nginx.get("/last")
    assert receiver.one().attributes["http.target"] == "/last"


def test_the_context_is_ignored_by_default(start: Start, receiver: Receiver) -> None:
    port = free_port()
    nginx = start(
        f"location / {{ proxy_pass http://127.0.0.1:{port}; }}",
        http=upstream(port),
    )
    assert nginx.get(traceparent=PARENT).text == PARENT
    assert receiver.one().trace_id != TRACE_ID


def test_of_two_parents_the_first_counts_and_is_replaced(start: Start, receiver: Receiver) -> None:
    port = free_port()
    nginx = start(
        f"otel_trace_context propagate; location / {{ proxy_pass http://127.0.0.1:{port}; }}",
        http=upstream(port),
    )
    second = PARENT.replace("b7", "c8")
    sent = httpx.get(nginx.url(), headers=[("Traceparent", PARENT), ("traceparent", second)]).text
    span = receiver.one()
    assert sent == f"00-{TRACE_ID}-{span.span_id}-01, {second}"
    assert span.parent_id == "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("server", "route"),
    [
        ("location /x { rewrite ^ /app last; } location /app { UPSTREAM }", "/app"),
        ("location /x { root none; try_files /none /app; } location /app { UPSTREAM }", "/app"),
        ("location /x { root none; try_files /none @app; } location @app { UPSTREAM }", "@app"),
        ("location /x { error_page 404 = @app; return 404; } location @app { UPSTREAM }", "@app"),
        ("location /x { index page; root .; rewrite ^ /sub/ break; } location /sub/page { UPSTREAM }", "/sub/page"),
    ],
    ids=["rewrite", "try_files", "named location", "error_page", "index"],
)
def test_a_redirect_inside_nginx_is_one_span_and_one_context(
    start: Start, receiver: Receiver, tmp_path: Path, server: str, route: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "page").touch()
    port = free_port()
    nginx = start(
        "otel_trace_context propagate;" + server.replace("UPSTREAM", f"proxy_pass http://127.0.0.1:{port};"),
        http=upstream(port),
    )
    sent = nginx.get("/x", traceparent=PARENT).text
    span = receiver.one()
    assert sent == f"00-{TRACE_ID}-{span.span_id}-01"
    assert span.parent_id == "b7ad6b7169203331"
    assert (span.attributes["http.target"], span.attributes["http.route"], span.name) == ("/x", route, route)


def test_a_response_of_an_upstream_may_redirect_inside_nginx(start: Start, receiver: Receiver) -> None:
    port = free_port()
    nginx = start(
        f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"
        ' location /protected { internal; return 200 "$otel_trace_id $otel_span_id"; }',
        http=upstream(port, "add_header X-Accel-Redirect /protected; return 200;"),
    )
    shown = nginx.get("/file").text
    span = receiver.one()
    assert shown == f"{span.trace_id} {span.span_id}"
    assert (span.attributes["http.target"], span.name) == ("/file", "/protected")


def test_the_upstream_of_a_subrequest_gets_the_request_s_context(start: Start, receiver: Receiver) -> None:
    port = free_port()
    nginx = start(
        "otel_trace_context propagate; location / { auth_request /auth; auth_request_set $seen $upstream_http_x_seen;"
        " add_header X-Seen $seen; root .; try_files /nginx.conf =404; }"
        f" location = /auth {{ internal; proxy_pass http://127.0.0.1:{port}; }}",
        http=upstream(port, "add_header X-Seen $http_traceparent; return 204;"),
    )
    seen = nginx.get("/page", traceparent=PARENT).headers["x-seen"]
    span = receiver.one()
    assert seen == f"00-{TRACE_ID}-{span.span_id}-01"
    assert span.name == "/"


def test_a_client_that_goes_away_leaves_a_span(start: Start, receiver: Receiver) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    nginx = start(f"location / {{ proxy_pass http://127.0.0.1:{silent.getsockname()[1]}; }}")
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port)
    connection.request("GET", "/slow")
    with silent, silent.accept()[0]:
        connection.close()
        span = receiver.one()
    assert span.attributes["http.status_code"] == 499
    assert span.status == 0
