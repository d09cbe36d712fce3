"""Timings of the same things again and again, and the tables that show them."""

import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table


class Rows:
    """Seconds by what took them; shown as ratios of one of them, since machines differ and are noisy."""

    def __init__(self, base: str) -> None:
        """Makes an empty table.

        Args:
            base: what the others are divided by.
        """
        self.seconds: dict[str, list[float]] = {}
        self._base = base

    def add(self, what: str, seconds: float) -> None:
        """One more time that something took."""
        self.seconds.setdefault(what, []).append(seconds)

    def ratio(self, what: str) -> float:
        """The median of one thing by that of the base."""
        return statistics.median(self.seconds[what]) / statistics.median(self.seconds[self._base])

    def show(self, title: str, console: Console) -> None:
        """Prints them all, in the order in which they came."""
        rounds = len(self.seconds[self._base])
        table = Table("what", "min, s", "median, s", "max, s", f"÷ {self._base}", title=f"{title}, {rounds} rounds")
        for what, figures in self.seconds.items():
            middle = statistics.median(figures)
            table.add_row(
                what, f"{min(figures):.2f}", f"{middle:.2f}", f"{max(figures):.2f}", f"{self.ratio(what):.2f}"
            )
        console.print(table)


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start
