"""Tells how long a release is maintained, and which flaws it is known to have."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Version = tuple[int, ...]
"""Numbers of a version, such as (2, 7) for a line of releases, or (1, 27, 4)."""

Row = TypeVar("Row")


def dotted(version: Version) -> str:
    """Returns a version as text."""
    return ".".join(map(str, version))


def reaches(version: Version, first: Version) -> bool:
    """Tells whether a version is not before another one; with two numbers it stands for the newest of its line.

    Docker Hub's `nginx:1.27-otel` is such a tag: it has moved to 1.27.5.
    """
    return version >= first[: len(version)]


def row_of(table: Mapping[Version, Row], version: Version) -> Row:
    """Returns the row that holds for a version: the last one that is not newer, or the oldest of all.

    Args:
        table: rows by the first version that each holds for, the oldest first.
        version: the version, with as many numbers as are known.
    """
    not_newer = [row for first, row in table.items() if reaches(version, first)]
    return not_newer[-1] if not_newer else next(iter(table.values()))


@dataclass(frozen=True)
class Support:
    """How long a line of releases gets security fixes."""

    until: datetime.date | None
    """The last day; None while no end is announced."""

    source: str
    """The project's own page."""

    def has_ended(self, today: datetime.date) -> bool:
        """Tells whether the last day has passed."""
        return self.until is not None and today > self.until


@dataclass(frozen=True)
class Flaw:
    """A flaw by which a request may execute code."""

    cve: str
    place: str
    """The part of the program that has it, and when."""

    first: Version
    """The first version with it."""

    fixed: tuple[Version, ...]
    """The first versions without it, one for each line that was fixed; the newest line first."""

    source: str

    def is_in(self, version: Version) -> bool:
        """Tells whether a version has the flaw: one of a line that was fixed, before its fix, or one before all."""
        if version < self.first or version >= self.fixed[0]:
            return False
        own_line = [fix for fix in self.fixed if fix[:2] == version[:2]]
        return not own_line or version < own_line[0]
