"""Tests the spans of upstreams on loopback: the real NGINX and Collector, with documents of the program."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from lab.build.targets import NGINX
from settings.limits import Exports
from settings.snippets.ours import UPSTREAM_ATTRIBUTE
from tests.module.nginx import Nginx
from tests.module.upstream import proxying
from tests.otlp import Receiver, Span, free_port
from tests.readers.collectors import NGINX_EXPORTS, UPSTREAM_EXPORTS, Running, running
from tests.readers.spans import CLIENT, SERVER, Sent, message, new_id
from tests.waiting import wait_for
from tools.probe import names

pytestmark = pytest.mark.usefixtures("programs")

ERROR = 2


@dataclass
class Upstream:
    """An application whose answers the path of a request chooses: a status, `close` for none, `slow` for a late one."""

    port: int = field(default_factory=free_port)
    traceparents: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Closes the listener."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            path = stream.readline().decode().split()[1].strip("/").split("?")[0]
            while line := stream.readline().decode().strip():
                if line.lower().startswith("traceparent:"):
                    self.traceparents.append(line.split(": ")[1])
            if path == "close":
                return
            if path == "slow":
                time.sleep(0.2)
            status = path if path.isdigit() else "200"
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    """Provides an NGINX that is not running."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    return Nginx(NGINX.folder, folder, free_port())


@pytest.fixture
def upstream() -> Generator[Upstream]:
    """Runs an application."""
    made = Upstream()
    yield made
    made.stop()


@pytest.fixture
def other() -> Generator[Upstream]:
    """Runs another application."""
    made = Upstream()
    yield made
    made.stop()


@pytest.fixture
def tempo() -> Generator[Receiver]:
    """Runs a receiver in Tempo's place."""
    made = Receiver()
    yield made
    made.stop()


Ask = Callable[..., list[Span]]


@pytest.fixture
def ask(image: str, nginx: Nginx, tmp_path: Path, tempo: Receiver) -> Generator[Ask]:
    """Returns a function that runs NGINX and its Collector, sends a request, and returns the spans of its trace."""
    ends = contextlib.ExitStack()

    def run(
        path: str, routes: list[dict[str, Any]], *, http: str = "", server: str = "", **configured: Any
    ) -> list[Span]:
        collector = ends.enter_context(_collector(image, tmp_path, tempo, **configured))
        values = {"upstreamSpans": True, "routes": routes, "extraConfig": {"http": http, "server": server}}
        ends.enter_context(proxying(nginx, values, receiver_port=collector.grpc_port))
        httpx.get(nginx.url(path), headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, trust_env=False)
        return _of_one_request(tempo, collector)

    with ends:
        yield run


TOLD = "GET|shop.web.svc|8080|shop|0.001|10.0.0.9:8080|200|0.004|0.005"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextlib.contextmanager
def _collector(
    image: str, folder: Path, tempo: Receiver, exports: Exports = UPSTREAM_EXPORTS, /, **configured: Any
) -> Generator[Running]:
    made = folder / "collector"
    made.mkdir(exist_ok=True)
    backend = f"127.0.0.1:{tempo.port}"
    batch = {"timeout": "10ms"}
    with running(image, made, exports, backend=backend, batch=batch, **configured) as one:
        yield one


def _of_one_request(tempo: Receiver, collector: Running) -> list[Span]:
    """Waits until all that was made of one request has arrived, and checks that the Collector says the same."""
    wait_for("the span of NGINX", lambda: collector.counted(names.ACCEPTED) == 1)
    wait_for("the fork", lambda: names.PROXIED in collector.counters())
    made = collector.counted(names.MADE)
    return sorted(tempo.many(1 + int(made)), key=lambda span: span.kind)


def test_a_request_that_an_upstream_got_has_a_span_of_nginx_and_one_of_the_upstream(
    ask: Ask, upstream: Upstream
) -> None:
    server, client = ask("/slow?id=7", [{"path": "/", "upstream": f"localhost:{upstream.port}"}])
    assert (server.kind, client.kind) == (SERVER, CLIENT)
    assert (server.trace_id, client.trace_id) == (TRACE, TRACE)
    # The application's parent is the span of the upstream's time, whose parent is that of NGINX.
    assert upstream.traceparents == [f"00-{TRACE}-{client.span_id}-01"]
    assert client.parent_id == server.span_id != client.span_id
    assert server.parent_id == PARENT
    assert client.seconds == pytest.approx(0.2, abs=0.1)
    assert server.start <= client.start
    assert client.start + client.seconds <= server.start + server.seconds + 1e-6
    assert (server.status, client.status) == (0, 0)
    assert client.name == "GET localhost"
    assert client.attributes == {
        "http.method": "GET",
        "http.status_code": 200,
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "localhost",
        "server.port": upstream.port,
        "peer.service": "localhost",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": upstream.port,
    }
    assert not [name for name in server.attributes if "upstream" in name]


def test_a_request_that_no_upstream_got_has_one_span(ask: Ask, upstream: Upstream) -> None:
    routes = [
        {"path": "/", "upstream": f"127.0.0.1:{upstream.port}"},
        {"path": "/static", "return": {"status": 200, "body": "ok"}},
    ]
    (span,) = ask("/static", routes)
    assert span.kind == SERVER
    assert not [name for name in span.attributes if "upstream" in name]


@pytest.mark.parametrize(
    ("path", "status", "error", "of_server"),
    [("/502", 502, "502", ERROR), ("/404", 404, "404", 0), ("/close", None, "no_answer", ERROR)],
)
def test_an_error_of_the_upstream_is_told_from_one_of_nginx(  # noqa: PLR0917 - fixtures
    ask: Ask, upstream: Upstream, path: str, status: int | None, error: str, of_server: int
) -> None:
    server, client = ask(path, [{"path": "/", "upstream": f"127.0.0.1:{upstream.port}"}])
    assert client.attributes.get("http.response.status_code") == status
    assert client.attributes.get("http.status_code") == status
    assert client.attributes["error.type"] == error
    assert (client.status, server.status) == (ERROR, of_server)


def test_an_upstream_that_does_not_answer_in_time_is_told(ask: Ask, upstream: Upstream) -> None:
    route = {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": "proxy_read_timeout 50ms;"}
    server, client = ask("/slow", [route])
    assert server.attributes["http.status_code"] == 504
    assert client.attributes["error.type"] == "timeout"
    assert "http.response.status_code" not in client.attributes


def test_several_tries_are_one_span_that_says_so(ask: Ask, upstream: Upstream) -> None:
    dead = free_port()
    block = f"upstream several {{ server 127.0.0.1:{dead}; server 127.0.0.1:{upstream.port}; }}"
    _, client = ask("/", [{"path": "/", "extraConfig": "proxy_pass http://several;"}], http=block)
    told = {name: value for name, value in client.attributes.items() if not name.endswith("times")}
    assert told == {
        "http.method": "GET",
        "http.status_code": 200,
        "http.request.method": "GET",
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
        "nginx.upstream.addresses": f"127.0.0.1:{dead}, 127.0.0.1:{upstream.port}",
        "nginx.upstream.statuses": "502, 200",
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": upstream.port,
    }
    assert client.name == "GET"


def test_an_error_page_of_nginx_leaves_the_upstream_s_span(ask: Ask, upstream: Upstream) -> None:
    routes = [
        {
            "path": "/",
            "upstream": f"localhost:{upstream.port}",
            "extraConfig": "proxy_intercept_errors on; error_page 503 =200 /sorry;",
        },
        {"path": "/sorry", "return": {"status": 200, "body": "sorry"}},
    ]
    server, client = ask("/503", routes)
    assert (server.attributes["http.status_code"], server.status) == (200, 0)
    assert (client.attributes["http.response.status_code"], client.status) == (503, ERROR)
    assert client.attributes["server.address"] == "localhost"


@pytest.mark.parametrize(
    ("snippet", "path", "seconds"),
    [("auth_request /other;", "", 0), ("auth_request /other;", "/slow", 0.2), ("mirror /other;", "", 0)],
)
def test_a_request_that_nginx_makes_itself_leaves_the_span_to_the_one_of_the_client(  # noqa: PLR0917 - fixtures
    ask: Ask, upstream: Upstream, other: Upstream, snippet: str, path: str, seconds: float
) -> None:
    rewritten = f"rewrite ^ {path} break;" if path else ""
    routes = [
        {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": snippet},
        {"path": "/other", "match": "exact", "upstream": f"localhost:{other.port}", "extraConfig": rewritten},
    ]
    server, client = ask("/slow", routes)
    assert other.traceparents
    assert _server_of(client) == ("GET 127.0.0.1", "127.0.0.1", upstream.port, upstream.port)
    assert client.start - server.start >= seconds - 0.01
    assert client.seconds >= 0.19


_BREAKS = "rewrite ^ /200 break; proxy_pass http://localhost:{port};"


@pytest.mark.parametrize(
    ("path", "snippet", "server"),
    [
        ("/close", "error_page 502 = @other;", f"location @other {{{{ {_BREAKS} }}}}"),
        ("/200?beta=1", "if ($arg_beta) {{ proxy_pass http://localhost:{port}; }}", ""),
        ("/old", "rewrite ^/old /other last;", f"location /other {{{{ {_BREAKS} }}}}"),
    ],
)
def test_an_upstream_of_a_snippet_does_not_get_the_name_of_its_route_s(  # noqa: PLR0917 - fixtures
    ask: Ask, upstream: Upstream, other: Upstream, path: str, snippet: str, server: str
) -> None:
    texts = [text.format(port=other.port) for text in (snippet, server)]
    route = {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": texts[0]}
    _, client = ask(path, [route], server=texts[1])
    assert _server_of(client) == ("GET", "127.0.0.1", other.port, other.port)
    assert "peer.service" not in client.attributes


def test_a_route_that_answers_instead_of_another_has_its_own_name(
    ask: Ask, upstream: Upstream, other: Upstream
) -> None:
    routes = [
        {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": "error_page 502 /other;"},
        {"path": "/other", "upstream": f"localhost:{other.port}"},
    ]
    _, client = ask("/close", routes)
    assert _server_of(client) == ("GET localhost", "localhost", other.port, other.port)


def test_an_upstream_by_fastcgi_instead_of_a_route_s_does_not_get_its_name(ask: Ask, upstream: Upstream) -> None:
    dead = free_port()
    route = {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": "error_page 502 = @other;"}
    _, client = ask("/close", [route], server=f"location @other {{ fastcgi_pass 127.0.0.1:{dead}; }}")
    assert _server_of(client) == ("GET", "127.0.0.1", dead, dead)


@pytest.mark.parametrize("has_mark", [True, False])
def test_a_span_of_more_tries_than_are_added_up_lasts_to_the_end(ask: Ask, upstream: Upstream, has_mark: bool) -> None:
    refusing = " ".join(f"server 127.0.0.{number}:1 max_fails=0;" for number in range(2, 7))
    block = f"upstream several {{ {refusing} server 127.0.0.1:{upstream.port}; }}"
    passing = "proxy_pass http://several;"
    own = {"path": "/", "upstream": f"127.0.0.1:{upstream.port}", "extraConfig": passing}
    server, client = ask("/slow", [own if has_mark else {"path": "/", "extraConfig": passing}], http=block)
    assert client.attributes["http.request.resend_count"] == 5
    assert client.seconds >= 0.19
    assert client.start + client.seconds == pytest.approx(server.start + server.seconds, abs=0.001)


def _sent(nginx: Nginx, path: str, *headers: str, leaves_after: float | None = None) -> str:
    """Sends a request of a trace of its own, and returns the trace's ID. The client may leave without an answer."""
    trace_id = new_id()
    lines = [f"GET {path} HTTP/1.1", "Host: a", f"traceparent: 00-{trace_id}-{PARENT}-01", *headers, "", ""]
    with socket.create_connection(("127.0.0.1", nginx.port)) as connection:
        connection.sendall("\r\n".join(lines).encode())
        if leaves_after is None:
            connection.recv(4096)
        else:
            time.sleep(leaves_after)
    return trace_id


def test_each_outcome_of_a_request_is_told(
    image: str, nginx: Nginx, tmp_path: Path, tempo: Receiver, upstream: Upstream
) -> None:
    http = f"proxy_cache_path /tmp/kept keys_zone=kept:1m; upstream away {{ server 127.0.0.1:{free_port()}; }}"
    caching = "proxy_cache kept; proxy_cache_valid 200 1h;"
    to = f"localhost:{upstream.port}"
    routes = [
        {"path": "/", "upstream": to},
        {"path": "/200", "upstream": to, "extraConfig": caching},
        {"path": "/away", "extraConfig": "proxy_pass http://away;"},
    ]
    values = {"upstreamSpans": True, "routes": routes, "extraConfig": {"http": http}}
    websocket = ("Connection: upgrade", "Upgrade: websocket")
    with _collector(image, tmp_path, tempo) as collector, proxying(nginx, values, receiver_port=collector.grpc_port):
        made = {
            "first": _sent(nginx, "/200"),
            "cached": _sent(nginx, "/200"),
            "unchanged": _sent(nginx, "/304"),
            "upgraded": _sent(nginx, "/101", *websocket),
            "left": _sent(nginx, "/slow", leaves_after=0.05),
            "none alive": [_sent(nginx, "/away") for _ in range(2)][1],
        }
        wait_for("the spans of NGINX", lambda: collector.counted(names.ACCEPTED) == len(made) + 1)
        tempo.many(len(made) + 1 + int(collector.counted(names.MADE)))
    by_trace = {
        name: [
            (span.kind, span.attributes.get("http.status_code"), span.attributes.get("error.type"), span.status)
            for span in sorted(tempo.spans, key=lambda span: span.kind)
            if span.trace_id == trace_id
        ]
        for name, trace_id in made.items()
    }
    assert by_trace == {
        "first": [(SERVER, 200, None, 0), (CLIENT, 200, None, 0)],
        "cached": [(SERVER, 200, None, 0)],
        "unchanged": [(SERVER, 304, None, 0), (CLIENT, 304, None, 0)],
        "upgraded": [(SERVER, 101, None, 0), (CLIENT, 101, None, 0)],
        "left": [(SERVER, 499, None, 0), (CLIENT, None, None, 0)],
        "none alive": [(SERVER, 502, "502", ERROR), (CLIENT, None, "no_answer", ERROR)],
    }


def _server_of(client: Span) -> tuple[object, ...]:
    names_of = ("server.address", "server.port", "network.peer.port")
    return client.name, *(client.attributes.get(name) for name in names_of)


def test_a_batch_that_is_sent_again_makes_the_same_spans(image: str, tmp_path: Path, tempo: Receiver) -> None:
    request = _request({UPSTREAM_ATTRIBUTE: TOLD})
    with _collector(image, tmp_path, tempo) as collector:
        for _ in range(2):
            collector.export(request)
        found = tempo.many(4)
    server, client = ([span for span in found if span.kind == kind] for kind in (SERVER, CLIENT))
    assert server[0] == server[1]
    assert client[0] == client[1]
    assert round(client[0].seconds * 1000) == 5
    assert round((client[0].start - server[0].start) * 1000) == 1


@pytest.mark.parametrize(
    ("told", "address", "port"),
    [
        ("[2001:db8::9]:8080", "2001:db8::9", 8080),
        ("to_shop_3a8080", None, None),
        ("unix:/run/shop.sock", "/run/shop.sock", None),
    ],
)
def test_an_address_is_that_of_the_peer_or_left_out(  # noqa: PLR0917 - fixtures
    image: str, tmp_path: Path, tempo: Receiver, told: str, address: str | None, port: int | None
) -> None:
    with _collector(image, tmp_path, tempo) as collector:
        collector.export(_request({UPSTREAM_ATTRIBUTE: TOLD.replace("10.0.0.9:8080", told)}))
        (client,) = (span for span in tempo.many(2) if span.kind == CLIENT)
    assert client.attributes.get("network.peer.address") == address
    assert client.attributes.get("network.peer.port") == port
    assert client.attributes["server.address"] == "shop.web.svc"


def test_spans_of_applications_are_neither_doubled_nor_renamed(image: str, tmp_path: Path, tempo: Receiver) -> None:
    with _collector(image, tmp_path, tempo) as collector:
        collector.export(_request({"http.method": "GET"}, scope="shop"))
        collector.export(_request({"http.method": "GET"}))
        found = {span.scope[0]: span.attributes for span in tempo.many(2)}
    assert found == {"shop": {"http.method": "GET"}, "nginx": {"http.method": "GET", "http.request.method": "GET"}}


@pytest.mark.parametrize("conventions", ["both", "stable"])
@pytest.mark.parametrize("exports", [NGINX_EXPORTS, UPSTREAM_EXPORTS])
def test_stable_names_have_the_values_of_the_conventions(
    image: str, tmp_path: Path, tempo: Receiver, exports: Exports, conventions: str
) -> None:
    made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "usual": (
            {"http.method": "PATCH", "http.flavor": "1.0", "http.status_code": 499},
            {
                "http.request.method": "PATCH",
                "network.protocol.version": "1.0",
                "http.response.status_code": 499,
            },
        ),
        "other": (
            {"http.method": "PATCHES", "http.flavor": "2.0", "http.status_code": 500},
            {
                "http.request.method": "_OTHER",
                "http.request.method_original": "PATCHES",
                "network.protocol.version": "2",
                "http.response.status_code": 500,
                "error.type": "500",
            },
        ),
        "own": (
            {"http.flavor": "3.0", "http.status_code": 503, "error.type": "overload"},
            {"network.protocol.version": "3", "http.response.status_code": 503, "error.type": "overload"},
        ),
    }
    request = message(
        Sent("nginx", name, new_id(), 1_700_000_000_000_000_000, 0.007, attributes=sent, scope="nginx")
        for name, (sent, _) in made.items()
    )
    with _collector(image, tmp_path, tempo, exports, semanticConventions=conventions) as collector:
        collector.export(request)
        found = {span.name: span.attributes for span in tempo.many(3)}
    kept = {name: sent if conventions == "both" else {} for name, (sent, _) in made.items()}
    assert found == {name: kept[name] | stable for name, (_, stable) in made.items()}


def test_the_span_of_an_upstream_has_the_method_of_the_conventions(image: str, tmp_path: Path, tempo: Receiver) -> None:
    with _collector(image, tmp_path, tempo, semanticConventions="stable") as collector:
        collector.export(_request({UPSTREAM_ATTRIBUTE: TOLD.replace("GET", "HTTP"), "http.method": "FOO"}))
        (client,) = (span for span in tempo.many(2) if span.kind == CLIENT)
    assert client.name == "HTTP shop.web.svc"
    assert client.attributes["http.request.method"] == "_OTHER"
    assert client.attributes["http.request.method_original"] == "FOO"
    assert "http.method" not in client.attributes


def test_an_application_with_an_attribute_of_that_name_does_not_fill_the_log(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    with _collector(image, tmp_path, tempo) as collector:
        collector.export(_request({UPSTREAM_ATTRIBUTE: "x"}, scope="shop"))
        tempo.many(2)
        assert "statement" not in collector.log.read_text()


@pytest.mark.parametrize(("ratio", "most"), [("0.5", 320)])
def test_sampling_takes_both_spans_of_a_trace_or_none(
    image: str, tmp_path: Path, tempo: Receiver, ratio: str, most: int
) -> None:
    told = {UPSTREAM_ATTRIBUTE: TOLD}
    with _collector(image, tmp_path, tempo, sampling={"ratio": ratio}) as collector:
        for _ in range(5):
            collector.export(_request(told, count=100))
        wait_for("the fork", lambda: collector.counted(names.ACCEPTED) == 500)
        wait_for("both", lambda: collector.counted(names.SENT) == len(tempo.spans) > 300)
    kinds: dict[str, set[int]] = {}
    for span in tempo.spans:
        kinds.setdefault(span.trace_id, set()).add(span.kind)
    assert all(found == {SERVER, CLIENT} for found in kinds.values())
    assert 500 - most < len(kinds) < most


def test_tail_sampling_and_every_exporter_take_both_spans(image: str, tmp_path: Path, tempo: Receiver) -> None:
    second = Receiver()
    request = _request({UPSTREAM_ATTRIBUTE: TOLD}, count=12)
    for span in request.resource_spans[0].scope_spans[0].spans[:5]:
        span.status.code = Status.STATUS_CODE_ERROR
    exporters = {"second": {"endpoint": f"127.0.0.1:{second.port}", "tls": {"enabled": False}}}
    sampling = {"tail": {"errors": True, "decisionWait": "1s"}}
    with _collector(image, tmp_path, tempo, sampling=sampling, exporters=exporters) as collector:
        collector.export(request)
        found = tempo.many(10), second.many(10)
    second.stop()
    for spans in found:
        assert sorted(span.kind for span in spans) == 5 * [SERVER] + 5 * [CLIENT]
        assert len({span.trace_id for span in spans}) == 5


def test_pairs_that_a_killed_collector_answered_for_are_whole(image: str, tmp_path: Path, tempo: Receiver) -> None:
    told = {UPSTREAM_ATTRIBUTE: TOLD}
    tempo.stop()
    with _collector(image, tmp_path, tempo, queue={"storage": "persistent"}) as collector:
        for _ in range(20):
            collector.export(_request(told, count=10))
        collector.end(signal.SIGKILL)
    tempo.start()
    with _collector(image, tmp_path, tempo, queue={"storage": "persistent"}):
        found = tempo.many(400)
    kinds: dict[str, set[int]] = {}
    for span in found:
        kinds.setdefault(span.trace_id, set()).add(span.kind)
    assert len(kinds) == 200
    assert all(of_trace == {SERVER, CLIENT} for of_trace in kinds.values())


def _request(attributes: dict[str, str], *, count: int = 1, scope: str = "nginx") -> ExportTraceServiceRequest:
    start = 1_700_000_000_000_000_000
    return message(Sent("nginx", "/", new_id(), start, 0.007, attributes=attributes, scope=scope) for _ in range(count))
