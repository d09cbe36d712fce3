"""An S3 server on this machine with a bucket for a stack's traces, for tests and measurements."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.build.targets import S3_SERVER
from lab.cluster.network import HOST_ADDRESS
from tools.running import started

ACCESS, SECRET = "canary-access", "canary-secret"
KEYS = {"tempoStorageAccessKey": ACCESS, "tempoStorageSecretKey": SECRET}
"""The stack's secret keys for the server. Tests look for these texts where no secret may be."""

BUCKET, PREFIX = "traces", "tracing/prod"


@dataclass
class Bucket:
    """A bucket of an S3 server, which may be away."""

    folder: Path
    """The folder that the server keeps its buckets in."""

    address: str = HOST_ADDRESS
    """By default the one at which pods reach this machine."""

    port: int = 7070
    """versitygw's own: below those that Linux gives to outgoing connections, so that it is free when it comes back."""

    tls: Sequence[Path | str] = ()
    """The server's arguments for TLS."""

    health: str = "/health"
    """The path at which the server answers once it is ready."""

    _runs: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    def __post_init__(self) -> None:
        """Makes the bucket, which is a folder."""
        (self.folder / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)
        (self.folder / "sidecar").mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        """Returns the server's URL."""
        return f"http{'s' if self.tls else ''}://{self.address}:{self.port}"

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        return {"type": "s3", "bucket": BUCKET, "prefix": PREFIX, "region": "us-east-1", "endpoint": self.url}

    @property
    def configuration(self) -> dict[str, str]:
        """Returns the configuration of a stack whose Tempo keeps its blocks there, without `KEYS`."""
        return {"tempo.persistence.size": "1Gi"} | {f"tempo.storage.{key}": str(v) for key, v in self.storage.items()}

    @property
    def command(self) -> list[Path | str]:
        """Returns the server's program and its arguments."""
        return [
            S3_SERVER.folder / "versitygw",
            *("--port", f"{self.address}:{self.port}", "--access", ACCESS, "--secret", SECRET, "--health", self.health),
            *self.tls,
            *("posix", "--sidecar", self.folder / "sidecar", self.folder / "buckets"),
        ]

    def blocks(self) -> list[Path]:
        """Returns the folders of the blocks that are whole, which have a `meta.json`."""
        return [file.parent for file in (self.folder / "buckets" / BUCKET / PREFIX).glob("*/*/meta.json")]

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the server, unless `stop` stops it before."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Starts the server.

        Raises:
            LabError: it does not start.
        """
        self._runs.enter_context(started(self.command, self.folder / "log", f"{self.url}{self.health}"))

    def stop(self) -> None:
        """Kills the server. What it answered for stays."""
        self._runs.close()

    @contextlib.contextmanager
    def away(self) -> Generator[None]:
        """Kills the server, and starts it again at the end.

        Raises:
            LabError: it does not start.
        """
        self.stop()
        try:
            yield
        finally:
            self.start()
