"""Results with their targets, and the checked-in file that holds the last result of every measurement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from settings.versions.sets import DEFAULT
from tools.paths import REPOSITORY

Number = float | int | str

MODULE = "the lab's stand-in for ngx_otel_module, not the official one"
"""Made the spans of every measurement on the lab. Tables and pages say so beside these results."""

NO_NGINX = "none: no NGINX"
"""Stands in its place where a measurement sends spans itself."""

RESULTS = REPOSITORY / "docs" / "explanation" / "measurements.json"

ALL_MET, MISSED, NOTHING_MEASURED = 0, 1, 2
"""Exit codes."""


class Verdict(StrEnum):
    """Tells how a result compares with its target, in the words of the tables."""

    NO_TARGET = "no target"
    MET = "yes"
    MISSED = "no"
    KNOWN_GAP = "known gap"
    CLOSED_GAP = "yes, though a known gap"


@dataclass(frozen=True)
class Result:
    """One measured value beside its target."""

    name: str
    target: str | None
    """None for a value that has no target and is only compared."""

    value: str
    met: bool = True
    details: dict[str, Number] = field(default_factory=dict[str, Number])
    """The numbers that the value was computed from."""

    known_gap: str | None = None
    """Why the target cannot be met today. A run that meets it nevertheless says so."""

    is_measured: bool = True

    @property
    def verdict(self) -> Verdict:
        """Compares the value with the target, and takes known gaps into account."""
        if self.target is None:
            return Verdict.NO_TARGET
        if self.known_gap is None:
            return Verdict.MET if self.met else Verdict.MISSED
        return Verdict.CLOSED_GAP if self.met else Verdict.KNOWN_GAP


def not_measured(name: str, error: Exception) -> Result:
    """Returns the result of a measurement that failed: a missed target."""
    return Result(name, "measured", f"not measured: {error}", met=False, is_measured=False)


def exit_code(results: Sequence[Result]) -> int:
    """Returns 0 when every target is met or a known gap, 1 when one is missed, 2 when nothing was measured."""
    if not any(result.is_measured for result in results):
        return NOTHING_MEASURED
    return MISSED if any(result.verdict is Verdict.MISSED for result in results) else ALL_MET


@dataclass(frozen=True)
class Entry:
    """The results of one measurement, and what repeats it."""

    command: str
    """Repeats the measurement, or describes how it was made where no command of this project makes it."""

    date: str
    """The day, as YYYY-MM-DD in UTC."""

    version: str
    """The version of the program that was measured, as `git describe --always --dirty` names it."""

    module: str
    """NGINX's module that made the spans: `MODULE`, or the official one, or `NO_NGINX`."""

    results: list[Result]
    note: str = ""
    """Written by hand: what the numbers leave open. The next run of the measurement removes it."""


Entries = Mapping[str, Entry]
"""By `key`."""


def key(name: str, versions: str) -> str:
    """Returns the key of a measurement of a set of versions: with the default set it is the measurement's name."""
    return name if versions == DEFAULT else f"{name} of {versions}"


_FILE = TypeAdapter(dict[str, Entry])


def read(file: Path = RESULTS) -> dict[str, Entry]:
    """Reads the last results.

    Raises:
        pydantic.ValidationError: the file has other fields than `Entry` and `Result`.
    """
    return _FILE.validate_json(file.read_text(), strict=True, extra="forbid")


def write(entries: Entries, file: Path = RESULTS) -> None:
    """Writes results. Callers that measured a part pass the other entries on as they were read."""
    file.write_text(_FILE.dump_json(dict(entries), indent=1).decode() + "\n")


def show(results: Sequence[Result], console: Console, beside: Iterable[Entry] | None = None) -> None:
    """Prints a table, and then each known gap that this run closed. The details are in the file alone.

    Args:
        results: what was measured.
        console: is printed to.
        beside: entries whose values get a column of their own: the last ones of the current versions.
    """
    table = Table("result", "target", "value", "met", caption=f"NGINX's module: {MODULE}")
    if beside is not None:
        table.add_column("current versions")
    values = {result.name: f"{result.value} ({entry.date})" for entry in beside or () for result in entry.results}
    for result in results:
        row = [result.name, result.target or "none", result.value, str(result.verdict)]
        table.add_row(*row, *([] if beside is None else [values.get(result.name, "not measured")]))
    console.print(table)
    for result in closed_gaps(results):
        console.print(
            f"{result.name}: this run met the target of a known gap. Remove the gap from the code if that lasts.",
            markup=False,
        )


def closed_gaps(results: Iterable[Result]) -> list[Result]:
    """Returns the known gaps whose target was met."""
    return [result for result in results if result.verdict is Verdict.CLOSED_GAP]
