"""Breaks the program in one place at a time and names the breakages that no unit test notices (`make mutants`).

Each runs in a copy of the checkout, so nothing here is changed. All of them take half an hour on two idle cores.
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
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from lab.paths import REPOSITORY

ROOMS = ("components", "settings")
SUFFIXES = {".py", ".j2", ".sh"}
FIRST = ("test_golden.py", "test_dependencies.py", "test_program.py")
"""The tests that notice most, and so end most runs within seconds."""

_OTHERS = ("docs", "mutants", "processes", "pulumi_cli", "reference", "rooms", "startup", "tools_cluster", "workflows")
NOT_OF_THE_PROGRAM = {f"test_{name}.py" for name in _OTHERS}
"""Tests of tools and pages; those of the generated reference would notice any changed default, whatever it does."""

LIMIT_SECONDS = 900
"""Ten times what the tests take; a mutant that makes one hang is noticed."""

SURVIVORS, BROKEN = 1, 2
"""Exit codes: unexplained survivors; a list or tests that are not in order."""


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


def tests(root: Path) -> list[str]:
    """The unit tests of the program, those first that notice most."""
    folder = root / "tests" / "unit"
    rest = sorted(file.name for file in folder.glob("test_*.py") if file.name not in {*FIRST, *NOT_OF_THE_PROGRAM})
    return [f"tests/unit/{name}" for name in (*FIRST, *rest)]


def first_failure(root: Path) -> str | None:
    """Runs the tests until one fails, and returns its name; none where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
    # What Python compiled of a file of before has the same time and size as a mutant may have.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    try:
        done = subprocess.run(
            [*command, *tests(root)],
            check=False,
            cwd=root,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"nothing ended within {LIMIT_SECONDS} s"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" - ")[0] if failed else f"pytest exited with {done.returncode}"


def copied(folder: Path) -> Path:
    """A copy of the checkout, without what tools have made."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".state", ".*_cache", ".hypothesis", "__pycache__", "target")
    return Path(shutil.copytree(REPOSITORY, folder, ignore=ignored))


def run(mutants: Sequence[Mutant], workers: int) -> list[Mutant]:
    """Tries each mutant, prints what noticed it, and returns those that nothing did.

    Raises:
        MutantError: a test fails although nothing is broken.
    """
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            copies.put(copied(Path(scratch) / str(number)))
        if (failed := first_failure(Path(scratch) / "0")) is not None:
            raise MutantError(f"The tests must pass before anything is broken: {failed}")

        def one(mutant: Mutant) -> None:
            root = copies.get()
            file = place_of(mutant, root)
            before = file.read_text()
            try:
                file.write_text(before.replace(mutant.old, mutant.new))
                noticed = first_failure(root)
            finally:
                file.write_text(before)
                copies.put(root)
            if noticed is None:
                survivors.append(mutant)
            place = file.relative_to(root).as_posix()
            print(f"{'SURVIVES' if noticed is None else 'noticed'} {place}: {mutant}; {noticed or ''}", flush=True)

        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(one, mutant) for mutant in mutants]:
                future.result()
    return survivors


def main() -> int:
    """Runs the mutants, or checks the list alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose old text contains this")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--check", action="store_true", help="check that each can be made, and run none")
    options = parser.parse_args()
    mutants: list[Mutant] = []
    stale = 0
    for mutant in load():
        if options.only in mutant.old:
            try:
                place_of(mutant, REPOSITORY)
                mutants.append(mutant)
            except MutantError as error:
                stale += 1
                print(error)
    if options.check:
        return BROKEN if stale else 0
    try:
        survivors = run(mutants, options.workers)
    except MutantError as error:
        print(error)
        return BROKEN
    unexplained = [mutant for mutant in survivors if mutant.survives is None]
    print(f"{len(mutants)} mutants, {len(survivors)} survive, {len(unexplained)} of them without a reason:")
    print("\n".join(map(str, unexplained)))
    return BROKEN if stale else SURVIVORS if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
