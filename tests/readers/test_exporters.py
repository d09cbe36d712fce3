"""Tests exporters, proxy and CORS of the real Collector on loopback, with documents of the program."""

import base64
import contextlib
import datetime
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from components.documents import dump
from components.documents.collector import (
    ANYWHERE,
    FOLDER,
    HEALTH_PORT,
    OTLP_HTTP_PORT,
    OTLP_PORT,
    SECRETS_FOLDER,
    certificate_files,
    collector_document,
    not_proxied,
    proxy_url,
    secret_files,
)
from lab.build.targets import COLLECTOR
from settings import CollectorSettings
from settings.limits import Exports
from tests.otlp import Receiver, free_port
from tests.waiting import wait_for
from tools.probe.exporter_errors import told_by

pytestmark = pytest.mark.usefixtures("programs")

SERVER = "otlp.internal.example"


@dataclass
class Running:
    """Holds a Collector that runs."""

    grpc_port: int
    http_port: int
    log: Path

    def send(self) -> None:
        """Sends one span, which the Collector accepts."""
        request = ExportTraceServiceRequest()
        span = request.resource_spans.add().scope_spans.add().spans.add()
        span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        span.name, span.end_time_unix_nano = "span", time.time_ns()
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub: Any = TraceServiceStub(channel)
            stub.Export(request, timeout=10, wait_for_ready=True)

    def told(self, exporter: str) -> str | None:
        """Returns what the probe reads about an exporter from the Collector's log."""
        found = [told for line in self.log.read_text().splitlines() if (told := told_by(line))]
        return dict(found).get(exporter)


@contextlib.contextmanager
def collector(folder: Path, **configured: Any) -> Generator[Running]:
    """Runs the lab's Collector with the document, the files and the variables that a configuration gives it."""
    settings = CollectorSettings.model_validate(configured)
    document = collector_document(settings, backend=None, namespace="tracing", exports=Exports(512, 25_600))
    (reader,) = document["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": free_port()}
    ports = {port: free_port() for port in (OTLP_PORT, OTLP_HTTP_PORT, HEALTH_PORT)}
    text = dump(document)
    for port, free in ports.items():
        text = text.replace(f"{ANYWHERE}:{port}\n", f"127.0.0.1:{free}\n")
    for old in (f"{SECRETS_FOLDER}/", f"{FOLDER}/"):
        text = text.replace(old, f"{folder}/")
    files = {"config.yaml": text} | certificate_files(settings.exporters) | secret_files(settings.exporters)
    for name, content in files.items():
        (folder / name).write_text(content)
    variables: dict[str, str] = {}
    if settings.proxy:
        url = proxy_url(settings.proxy)
        variables = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": not_proxied(settings)}
    log = folder / "log"
    command = [COLLECTOR.folder / "otelcol", f"--config={folder}/config.yaml"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT)
    try:
        health = f"http://127.0.0.1:{ports[HEALTH_PORT]}/"
        wait_for(f"the Collector; it says {log.read_text()[-500:]}", lambda: _answers(health))
        yield Running(ports[OTLP_PORT], ports[OTLP_HTTP_PORT], log)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, trust_env=False).status_code == 200
    return False


@dataclass
class Authority:
    """Issues certificates, each with its key, in PEM."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self.bundle, _ = self._sign("authority", self.key, is_authority=True)

    def certificate(self, name: str) -> tuple[str, str]:
        """Issues a certificate for a name."""
        return self._sign(name, ec.generate_private_key(ec.SECP256R1()), is_authority=False)

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> tuple[str, str]:
        today = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(today - datetime.timedelta(days=1))
        builder = builder.not_valid_after(today + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Returns the authority that both sides trust."""
    return Authority()


@pytest.fixture
def demanding(authority: Authority) -> Generator[Receiver]:
    """Runs a receiver that accepts only clients with a certificate of the authority."""
    certificate, key = authority.certificate(SERVER)
    credentials = grpc.ssl_server_credentials(
        [(key.encode(), certificate.encode())], authority.bundle.encode(), require_client_auth=True
    )
    receiver = Receiver(credentials=credentials)
    yield receiver
    receiver.stop()


def test_a_receiver_that_demands_a_client_certificate_gets_spans(
    tmp_path: Path, authority: Authority, demanding: Receiver
) -> None:
    certificate, key = authority.certificate("client")
    tls = {
        "caBundle": authority.bundle,
        "clientCertificate": certificate,
        "clientKey": key,
        "serverName": SERVER,
    }
    exporter = {"endpoint": f"127.0.0.1:{demanding.port}", "tls": tls, "headers": {"X-Scope-OrgID": "team-$a"}}
    with collector(tmp_path, exporters={"mine": exporter}) as running:
        running.send()
        assert demanding.one().name == "span"
    assert demanding.metadata[0]["x-scope-orgid"] == "team-$a"


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        (("clientCertificate", "clientKey"), "collector.exporters.mine.tls.clientCertificate"),
        (("serverName",), "collector.exporters.mine.tls.serverName"),
        (("caBundle",), "collector.exporters.mine.tls.caBundle"),
    ],
)
def test_what_a_connection_with_tls_lacks_is_told(
    tmp_path: Path, authority: Authority, demanding: Receiver, left_out: tuple[str, ...], told: str
) -> None:
    certificate, key = authority.certificate("client")
    tls = {"caBundle": authority.bundle, "clientCertificate": certificate, "clientKey": key, "serverName": SERVER}
    tls = {name: value for name, value in tls.items() if name not in left_out}
    exporter = {"endpoint": f"127.0.0.1:{demanding.port}", "tls": tls}
    with collector(tmp_path, exporters={"mine": exporter}) as running:
        running.send()
        assert told in wait_for("an error", lambda: running.told("otlp/mine"))
    assert not demanding.spans


def test_a_receiver_in_plain_text_is_told_with_the_command_that_turns_tls_off(tmp_path: Path) -> None:
    receiver = Receiver()
    with collector(tmp_path, exporters={"mine": {"endpoint": f"127.0.0.1:{receiver.port}"}}) as running:
        running.send()
        said = wait_for("an error", lambda: running.told("otlp/mine"))
    receiver.stop()
    assert "pulumi config set --path collector.exporters.mine.tls.enabled false" in said


class Proxy:
    """Runs an HTTP proxy that demands a login, resolves every name to one address, and records requests."""

    def __init__(self, leads_to: int, login: str) -> None:
        self._leads_to = leads_to
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}"
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stops accepting connections."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        first, *lines = head.decode().splitlines()
        self.asked.append(first)
        if f"proxy-authorization: {self._login}".lower() not in [line.lower() for line in lines]:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._leads_to))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_copied, args=(server, client), daemon=True).start()
        _copied(client, server)


def _copied(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.close()


def test_spans_go_through_a_proxy_with_a_login_and_those_for_the_cluster_past_it(tmp_path: Path) -> None:
    receiver = Receiver()
    proxy = Proxy(receiver.port, "collector@example:p:ss/%")
    plain = {"tls": {"enabled": False}}
    exporters = {
        "vendor": {"endpoint": "otlp.vendor.example:4317"} | plain,
        "inside": {"endpoint": "tempo.monitoring.svc:4317"} | plain,
        "excluded": {"endpoint": "traces.corp.example:4317"} | plain,
    }
    login = {"username": "collector@example", "password": "p:ss/%", "exclude": ["corp.example"]}
    with collector(tmp_path, exporters=exporters, proxy={"url": proxy.url} | login) as running:
        running.send()
        assert receiver.one().name == "span"
        for past in ("otlp/inside", "otlp/excluded"):
            wait_for(f"an error of {past}", lambda past=past: running.told(past))
    proxy.close()
    receiver.stop()
    assert {line.split()[1] for line in proxy.asked} == {"otlp.vendor.example:4317"}


def test_a_proxy_that_refuses_the_login_is_told(tmp_path: Path) -> None:
    proxy = Proxy(9, "another:login")
    exporters = {"vendor": {"endpoint": "otlp.vendor.example:4317", "tls": {"enabled": False}}}
    configured = {"url": proxy.url, "username": "collector", "password": "canary-password"}
    with collector(tmp_path, exporters=exporters, proxy=configured) as running:
        running.send()
        said = wait_for("an error", lambda: running.told("otlp/vendor"))
    proxy.close()
    assert "`collector.proxy`" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example", True),
        ("https://m.shop.example:8443", True),
        ("https://shop.example.evil.example", False),
        ("http://shop.example", False),
    ],
)
def test_scripts_of_the_named_pages_alone_may_send_spans(tmp_path: Path, origin: str, allowed: bool) -> None:
    cors = {"allowedOrigins": ["https://shop.example", "https://*.shop.example:8443"], "allowedHeaders": ["x-client"]}
    receivers = {"http": True, "cors": cors}
    exporters = {"mine": {"endpoint": "127.0.0.1:9", "tls": {"enabled": False}}}
    with collector(tmp_path, receivers=receivers, exporters=exporters) as running:
        asked = httpx.options(
            f"http://127.0.0.1:{running.http_port}/v1/traces",
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,x-client",
            },
            trust_env=False,
        )
    assert asked.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert ("x-client" in asked.headers.get("access-control-allow-headers", "")) == allowed
