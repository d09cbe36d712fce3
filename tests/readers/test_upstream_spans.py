"""Tests the spans of upstreams on loopback: the real NGINX and Collector, with documents of the program."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.otlp import free_port

pytestmark = pytest.mark.usefixtures("programs")

SERVER, CLIENT = 2, 3
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
            path = stream.readline().decode().split()[1].strip("/")
            while line := stream.readline().decode().strip():
                if line.lower().startswith("traceparent:"):
                    self.traceparents.append(line.split(": ")[1])
            if path == "close":
                return
            if path == "slow":
                time.sleep(0.2)
            status = path if path.isdigit() else "200"
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
