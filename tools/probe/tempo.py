"""Tempo's HTTP API, as far as a probe needs it: one trace by ID, and a search.

Checked against Tempo 2.7: https://grafana.com/docs/tempo/latest/api_docs/
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
from pydantic import BaseModel, Field

from tools.probe.otlp import parse_trace
from tools.probe.result import Span
from tools.probe.traffic import describe

LOOK_UP_TIMEOUT_SECONDS = 5.0
# The clocks of this machine and of the nodes may differ.
CLOCK_MARGIN_SECONDS = 60


class LookUpError(Exception):
    """Tempo did not answer a look-up, or with an error; that tells nothing about the trace."""


class _FoundTrace(BaseModel):
    trace_id: str = Field(alias="traceID")


class _Found(BaseModel):
    traces: list[_FoundTrace] = Field(default_factory=list[_FoundTrace])


@dataclass(frozen=True)
class Login:
    """Who may read traces, where Tempo's API has a password."""

    user: str
    password: str = field(repr=False)


class Tempo:
    """A client of one Tempo, for one run; `async with` closes its connections."""

    def __init__(self, url: str, query: str, limit: int, login: Login | None = None) -> None:
        # The proxies of the environment are not used: a node's address is reached directly.
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=LOOK_UP_TIMEOUT_SECONDS,
            trust_env=False,
            auth=(login.user, login.password) if login else None,
        )
        self._query = query
        self._limit = limit
        self._start = int(datetime.now(UTC).timestamp()) - CLOCK_MARGIN_SECONDS

    async def __aenter__(self) -> "Tempo":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def has(self, trace_id: str) -> bool:
        """A look-up by ID finds the trace.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
        """
        return bool(await self.spans(trace_id))

    async def spans(self, trace_id: str) -> list[Span]:
        """The spans of a trace, by start; none when Tempo does not know it.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
        """
        answer = await self._get(f"/api/traces/{trace_id}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        try:
            return parse_trace(_accepted(answer).content)
        except ValueError:
            raise LookUpError(_not_tempo(answer)) from None

    async def search(self) -> set[str]:
        """The IDs of the traces that the run's query finds, as Grafana's Explore asks: with a start and an end.

        Without these Tempo looks at what the ingesters hold only.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
        """
        end = int(datetime.now(UTC).timestamp()) + CLOCK_MARGIN_SECONDS
        parameters = {"q": self._query, "limit": self._limit, "spss": 1, "start": self._start, "end": end}
        answer = await self._get("/api/search", parameters)
        try:
            found = _Found.model_validate_json(_accepted(answer).content)
        except ValueError:
            raise LookUpError(_not_tempo(answer)) from None
        # Tempo leaves out the leading zeros of the IDs that it lists.
        return {trace.trace_id.zfill(32) for trace in found.traces}

    async def not_ready(self) -> str | None:
        """Why Tempo is not ready; None when it is."""
        try:
            _accepted(await self._get("/ready"))
        except LookUpError as error:
            return str(error)
        return None

    async def refuses_password(self) -> bool:
        """Whether the API asks for a password, or for another one than it is given.

        Raises:
            LookUpError: Tempo does not answer.
        """
        return (await self._get("/api/echo")).status_code == HTTPStatus.UNAUTHORIZED

    async def _get(self, path: str, parameters: dict[str, str | int] | None = None) -> httpx.Response:
        try:
            return await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise LookUpError(describe(error)) from None


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != HTTPStatus.OK:
        raise LookUpError(f"HTTP {answer.status_code}: {answer.text.strip()[:200]}")
    return answer


def _not_tempo(answer: httpx.Response) -> str:
    return f"{answer.url} answers something else than Tempo would: {answer.text.strip()[:100]!r}"
