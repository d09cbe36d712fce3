"""Builds targets into the cache: in parallel, resumable, with progress that a person can follow."""

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

from lab.build.target import Target, compiler_version
from lab.build.targets import (
    ALL_TARGETS,
    DOCKER_BUILD_PROVIDER,
    KUBERNETES_PROVIDER,
    KUBERNETES_VERSIONS,
    LANGUAGE_HOST,
    PULUMI,
)
from lab.errors import LabError
from lab.paths import BIN, CACHE
from lab.progress import Progress, Step, minutes

GIBIBYTE = 2**30
MEMORY_OF_A_BUILD = 4 * GIBIBYTE
"""Twice what the largest process takes: Kubernetes' linker, 2.0 GB (measured with `/usr/bin/time -f %M go build`)."""

DISK_OF_A_COLD_BUILD = 30 * GIBIBYTE
"""Go's module and build caches of all targets take 25 GB, the built programs 1 GB (measured)."""

LOG_LINES_SHOWN = 15
"""Our choice: the compilers' last error, with what is around it."""


def build(targets: Sequence[Target], progress: Progress) -> None:
    """Builds those of the targets that the cache lacks. A second call with the same inputs builds nothing.

    An interrupted build leaves no unfinished target, and the next one resumes from the compilers' own caches.

    Raises:
        LabError: a compiler is missing, the disk is too small, or a build failed; names the target and its log.
    """
    for target in targets:
        compiler_version(target.compiler)
    CACHE.mkdir(parents=True, exist_ok=True)
    with _only_one_builder(progress):
        missing = [target for target in targets if not target.is_built]
        if missing:
            _require_disk(missing)
            _build_missing(missing, progress)
    link_programs(targets)


def _build_missing(missing: Sequence[Target], progress: Progress) -> None:
    at_a_time = min(_parallel_builds(), len(missing))
    times = _Times(CACHE / "build-times.json", at_a_time)
    # The longest first: the last one to end is then a short one.
    queue = sorted(missing, key=lambda target: -times.of(target))
    steps = {target: Step(f"build {target.what}", times.of(target)) for target in queue}
    together = minutes(sum(map(times.of, queue)) / at_a_time)
    progress.say(f"{len(queue)} to build, {at_a_time} at a time, about {together}; logs in {CACHE / 'logs'}")
    failures: list[str] = []
    stop = threading.Event()

    def one(target: Target) -> None:
        if stop.is_set():
            return
        with progress.run(steps[target]) as step:
            try:
                _build_one(target, step)
                times.record(target, step.seconds)
            except _BuildFailedError as failure:
                step.failed = True
                stop.set()
                failures.append(str(failure))

    # Cargo's and Go's own locks keep two builds apart where they share a folder. Go compiles a package twice that two
    # builds need at the same time; few targets share more than the standard library, 14 of 400 MB of source.
    with progress.plan(list(steps.values())), ThreadPoolExecutor(max_workers=at_a_time) as workers:
        for future in [workers.submit(one, target) for target in queue]:
            future.result()
    if failures:
        raise LabError("\n\n".join(failures) + "\n\nThe finished builds are kept: the same command resumes from here.")


class _BuildFailedError(Exception):
    """One target could not be built; the text names it and its log."""


def _build_one(target: Target, step: Step) -> None:
    # The folder of the inputs as they are now: what is edited meanwhile belongs to the next build.
    folder = target.folder
    log_file = CACHE / "logs" / f"{target.name}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{target.name}-") as scratch,
        log_file.open("w") as log,
    ):
        built = Path(scratch) / "built"
        built.mkdir()

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
            target.make(run, built)
        except OSError as error:
            raise _BuildFailedError(f"{target.name} could not be built: {error}. Its log: {log_file}") from error
        except subprocess.CalledProcessError as error:
            # The output of commands that was read rather than logged.
            log.write((error.stdout or "") + (error.stderr or ""))
            log.flush()
            last_lines = "\n".join(log_file.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
            raise _BuildFailedError(
                f"{target.name} could not be built: `{' '.join(map(str, error.cmd))[:200]}` exited with "
                f"{error.returncode}. Its log: {log_file}\n{last_lines}"
            ) from error
        built.rename(folder)
    for old in folder.parent.glob(f"{target.name}-????????????????"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def link_programs(targets: Sequence[Target]) -> None:
    """Keeps the links in `BIN` pointing at the targets as they are now; all of these are built."""
    BIN.mkdir(parents=True, exist_ok=True)
    programs = {
        PULUMI: ["pulumi"],
        LANGUAGE_HOST: ["pulumi-language-python", "pulumi-language-python-exec"],
        KUBERNETES_PROVIDER: ["pulumi-resource-kubernetes"],
        DOCKER_BUILD_PROVIDER: ["pulumi-resource-docker-build"],
        **{kubernetes: ["kubectl"] for kubernetes in KUBERNETES_VERSIONS.values()},
    }
    for target, names in programs.items():
        for name in names if target in targets else []:
            fresh = BIN / f".{name}.{os.getpid()}"
            fresh.symlink_to(target.folder / name)
            fresh.replace(BIN / name)


def _parallel_builds() -> int:
    """Returns the number of builds that cores and free memory allow at a time."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return max(1, min(os.cpu_count() or 1, available // MEMORY_OF_A_BUILD))


def _require_disk(missing: Sequence[Target]) -> None:
    # The disk that a part needs is taken to grow with its time.
    needed = int(DISK_OF_A_COLD_BUILD * min(1.0, _seconds(missing) / _seconds(ALL_TARGETS)))
    folders = {CACHE} | {Path(folder) for folder in _go_caches()}
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise LabError(
                f"The disk of {existing} has {free / GIBIBYTE:.1f} GiB free; building "
                f"{', '.join(target.name for target in missing)} needs up to {needed / GIBIBYTE:.0f} GiB.\n"
                "Free some space, or name a cache on another disk: NGINX_TRACING_CACHE, GOCACHE and GOMODCACHE."
            )


def _seconds(targets: Sequence[Target]) -> int:
    return sum(target.usual_seconds for target in targets)


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
    """The table of the times that each target took last on this machine."""

    def __init__(self, file: Path, at_a_time: int) -> None:
        """Reads the table.

        Args:
            file: where it is kept.
            at_a_time: the number of builds that share the machine.
        """
        self._file = file
        self._at_a_time = at_a_time
        self._lock = threading.Lock()
        try:
            self._seconds: dict[str, float] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self._seconds = {}

    def of(self, target: Target) -> float:
        """Returns the seconds that a target will probably take.

        The compilers use all cores, so builds side by side slow each other down. A time of this machine includes that;
        the usual one, measured with nothing beside it, does not.
        """
        return self._seconds.get(target.name, target.usual_seconds * self._at_a_time)

    def record(self, target: Target, seconds: float) -> None:
        with self._lock:
            self._seconds[target.name] = round(seconds, 1)
            fresh = self._file.with_suffix(f".{time.monotonic_ns()}")
            fresh.write_text(json.dumps(self._seconds, indent=1, sort_keys=True) + "\n")
            fresh.replace(self._file)
