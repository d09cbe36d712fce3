"""Tests exporters, proxy and CORS of the lab's Collectors on loopback, with documents of the program."""

import base64
import contextlib
import socket
import threading
from collections.abc import Generator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.otlp import Receiver
from tests.readers.authority import Authority
from tests.readers.collectors import running
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

SERVER = "otlp.internal.example"


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
    image: str, tmp_path: Path, authority: Authority, demanding: Receiver
) -> None:
    certificate, key = authority.certificate("client")
    tls = {
        "caBundle": authority.bundle,
        "clientCertificate": certificate,
        "clientKey": key,
        "serverName": SERVER,
    }
    exporter = {"endpoint": f"127.0.0.1:{demanding.port}", "tls": tls, "headers": {"X-Scope-OrgID": "team-$a"}}
    with running(image, tmp_path, exporters={"mine": exporter}) as collector:
        collector.send()
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
def test_what_a_connection_with_tls_lacks_is_told(  # noqa: PLR0917 - fixtures
    image: str, tmp_path: Path, authority: Authority, demanding: Receiver, left_out: tuple[str, ...], told: str
) -> None:
    certificate, key = authority.certificate("client")
    tls = {"caBundle": authority.bundle, "clientCertificate": certificate, "clientKey": key, "serverName": SERVER}
    tls = {name: value for name, value in tls.items() if name not in left_out}
    exporter = {"endpoint": f"127.0.0.1:{demanding.port}", "tls": tls}
    with running(image, tmp_path, exporters={"mine": exporter}) as collector:
        collector.send()
        assert told in wait_for("an error", lambda: collector.told("mine"))
    assert not demanding.spans


def test_a_receiver_in_plain_text_is_told_with_the_command_that_turns_tls_off(image: str, tmp_path: Path) -> None:
    receiver = Receiver()
    with running(image, tmp_path, exporters={"mine": {"endpoint": f"127.0.0.1:{receiver.port}"}}) as collector:
        collector.send()
        said = wait_for("an error", lambda: collector.told("mine"))
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


def test_spans_go_through_a_proxy_with_a_login_and_those_for_the_cluster_past_it(image: str, tmp_path: Path) -> None:
    receiver = Receiver()
    proxy = Proxy(receiver.port, "collector@example:p:ss/%")
    plain = {"tls": {"enabled": False}}
    exporters = {
        "vendor": {"endpoint": "otlp.vendor.example:4317"} | plain,
        "inside": {"endpoint": "tempo.monitoring.svc:4317"} | plain,
        "excluded": {"endpoint": "traces.corp.example:4317"} | plain,
    }
    login = {"username": "collector@example", "password": "p:ss/%", "exclude": ["corp.example"]}
    with running(image, tmp_path, exporters=exporters, proxy={"url": proxy.url} | login) as collector:
        collector.send()
        assert receiver.one().name == "span"
        for past in ("inside", "excluded"):
            wait_for(f"an error of {past}", lambda past=past: collector.told(past))
    proxy.close()
    receiver.stop()
    assert {line.split()[1] for line in proxy.asked} == {"otlp.vendor.example:4317"}


def test_a_proxy_that_refuses_the_login_is_told(image: str, tmp_path: Path) -> None:
    proxy = Proxy(9, "another:login")
    exporters = {"vendor": {"endpoint": "otlp.vendor.example:4317", "tls": {"enabled": False}}}
    configured = {"url": proxy.url, "username": "collector", "password": "canary-password"}
    with running(image, tmp_path, exporters=exporters, proxy=configured) as collector:
        collector.send()
        said = wait_for("an error", lambda: collector.told("vendor"))
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
def test_scripts_of_the_named_pages_alone_may_send_spans(
    image: str, tmp_path: Path, origin: str, allowed: bool
) -> None:
    cors = {"allowedOrigins": ["https://shop.example", "https://*.shop.example:8443"], "allowedHeaders": ["x-client"]}
    receivers = {"http": True, "cors": cors}
    exporters = {"mine": {"endpoint": "127.0.0.1:9", "tls": {"enabled": False}}}
    with running(image, tmp_path, receivers=receivers, exporters=exporters) as collector:
        asked = httpx.options(
            f"http://127.0.0.1:{collector.http_port}/v1/traces",
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,x-client",
            },
            trust_env=False,
        )
    assert asked.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert ("x-client" in asked.headers.get("access-control-allow-headers", "")) == allowed
