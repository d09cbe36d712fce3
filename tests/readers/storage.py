"""Runs servers of buckets on loopback, and the lab's Tempo with its blocks in a bucket of theirs."""

import base64
import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.documents import Document
from components.documents.tempo_storage import storage_access
from lab.build.targets import AZURE_SERVER, GCS_SERVER
from lab.paths import REPOSITORY
from settings import Settings
from tests.otlp import free_port
from tests.readers.authority import Authority
from tests.readers.signed import make_azure_container
from tests.readers.tempo import RunningTempo, running_tempo
from tools import lab_bucket
from tools.lab_bucket import BUCKET, KEYS, PREFIX
from tools.running import started

SERVER_NAME = "s3.internal.example"


@dataclass
class Bucket(lab_bucket.Bucket):
    """A bucket of a server at a port that no other test has."""

    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    authority: Authority | None = None
    """Signs the server's certificate; none without TLS."""

    other: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of `tempo.storage` that are others than the server's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.authority:
            for name, text in zip(("crt", "key"), self.authority.certificate(SERVER_NAME), strict=True):
                (self.folder / name).write_text(text)
            self.tls = ("--cert", self.folder / "crt", "--key", self.folder / "key")

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        tls = {"tls": {"caBundle": self.authority.bundle, "serverName": SERVER_NAME}} if self.authority else {}
        return super().storage | tls | dict(self.other)


@dataclass
class GoogleBucket(Bucket):
    """A bucket of an emulator of Google Cloud Storage, to which Tempo does not log in."""

    health: str = f"/storage/v1/b/{BUCKET}"

    @property
    def command(self) -> list[Path | str]:
        """Returns the emulator and its arguments."""
        return [
            GCS_SERVER.folder / "fake-gcs-server",
            *("-scheme", "http", "-host", self.address, "-port", str(self.port), "-external-url", self.url),
            *("-public-host", f"{self.address}:{self.port}", "-filesystem-root", self.folder / "buckets"),
        ]

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        return {"type": "gcs", "bucket": BUCKET, "prefix": PREFIX, "endpoint": self.url, **self.other}


ACCOUNT, ACCOUNT_KEY = "canaryaccount", base64.b64encode(b"canary-account-key").decode()


class AzureBucket(Bucket):
    """A container of an emulator of Azure Blob Storage."""

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the emulator, which keeps what it has in files of its own."""
        command = [
            *("node", AZURE_SERVER.folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"),
            *("--blobHost", self.address, "--blobPort", str(self.port), "--location", self.folder / "azurite"),
            *("--silent", "--disableTelemetry"),
        ]
        accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
        # It answers everybody whom it does not know with 400.
        with started(command, self.folder / "log", self.url, accounts, status=400):
            make_azure_container(self.url, ACCOUNT, BUCKET, ACCOUNT_KEY)
            yield

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        return {"type": "azure", "account": ACCOUNT, "bucket": BUCKET, "prefix": PREFIX, "endpoint": self.url}


@contextlib.contextmanager
def tempo_with(
    bucket: Bucket,
    folder: Path,
    keys: Mapping[str, str] = KEYS,
    edit: Callable[[Document], None] = lambda _: None,
    **configured: Any,
) -> Generator[RunningTempo]:
    """Runs the lab's Tempo with the document, the variables and the files that its pod gets.

    Args:
        bucket: where its blocks go.
        folder: a folder for its files, among them its disk.
        keys: the secret keys of the configuration.
        edit: changes the document where a test cannot wait for what is in it.
        configured: the keys of `tempo` besides `storage`.
    """
    tempo = {"storage": bucket.storage, **configured}
    access = storage_access(Settings.model_validate({"tempo": tempo, **keys}))
    variables = {**access.variables, **access.plain_variables}
    with running_tempo(folder, (), {**access.certificates, **access.files}, variables, edit, **tempo) as running:
        yield running


def how_to() -> str:
    """Returns the page about buckets."""
    return (REPOSITORY / "docs" / "how-to" / "store-traces-in-a-bucket.md").read_text()
