"""Tests on loopback that Tempo writes metrics to a receiver with TLS, a login and other headers."""

import base64
import contextlib
import ssl
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.documents.tempo_metrics import writes
from settings import Settings
from tests.otlp import free_port
from tests.readers.authority import Authority
from tests.readers.spans import requests
from tests.readers.tempo import running_tempo
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")

NAME = "metrics.internal.example"


@dataclass
class Receiver:
    """Takes writes over HTTPS, and keeps their headers."""

    port: int = field(default_factory=free_port)
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@contextlib.contextmanager
def receiving(authority: Authority, folder: Path) -> Generator[Receiver]:
    """Runs a receiver with a certificate of the authority."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
            """Says nothing."""

    certificate, key = authority.certificate(NAME)
    for name, text in {"crt": certificate, "key": key}.items():
        (folder / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield receiver
    server.shutdown()


LOGINS = {
    "Bearer": "Bearer canary-token",
    "Basic": f"Basic {base64.b64encode(b'canary-user:canary:password').decode()}",
}


# Tempo writes every 15 s. A token differs from a password in the text of one header.
@pytest.mark.parametrize("scheme", ["Basic", pytest.param("Bearer", marks=pytest.mark.deep)])
def test_a_receiver_with_tls_gets_the_login_and_other_headers(scheme: str, tmp_path: Path) -> None:
    authority = Authority()
    with receiving(authority, tmp_path) as receiver:
        settings = Settings.model_validate(
            {
                "metrics": {
                    "remoteWrite": {
                        "url": f"https://127.0.0.1:{receiver.port}/api/v1/push",
                        "tls": {"caBundle": authority.bundle, "serverName": NAME},
                    }
                },
                "metricsHeaders": {"Authorization": LOGINS[scheme], "X-Scope-OrgID": "canary-tenant"},
            }
        )
        written = writes(settings.metrics, settings.metrics_headers)
        # No secret is in the document, which a ConfigMap has.
        assert "canary" not in str(written.receivers)
        files = {**written.secrets, **written.certificates}
        with running_tempo(tmp_path, written.receivers, files) as tempo:
            tempo.send(requests(1))
            (headers, *_) = wait_for("a write, the first of which takes 15 s", lambda: receiver.headers, 40)
    assert headers["authorization"] == LOGINS[scheme]
    assert headers["x-scope-orgid"] == "canary-tenant"
    assert headers["content-encoding"] == "snappy"
