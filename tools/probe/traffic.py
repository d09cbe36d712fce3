"""Sends the requests of a probe, each with a trace ID of its own, so that each can be looked up."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx2

from tools.tempo import describe

REQUEST_TIMEOUT_SECONDS = 10.0
"""Our choice: a slower answer counts as none."""
# A burst would meet NGINX's export interval at a single phase and measure that phase. Spread over a few intervals, the
# requests give the percentiles of real traffic. Ten seconds are enough for any number of requests.
SPACING_SECONDS = 0.1
SPREAD_SECONDS = 10.0


@dataclass
class LookUp:
    """The look-ups of one trace in one way. Times are of `time.monotonic`, in seconds."""

    last_miss_at: float | None = None
    found_at: float | None = None


@dataclass
class Request:
    """One request and its outcome."""

    trace_id: str
    parent_id: str
    status: int | None = None
    error: str | None = None
    started_at: float = 0.0
    ended_at: float | None = None
    by_id: LookUp = field(default_factory=LookUp)
    by_search: LookUp = field(default_factory=LookUp)
    lacks: str | None = None
    """The part that its trace lacked at the last look-up by ID; none while there was no trace, and once it is whole."""

    @property
    def traceparent(self) -> str:
        """The W3C header: version 00, flag 01 (sampled)."""
        return f"00-{self.trace_id}-{self.parent_id}-01"

    @property
    def seconds(self) -> float:
        """The time until its end; 0 while it has none."""
        return (self.ended_at or self.started_at) - self.started_at

    @property
    def answered(self) -> bool:
        """Whether NGINX answered, with any status."""
        return self.status is not None


def make_requests(count: int) -> list[Request]:
    """Returns requests with random IDs, not sent yet."""
    return [Request(trace_id=secrets.token_hex(16), parent_id=secrets.token_hex(8)) for _ in range(count)]


async def send(requests: list[Request], url: str, user_agent: str) -> None:
    """Sends the requests at a steady pace and records the outcome in each; returns when all have ended.

    A redirect is an answer and is not followed, so that one request makes one trace.
    """
    # Each request gets its own connection: with one kept alive, a single worker of a single pod would serve all.
    # The proxies of the environment are not used: a node's address is reached directly.
    limits = httpx2.Limits(max_keepalive_connections=0)
    headers = {"user-agent": user_agent}
    async with httpx2.AsyncClient(
        limits=limits, headers=headers, timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
    ) as client:
        spacing = min(SPACING_SECONDS, SPREAD_SECONDS / len(requests))
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                await asyncio.sleep(start + number * spacing - time.monotonic())
                group.create_task(_send_one(client, request, url))


async def _send_one(client: httpx2.AsyncClient, request: Request, url: str) -> None:
    request.started_at = time.monotonic()
    try:
        response = await client.get(url, headers={"traceparent": request.traceparent})
        request.status = response.status_code
    except httpx2.HTTPError as error:
        request.error = describe(error)
    request.ended_at = time.monotonic()


def succeeded(status: int) -> bool:
    """Tells whether a status is a 2xx."""
    return HTTPStatus(200) <= status < HTTPStatus(300)
