"""Looks up in Tempo what was sent: all traces of a time by search; that it has no other is tried by their IDs."""

import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

from lab.errors import LabError
from tools.measure.reliability.traffic import Sent

_WINDOW_SECONDS = 10
_MARGIN_SECONDS = 2
_MOST_IN_A_WINDOW = 1_000_000
_MOST_BY_ID = 500
"""Each such look-up takes Tempo some 10 ms."""

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
        LabError: Tempo's last answer was an error, or its search lacks what it has.
    """
    pending = set(sent.answered)
    last_found_at = time.monotonic()
    first, last = int(min(sent.started)) - _MARGIN_SECONDS, int(max(sent.started)) + _MARGIN_SECONDS
    # The proxies of the environment are not used: a node's address is reached directly.
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
        listed: list[dict[str, str]] = answer.json().get("traces") or []
        pending.difference_update(trace["traceID"].zfill(32) for trace in listed)
    return error


def _check_by_id(client: httpx.Client, missed: list[str]) -> None:
    """That Tempo does not have what its search did not list.

    Raises:
        LabError: it has some of it: then nothing is known of the rest, and people do not find what is there.
    """
    had = sum(client.get(f"/api/traces/{trace_id}").status_code == HTTPStatus.OK for trace_id in missed)
    if had:
        raise LabError(f"Tempo has {had} of {len(missed)} traces that its search did not list.")
