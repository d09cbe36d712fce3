"""Builds pieces into the cache: in parallel, resumable, with progress that a person can follow."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lab.build.targets import (
    DOCKER_BUILD_PROVIDER,
    KUBERNETES,
    KUBERNETES_PROVIDER,
    LANGUAGE_HOST,
    PULUMI,
    Piece,
    compiler_version,
)
from lab.errors import LabError
from lab.paths import BIN, CACHE
from lab.progress import Progress, Step, minutes

GIBIBYTE = 2**30
MEMORY_OF_A_BUILD = 6 * GIBIBYTE
"""The Kubernetes provider's compiler and linker were seen to take some 5 GiB together."""

DISK_OF_A_COLD_BUILD = 30 * GIBIBYTE
"""Go's module and build caches of all pieces take 25 GB, the pieces 1 GB (measured)."""

LOG_LINES_SHOWN = 15


def build(pieces: Sequence[Piece], progress: Progress) -> None:
    """Builds those of the pieces that the cache lacks. A second call with the same inputs builds nothing.

    An interrupted build leaves no half-made piece, and the next one goes on where the compilers' own caches are.

    Raises:
        LabError: a compiler is missing, the disk is too small, or a build failed; names the piece and its log.
    """
    for piece in pieces:
        compiler_version(piece.compiler)
    CACHE.mkdir(parents=True, exist_ok=True)
    with _only_one_builder(progress):
        missing = [piece for piece in pieces if not piece.is_built]
        if missing:
            _require_disk(missing)
            _build_missing(missing, progress)
    _link_programs(pieces)


def _build_missing(missing: Sequence[Piece], progress: Progress) -> None:
    times = _Times(CACHE / "build-times.json")
    # The longest first: the last to end is then a short one.
    queue = sorted(missing, key=lambda piece: -times.of(piece))
    jobs = _parallel_builds()
    progress.say(f"{len(queue)} to build, {min(jobs, len(queue))} at a time; logs in {CACHE / 'logs'}")
    failures: list[str] = []
    stop = threading.Event()

    def one(piece: Piece) -> None:
        if stop.is_set():
            return
        with progress.step(f"build {piece.what}", times.shown(piece)) as step:
            try:
                _build_one(piece, step)
                times.record(piece, step.seconds)
            except _BuildFailedError as failure:
                step.failed = True
                stop.set()
                failures.append(str(failure))

    # Cargo's and Go's own locks keep two builds apart where they share a folder.
    with ThreadPoolExecutor(max_workers=jobs) as workers:
        for future in [workers.submit(one, piece) for piece in queue]:
            future.result()
    if failures:
        raise LabError("\n\n".join(failures) + "\n\nWhat was built is kept: the same command goes on from here.")


class _BuildFailedError(Exception):
    """One piece could not be built; its text names the piece and its log."""


def _build_one(piece: Piece, step: Step) -> None:
    # Of the inputs as they are now: what is edited meanwhile belongs to the next build.
    folder = piece.folder
    log_file = CACHE / "logs" / f"{piece.name}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{piece.name}-") as scratch,
        log_file.open("w") as log,
    ):
        target = Path(scratch) / "built"
        target.mkdir()

        def run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
            step.detail(" ".join(command[:2]))
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            subprocess.run(
                command,
                check=True,
                cwd=cwd,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        try:
            piece.make(run, target)
        except OSError as error:
            raise _BuildFailedError(f"{piece.name} could not be built: {error}. Its log: {log_file}") from error
        except subprocess.CalledProcessError as error:
            # Of commands whose output was read rather than logged.
            log.write((error.stdout or "") + (error.stderr or ""))
            log.flush()
            last_lines = "\n".join(log_file.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
            raise _BuildFailedError(
                f"{piece.name} could not be built: `{' '.join(map(str, error.cmd))[:200]}` exited with "
                f"{error.returncode}. Its log: {log_file}\n{last_lines}"
            ) from error
        target.rename(folder)
    for old in folder.parent.glob(f"{piece.name}-????????????????"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def _link_programs(pieces: Sequence[Piece]) -> None:
    """Keeps `BIN` pointing at the pieces as they are now."""
    BIN.mkdir(parents=True, exist_ok=True)
    programs = {
        PULUMI: ["pulumi"],
        LANGUAGE_HOST: ["pulumi-language-python", "pulumi-language-python-exec"],
        KUBERNETES_PROVIDER: ["pulumi-resource-kubernetes"],
        DOCKER_BUILD_PROVIDER: ["pulumi-resource-docker-build"],
        KUBERNETES: ["kubectl"],
    }
    for piece, names in programs.items():
        for name in names if piece in pieces else []:
            fresh = BIN / f".{name}.{os.getpid()}"
            fresh.symlink_to(piece.folder / name)
            fresh.replace(BIN / name)


def _parallel_builds() -> int:
    """As many as cores and free memory allow."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return max(1, min(os.cpu_count() or 1, available // MEMORY_OF_A_BUILD))


def _require_disk(missing: Sequence[Piece]) -> None:
    everything = 1600
    """Seconds of all cold builds; the disk that a part needs is taken to grow with its time."""
    share = min(1.0, sum(piece.usual_seconds for piece in missing) / everything)
    needed = int(DISK_OF_A_COLD_BUILD * share)
    folders = {CACHE} | {Path(folder) for folder in _go_caches()}
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise LabError(
                f"The disk of {existing} has {free / GIBIBYTE:.1f} GiB free; building "
                f"{', '.join(piece.name for piece in missing)} needs up to {needed / GIBIBYTE:.0f} GiB.\n"
                "Free some space, or name a cache on another disk: NGINX_TRACING_CACHE, GOCACHE and GOMODCACHE."
            )


def _go_caches() -> list[str]:
    if shutil.which("go") is None:
        return []
    asked = subprocess.run(["go", "env", "GOCACHE", "GOMODCACHE"], check=True, capture_output=True, text=True)
    return asked.stdout.split()


@contextmanager
def _only_one_builder(progress: Progress) -> Generator[None]:
    with (CACHE / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("another build is running with this cache; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Times:
    """How long each piece took last time on this machine."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        try:
            self._seconds: dict[str, float] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self._seconds = {}

    def shown(self, piece: Piece) -> str:
        """For a person: how long it took here, or where it was measured."""
        where = "last time" if piece.name in self._seconds else "on two idle cores"
        return f"{minutes(self.of(piece))} {where}"

    def of(self, piece: Piece) -> float:
        return self._seconds.get(piece.name, piece.usual_seconds)

    def record(self, piece: Piece, seconds: float) -> None:
        with self._lock:
            self._seconds[piece.name] = round(seconds, 1)
            fresh = self._file.with_suffix(f".{time.monotonic_ns()}")
            fresh.write_text(json.dumps(self._seconds, indent=1, sort_keys=True) + "\n")
            fresh.replace(self._file)
