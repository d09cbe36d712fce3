"""Keeps the order, the locks and the marks of tests that several processes run (`make test WORKERS=5`).

pytest-xdist gives each process a file at a time (`--dist loadfile`), so tests of one file run one after another, in the
order that they are written in, and share that file's fixtures.
"""

import contextlib
import fcntl
import functools
import os
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from lab.cluster import host
from lab.progress import Progress

FOLDER = Path(__file__).parent
LAB_TESTS = "test_lab.py"
"""The tests of the lab itself. They start and stop it, so no test uses the lab before they have ended."""

LAB_IS_OURS = "lab-is-ours"
"""The mark that the tests started the lab, which then stops with them."""

LAB_IS_READY = "lab-is-ready"
"""The mark that everything that `lab up` builds, starts and pushes is there."""

LAB_TESTS_ENDED = "lab-tests-ended"
"""The mark that the tests of the lab itself have ended."""

ALONE_AGAIN = 3
"""How often what went wrong beside other tests is measured again alone. Our choice: a loss in half of the runs then
passes once in sixteen times."""

LONGEST_FIRST = (
    "test_plus.py",
    "test_tempo_parts.py",
    "test_versions.py",
    "test_stack.py",
    "test_preflight.py",
    "test_faults.py",
    "test_tempo_edge.py",
    "test_storage.py",
    "test_previews.py",
    "test_ownership.py",
    "test_configuration.py",
    "test_upgrade.py",
    "test_network.py",
    "test_quickstart.py",
    "test_upstreams.py",
)
"""The files of the lab's tests that take about a minute or more, by their durations on two cores (`--durations=0`).

Were a long one the last to start, the other processes would have nothing to do while it runs. A process takes the next
file as soon as two tests of its own are left, so files with one or two tests do not follow each other here.
"""


@dataclass
class Shared:
    """A folder for the locks and marks of one run of the tests."""

    folder: Path
    is_worker: bool
    """Whether this process is one of several, and another one collects their results."""

    waits_for_lab_tests: bool = False

    _turn: IO[str] | None = None
    """The file by which this process holds its turn."""

    def mark(self, name: str) -> None:
        """Makes a mark, which every process sees."""
        (self.folder / name).touch()

    def has(self, name: str) -> bool:
        """Returns whether any process has made a mark."""
        return (self.folder / name).exists()

    def install(self, progress: Progress, packages: Mapping[str, str] = host.PACKAGES) -> None:
        """Installs Debian's packages that are missing, if this is root; apt-get runs once at a time."""
        if os.geteuid() == 0:
            with self.locked("packages"):
                host.install_packages(progress, packages)

    @contextlib.contextmanager
    def locked(self, name: str, *, alone: bool = True) -> Generator[None]:
        """Holds a lock of all processes, or a share of it; waits for it."""
        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def turn(self, *, alone: bool) -> Generator[None]:
        """Holds the right to run a test, which an `alone` test shares with none.

        Such tests are the last to be given out, so it lets others begin while it waits.
        """
        with self.locked("gate", alone=False):
            file = (self.folder / "turn.lock").open("w")
            if not alone:
                fcntl.flock(file, fcntl.LOCK_SH)
        with file:
            if alone:
                fcntl.flock(file, fcntl.LOCK_EX)
            self._turn = file
            try:
                yield
            finally:
                self._turn = None

    def what_goes_wrong(self, measure: Callable[[], str]) -> str:
        """Returns what goes wrong when something is measured; empty if nothing does.

        Other stacks' updates delay the network of new pods, which then lose spans. What goes wrong beside other tests
        is therefore measured again, alone and several times. It counts if it goes wrong in any of these; otherwise
        pytest shows it as a warning.

        Args:
            measure: returns what went wrong; empty if nothing did.
        """
        first = measure()
        if not first or not self.is_worker:
            return first
        with self.alone():
            later = [measure() for _ in range(ALONE_AGAIN)]
        if any(later):
            return "\n".join([f"beside other tests: {first}", *(f"alone: {each or 'nothing'}" for each in later)])
        warnings.warn(f"beside other tests, and in none of {ALONE_AGAIN} runs alone: {first}", stacklevel=2)
        return ""

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Runs a part of a test while no other test runs: it waits for those that run, and lets none begin."""
        if self._turn is None:
            yield
            return
        # Two tests that wait for each other's end would wait for ever.
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        with self.locked("gate"):
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_SH)


@contextlib.contextmanager
def turn(shared: Shared, item: pytest.Item) -> Generator[None]:
    """Holds the right to run a test, with a lower priority for those that only compute."""
    if not shared.is_worker:
        yield
        return
    with shared.turn(alone=item.get_closest_marker("alone") is not None):
        if _may_change_priority():
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY if _is_of_the_lab(item) else min(_PRIORITY + 10, 19))
        yield


_PRIORITY = os.getpriority(os.PRIO_PROCESS, 0)


@functools.cache
def _may_change_priority() -> bool:
    """Returns whether tests that only compute may let the lab go first: root alone may take its priority back."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(_PRIORITY + 1, 19))
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    except OSError:
        return False
    return True


def _is_of_the_lab(item: pytest.Item) -> bool:
    return item.path.is_relative_to(FOLDER / "lab")


def in_order(items: list[pytest.Item]) -> None:
    """Sorts tests by file: the lab's own tests, what computes, what waits for the lab with the longest first.

    The lab's own tests mostly wait for Kubernetes to start, so the unit tests and those of NGINX's module compute
    beside them. Tests that run alone come last.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    name = item.path.name
    if item.get_closest_marker("alone"):
        return 3, 0
    if name == LAB_TESTS:
        return 0, 0
    if not _is_of_the_lab(item):
        return 1, 0
    return 2, LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
