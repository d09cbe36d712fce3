"""Provides the surroundings of NGINX in the tests of proxying: applications, their DNS, the program's documents."""

import contextlib
import json
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from components.documents.nginx import nginx_conf
from components.documents.nginx_upstreams import (
    RESOLVE_FILE,
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    resolve_script,
    upstream_files,
    upstream_keys,
    upstreams_conf,
)
from settings import NginxSettings
from tests.module.nginx import Nginx
from tests.otlp import free_port

POD_IPS = "127.0.0.1"


@dataclass
class Application:
    """An application that answers with the head of each request, as JSON: a list of its lines.

    It keeps connections open, and closes one that a request comes on after `idle` seconds, as an application does whose
    own limit ends at that moment. A request for an upgrade is accepted, and what comes then is sent back.
    """

    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    idle: float = 60
    tls: ssl.SSLContext | None = None
    connections: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server((self.address, self.port), backlog=256)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        """Returns its address and port."""
        return f"{self.address}:{self.port}"

    def stop(self) -> None:
        """Closes the listener and all connections."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.connections += 1
            self._open.add(connection)
            with connection, connection.makefile("rb") as stream:
                while self._answer(connection, stream):
                    pass
        self._open.discard(connection)

    def _answer(self, connection: socket.socket, stream: Any) -> bool:
        since = time.monotonic()
        head: list[str] = []
        while (line := stream.readline().decode().rstrip("\r\n")) or not head:
            if not line:
                return False
            head.append(line)
        if time.monotonic() - since > self.idle:
            return False
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        stream.read(int(headers.get("content-length", 0)))
        if headers.get("upgrade") and headers.get("connection") == "upgrade":
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            while received := stream.read1(4096):
                connection.sendall(received)
            return False
        body = json.dumps({"head": head, "by": self.address}).encode()
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True


@dataclass
class Dns:
    """A nameserver that knows some names, and answers for others that they do not exist."""

    names: dict[str, list[str]]
    port: int = field(default_factory=free_port)
    asked: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._ended = False
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Stops to answer."""
        self._ended = True

    def _serve(self) -> None:
        with self._socket:
            while not self._ended:
                if not select.select([self._socket], [], [], 0.1)[0]:
                    continue
                query, client = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels: list[str] = []
        end = 12
        while query[end]:
            labels.append(query[end + 1 : end + 1 + query[end]].decode())
            end += 1 + query[end]
        question = query[12 : end + 5]
        name, is_four = ".".join(labels), question[-4:-2] == b"\0\1"
        self.asked.add(name)
        found = self.names.get(name)
        addresses = (found or []) if is_four else []
        # Valid for an hour: NGINX has to ask again long before.
        records = b"".join(
            b"\xc0\x0c\0\1\0\1" + (3600).to_bytes(4, "big") + b"\0\4" + socket.inet_aton(address)
            for address in addresses
        )
        flags = b"\x81\x80" if found is not None else b"\x81\x83"
        return query[:2] + flags + b"\0\1" + len(addresses).to_bytes(2, "big") + b"\0\0\0\0" + question + records


def resolved(folder: Path, template: str, resolv_conf: str, pod_ips: str = POD_IPS) -> str:
    """Returns what a pod makes of the upstreams' template when it starts."""
    for name, text in {RESOLVE_FILE: resolve_script(), "template": template, "resolv.conf": resolv_conf}.items():
        (folder / name).write_text(text)
    command = ["/bin/sh", RESOLVE_FILE, "resolv.conf", "template", "target"]
    done = subprocess.run(command, check=False, cwd=folder, env={"POD_IPS": pod_ips}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "target").read_text()


@contextlib.contextmanager
def proxying(
    nginx: Nginx, values: dict[str, Any], *, receiver_port: int, dns: Dns | None = None, namespace: str = "tracing"
) -> Generator[Path]:
    """Runs an NGINX with the program's documents of some values; yields the file of its access log."""
    exporter = {"endpoint": f"127.0.0.1:{receiver_port}", "interval": "10ms"}
    made = NginxSettings.model_validate(values | {"exporter": exporter})
    with documented(nginx, made, dns=dns, namespace=namespace) as log:
        yield log


@contextlib.contextmanager
def documented(
    nginx: Nginx,
    made: NginxSettings,
    *,
    dns: Dns | None = None,
    namespace: str = "tracing",
    moved: Mapping[str, str] | None = None,
) -> Generator[Path]:
    """Runs an NGINX with the program's documents; yields the file of its access log.

    Args:
        nginx: where it runs.
        made: its settings, with an endpoint of the exporter.
        dns: the nameserver that answers for the names of upstreams.
        namespace: the stack's namespace.
        moved: what else to replace in the documents: addresses of the cluster by those of this machine.
    """
    folder = nginx.folder
    log = folder / "access.log"
    template = upstreams_conf(made, namespace)
    if template:
        search = f"search {namespace}.svc.lab.test svc.lab.test lab.test\n"
        text = resolved(folder, template, f"{search}nameserver 127.0.0.1\noptions ndots:5\n")
        (folder / UPSTREAMS_FILE).write_text(
            _replaced(text, {"resolver 127.0.0.1 ": f"resolver 127.0.0.1:{dns.port if dns else 53} ", **(moved or {})})
        )
    for name, text in (upstream_files(made) | upstream_keys(made)).items():
        (folder / name).write_text(text)
    text = nginx_conf(made, exporter=str(made.exporter.endpoint), namespace=namespace)
    places = {
        "/tmp/": f"{folder}/",  # noqa: S108 - what the container has; first, since the folder may be beneath it
        "include /etc/nginx/mime.types;": "",
        f"{UPSTREAMS_FOLDER}/": f"{folder}/",
        "/etc/nginx/upstream-": f"{folder}/upstream-",
        "load_module modules/": f"load_module {nginx.build}/",
        "error_log /dev/stderr": f"error_log {folder}/error.log",
        "listen 8080": f"listen 127.0.0.1:{nginx.port}",
        "listen 8081;": f"listen 127.0.0.1:{free_port()};",
        "/dev/stdout": str(log),
        "buffer=4k flush=100ms": "",
    }
    text = _replaced(text, places | dict(moved or {}))
    (folder / "error.log").unlink(missing_ok=True)
    (folder / "nginx.conf").write_text(f"daemon off;\nuser root;\n{text}")
    nginx.workers = 2
    assert nginx.test() == "ok", text
    nginx.start()
    try:
        yield log
    finally:
        nginx.stop()


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def raw(port: int, request: str) -> bytes:
    """Returns the whole answer to some bytes, until NGINX ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def seen(answer: httpx.Response) -> dict[str, list[str]]:
    """Returns the headers that the application got, by their names in lower case."""
    assert answer.status_code == 200, answer.text
    headers: dict[str, list[str]] = {}
    for line in answer.json()["head"][1:]:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    return headers


def head(answer: bytes) -> list[str]:
    """Returns the lines that the application got, from its raw answer."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])["head"]
