"""Words for numbers and lists in the probe's sentences."""

from collections.abc import Sequence


def spans(count: float) -> str:
    """Returns a number of spans: `1 span`, `2 spans`."""
    return many(count, "span")


def many(count: float, noun: str) -> str:
    """Returns a number with its noun: `1 request`, `2 requests`."""
    return f"{count:.0f} {noun}" if count == 1 else f"{count:.0f} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Returns names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
