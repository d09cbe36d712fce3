"""Runs servers of buckets on loopback, and the lab's Tempo with its blocks in a bucket of theirs."""

import base64
import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.documents.tempo_storage import storage_access
from lab.build.targets import AZURE_SERVER, GCS_SERVER, S3_SERVER
from lab.paths import REPOSITORY
from settings import Settings
from tests.otlp import free_port
from tests.readers.authority import Authority
from tests.readers.loopback import started
from tests.readers.signed import make_azure_container
from tests.readers.tempo import RunningTempo, running_tempo

ACCESS, SECRET = "canary-access", "canary-secret"
BUCKET, PREFIX = "traces", "tracing/prod"
SERVER_NAME = "s3.internal.example"


@dataclass
class Bucket:
    """A bucket of an S3 server, which may be away."""

    folder: Path
    """The folder that the server keeps its buckets in."""

    port: int = field(default_factory=free_port)
    authority: Authority | None = None
    """Signs the server's certificate; none without TLS."""

    address: str = "127.0.0.1"
    other: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of `tempo.storage` that are others than the server's."""

    def __post_init__(self) -> None:
        (self.folder / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the server."""
        tls = self._certificate()
        command = [
            S3_SERVER.folder / "versitygw",
            *("--port", f"{self.address}:{self.port}", "--access", ACCESS, "--secret", SECRET, "--health", "/health"),
            *tls,
            *("posix", "--sidecar", self.folder / "sidecar", self.folder / "buckets"),
        ]
        (self.folder / "sidecar").mkdir(exist_ok=True)
        with started(command, self.folder / "log", f"http{'s' if tls else ''}://{self.address}:{self.port}/health"):
            yield

    def _certificate(self) -> list[Path | str]:
        if self.authority is None:
            return []
        certificate, key = self.authority.certificate(SERVER_NAME)
        for name, text in {"crt": certificate, "key": key}.items():
            (self.folder / name).write_text(text)
        return ["--cert", self.folder / "crt", "--key", self.folder / "key"]

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        named = {"type": "s3", "bucket": BUCKET, "prefix": PREFIX, "region": "us-east-1"}
        if self.authority is None:
            return named | {"endpoint": f"http://{self.address}:{self.port}", **self.other}
        tls = {"caBundle": self.authority.bundle, "serverName": SERVER_NAME}
        return named | {"endpoint": f"https://{self.address}:{self.port}", "tls": tls, **self.other}

    def blocks(self) -> list[Path]:
        """Returns the folders of the blocks that are whole, which have a `meta.json`."""
        return [file.parent for file in (self.folder / "buckets" / BUCKET / PREFIX).glob("*/*/meta.json")]


class GoogleBucket(Bucket):
    """A bucket of an emulator of Google Cloud Storage, to which Tempo does not log in."""

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the emulator."""
        url = f"http://{self.address}:{self.port}"
        command = [
            GCS_SERVER.folder / "fake-gcs-server",
            *("-scheme", "http", "-host", self.address, "-port", str(self.port), "-external-url", url),
            *("-public-host", f"{self.address}:{self.port}", "-filesystem-root", self.folder / "buckets"),
        ]
        with started(command, self.folder / "log", f"{url}/storage/v1/b/{BUCKET}"):
            yield

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        endpoint = f"http://{self.address}:{self.port}"
        return {"type": "gcs", "bucket": BUCKET, "prefix": PREFIX, "endpoint": endpoint}


ACCOUNT, ACCOUNT_KEY = "canaryaccount", base64.b64encode(b"canary-account-key").decode()


class AzureBucket(Bucket):
    """A container of an emulator of Azure Blob Storage."""

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the emulator, which keeps what it has in files of its own."""
        url = f"http://{self.address}:{self.port}"
        command = [
            *("node", AZURE_SERVER.folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"),
            *("--blobHost", self.address, "--blobPort", str(self.port), "--location", self.folder / "azurite"),
            *("--silent", "--disableTelemetry"),
        ]
        accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
        # It answers everybody whom it does not know with 400.
        with started(command, self.folder / "log", url, accounts, status=400):
            make_azure_container(url, ACCOUNT, BUCKET, ACCOUNT_KEY)
            yield

    @property
    def storage(self) -> dict[str, Any]:
        """Returns the keys of `tempo.storage` for it."""
        endpoint = f"http://{self.address}:{self.port}"
        return {"type": "azure", "account": ACCOUNT, "bucket": BUCKET, "prefix": PREFIX, "endpoint": endpoint}


KEYS = {"tempoStorageAccessKey": ACCESS, "tempoStorageSecretKey": SECRET}


@contextlib.contextmanager
def tempo_with(
    bucket: Bucket, folder: Path, keys: Mapping[str, str] = KEYS, **configured: Any
) -> Generator[RunningTempo]:
    """Runs the lab's Tempo with the document, the variables and the files that its pod gets.

    Args:
        bucket: where its blocks go.
        folder: a folder for its files, among them its disk.
        keys: the secret keys of the configuration.
        configured: the keys of `tempo` besides `storage`.
    """
    tempo = {"storage": bucket.storage, **configured}
    access = storage_access(Settings.model_validate({"tempo": tempo, **keys}))
    variables = {**access.variables, **access.plain_variables}
    with running_tempo(folder, (), {**access.certificates, **access.files}, variables, **tempo) as running:
        yield running


def how_to() -> str:
    """Returns the page about buckets."""
    return (REPOSITORY / "docs" / "how-to" / "store-traces-in-a-bucket.md").read_text()
