"""Looks up the traces of a run's requests, by ID and by search, until all are found."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from tools.probe.result import ExpectedTrace
from tools.probe.trace import spans_of, why_not_whole
from tools.probe.traffic import LookUp, Request
from tools.tempo import LookUpError, Tempo

LOOK_UP_INTERVAL_SECONDS = 0.1
"""Our choice; the resolution of the freshness is at least this."""
# Look-ups take processor time from what they measure: at most a third of the time is spent on each of the two ways.
PAUSE_PER_LOOK_UP = 2.0
LOOK_UPS_AT_ONCE = 4
"""Our choice."""


@dataclass
class Run:
    """The state of a run, which the progress line shows."""

    requests: list[Request]
    query: str
    """The TraceQL query that finds the traces of the requests."""

    expected: ExpectedTrace | None = None
    """The spans that a trace must have to count as found by ID. None: any span."""
    all_sent: bool = False
    look_up_errors: int = 0
    last_look_up_error: str | None = None

    def failed(self, error: LookUpError) -> None:
        """Counts a look-up that failed; the next one may succeed."""
        self.look_up_errors += 1
        self.last_look_up_error = str(error)

    @property
    def progress(self) -> str:
        """How far the run is, in one line."""
        ended = sum(request.ended_at is not None for request in self.requests)
        by_id = sum(request.by_id.found_at is not None for request in self.requests)
        by_search = sum(request.by_search.found_at is not None for request in self.requests)
        return f"{ended} of {len(self.requests)} requests sent; found by ID {by_id}, by search {by_search}"


async def send_and_find(
    run: Run, tempo: Tempo, traffic: Coroutine[None, None, None], limit_seconds: float, show: Callable[[str], None]
) -> None:
    """Runs the traffic and looks up its traces meanwhile, until all are found or the limit has passed after it.

    Args:
        run: the run.
        tempo: where the traces are looked up.
        traffic: sends the run's requests.
        limit_seconds: counts from the end of the traffic.
        show: is given a line of progress now and then.
    """

    async def find() -> None:
        await asyncio.gather(_look_up_by_id(run, tempo), _look_up_by_search(run, tempo))

    async def show_progress() -> None:
        while True:
            show(run.progress)
            await asyncio.sleep(0.25)

    finding = asyncio.create_task(find())
    showing = asyncio.create_task(show_progress())
    try:
        await traffic
        run.all_sent = True
        # The end of the limit is not an error: the missing traces are the result.
        await asyncio.wait({finding}, timeout=limit_seconds)
    finally:
        showing.cancel()
        finding.cancel()
        for ended in await asyncio.gather(finding, showing, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _look_up_by_id(run: Run, tempo: Tempo) -> None:
    places = asyncio.Semaphore(LOOK_UPS_AT_ONCE)

    async def has(request: Request) -> bool:
        spans = spans_of(await tempo.trace(request.trace_id))
        request.lacks = why_not_whole(spans, run.expected, request.parent_id) if spans and run.expected else None
        return bool(spans) and request.lacks is None

    async def look_up(request: Request) -> None:
        async with places:
            asked_at = time.monotonic()
            try:
                if await has(request):
                    request.by_id.found_at = time.monotonic()
                else:
                    request.by_id.last_miss_at = asked_at
            except LookUpError as error:
                run.failed(error)

    async def look_up_all(pending: list[Request]) -> None:
        await asyncio.gather(*(look_up(request) for request in pending))

    await _steadily(run, lambda request: request.by_id, look_up_all)


async def _look_up_by_search(run: Run, tempo: Tempo) -> None:
    async def look_up_all(pending: list[Request]) -> None:
        asked_at = time.monotonic()
        try:
            found = await tempo.search(run.query, len(run.requests))
        except LookUpError as error:
            run.failed(error)
            return
        now = time.monotonic()
        for request in pending:
            if request.trace_id in found:
                request.by_search.found_at = now
            else:
                request.by_search.last_miss_at = asked_at

    await _steadily(run, lambda request: request.by_search, look_up_all)


async def _steadily(
    run: Run, way: Callable[[Request], LookUp], look_up_all: Callable[[list[Request]], Awaitable[None]]
) -> None:
    """Looks up the traces that are not found yet, at a steady interval, until those of all answered requests are."""
    while True:
        start = time.monotonic()
        pending = [request for request in run.requests if request.answered and way(request).found_at is None]
        if run.all_sent and not pending:
            return
        if pending:
            await look_up_all(pending)
        took = time.monotonic() - start
        await asyncio.sleep(max(LOOK_UP_INTERVAL_SECONDS - took, PAUSE_PER_LOOK_UP * took))
