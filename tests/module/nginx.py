"""Runs a real NGINX with the lab's module."""

import contextlib
import getpass
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import httpx

from tests.waiting import wait_for

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


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


def requests(nginx: Nginx, count: int) -> list[float]:
    """Sends requests over one connection; returns the seconds of each."""
    seconds: list[float] = []
    with httpx.Client() as client:
        for _ in range(count):
            began = time.monotonic()
            assert client.get(nginx.url()).status_code == 200
            seconds.append(time.monotonic() - began)
    return seconds


def dropped(nginx: Nginx) -> int:
    """Returns the last count of dropped spans in the log."""
    counts = re.findall(r"\[notice\].* OTel dropped records: (\d+)", nginx.log())
    return int(counts[-1]) if counts else 0
