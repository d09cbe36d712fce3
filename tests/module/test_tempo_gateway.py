"""Tests the gateway in Tempo's pod on a real NGINX: it passes on what reads traces, and nothing else."""

import base64
import getpass
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from components.documents import tempo_gateway
from components.documents.tempo import HTTP_PORT
from components.documents.tempo_gateway import INSIDE_PORT, PASSWORD_FOLDER, PUBLIC_PORT, gateway_conf, password_file
from tests.module.conftest import Nginx
from tests.otlp import free_port

PASSWORD = "a: pässword"  # noqa: S105 - a test's
LARGE = 8 * 2**20

READS = [
    "/ready",
    "/api/echo",
    "/api/search",
    "/api/search?q=%7B%20span.http.url%20%3D%20%22http%3A%2F%2Fa%2F..%2Fb%22%20%7D&limit=20",
    "/api/search?q={}//../..",
    "/api/search/tags",
    "/api/search/tag/service.name/values",
    "/api/traces/0123456789abcdef0123456789abcdef",
    "/api/traces/0123456789abcdef0123456789abcdef?start=1&end=2",
    "/api/v2/traces/0123456789abcdef0123456789abcdef",
    "/api/v2/search/tags?scope=span",
    "/api/v2/search/tag/span.%22a%20b%22/values?q=%7B%7D",
    "/api/v2/search/tag/.service.name/values",
    "/api/metrics/query_range?q={}|rate()",
    "/api/metrics/query?q={}|rate()",
    "/api/metrics/summary?q={}",
    # A request with the whole URL, as proxies get it.
    "http://tempo.example/api/search",
]

CLOSED = [
    # Other routes of Tempo 2.7 to 3.0.
    "/",
    "/shutdown",
    "/flush",
    "/flush?tenant=a",
    "/metrics",
    "/memberlist",
    "/config",
    "/status",
    "/status/version",
    "/status/config",
    "/status/services",
    "/status/endpoints",
    "/status/runtime_config",
    "/status/overrides",
    "/status/overrides/single-tenant",
    "/status/usage-stats",
    "/status/backendscheduler",
    "/runtime_config",
    "/services",
    "/endpoints",
    "/distributor/ring",
    "/ingester/ring",
    "/compactor/ring",
    "/metrics-generator/ring",
    "/live-store/ring",
    "/partition/ring",
    "/partition-ring",
    "/live-store/prepare-partition-downscale",
    "/live-store/prepare-downscale",
    "/ingester/prepare-partition-downscale",
    "/usage_metrics",
    "/static/index.html",
    "/debug/pprof/",
    "/debug/pprof/heap",
    "/debug/fgprof",
    "/log_level",
    "/api/overrides",
    "/api/overrides/",
    "/api/status/buildinfo",
    "/api/mcp",
    "/querier/api/search",
    "/querier/api/traces/0123456789abcdef0123456789abcdef",
    "/generator/api/metrics",
    "/tempopb.Pusher/PushBytesV2",
    "/v1/traces",
    "/healthz",
    # Almost the listed routes.
    "/api",
    "/api/",
    "/api/searches",
    "/api/traces",
    "/api/traces/",
    "/api/v2",
    "/api/v2/",
    "/api/metrics",
    "/api/metrics/",
    "/api/echo/",
    "/api/echo/x",
    "/api/v3/search",
    "/API/search",
    "/Api/Echo",
    "/ready/",
    "/READY",
    "/readyz",
    # The same in other spellings.
    "/%73hutdown",
    "/shutdown/",
    "/shutdown?",
    "//shutdown",
    "///shutdown",
    "/./shutdown",
    "/x/../shutdown",
    "/api/../shutdown",
    "/api/search/../../shutdown",
    "/api/search/..",
    "/api/search/../overrides",
    "/api/search/%2e%2e/%2e%2e/shutdown",
    "/api/search/%2E%2E/%2E%2E/flush",
    "/api/search/.%2e/.%2e/flush",
    "/api/search%2f..%2f..%2fshutdown",
    "/api/search/..%2f..%2fshutdown",
    "/api/search/..%5c..%5cshutdown",
    "/api/search/..\\..\\shutdown",
    "/api/search/..;/..;/shutdown",
    "/api/search/%252e%252e/../../flush",
    "/api/search#/../../shutdown",
    "/api//search",
    "//api/search",
    "/api/./search",
    "/api/search/.",
    "/api/search/%2e",
    "/api%2fsearch",
    "/api/traces/..",
    "/api/traces/a/../../../shutdown",
    "/api/traces/a%2f..%2f..%2f..%2fshutdown",
    "/api/v2/../overrides",
    "/api/metrics/../overrides",
    "/ready/../shutdown",
    "/ready/..%2fshutdown",
    "/ready%20",
    "/api/search/..%0d%0a/shutdown",
    "http://tempo.example/shutdown",
    "http://tempo.example/api/search/../../shutdown",
    "http://tempo.example//shutdown",
    "http://tempo.example",
]


@dataclass
class Tempo:
    """A server in Tempo's place, with all requests that it got."""

    server: ThreadingHTTPServer
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(
        default_factory=list[tuple[str, str, dict[str, str], bytes]]
    )


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


@dataclass
class Gateway:
    """A running gateway."""

    public: int
    inside: int

    def ask(
        self, target: str, method: str = "GET", *, headers: str = "", body: str = "", inside: bool = False
    ) -> tuple[int, bytes]:
        """Sends a request as it is written; returns the answer's status and body."""
        with socket.create_connection(("127.0.0.1", self.inside if inside else self.public), timeout=10) as connection:
            head = f"{method} {target} HTTP/1.1\r\nHost: tempo.example\r\nConnection: close\r\n{headers}\r\n"
            connection.sendall((head + body).encode())
            answer = b""
            while part := connection.recv(2**16):
                answer += part
        head_of_answer, _, content = answer.partition(b"\r\n\r\n")
        return int(head_of_answer.split()[1]), content


def start(nginx: Nginx, tempo: Tempo, password: str | None = None) -> Gateway:
    """Returns a function that starts NGINX with the document that is deployed, on free ports of this machine."""
    gateway = Gateway(nginx.port, free_port())
    conf = gateway_conf(has_password=password is not None)
    for deployed, here in (
        ("/tmp/", f"{nginx.folder}/"),  # noqa: S108 - in the container
        (f"127.0.0.1:{HTTP_PORT}", f"127.0.0.1:{tempo.server.server_address[1]}"),
        (f"listen {PUBLIC_PORT};", f"listen 127.0.0.1:{gateway.public};"),
        (f"listen {INSIDE_PORT};", f"listen 127.0.0.1:{gateway.inside};"),
        (PASSWORD_FOLDER, str(nginx.folder)),
        ("/dev/stderr warn", f"{nginx.folder}/error.log notice"),
    ):
        assert deployed in conf or deployed == PASSWORD_FOLDER
        conf = conf.replace(deployed, here)
    (nginx.folder / "nginx.conf").write_text(f"daemon off;\nuser {getpass.getuser()};\n{conf}")
    if password is not None:
        (nginx.folder / tempo_gateway.PASSWORD_FILE).write_text(password_file(password, salt_of="test"))
    nginx.start()
    return gateway


@pytest.fixture
def gateway(stopped_nginx: Nginx, tempo: Tempo) -> Gateway:
    """Runs a gateway without a password."""
    return start(stopped_nginx, tempo)


def login(password: str, user: str = "tempo") -> str:
    """Returns the header of a user with a password."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


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
