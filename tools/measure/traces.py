"""Looks up sent traces in Tempo: all of them by search, and some of those that search lacks by their IDs."""

import asyncio
import time
from collections.abc import Callable

from lab.errors import LabError
from tools.measure.traffic import Sent
from tools.tempo import LookUpError, Tempo

_WINDOW_SECONDS = 10
_MARGIN_SECONDS = 2
_MOST_IN_A_WINDOW = 1_000_000
"""Each search covers a short window, and its limit lies far above any window's traces. Our choice."""

_MOST_BY_ID = 500
"""Limits the look-ups by ID: each takes Tempo some 10 ms."""

_PAUSE_SECONDS = 1.0

_TIMEOUT_SECONDS = 120
"""Our choice: a search of a full window takes Tempo seconds."""


def missing(
    tempo_url: str, sent: Sent, *, patience_seconds: float = 15, show: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Returns the traces of answered requests that Tempo does not have.

    Args:
        tempo_url: Tempo's HTTP API.
        sent: the requests.
        patience_seconds: for how long missing traces are looked up again after the last one turned up.
        show: is given lines of progress.

    Raises:
        LabError: Tempo's last answer was an error, or its search lacks traces that it has.
    """
    return asyncio.run(_missing(tempo_url, sent, patience_seconds, show))


async def _missing(tempo_url: str, sent: Sent, patience_seconds: float, show: Callable[[str], None]) -> list[str]:
    pending = set(sent.answered)
    last_found_at = time.monotonic()
    first, last = int(min(sent.started)) - _MARGIN_SECONDS, int(max(sent.started)) + _MARGIN_SECONDS
    async with Tempo(tempo_url, timeout_seconds=_TIMEOUT_SECONDS) as tempo:
        while pending:
            before = len(pending)
            error = await _search(tempo, pending, first, last)
            show(f"{len(sent.answered) - len(pending)} of {len(sent.answered)} traces found")
            if len(pending) < before:
                last_found_at = time.monotonic()
            elif time.monotonic() - last_found_at > patience_seconds:
                if error:
                    raise LabError(f"{len(pending)} of {len(sent.answered)} traces could not be looked up: {error}")
                await _check_by_id(tempo, sorted(pending)[:_MOST_BY_ID])
                break
            if pending:
                await asyncio.sleep(_PAUSE_SECONDS)
    return [trace_id for trace_id in sent.answered if trace_id in pending]


async def _search(tempo: Tempo, pending: set[str], first: int, last: int) -> str | None:
    """Removes found traces from `pending`, and returns the last error."""
    error = None
    for start in range(first, last, _WINDOW_SECONDS):
        try:
            found = await tempo.search("{}", _MOST_IN_A_WINDOW, between=(start, start + _WINDOW_SECONDS))
        except LookUpError as failure:
            error = str(failure)
        else:
            pending.difference_update(found)
    return error


async def _check_by_id(tempo: Tempo, missed: list[str]) -> None:
    """Checks that Tempo does not have traces that its search did not list.

    Raises:
        LabError: it has some. Then the other missing traces may be there as well, and search hides them from people.
    """
    try:
        had = sum([bool((await tempo.trace(trace_id)).resource_spans) for trace_id in missed])
    except LookUpError as error:
        raise LabError(f"{len(missed)} traces that a search did not list could not be looked up: {error}") from error
    if had:
        raise LabError(f"Tempo has {had} of {len(missed)} traces that its search did not list.")
