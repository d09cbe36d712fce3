"""Breaks the program in one place at a time and names the breakages that no unit test notices (`make mutants`).

Each runs in a copy of the checkout, so nothing here is changed.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from lab.paths import REPOSITORY

ROOMS = ("components", "settings")
SUFFIXES = {".py", ".j2", ".sh"}
FIRST = {"components": ("golden", "dependencies"), "settings": ("bad_input",)}
"""The tests that notice most mutants of a room. They run first and alone: to collect all tests takes as long."""

_OTHERS = ("docs", "mutants", "processes", "pulumi_cli", "reference", "rooms", "startup", "tools_cluster", "workflows")
NOT_OF_THE_PROGRAM = {f"test_{name}.py" for name in _OTHERS}
"""Tests of tools and pages; those of the generated reference would notice any changed default, whatever it does."""

LIMIT_SECONDS = 900
"""Thirty times what the tests take on an idle core."""

SURVIVORS, BROKEN = 1, 2
"""Exit codes: unexplained survivors; a list or tests that are not in order, or a mutant that no test judged."""

CRASHES = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "UnboundLocalError")
"""Errors of a mutant that is no program. Any test that runs its line fails, whatever that test expects."""


class Mutant(BaseModel):
    """A text that is in the program once, and what stands in its place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    old: str
    new: str
    survives: str | None = None
    """Why no unit test notices it."""

    def __str__(self) -> str:
        return f"{self.old!r} → {self.new!r}"


class MutantError(Exception):
    """A mutant that cannot be made."""


class Verdict(StrEnum):
    """How the tests took a mutant."""

    NOTICED = "noticed"
    SURVIVES = "SURVIVES"
    UNDECIDED = "UNDECIDED"
    """No test judged it: pytest could not start them, they did not end, or the mutant is no program."""


def load() -> list[Mutant]:
    """Reads the list."""
    listed = yaml.safe_load((Path(__file__).parent / "mutants.yaml").read_text())
    return TypeAdapter(list[Mutant]).validate_python(listed)


def sources(root: Path) -> Iterator[Path]:
    """The files of the program that mutants are made of."""
    for room in ROOMS:
        yield from (file for file in sorted((root / room).rglob("*")) if file.suffix in SUFFIXES)


def place_of(mutant: Mutant, root: Path) -> Path:
    """The file that has a mutant's text.

    Raises:
        MutantError: no file has it, or it is there more than once, or what it becomes is no Python.
    """
    counts = {file: count for file in sources(root) if (count := file.read_text().count(mutant.old))}
    if sum(counts.values()) != 1:
        where = ", ".join(file.relative_to(root).as_posix() for file in counts) or "nowhere"
        raise MutantError(f"{mutant.old!r} must be in the program once, and is {sum(counts.values())} times: {where}")
    (file,) = counts
    if file.suffix == ".py":
        try:
            compile(file.read_text().replace(mutant.old, mutant.new), file.name, "exec")
        except SyntaxError as error:
            raise MutantError(f"{mutant} is no Python: {error}") from error
    return file


def first_and_rest(file: Path, root: Path) -> tuple[list[str], list[str]]:
    """Returns the test files that most probably notice a mutant of a file, its namesake among them, and the others."""
    room = file.relative_to(root).parts[0]
    names = [f"test_{name}.py" for name in (file.stem, *FIRST[room])]
    found = {test.name: test.relative_to(root).as_posix() for test in sorted((root / "tests/unit").glob("test_*.py"))}
    first = [found[name] for name in names if name in found]
    rest = [path for name, path in found.items() if path not in first and name not in NOT_OF_THE_PROGRAM]
    return first, rest


def judged(code: int, output: str) -> tuple[Verdict, str]:
    """Returns what pytest's exit code and its summary say of a mutant, and the summary's first line."""
    failures = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    first = failures[0] if failures else f"pytest exited with {code}"
    test, _, reason = first.partition(" - ")
    if code == pytest.ExitCode.OK:
        return Verdict.SURVIVES, ""
    # With -x, pytest exits with 1 for a file that it cannot import, too. That line names no test.
    is_of_a_test = code == pytest.ExitCode.TESTS_FAILED and "::" in test
    return Verdict.NOTICED if is_of_a_test and not reason.startswith(CRASHES) else Verdict.UNDECIDED, first


def tried(files: Sequence[str], root: Path) -> tuple[Verdict, str]:
    """Runs test files until a test fails, and returns the verdict and the failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", *files]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    # What Python compiled of a file of before has the same time and size as a mutant may have.
    # The summary is cut to the width of the terminal.
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "240"}
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Verdict.UNDECIDED, f"the tests did not end within {LIMIT_SECONDS} s"
    return judged(done.returncode, done.stdout)


def all_tried(file: Path, root: Path) -> tuple[Verdict, str]:
    """Runs all tests, those first that most probably notice a mutant of a file."""
    first, rest = first_and_rest(file, root)
    verdict, failure = tried(first, root)
    return (verdict, failure) if verdict is not Verdict.SURVIVES else tried(rest, root)


def copied(folder: Path) -> Path:
    """A copy of the checkout, without what tools have made."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".state", ".*_cache", ".hypothesis", "__pycache__", "target")
    return Path(shutil.copytree(REPOSITORY, folder, ignore=ignored))


def run(mutants: Sequence[Mutant], workers: int) -> list[tuple[Mutant, Verdict]]:
    """Tries each mutant, and prints its verdict and what noticed it.

    Raises:
        MutantError: a test fails although nothing is broken.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            copies.put(copied(Path(scratch) / str(number)))
        unbroken = Path(scratch) / "0"
        verdict, failure = all_tried(next(sources(unbroken)), unbroken)
        if verdict is not Verdict.SURVIVES:
            raise MutantError(f"The tests must pass before anything is broken: {failure}")

        def one(mutant: Mutant) -> tuple[Mutant, Verdict]:
            root = copies.get()
            file = place_of(mutant, root)
            before = file.read_text()
            try:
                file.write_text(before.replace(mutant.old, mutant.new))
                verdict, failure = all_tried(file, root)
            finally:
                file.write_text(before)
                copies.put(root)
            print(f"{verdict} {file.relative_to(root).as_posix()}: {mutant}; {failure}", flush=True)
            return mutant, verdict

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, mutants))


def chosen(words: Sequence[str]) -> tuple[list[Mutant], int]:
    """Returns the mutants whose old text has one of the words, or all without words, and how many cannot be made."""
    mutants: list[Mutant] = []
    stale = 0
    for mutant in load():
        if not words or any(word in mutant.old for word in words):
            try:
                place_of(mutant, REPOSITORY)
                mutants.append(mutant)
            except MutantError as error:
                stale += 1
                print(error)
    return mutants, stale


def main() -> int:
    """Runs the mutants, or checks the list alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[], help="those whose old text has one of these")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--check", action="store_true", help="check that each can be made, and run none")
    options = parser.parse_args()
    mutants, stale = chosen(options.only)
    if options.check:
        return BROKEN if stale else 0
    try:
        verdicts = run(mutants, options.workers)
    except MutantError as error:
        print(error)
        return BROKEN
    by_verdict = {of: [mutant for mutant, verdict in verdicts if verdict is of] for of in Verdict}
    unexplained = [mutant for mutant in by_verdict[Verdict.SURVIVES] if mutant.survives is None]
    counts = ", ".join(f"{len(found)} {verdict.lower()}" for verdict, found in by_verdict.items())
    print(f"{len(mutants)} mutants: {counts}. Undecided, or survive without a reason:")
    undecided = by_verdict[Verdict.UNDECIDED]
    print("\n".join(map(str, [*undecided, *unexplained])))
    return BROKEN if stale or undecided else SURVIVORS if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
