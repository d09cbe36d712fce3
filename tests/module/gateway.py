"""Runs the gateway of Tempo's pod on a real NGINX, and lists what it passes on and what it does not."""

import base64
import getpass
import socket
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

from components.documents import tempo_gateway
from components.documents.tempo import HTTP_PORT
from components.documents.tempo_gateway import INSIDE_PORT, PASSWORD_FOLDER, PUBLIC_PORT, gateway_conf, password_file
from tests.module.nginx import Nginx
from tests.otlp import free_port

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
    # Grafana's streaming, which docs/how-to/look-at-traces-in-grafana.md refuses.
    "/tempopb.StreamingQuerier/Search",
    "/tempopb.StreamingQuerier/MetricsQueryRange",
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


def login(password: str, user: str = "tempo") -> str:
    """Returns the header of a user with a password."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"
