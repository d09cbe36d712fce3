"""Answers the routes of Zipkin's API that Lens uses, and the rates by route, from Tempo's API."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from tools.tempo import CLOCK_MARGIN_SECONDS, LookUpError, Tempo
from tools.view import search
from tools.view.rates import rates
from tools.view.spans import PEERS, Json, unread, zipkin_spans

Asked = Mapping[str, str]
"""The parameters of a request's query."""

NAMES_SECONDS = 24 * 3600
"""How far back services and other names are looked for, which Lens asks for without a time. Our choice."""

MOST_TRACES = 1000
"""The most traces that a search returns: our choice. Lens asks for whole traces."""

TRACES_AT_ONCE = 4
"""Look-ups at a time: our choice, as the probe's."""

SHORTEST_SECONDS, LONGEST_SECONDS = 60, 7 * 24 * 3600
"""The limits for the time of rates: our choice."""


class Api:
    """The data of the pages, from one Tempo."""

    def __init__(self, tempo: Tempo) -> None:
        self._tempo = tempo
        self._places = asyncio.Semaphore(TRACES_AT_ONCE)
        self._routes: dict[str, Callable[[Asked], Awaitable[Any]]] = {
            "services": self._services,
            "spans": self._span_names,
            "remoteServices": self._peers,
            "autocompleteKeys": self._keys,
            "autocompleteValues": self._values_of_key,
            "traces": self._traces,
            "rates": self._rates,
        }

    async def answer(self, route: str, asked: Asked) -> Any:
        """Returns what a route answers; None if Tempo does not know the trace, or there is no such route.

        Raises:
            LookUpError: Tempo does not answer, or with an error.
            KeyError: a parameter is missing.
            ValueError: a parameter is wrong.
        """
        if found := re.fullmatch(r"trace/([0-9a-fA-F]{1,32})", route):
            return await self._trace(found[1]) or None
        return await self._routes[route](asked) if route in self._routes else None

    async def _services(self, _: Asked) -> list[str]:
        return await self._values("resource.service.name")

    async def _span_names(self, asked: Asked) -> list[str]:
        return await self._values("name", asked["serviceName"])

    async def _peers(self, asked: Asked) -> list[str]:
        found = [await self._values(f"span.{key}", asked["serviceName"]) for key in PEERS]
        return sorted({name for names in found for name in names})

    async def _keys(self, _: Asked) -> list[str]:
        """Returns the keys of attributes that Lens offers; one with a slash cannot be a part of Tempo's path."""
        scopes = await self._tempo.listed("/api/v2/search/tags", "scopes", _recently())
        keys = {str(key) for scope in scopes if scope["name"] in ("span", "resource") for key in scope.get("tags", ())}
        return [search.ERROR, *sorted(key for key in keys - {"service.name", search.ERROR} if "/" not in key)]

    async def _values_of_key(self, asked: Asked) -> list[str]:
        key = asked["key"]
        return [] if key == search.ERROR else await self._values(search.attribute(key))

    async def _values(self, attribute: str, service: str | None = None) -> list[str]:
        parameters = _recently() | ({"q": search.of_service(service)} if service else {})
        path = f"/api/v2/search/tag/{quote(attribute, safe='')}/values"
        found = await self._tempo.listed(path, "tagValues", parameters)
        return sorted({str(value.get("value", "")) for value in found} - {""})

    async def _traces(self, asked: Asked) -> list[list[Json]]:
        end = int(asked["endTs"]) // 1000
        parameters: dict[str, str | int] = {
            "q": search.traceql(asked),
            "limit": min(MOST_TRACES, int(asked["limit"])),
            "spss": 1,
            "start": end - int(asked["lookback"]) // 1000,
            "end": end + CLOCK_MARGIN_SECONDS,
        }
        listed = await self._tempo.listed("/api/search", "traces", parameters)
        found = await asyncio.gather(*map(self._listed_trace, listed))
        # A trace may be gone since the search listed it.
        return [spans for spans in found if spans]

    async def _listed_trace(self, listed: Json) -> list[Json]:
        try:
            return await self._trace(listed["traceID"])
        except LookUpError as error:
            # Lens shows an error in place of all traces, or none.
            return [unread(listed, str(error))]

    async def _trace(self, trace_id: str) -> list[Json]:
        async with self._places:
            return zipkin_spans(await self._tempo.trace(trace_id))

    async def _rates(self, asked: Asked) -> Json:
        return await rates(self._tempo, min(LONGEST_SECONDS, max(SHORTEST_SECONDS, int(asked["seconds"]))))


def _recently() -> dict[str, str | int]:
    now = int(time.time())
    return {"start": now - NAMES_SECONDS, "end": now + CLOCK_MARGIN_SECONDS}
