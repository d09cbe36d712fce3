"""A client of Tempo's HTTP API: one trace by ID, a search, and lists of other routes.

Checked against Tempo 2.7: https://grafana.com/docs/tempo/latest/api_docs/
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx2
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from pydantic import BaseModel, Field, TypeAdapter

from tools.utf8 import repaired

LOOK_UP_TIMEOUT_SECONDS = 5.0
"""Our choice."""
# The clocks of this machine and of the nodes may differ: our choice.
CLOCK_MARGIN_SECONDS = 60
_PROTOBUF = "application/protobuf"


class LookUpError(Exception):
    """Tempo did not answer a look-up, or with an error. It tells nothing about the trace."""


class _FoundTrace(BaseModel):
    trace_id: str = Field(alias="traceID")


class _Found(BaseModel):
    traces: list[_FoundTrace] = Field(default_factory=list[_FoundTrace])


@dataclass(frozen=True)
class Login:
    """The user and password of Tempo's API, where it has a password."""

    user: str
    password: str = field(repr=False)


class Tempo:
    """A client of one Tempo; `async with` closes its connections."""

    def __init__(self, url: str, login: Login | None = None, timeout_seconds: float = LOOK_UP_TIMEOUT_SECONDS) -> None:
        # The proxies of the environment are not used: a node's address is reached directly.
        self._client = httpx2.AsyncClient(
            base_url=url,
            timeout=timeout_seconds,
            trust_env=False,
            auth=(login.user, login.password) if login else None,
        )
        self._start = int(datetime.now(UTC).timestamp()) - CLOCK_MARGIN_SECONDS

    async def __aenter__(self) -> "Tempo":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def trace(self, trace_id: str) -> TracesData:
        """Returns a trace; an empty one when Tempo does not know it. U+FFFD stands for bytes that are not UTF-8.

        Tempo's message `Trace` is OTLP's `TracesData` on the wire: both have the resources' spans in field 1.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
        """
        answer = await self._get(f"/api/traces/{trace_id}", accept=_PROTOBUF)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return TracesData()
        if not _accepted(answer).headers.get("content-type", "").startswith(_PROTOBUF):
            raise LookUpError(_not_tempo(answer))
        try:
            return _decoded(answer.content)
        except DecodeError:
            raise LookUpError(_not_tempo(answer)) from None

    async def search(self, query: str, limit: int, between: tuple[int, int] | None = None) -> set[str]:
        """Returns the IDs of the traces that a query finds.

        It gives a start and an end, as Grafana's Explore does. Without these, Tempo searches the ingesters alone.

        Args:
            query: in TraceQL.
            limit: of the traces.
            between: the time that is searched, in seconds since 1970; none for the time since this client was made.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
        """
        start, end = between or (self._start, int(datetime.now(UTC).timestamp()) + CLOCK_MARGIN_SECONDS)
        parameters: dict[str, str | int] = {"q": query, "limit": limit, "spss": 1, "start": start, "end": end}
        answer = await self._get("/api/search", parameters)
        try:
            return found_ids(_accepted(answer).content)
        except ValueError:
            raise LookUpError(_not_tempo(answer)) from None

    async def listed(self, path: str, key: str, parameters: dict[str, str | int] | None = None) -> list[dict[str, Any]]:
        """Returns the list that an answer in JSON has under a key. Tempo leaves out a list that is empty.

        Raises:
            LookUpError: Tempo does not answer, or with an error, or something else than Tempo does.
        """
        answer = _accepted(await self._get(path, parameters))
        try:
            found = TypeAdapter(dict[str, Any]).validate_json(answer.content)
            return TypeAdapter(list[dict[str, Any]]).validate_python(found.get(key) or [])
        except ValueError:
            raise LookUpError(_not_tempo(answer)) from None

    async def not_ready(self) -> str | None:
        """Returns why Tempo is not ready; None when it is."""
        try:
            _accepted(await self._get("/ready"))
        except LookUpError as error:
            return str(error)
        return None

    async def refuses_password(self) -> bool:
        """Tells whether the API asks for a password, or for another one than it is given.

        Raises:
            LookUpError: Tempo does not answer.
        """
        return (await self._get("/api/echo")).status_code == HTTPStatus.UNAUTHORIZED

    async def _get(
        self, path: str, parameters: dict[str, str | int] | None = None, accept: str = "*/*"
    ) -> httpx2.Response:
        try:
            return await self._client.get(path, params=parameters, headers={"Accept": accept})
        except httpx2.HTTPError as error:
            raise LookUpError(describe(error)) from None


def found_ids(document: bytes) -> set[str]:
    """Returns the trace IDs in the answer to a search, with the leading zeros that Tempo leaves out there.

    Raises:
        ValueError: the document is no answer to a search.
    """
    return {trace.trace_id.zfill(32) for trace in _Found.model_validate_json(document).traces}


def _decoded(content: bytes) -> TracesData:
    try:
        return TracesData.FromString(content)
    except DecodeError:
        # A client's URI and User-Agent may be any bytes, which NGINX, the Collector and Tempo pass on.
        return TracesData.FromString(repaired(content, TracesData.DESCRIPTOR))


def describe(error: Exception) -> str:
    """Returns an HTTP client's error in words; some errors have no text of their own."""
    text = str(error).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _accepted(answer: httpx2.Response) -> httpx2.Response:
    if answer.status_code != HTTPStatus.OK:
        raise LookUpError(f"HTTP {answer.status_code}: {answer.text.strip()[:200]}")
    return answer


def _not_tempo(answer: httpx2.Response) -> str:
    return f"{answer.url} answers something else than Tempo would: {answer.text.strip()[:100]!r}"
