"""A real NGINX with the lab's module, and a real OTLP receiver that keeps what it gets."""

import contextlib
import getpass
import os
import re
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Generator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,  # pyright: ignore[reportUnknownVariableType]
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from lab import host
from lab.builder import build
from lab.certificates import Authority
from lab.pieces import NGINX
from lab.progress import Progress
from tests.waiting import wait_for

# Below those that Linux gives to outgoing connections, and each once: two servers of a test must not share one.
_PORTS = iter(secrets.SystemRandom().sample(range(20_000, 32_768), k=12_768))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    pytest.fail("no port of loopback between 20000 and 32767 is free")


@pytest.fixture(scope="session")
def nginx_build(request: pytest.FixtureRequest) -> Path:
    """The folder with `nginx` and `ngx_otel_module.so`, built if the cache lacks them."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        if os.geteuid() == 0:
            host.install_packages(progress)
        build([NGINX], progress)
    return NGINX.folder


@dataclass
class Span:
    """A span as it arrived."""

    resource: dict[str, Any]
    scope: tuple[str, str]
    name: str
    kind: int
    status: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    start: float
    """Unix time in seconds."""
    seconds: float
    attributes: dict[str, Any]
    pairs: list[tuple[str, Any]]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


def _spans(resource: Any, scoped: ScopeSpans) -> list[Span]:
    attributes_of_resource = {pair.key: _value(pair.value) for pair in resource.attributes}
    return [
        Span(
            attributes_of_resource,
            (scoped.scope.name, scoped.scope.version),
            span.name,
            span.kind,
            span.status.code,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.trace_state,
            span.start_time_unix_nano / 1e9,
            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            {pair.key: _value(pair.value) for pair in span.attributes},
            [(pair.key, _value(pair.value)) for pair in span.attributes],
        )
        for span in scoped.spans
    ]


@dataclass
class Receiver(TraceServiceServicer):
    """An OTLP receiver on loopback. Starts and stops on one port; hangs while `go_on` is cleared."""

    port: int = field(default_factory=free_port)
    credentials: grpc.ServerCredentials | None = None
    connection_age: int | None = None
    """Milliseconds after which it asks the client to connect anew."""
    refusal: str = ""
    """With this message every batch is refused, as a collector does that is short of memory."""
    refused: int = 0
    spans: list[Span] = field(default_factory=list[Span])
    batches: list[int] = field(default_factory=list[int])
    metadata: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self._server: grpc.Server | None = None
        self.start()

    def start(self) -> None:
        """Listens."""
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=self._options())
        add_TraceServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{self.port}"
        if self.credentials:
            assert self._server.add_secure_port(address, self.credentials)
        else:
            assert self._server.add_insecure_port(address)
        self._server.start()

    def _options(self) -> list[tuple[str, int]]:
        return [("grpc.max_connection_age_ms", self.connection_age)] if self.connection_age else []

    def stop(self) -> None:
        """Closes all connections."""
        self.go_on.set()
        if self._server:
            self._server.stop(None).wait()

    def Export(  # noqa: N802 - gRPC's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Keeps a batch."""
        self.go_on.wait(60)
        if self.refusal:
            self.refused += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self.refusal)
        got = [
            span
            for resource_spans in request.resource_spans
            for scoped in resource_spans.scope_spans
            for span in _spans(resource_spans.resource, scoped)
        ]
        self.metadata.append({str(pair[0]): pair[1] for pair in context.invocation_metadata() or ()})
        self.batches.append(len(got))
        self.spans += got
        return ExportTraceServiceResponse()

    def one(self) -> Span:
        """The only span that has arrived, waited for."""
        wait_for("a span", lambda: self.spans)
        (span,) = self.spans
        return span

    def many(self, count: int, seconds: float = 15) -> list[Span]:
        """As many spans, waited for."""
        wait_for(f"{count} spans; there are {len(self.spans)}", lambda: len(self.spans) >= count, seconds)
        return self.spans


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A receiver without TLS."""
    made = Receiver()
    yield made
    made.stop()


@dataclass
class Nginx:
    """An NGINX of its own in a folder of its own."""

    build: Path
    folder: Path
    port: int
    workers: int = 1
    process: subprocess.Popen[bytes] | None = None

    def write(self, http: str, *, workers: int = 1) -> None:
        """Writes nginx.conf around the content of the `http` block."""
        self.workers = workers
        (self.folder / "nginx.conf").write_text(
            f"load_module {self.build}/ngx_otel_module.so;\nworker_processes {workers};\n"
            f"daemon off;\nuser {getpass.getuser()};\n"
            f"pid {self.folder}/pid;\nerror_log {self.folder}/error.log notice;\n"
            "events { worker_connections 512; }\nhttp {\n"
            + "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in _TEMPORARY)
            + f"access_log off;\n{http}\n}}\n"
        )

    def command(self, *flags: str) -> list[str]:
        """NGINX with the folder's configuration."""
        files = ["-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log")]
        return [str(self.build / "nginx"), *files, *flags]

    def start(self) -> None:
        """Starts and waits until it listens and its master takes signals."""
        # A group of its own, so that the workers can be ended when the master cannot do it any more.
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, start_new_session=True)
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, self.log()
            # It listens before that; a signal that comes in between is noted, but sleeps until the next one.
            return self.log().count("start worker process ") == self.workers

        wait_for("NGINX", is_ready)

    def tell(self, number: Signals) -> None:
        """Tells the master process."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: Signals = Signals.SIGQUIT, seconds: float = 15) -> None:
        """Ends it and waits."""
        if self.process is None:
            return
        group = self.process.pid
        self.tell(number)
        try:
            self.process.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, Signals.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """The error log."""
        file = self.folder / "error.log"
        return file.read_text() if file.exists() else ""

    def test(self) -> str:
        """What `nginx -t` says of the configuration, in one line: the message, or `ok`."""
        tested = subprocess.run(self.command("-t", "-q"), check=False, capture_output=True, text=True)
        if tested.returncode == 0:
            return "ok"
        message = next(line for line in tested.stderr.splitlines() if "[emerg]" in line)
        return message.split("[emerg] ")[1].rsplit(" in /", 1)[0]

    def url(self, path: str = "/") -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        """A request with headers; `_` in a name stands for `-`."""
        return httpx.get(self.url(path), headers={name.replace("_", "-"): value for name, value in headers.items()})


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with a certificate for localhost, `localhost.crt` and `.key`, and its authority, `ca.crt`."""
    Authority.create(tmp_path).issue("localhost", "localhost", hosts=("localhost",))
    return tmp_path


@pytest.fixture
def stopped_nginx(nginx_build: Path, tmp_path: Path) -> Generator[Nginx]:
    """An NGINX that the test configures and starts."""
    made = Nginx(nginx_build, tmp_path, free_port())
    yield made
    made.stop()
    # A worker that crashes is started again, and a test might not notice.
    assert not re.findall(r".*(?:exited on signal|\[alert\]|\[crit\]).*", made.log())


Start = Callable[..., Nginx]


@pytest.fixture
def start(stopped_nginx: Nginx, receiver: Receiver) -> Start:
    """Starts NGINX with an exporter to the receiver and one traced server, given its content."""

    def run(
        server: str = "location / { return 200; }",
        *,
        http: str = "",
        exporter: str = "batch_count 1000;",  # A slow machine drops none.
        interval: str = "50ms",
        workers: int = 1,
    ) -> Nginx:
        stopped_nginx.write(
            f"otel_exporter {{ endpoint 127.0.0.1:{receiver.port}; interval {interval}; {exporter} }}\n"
            f"otel_trace on;\n{http}\nserver {{ listen 127.0.0.1:{stopped_nginx.port}; {server} }}",
            workers=workers,
        )
        stopped_nginx.start()
        return stopped_nginx

    return run
