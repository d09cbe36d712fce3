"""Tests what people write in `extraConfig` on a real NGINX: it does what its author means, or NGINX refuses it too."""

import getpass
import http.client
import os
import socket
import subprocess
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from tests.module.nginx import Nginx
from tests.otlp import Receiver, free_port
from tests.snippets import CORPUS, Machine, settings_of
from tests.waiting import wait_for


class Application(ThreadingHTTPServer):
    """An application that answers with the request that it got, and keeps its headers."""

    seen: list[list[tuple[str, str]]]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Passes a connection to the handler below."""
        Handler(request, client_address, self)


class Handler(BaseHTTPRequestHandler):
    """Answers every method alike."""

    protocol_version = "HTTP/1.1"
    server: Application  # pyright: ignore[reportIncompatibleVariableOverride] - the server that makes it

    def answer(self) -> None:
        """Returns the request's first line."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append([(name.lower(), value) for name, value in self.headers.items()])
        body = self.requestline.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-User", "somebody")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Logs nothing."""


@pytest.fixture(scope="module")
def application() -> Generator[Application]:
    """Runs one application for all snippets."""
    server = Application(("127.0.0.1", free_port()), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def nginx_of(settings: Settings, machine: Machine) -> Nginx:
    """Returns an NGINX with the document in its folder."""
    machine.lay_out()
    text = machine.nginx_conf(settings)
    head = f"daemon off;\nuser {getpass.getuser()};\n" if os.geteuid() == 0 else "daemon off;\n"
    (machine.folder / "nginx.conf").write_text(head + text)
    return Nginx(machine.build, machine.folder, machine.http_port, workers=2)


def answer_to(request: dict[str, Any], port: int) -> tuple[int, str, dict[str, str]]:
    """Returns status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if "proxyProtocol" in request:
        connection.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sock.sendall(f"PROXY TCP4 {request['proxyProtocol']} 127.0.0.1 5000 {port}\r\n".encode())
    headers = {name: str(value) for name, value in request.get("headers", {}).items()}
    connection.request(request.get("method", "GET"), request["path"], body=request.get("content"), headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    # Joins several headers of one name, as HTTP does.
    named = {name.lower(): ", ".join(answer.msg.get_all(name) or ()) for name, _ in answer.getheaders()}
    connection.close()
    return answer.status, body, named


@pytest.mark.parametrize("case", [case for case in CORPUS if "says" not in case], ids=lambda case: case["about"])
def test_a_snippet_that_is_taken_does_what_its_author_means(
    case: dict[str, Any], nginx_build: Path, application: Application, receiver: Receiver, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, nginx_build, free_port(), free_port(), receiver.port)
    upstream = f"127.0.0.1:{application.server_address[1]}"
    nginx = nginx_of(settings_of(case, upstream, machine.http_port), machine)
    nginx.start()
    try:
        for request in case["requests"]:
            application.seen.clear()
            receiver.spans.clear()
            is_health = request.get("port") == "health"
            status, body, headers = answer_to(request, machine.health_port if is_health else machine.http_port)
            assert status == request.get("status", 200), (body, nginx.log())
            assert str(request.get("body", "")).replace("PORT", str(machine.http_port)) in body
            for name, value in request.get("answer", {}).items():
                wanted = value.replace("PORT", str(machine.http_port)) if value else None
                assert (headers.get(name) or "").split(";")[0] == wanted or headers.get(name) == wanted
            check_upstream(request, application)
            check_span(request, receiver, machine)
            check_log(request, tmp_path / "access.log")
    finally:
        nginx.stop()


def check_upstream(request: dict[str, Any], application: Application) -> None:
    for name, values in request.get("upstream", {}).items():
        got = [value for header, value in application.seen[-1] if header == name]
        assert got == values or len(got) == values, name


def check_span(request: dict[str, Any], receiver: Receiver, machine: Machine) -> None:
    if "span" not in request:
        return
    if request["span"] is False:
        wait_for_quiet(receiver)
        assert not receiver.spans
        return
    wait_for("a span", lambda: receiver.spans)
    attributes = receiver.spans[-1].attributes
    assert {name: attributes.get(name) for name in request["span"]} == request["span"]


def wait_for_quiet(receiver: Receiver) -> None:
    """Waits for ten times the interval in which spans are sent."""
    threading.Event().wait(0.2)


def check_log(request: dict[str, Any], file: Path) -> None:
    """Waits until the log is written, which takes up to 100 ms."""
    if "log" in request:
        wait_for(f"{request['log']} in the log", lambda: file.exists() and request["log"] in file.read_text())
    if "not_log" in request:
        threading.Event().wait(0.2)
        assert request["not_log"] not in (file.read_text() if file.exists() else "")


@pytest.mark.parametrize("case", [case for case in CORPUS if case.get("says")], ids=lambda case: case["about"])
def test_what_is_refused_nginx_refuses_too_or_it_would_be_dead(
    case: dict[str, Any], nginx_build: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, nginx_build, free_port(), free_port())
    nginx = nginx_of(settings_of(case), machine)
    tested = subprocess.run(nginx.command("-t", "-q"), check=False, capture_output=True, text=True)
    assert (tested.returncode == 0) == case.get("loads", False), tested.stderr
