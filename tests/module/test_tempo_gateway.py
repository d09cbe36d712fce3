"""Tests the gateway in Tempo's pod on a real NGINX: it passes on what reads traces, and nothing else."""

from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from components.documents.tempo_gateway import password_file
from tests.module.gateway import CLOSED, LARGE, READS, Gateway, Tempo, login, start
from tests.module.nginx import Nginx

PASSWORD = "a: pässword"  # noqa: S105 - a test's


@pytest.fixture
def tempo() -> Generator[Tempo]:
    """Answers 200 to every request, with 8 MiB for a trace called `large`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.asked.append((self.command, self.path, headers, body))
            content = b"x" * LARGE if self.path.endswith("/large") else b"Tempo"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if not name.startswith("do_"):
                raise AttributeError(name)
            return self.answer

        def log_message(self, *_: object, **__: object) -> None:
            """Logs nothing: tests read the requests instead."""

    made = Tempo(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def gateway(stopped_nginx: Nginx, tempo: Tempo) -> Gateway:
    """Runs a gateway without a password."""
    return start(stopped_nginx, tempo)


def test_what_reads_is_passed_on_as_it_was_sent(gateway: Gateway, tempo: Tempo) -> None:
    for target in READS:
        assert gateway.ask(target) == (200, b"Tempo"), target
        method, path, headers, _ = tempo.asked[-1]
        assert (method, path) == ("GET", target.removeprefix("http://tempo.example"))
        assert headers["host"] == "tempo"
        assert gateway.ask(target, "HEAD") == (200, b""), target


def test_everything_else_is_404_and_never_reaches_tempo(gateway: Gateway, tempo: Tempo) -> None:
    assert len(CLOSED) >= 60
    answers = {target: gateway.ask(target)[0] for target in CLOSED}
    assert {target: status for target, status in answers.items() if status != 404} == {}
    assert tempo.asked == []


def test_nothing_but_get_and_head_reads(gateway: Gateway, tempo: Tempo) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get"):
        for target in ("/api/search", "/api/overrides", "/shutdown", "/ready"):
            assert gateway.ask(target, method, headers="Content-Length: 0\r\n")[0] in {404, 400}, method
    assert gateway.ask("/api/search", "TRACE")[0] == 405
    assert gateway.ask("tempo.example:3100", "CONNECT")[0] in {400, 405}
    assert tempo.asked == []


def test_neither_a_body_nor_headers_carry_a_second_request(gateway: Gateway, tempo: Tempo) -> None:
    smuggled = "GET /shutdown HTTP/1.1\r\nHost: a\r\n\r\n"
    headers = f"Content-Length: {len(smuggled)}\r\nX-Original-URL: /shutdown\r\nX-HTTP-Method-Override: DELETE\r\n"
    assert gateway.ask("/api/search", headers=headers, body=smuggled)[0] == 200
    chunked = f"{len(smuggled):x}\r\n{smuggled}\r\n0\r\n\r\n"
    assert gateway.ask("/api/echo", headers="Transfer-Encoding: chunked\r\n", body=chunked)[0] == 200
    upgrade = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    assert gateway.ask("/ready", headers=upgrade)[0] == 200
    assert [(method, path, body) for method, path, _, body in tempo.asked] == [
        ("GET", path, b"") for path in ("/api/search", "/api/echo", "/ready")
    ]
    assert not any("upgrade" in headers for _, _, headers, _ in tempo.asked)


def test_large_answers_and_long_queries_pass(gateway: Gateway, tempo: Tempo) -> None:
    status, content = gateway.ask("/api/traces/large")
    assert (status, len(content)) == (200, LARGE)
    query = "x" * 30_000
    assert gateway.ask(f"/api/search?q={query}")[0] == 200
    assert tempo.asked[-1][1] == f"/api/search?q={query}"


def test_the_inside_port_has_readiness_and_counters_alone(gateway: Gateway, tempo: Tempo) -> None:
    assert gateway.ask("/healthz", inside=True) == (200, b"")
    assert tempo.asked == []
    for target in ("/ready", "/metrics"):
        assert gateway.ask(target, inside=True) == (200, b"Tempo")
    asked = len(tempo.asked)
    others = {*CLOSED, *READS} - {"/ready", "/metrics", "/healthz"}
    assert {target for target in others if gateway.ask(target, inside=True)[0] != 404} == set()
    assert len(tempo.asked) == asked


def test_the_password_is_asked_for_and_stays_at_the_gateway(stopped_nginx: Nginx, tempo: Tempo) -> None:
    gateway = start(stopped_nginx, tempo, PASSWORD)
    reads = [target for target in READS if target != "/ready"]
    for headers in ("", login("wrong-password"), login(PASSWORD, "admin"), login(""), "Authorization: Bearer a\r\n"):
        assert {gateway.ask(target, headers=headers)[0] for target in reads} == {401}
    assert tempo.asked == []
    for target in reads:
        assert gateway.ask(target, headers=login(PASSWORD)) == (200, b"Tempo")
        assert "authorization" not in tempo.asked[-1][2]
    # Load balancers and the kubelet have no password.
    assert gateway.ask("/ready")[0] == gateway.ask("/ready", inside=True)[0] == 200
    assert gateway.ask("/metrics", inside=True)[0] == 200


def test_with_a_password_or_without_nobody_learns_what_else_is_there(stopped_nginx: Nginx, tempo: Tempo) -> None:
    gateway = start(stopped_nginx, tempo, PASSWORD)
    for headers in ("", login(PASSWORD)):
        answers = {target: gateway.ask(target, headers=headers)[0] for target in CLOSED}
        assert {target: status for target, status in answers.items() if status != 404} == {}
    assert tempo.asked == []


def test_a_tempo_that_is_away_is_not_ready_while_the_gateway_is_alive(stopped_nginx: Nginx, tempo: Tempo) -> None:
    gateway = start(stopped_nginx, tempo)
    tempo.server.shutdown()
    tempo.server.server_close()
    assert gateway.ask("/ready", inside=True)[0] == 502
    assert gateway.ask("/healthz", inside=True)[0] == 200


def test_the_hash_is_the_same_each_time_and_differs_between_stacks() -> None:
    line = password_file(PASSWORD, salt_of="tracing")
    assert line == password_file(PASSWORD, salt_of="tracing")
    assert line != password_file(PASSWORD, salt_of="other")
    assert PASSWORD not in line
