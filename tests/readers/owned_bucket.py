"""Runs an S3 server whose owner says what Tempo's key may do, and how long objects are kept."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.build.targets import S3_SERVER
from tests.readers.signed import put_s3
from tests.readers.storage import Bucket
from tools.lab_bucket import ACCESS, BUCKET, SECRET
from tools.running import started

OWNER = ("owner", "canary-owner")
_LOCK = (
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
    "<Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
)


@dataclass
class OwnedBucket(Bucket):
    """A bucket of another account than Tempo's."""

    is_locked: bool = False
    """Whether each object is locked for a day."""

    has_versions: bool = False
    """Whether the server keeps what is deleted or written again as an old version."""

    def __post_init__(self) -> None:
        # Before it starts, as the server knows no owner of a bucket that is a folder.
        for name in ("accounts", "buckets", "sidecar", "versions"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def served(self) -> Generator[None]:
        """Runs the server, and makes the bucket and the account of Tempo, which may do nothing yet."""
        url, (access, secret) = self.url, OWNER
        server = S3_SERVER.folder / "versitygw"
        command = [
            *(server, "--port", f"{self.address}:{self.port}", "--access", access, "--secret", secret),
            *("--health", "/health", "--iam-dir", self.folder / "accounts"),
            *("posix", "--sidecar", self.folder / "sidecar"),
            *(("--versioning-dir", self.folder / "versions") if self.has_versions else ()),
            self.folder / "buckets",
        ]
        with started(command, self.folder / "log", f"{url}/health"):
            owner = ("--access", access, "--secret", secret, "--endpoint-url", url)
            tempo = ("--access", ACCESS, "--secret", SECRET, "--role", "user")
            subprocess.run([server, "admin", *owner, "create-user", *tempo], check=True)
            lock = {"x-amz-bucket-object-lock-enabled": "true"} if self.is_locked else {}
            put_s3(f"{url}/{BUCKET}", "", OWNER, lock)
            if self.is_locked:
                put_s3(f"{url}/{BUCKET}?object-lock", _LOCK, OWNER)
            yield

    def allow(self, rights: Collection[str]) -> None:
        """Gives Tempo's key these rights alone."""
        of_bucket = {right for right in rights if right.startswith("s3:List")}
        statements = [
            {"Effect": "Allow", "Principal": {"AWS": [ACCESS]}, "Action": sorted(actions), "Resource": resource}
            for actions, resource in (
                (of_bucket, f"arn:aws:s3:::{BUCKET}"),
                (set(rights) - of_bucket, f"arn:aws:s3:::{BUCKET}/*"),
            )
        ]
        policy = {"Version": "2012-10-17", "Statement": statements}
        put_s3(f"{self.url}/{BUCKET}?policy", json.dumps(policy), OWNER)

    @contextlib.contextmanager
    def without(self, right: str, rights: Collection[str]) -> Generator[None]:
        """Takes a right from Tempo's key, and gives it back."""
        self.allow(set(rights) - {right})
        yield
        self.allow(rights)

    @contextlib.contextmanager
    def full(self) -> Generator[None]:
        """Fills the disk of the server, and frees it."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield
        ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Generator[None]:
    """Gives a folder a disk of its own, or skips the test.

    Args:
        folder: the folder, which is made.
        size: its size, as `mount` takes it.
    """
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount the small disk of the S3 server")
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", folder], check=False)
    if mounted.returncode:
        pytest.skip("this machine allows no mount of a small disk for the S3 server")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
