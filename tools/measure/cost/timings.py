"""Times the same work repeatedly, and compares medians."""

import statistics
import time
from collections.abc import Callable, Mapping

from tools.measure.results import Result


class Timings:
    """Collects seconds by the work that took them. Compares each median with that of a base."""

    def __init__(self, base: str) -> None:
        """Prepares an empty collection.

        Args:
            base: the work that the others are divided by. Ratios hold on other machines as well, seconds do not.
        """
        self.seconds: dict[str, list[float]] = {}
        self._base = base

    def add(self, work: str, seconds: float) -> None:
        """Adds one round of some work."""
        self.seconds.setdefault(work, []).append(seconds)

    def ratio(self, work: str) -> float:
        """Returns the median of some work, divided by that of the base."""
        return statistics.median(self.seconds[work]) / statistics.median(self.seconds[self._base])

    def results(self, targets: Mapping[str, float] | None = None) -> list[Result]:
        """Returns a result for each kind of work, in the order in which they were added.

        Args:
            targets: the largest ratio, by the work that has one.
        """
        return [self._result(work, (targets or {}).get(work)) for work in self.seconds]

    def _result(self, work: str, most: float | None) -> Result:
        taken, ratio = self.seconds[work], self.ratio(work)
        median = f"{statistics.median(taken):.2f} s"
        return Result(
            work,
            None if most is None else f"≤ {most} times {self._base}",
            median if work == self._base else f"{median}, {ratio:.2f} times {self._base}",
            most is None or ratio <= most,
            {
                "rounds": len(taken),
                "min, s": round(min(taken), 2),
                "median, s": round(statistics.median(taken), 2),
                "max, s": round(max(taken), 2),
                "ratio": round(ratio, 2),
            },
        )


def seconds(work: Callable[[], object]) -> float:
    """Runs some work once, and returns the seconds that it took."""
    start = time.monotonic()
    work()
    return time.monotonic() - start
