"""Sends requests at a constant rate that does not depend on the answers' times, each with a trace of its own."""

import contextlib
import csv
import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from lab.build.targets import VEGETA
from lab.errors import LabError
from tools.probe.result import percentile

PARENT_ID = "b7ad6b7169203331"
"""The parent span that each request names."""

_CHUNK = 64
_TIMEOUT = "10s"
_STARTED_WITHIN_SECONDS = 10
"""Our choice: targets that are written at once, the limit of an answer and the limit of the first answer."""

_CONNECTIONS = 256
"""Bounds the connections, as a load balancer's pool is bounded. A request's wait for one counts as its answer's time.

Without a bound, a moment's delay opens a connection for each request that is due: thousands at 5000 a second. Their
handshakes lengthen the delay, because the sender shares its machine with the stack. The number is our choice.
"""


@dataclass
class Sent:
    """Holds the requests, and what became of them."""

    rate: float
    """Requests a second, as they were ordered."""

    answered: list[str] = field(default_factory=list[str])
    """The trace IDs of successful requests."""

    failed: dict[str, str] = field(default_factory=dict[str, str])
    """The reasons why the others failed, by trace ID."""

    latencies: list[float] = field(default_factory=list[float])
    """In seconds."""

    started: list[float] = field(default_factory=list[float])
    """The time at which each was sent, in seconds since 1970, unordered."""

    @property
    def count(self) -> int:
        """Returns how many requests were sent."""
        return len(self.answered) + len(self.failed)

    @property
    def achieved_rate(self) -> float:
        """Returns the requests a second that were sent. Below `rate` they prove nothing: the sender did not keep up."""
        return (self.count - 1) / (max(self.started) - min(self.started)) if self.count > 1 else 0.0

    def reasons(self) -> dict[str, int]:
        """Counts the reasons why requests failed."""
        return dict(Counter(self.failed.values()))

    def latency(self, percent: float) -> float:
        """Returns a percentile of the answers' times, in seconds."""
        return percentile(self.latencies, percent) or 0.0


class Traffic:
    """Sends while the `with` block runs. After the block, `sent` holds the requests.

    The sender is vegeta: open-loop, in a process of its own.
    """

    sent: Sent

    def __init__(self, url: str, rate: float, *, keepalive: bool = True, text: int = 0) -> None:
        """Prepares the sender.

        Args:
            url: is requested.
            rate: requests a second.
            keepalive: whether connections are reused.
            text: hexadecimal characters of the query, which no two requests have alike; 0 for no query.
        """
        self._url, self._rate, self._keepalive, self._text = url.rstrip("/") + "/", rate, keepalive, text
        self._scratch = tempfile.TemporaryDirectory(prefix="traffic-")
        self._results = Path(self._scratch.name) / "results.bin"
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        """Starts the sender, and returns once the first answers are there.

        Raises:
            LabError: no answer came in time.
        """
        command = [str(VEGETA.folder / "vegeta"), "attack", "-targets=stdin", "-format=json", "-lazy", "-duration=0"]
        command += [f"-rate={round(self._rate * 10)}/10s", f"-timeout={_TIMEOUT}", f"-output={self._results}"]
        command += [f"-keepalive={str(self._keepalive).lower()}", "-max-body=0", "-redirects=-1"]
        command += [f"-max-connections={_CONNECTIONS}"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=without_proxies())
        self._writer = threading.Thread(target=self._write_targets, daemon=True)
        self._writer.start()
        limit = time.monotonic() + _STARTED_WITHIN_SECONDS
        while not (self._results.exists() and self._results.stat().st_size):
            if self._process.poll() is not None or time.monotonic() > limit:
                self._stop()
                raise LabError(f"vegeta sent nothing: {self._said()}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the sender, waits for the last answers and reads all of them.

        Raises:
            LabError: the sender ended by itself before. What it sent until then proves nothing.
        """
        ended = self._process.poll() is not None
        self._stop()
        try:
            if ended and error is None:
                raise LabError(f"vegeta ended by itself with {self._process.returncode}: {self._said()}")
            if error is None:
                self.sent = self._read()
        finally:
            self._scratch.cleanup()

    def _write_targets(self) -> None:
        """Writes one target a line, a few at a time: vegeta reads no further ahead than the pipe's buffer.

        The URL's fragment repeats the trace ID. vegeta does not send the fragment, and returns it with the result.
        """
        query = "?q=TEXT" if self._text else ""
        target = json.dumps(
            {"method": "GET", "url": f"{self._url}{query}#ID", "header": {"traceparent": [f"00-ID-{PARENT_ID}-01"]}}
        )
        pipe = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(BrokenPipeError, ValueError):
            while not self._stopped.is_set():
                # Random, as the IDs of real traces: what they take on a disk is measured too.
                lines = (
                    target.replace("ID", secrets.token_hex(16)).replace("TEXT", secrets.token_hex(self._text // 2))
                    for _ in range(_CHUNK)
                )
                pipe.write("".join(f"{line}\n" for line in lines).encode())

    def _stop(self) -> None:
        self._stopped.set()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._writer.join(timeout=5)

    def _said(self) -> str:
        return cast("IO[bytes]", self._process.stderr).read().decode(errors="replace").strip()[-500:]

    def _read(self) -> Sent:
        sent = Sent(self._rate)
        encode = [str(VEGETA.folder / "vegeta"), "encode", "-to=csv", str(self._results)]
        with subprocess.Popen(encode, stdout=subprocess.PIPE, text=True) as encoder:
            # Columns without heads: time, status, latency, bytes out, bytes in, error, body, name, number, method, URL.
            for started, status, latency, _, _, error, _, _, _, _, url, *_ in csv.reader(
                cast("IO[str]", encoder.stdout)
            ):
                trace_id = url.rsplit("#", 1)[-1]
                sent.started.append(int(started) / 1e9)
                sent.latencies.append(int(latency) / 1e9)
                if status.startswith("2"):
                    sent.answered.append(trace_id)
                else:
                    sent.failed[trace_id] = error or f"status {status}"
        return sent


def without_proxies() -> dict[str, str]:
    """Returns an environment that keeps vegeta from using proxies: a node's address is reached directly."""
    return os.environ | {"NO_PROXY": "*", "no_proxy": "*"}


def send_for(seconds: float, url: str, rate: float, *, keepalive: bool = True) -> Sent:
    """Sends for some time without a fault."""
    with Traffic(url, rate, keepalive=keepalive) as traffic:
        time.sleep(seconds)
    return traffic.sent
