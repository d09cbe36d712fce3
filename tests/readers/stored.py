"""Sends traces to a Tempo on loopback, and looks for them there and in its bucket."""

import time

import httpx

from tests.readers.loopback import ask
from tests.readers.spans import requests
from tests.readers.tempo import RunningTempo


def send(tempo: RunningTempo, count: int) -> set[str]:
    """Sends traces of a span each. Returns their IDs."""
    spans = requests(count)
    tempo.send(spans)
    return {span.trace_id for span in spans}


def searched(tempo: RunningTempo) -> set[str]:
    """Returns the traces of the last hour that a search finds. Tempo leaves the zeros at an ID's beginning out."""
    now = int(time.time())
    found = ask(f"{tempo.url}/api/search", q="{}", limit=2000, start=now - 3600, end=now + 60)
    return {str(trace["traceID"]).zfill(32) for trace in found.get("traces", [])}


def searched_recently(tempo: RunningTempo) -> set[str]:
    """Returns the traces that a search without a time finds, which asks Tempo's own memory and disk alone."""
    found = ask(f"{tempo.url}/api/search", q="{}", limit=2000)
    return {str(trace["traceID"]).zfill(32) for trace in found.get("traces", [])}


def has(tempo: RunningTempo, traces: set[str]) -> bool:
    """Tells whether a search finds all traces, and a look-up by ID some of them: each reads the bucket many times."""
    return traces <= searched(tempo) and all(tempo.spans(trace) for trace in sorted(traces)[:10])


def close_block(tempo: RunningTempo) -> None:
    """Has Tempo close its block now, which it does after `max_block_duration` otherwise."""
    assert httpx.get(f"{tempo.url}/flush", trust_env=False).status_code == 204
