"""Figures and their bars: what is shown and kept of a run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

Number = float | int | str

MODULE = "the lab's stand-in for ngx_otel_module, not the official one"
"""What made the spans of a measurement on the lab: said wherever its figures are shown."""


@dataclass(frozen=True)
class Figure:
    """One measurement beside what it was to be."""

    name: str
    bar: str
    value: str
    met: bool
    details: dict[str, Number] = field(default_factory=dict[str, Number])
    """What the value was made of."""


def show(figures: Sequence[Figure], console: Console) -> None:
    """A table; the details are in the document."""
    table = Table("figure", "bar", "value", "met", caption=f"NGINX's module: {MODULE}")
    for figure in figures:
        table.add_row(figure.name, figure.bar, figure.value, "yes" if figure.met else "no")
    console.print(table)


def write(figures: Sequence[Figure], file: Path) -> None:
    """All of it as JSON."""
    listed = [asdict(figure) | {"module": MODULE} for figure in figures]
    file.write_text(json.dumps(listed, indent=1) + "\n")
