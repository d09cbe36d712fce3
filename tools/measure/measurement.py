"""Describes a measurement: its section of the page, the stack that it needs, and how long it takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.build.target import Target
from tools.lab_stack import Stack
from tools.measure.results import Result

UPDATES, FAULTS, LOAD, PROGRAM_COST, TRACING_COST = "updates", "faults", "load", "program", "tracing-and-spans"
GROUPS = {"reliability": (UPDATES, FAULTS, LOAD), "bench": (PROGRAM_COST, TRACING_COST)}
"""The sections of each group. `make reliability` and `make bench` measure a group."""


@dataclass(frozen=True)
class SharedStack:
    """A stack that measurements in a row use one after the other: it loses nothing, apart from what is changed."""

    name: str
    changed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Configuration beside `scenarios.CONFIGURATION`."""


DURABLE = SharedStack("durable")


@dataclass(frozen=True)
class Place:
    """Gives a measurement what it works with."""

    scratch: Path
    """An empty folder."""

    show: Callable[[str], None]
    """Shows a line of progress."""

    shared: Stack | None = None

    @property
    def stack(self) -> Stack:
        """Returns the shared stack. Only measurements that name one have it."""
        assert self.shared is not None  # noqa: S101 - the catalogue names a stack for every measurement that reads this
        return self.shared


@dataclass(frozen=True)
class Measurement:
    """Describes one measurement."""

    name: str
    section: str
    summary: str
    minutes: float
    """Rounded up, on the lab's two cores in the run of 2026-11-26."""

    measure: Callable[[Place], list[Result]]
    stack: SharedStack | None = DURABLE
    """None for measurements that need no stack or lay out their own."""

    is_deployed: bool = True
    """Whether the shared stack is deployed. Otherwise it is only laid out, and the measurement leaves it empty."""

    needs_lab: bool = True
    """Whether it needs the running cluster. The others run their programs on loopback, without NGINX."""

    builds: Sequence[Target] = ()
    """Built before, besides the sender, a Collector and Tempo."""

    @property
    def group(self) -> str:
        """Returns the group that the section belongs to."""
        return next(group for group, sections in GROUPS.items() if self.section in sections)

    @property
    def command(self) -> str:
        """Returns the command that repeats it."""
        return f'make {self.group} ARGS="--only {self.name}"'
