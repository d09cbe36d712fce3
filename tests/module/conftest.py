"""Provides a real NGINX with the lab's module, and a real OTLP receiver."""

import contextlib
import getpass
import os
import re
import socket
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import httpx
import pytest

from lab.build.builder import build
from lab.build.targets import NGINX
from lab.cluster import host
from lab.cluster.certificates import Authority
from lab.progress import Progress
from tests.otlp import Receiver, free_port
from tests.waiting import wait_for


@pytest.fixture(scope="session")
def nginx_build(request: pytest.FixtureRequest) -> Path:
    """Returns the folder with `nginx` and `ngx_otel_module.so`, and builds them if the cache lacks them."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        if os.geteuid() == 0:
            host.install_packages(progress)
        build([NGINX], progress)
    return NGINX.folder


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """Runs a receiver without TLS."""
    made = Receiver()
    yield made
    made.stop()


@dataclass
class Nginx:
    """One NGINX in its own folder."""

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
        """Returns the command of NGINX with the folder's configuration."""
        files = ["-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log")]
        return [str(self.build / "nginx"), *files, *flags]

    def start(self) -> None:
        """Starts and waits until it listens and its master takes signals."""
        # In its own process group, so that the workers can be killed after the master has ended.
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, start_new_session=True)
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, self.log()
            # It listens before it takes signals. It notes one that comes in between, but acts on it with the next one.
            return self.log().count("start worker process ") == self.workers

        wait_for("NGINX", is_ready)

    def tell(self, number: Signals) -> None:
        """Sends a signal to the master process."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: Signals = Signals.SIGQUIT, seconds: float = 15) -> None:
        """Ends NGINX and waits for its end."""
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
        """Returns the error log."""
        file = self.folder / "error.log"
        return file.read_text() if file.exists() else ""

    def test(self) -> str:
        """Returns the answer of `nginx -t` to the configuration in one line: the message, or `ok`."""
        tested = subprocess.run(self.command("-t", "-q"), check=False, capture_output=True, text=True)
        if tested.returncode == 0:
            return "ok"
        message = next(line for line in tested.stderr.splitlines() if "[emerg]" in line)
        return message.split("[emerg] ")[1].rsplit(" in /", 1)[0]

    def url(self, path: str = "/") -> str:
        """Returns the server's URL."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        """Sends a request with headers; `_` in a name stands for `-`."""
        return httpx.get(self.url(path), headers={name.replace("_", "-"): value for name, value in headers.items()})


def exchange(port: int, request: bytes) -> bytes:
    """Returns NGINX' answer to raw bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Returns a folder with a certificate for localhost, `localhost.crt` and `.key`, and its authority, `ca.crt`."""
    Authority.create(tmp_path).issue("localhost", "localhost", hosts=("localhost",))
    return tmp_path


@pytest.fixture
def stopped_nginx(nginx_build: Path, tmp_path: Path) -> Generator[Nginx]:
    """Provides an NGINX that the test configures and starts."""
    made = Nginx(nginx_build, tmp_path, free_port())
    yield made
    made.stop()
    # NGINX restarts a worker that crashes, which a test might not notice.
    assert not re.findall(r".*(?:exited on signal|\[alert\]|\[crit\]).*", made.log())


Start = Callable[..., Nginx]


@pytest.fixture
def start(stopped_nginx: Nginx, receiver: Receiver) -> Start:
    """Returns a function that starts NGINX with an exporter to the receiver and one traced server of given content."""

    def run(
        server: str = "location / { return 200; }",
        *,
        http: str = "",
        exporter: str = "batch_count 1000;",  # So many that even a slow machine drops none.
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
