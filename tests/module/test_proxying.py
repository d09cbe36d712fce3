"""Tests what upstreams get from NGINX, with the program's own documents in a real NGINX."""

import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.cluster.certificates import Authority
from tests.module.conftest import StartApplication
from tests.module.nginx import Nginx
from tests.module.upstream import head, proxying, raw, seen
from tests.otlp import Receiver
from tests.waiting import wait_for


@pytest.mark.parametrize(
    ("request_head", "authority"),
    [
        ("GET / HTTP/1.1\r\nHost: Edge.example:30080", ("Edge.example:30080", "30080")),
        ("GET / HTTP/1.1\r\nHost: edge.example", ("edge.example", "80")),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:30080", ("[2001:db8::1]:30080", "30080")),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]", ("[2001:db8::1]", "80")),
        ("GET / HTTP/1.0", ("127.0.0.1", "80")),
        ("GET http://edge.example/ HTTP/1.1\r\nHost: admin.example:30080", ("edge.example", "80")),
        ("GET http://edge.example:30080/ HTTP/1.1\r\nHost: edge.example:30080", ("edge.example:30080", "30080")),
    ],
)
def test_upstreams_get_the_host_and_port_that_the_client_asked_for(
    nginx: Nginx, application: StartApplication, receiver: Receiver, request_head: str, authority: tuple[str, str]
) -> None:
    one = application()
    with proxying(nginx, {"routes": [{"path": "/", "upstream": one.host}]}, receiver_port=receiver.port):
        lines = head(raw(nginx.port, f"{request_head}\r\nConnection: close\r\n\r\n"))
    host, port = authority
    assert [line for line in lines if line.lower().startswith("host:")] == [f"Host: {host}"]
    assert f"X-Forwarded-Host: {host}" in lines
    assert f"X-Forwarded-Port: {port}" in lines


SPOOFED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Port": "8443",
    "Forwarded": "for=203.0.113.9;proto=https",
    "X-Real-IP": "203.0.113.9",
}


def forwarded(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: headers.get(name.lower(), []) for name in SPOOFED}


@pytest.mark.parametrize("trusted", [None, {"addresses": ["192.0.2.0/24"]}])
def test_what_a_client_says_of_itself_is_replaced(
    nginx: Nginx, application: StartApplication, receiver: Receiver, trusted: dict[str, Any] | None
) -> None:
    one = application()
    values = {"routes": [{"path": "/", "upstream": one.host}], "trustedProxies": trusted}
    with proxying(nginx, values, receiver_port=receiver.port) as log:
        got = seen(httpx.get(nginx.url(), headers=SPOOFED))
        wait_for("the log", log.read_text)
        assert json.loads(log.read_text())["client"] == "127.0.0.1"
    host = f"127.0.0.1:{nginx.port}"
    assert forwarded(got) == {
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
        "X-Forwarded-Host": [host],
        "X-Forwarded-Port": [str(nginx.port)],
        "Forwarded": [],
        "X-Real-IP": ["127.0.0.1"],
    }


def test_what_a_trusted_proxy_says_of_its_client_is_kept(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    values = {
        "routes": [{"path": "/", "upstream": one.host}],
        "trustedProxies": {"addresses": ["127.0.0.1", "10.0.0.0/8"]},
    }
    # What the client claimed itself, then its address as the first proxy saw it, then the address of a proxy of ours.
    said = SPOOFED | {"X-Forwarded-For": "198.51.100.1, 203.0.113.9, 10.1.2.3"}
    with proxying(nginx, values, receiver_port=receiver.port) as log:
        got = seen(httpx.get(nginx.url(), headers=said))
        proto_alone = seen(httpx.get(nginx.url(), headers={"Host": "shop.example", "X-Forwarded-Proto": "https"}))
        wait_for("the log", lambda: len(log.read_text().splitlines()) == 2)
        line = json.loads(log.read_text().splitlines()[0])
        span = receiver.many(2)[0]
    assert forwarded(got) == {name: [value] for name, value in SPOOFED.items()} | {
        "X-Forwarded-For": ["198.51.100.1, 203.0.113.9, 10.1.2.3, 127.0.0.1"]
    }
    assert (line["client"], span.attributes["net.sock.peer.addr"]) == ("203.0.113.9", "203.0.113.9")
    assert (proto_alone["x-forwarded-proto"], proto_alone["x-forwarded-port"]) == (["https"], ["443"])
    assert proto_alone["x-forwarded-host"] == ["shop.example"]


def test_the_proxy_protocol_of_a_trusted_proxy_tells_the_client_s_address_and_headers_tell_nothing(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    values = {
        "routes": [{"path": "/", "upstream": one.host}],
        "trustedProxies": {"addresses": ["127.0.0.1"], "protocol": "proxyProtocol"},
    }
    request = "GET / HTTP/1.1\r\nHost: shop.example\r\n" + "".join(f"{name}: {SPOOFED[name]}\r\n" for name in SPOOFED)
    with proxying(nginx, values, receiver_port=receiver.port) as log:
        lines = head(
            raw(nginx.port, f"PROXY TCP4 203.0.113.9 10.0.0.1 40000 443\r\n{request}Connection: close\r\n\r\n")
        )
        assert raw(nginx.port, f"{request}\r\n") == b"", "without it a connection is ended"
        wait_for("the log", log.read_text)
        assert json.loads(log.read_text().splitlines()[0])["client"] == "203.0.113.9"
    assert [line for line in lines if line.startswith("X-Forwarded-")] == [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Host: shop.example",
        "X-Forwarded-Port: 80",
        "X-Forwarded-Proto: http",
    ]


def test_a_websocket_goes_through_on_every_proxied_route(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    upgrade = (
        "GET /ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with (
        proxying(nginx, {"routes": [{"path": "/", "upstream": one.host}]}, receiver_port=receiver.port),
        socket.create_connection(("127.0.0.1", nginx.port), timeout=10) as connection,
    ):
        connection.sendall(upgrade.encode())
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"frame")
        assert connection.recv(4096) == b"frame"


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "websocket, h2c"])
def test_no_other_protocol_is_offered_to_upstreams(
    nginx: Nginx, application: StartApplication, receiver: Receiver, protocol: str
) -> None:
    one = application()
    with proxying(nginx, {"routes": [{"path": "/", "upstream": one.host}]}, receiver_port=receiver.port):
        got = seen(httpx.get(nginx.url(), headers={"Upgrade": protocol, "Connection": "Upgrade, HTTP2-Settings"}))
    assert not {"upgrade", "connection"} & set(got)


CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "vendor=1"


def context(got: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    return got.get("traceparent", []), got.get("tracestate", [])


def test_the_trace_context_passes_a_route_that_is_not_traced_as_it_came(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    routes: list[dict[str, Any]] = [
        {"path": "/", "upstream": one.host, "traced": False},
        {"path": "/told", "upstream": one.host, "traced": False, "traceContext": "propagate"},
        {"path": "/sampled", "upstream": one.host, "sampling": {"ratio": 0, "parentBased": False}},
    ]
    headers = {"traceparent": CLIENTS, "tracestate": STATE}
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port):
        assert context(seen(httpx.get(nginx.url("/"), headers=headers))) == ([CLIENTS], [STATE])
        assert context(seen(httpx.get(nginx.url("/")))) == ([], [])
        for path in ("/told", "/sampled"):
            # The flags say that the client does not record this trace.
            (parent,), state = context(seen(httpx.get(nginx.url(path), headers=headers)))
            assert re.fullmatch("00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00", parent)
            assert state == [STATE]
    assert not receiver.spans


def test_the_access_log_says_which_requests_were_traced(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    always, never = {"ratio": 1, "parentBased": False}, {"ratio": 0, "parentBased": False}
    half = {"ratio": 0.5, "parentBased": False}
    answer = {"status": 200}
    routes: list[dict[str, Any]] = [
        {"path": "/", "return": answer},
        {"path": "/off", "return": answer, "traced": False},
        {"path": "/never", "return": answer, "sampling": never},
        {"path": "/half", "upstream": one.host, "sampling": half},
        {"path": "/extract", "return": answer, "sampling": half, "traceContext": "extract"},
        {"path": "/ignore", "return": answer, "sampling": always, "traceContext": "ignore"},
        {"path": "/ignore/never", "return": answer, "sampling": never, "traceContext": "ignore"},
        {"path": "/own", "return": answer, "extraConfig": "otel_trace $arg_trace;"},
        {"path": "/inner", "extraConfig": "rewrite ^ /off last;"},
        {"path": "/outer", "extraConfig": "error_page 404 = /off; return 404;"},
    ]
    parent = {"traceparent": CLIENTS}
    requests: list[tuple[str, dict[str, str]]] = [
        *(("/", {}) for _ in range(3)),
        ("/?parent", parent),
        ("/?unsampled", {"traceparent": f"{CLIENTS[:-1]}0"}),
        ("/off?parent", parent),
        ("/never?parent", parent),
        *((f"/half?{number}", {}) for number in range(40)),
        *((f"/extract?{number}", parent if number % 2 else {}) for number in range(40)),
        ("/ignore?parent", parent),
        ("/ignore/never", parent),
        ("/own?trace=on", {}),
        ("/own?trace=off", parent),
        ("/inner", parent),
        ("/outer", parent),
    ]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port) as log:
        for path, headers in requests:
            httpx.get(nginx.url(path), headers=headers)
        raw(nginx.port, f"GET / HTTP/1.1\r\nHost: a b\r\ntraceparent: {CLIENTS}\r\n\r\n")
        twice = f"GET /?twice HTTP/1.1\r\nHost: a\r\ntraceparent: {CLIENTS}\r\ntraceparent: {CLIENTS}\r\n"
        raw(nginx.port, f"{twice}Connection: close\r\n\r\n")
        wait_for("the log", lambda: len(log.read_text().splitlines()) == len(requests) + 2)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    # NGINX has ended and sent all its spans.
    assert {type(line["traced"]) for line in lines} == {bool}
    assert {line["span_id"] for line in lines if line["traced"]} == {span.span_id for span in receiver.spans}
    paths = {line["request"].split()[1] for line in lines if line["traced"]}
    assert paths >= {"/", "/?parent", "/?twice", "/ignore?parent", "/own?trace=on", "/inner", "/outer"}
    assert not paths & {"/?unsampled", "/off?parent", "/never?parent", "/ignore/never", "/own?trace=off"}


def test_an_upstream_with_an_authority_of_its_own_is_shown_a_certificate(
    nginx: Nginx, application: StartApplication, receiver: Receiver, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path / "pki")
    authority.issue("server", "server", hosts=("localhost",))
    authority.issue("client", "nginx")
    pki = {file.name: file.read_text() for file in (tmp_path / "pki").iterdir()}
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki["ca.crt"])
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(tmp_path / "pki" / "server.crt", tmp_path / "pki" / "server.key")
    one = application(tls=server)
    upstream = {"host": "localhost", "port": one.port, "tls": True, "caBundle": pki["ca.crt"]}
    shown = upstream | {"clientCertificate": pki["client.crt"], "clientKey": pki["client.key"]}
    routes: list[dict[str, Any]] = [{"path": "/", "upstream": shown}, {"path": "/without", "upstream": upstream}]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port):
        assert seen(nginx.get("/"))["host"] == ["localhost"]
        assert nginx.get("/without").status_code in {400, 502}


def test_an_upstream_whose_authority_is_unknown_gets_nothing(
    nginx: Nginx, application: StartApplication, receiver: Receiver, tmp_path: Path
) -> None:
    for name in ("theirs", "ours"):
        Authority.create(tmp_path / name).issue("server", "server", hosts=("localhost",))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "theirs" / "server.crt", tmp_path / "theirs" / "server.key")
    one = application(tls=server)
    authorities = (tmp_path / "ours" / "ca.crt").read_text()
    upstream = {"host": "localhost", "port": one.port, "tls": True, "caBundle": authorities}
    with proxying(nginx, {"routes": [{"path": "/", "upstream": upstream}]}, receiver_port=receiver.port):
        assert nginx.get("/").status_code == 502
    assert "upstream SSL certificate verify error" in nginx.log()
