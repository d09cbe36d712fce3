"""Looks up in Tempo what was sent: all traces of a time by search, and each one that search lacks by its ID."""

import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

from lab.errors import LabError
from reliability.traffic import Sent

_WINDOW_SECONDS = 10
_MARGIN_SECONDS = 2
_MOST_IN_A_WINDOW = 1_000_000
_MOST_BY_ID = 2000
"""A look-up by ID takes Tempo some 10 ms; beyond that many, what search lacks is given up as missing."""

_PAUSE_SECONDS = 1.0


def missing(
    tempo_url: str, sent: Sent, *, patience_seconds: float = 15, show: Callable[[str], None] = lambda _: None
) -> list[str]:
    """The traces of requests that were answered, and that Tempo does not have.

    Args:
        tempo_url: Tempo's HTTP API.
        sent: what was sent.
        patience_seconds: for how long those that are missing are looked up again, from the last one that turned up.
        show: is given a line of progress now and then.

    Raises:
        LabError: Tempo's last answer was an error.
    """
    pending = set(sent.answered)
    last_found_at = time.monotonic()
    first, last = int(min(sent.started)) - _MARGIN_SECONDS, int(max(sent.started)) + _MARGIN_SECONDS
    with httpx.Client(base_url=tempo_url, timeout=120) as client:
        while pending:
            before = len(pending)
            error = _find(client, pending, first, last)
            show(f"{len(sent.answered) - len(pending)} of {len(sent.answered)} traces found")
            if len(pending) < before:
                last_found_at = time.monotonic()
            elif time.monotonic() - last_found_at > patience_seconds:
                if error:
                    raise LabError(f"{len(pending)} of {len(sent.answered)} traces could not be looked up: {error}")
                break
            if pending:
                time.sleep(_PAUSE_SECONDS)
    return [trace_id for trace_id in sent.answered if trace_id in pending]


def _find(client: httpx.Client, pending: set[str], first: int, last: int) -> str | None:
    """Takes out of `pending` what is found; gives the last error."""
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
        # Tempo leaves out the leading zeros of the IDs that it lists.
        pending.difference_update(trace["traceID"].zfill(32) for trace in answer.json().get("traces") or [])
    if len(pending) > _MOST_BY_ID:
        return error
    for trace_id in sorted(pending):
        try:
            status = client.get(f"/api/traces/{trace_id}").status_code
        except httpx.HTTPError as failure:
            error = repr(failure)
            continue
        if status == HTTPStatus.OK:
            pending.discard(trace_id)
        elif status != HTTPStatus.NOT_FOUND:
            error = f"HTTP {status}"
    return error
