"""Looks up sent traces in Tempo: all of them by search, and some of those that search lacks by their IDs."""

import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

from lab.errors import LabError
from tools.measure.traffic import Sent
from tools.tempo import found_ids

_WINDOW_SECONDS = 10
_MARGIN_SECONDS = 2
_MOST_IN_A_WINDOW = 1_000_000
"""Each search covers a short window, and its limit lies far above any window's traces. Our choice."""

_MOST_BY_ID = 500
"""Limits the look-ups by ID: each takes Tempo some 10 ms."""

_PAUSE_SECONDS = 1.0


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
    pending = set(sent.answered)
    last_found_at = time.monotonic()
    first, last = int(min(sent.started)) - _MARGIN_SECONDS, int(max(sent.started)) + _MARGIN_SECONDS
    # A node's address is reached directly, without the environment's proxies.
    with httpx.Client(base_url=tempo_url, timeout=120, trust_env=False) as client:
        while pending:
            before = len(pending)
            error = _search(client, pending, first, last)
            show(f"{len(sent.answered) - len(pending)} of {len(sent.answered)} traces found")
            if len(pending) < before:
                last_found_at = time.monotonic()
            elif time.monotonic() - last_found_at > patience_seconds:
                if error:
                    raise LabError(f"{len(pending)} of {len(sent.answered)} traces could not be looked up: {error}")
                _check_by_id(client, sorted(pending)[:_MOST_BY_ID])
                break
            if pending:
                time.sleep(_PAUSE_SECONDS)
    return [trace_id for trace_id in sent.answered if trace_id in pending]


def _search(client: httpx.Client, pending: set[str], first: int, last: int) -> str | None:
    """Removes found traces from `pending`, and returns the last error."""
    error = None
    for start in range(first, last, _WINDOW_SECONDS):
        parameters = {"q": "{}", "limit": _MOST_IN_A_WINDOW, "spss": 1, "start": start, "end": start + _WINDOW_SECONDS}
        try:
            answer = client.get("/api/search", params=parameters)
        except httpx.HTTPError as failure:
            error = repr(failure)
            continue
        if answer.status_code != HTTPStatus.OK:
            error = f"HTTP {answer.status_code}: {answer.text[:200]}"
            continue
        pending.difference_update(found_ids(answer.content))
    return error


def _check_by_id(client: httpx.Client, missed: list[str]) -> None:
    """Checks that Tempo does not have traces that its search did not list.

    Raises:
        LabError: it has some. Then the other missing traces may be there as well, and search hides them from people.
    """
    had = sum(client.get(f"/api/traces/{trace_id}").status_code == HTTPStatus.OK for trace_id in missed)
    if had:
        raise LabError(f"Tempo has {had} of {len(missed)} traces that its search did not list.")
