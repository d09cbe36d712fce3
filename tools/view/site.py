"""Answers the requests of the browser: the files of the pages, and their data from Tempo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from tools.tempo import LookUpError, Tempo
from tools.view.api import Api
from tools.view.assets import BASE, File, lens_file, lens_page, own_file

API = f"{BASE}api/v2/"
RATES = "/rates"

CONFIGURATION = {
    "environment": "",
    # Our choice: as many as `make up` and the probe send. Zipkin's default is 10.
    "queryLimit": 20,
    # Zipkin's default, in milliseconds.
    "defaultLookback": 15 * 60 * 1000,
    "searchEnabled": True,
    # The page of dependencies reads what a job of Zipkin's computes once a day.
    "dependency": {"enabled": False},
}
"""The document that Lens asks for first: zipkin-server's `zipkin.ui`."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    file: File
    status: HTTPStatus = HTTPStatus.OK
    reason: str = ""
    """Lens shows the reason of an error's status line, and not its body."""
    location: str | None = None


class Site:
    """The pages of one Tempo."""

    def __init__(self, tempo: Tempo) -> None:
        self._api = Api(tempo)

    async def answer(self, path: str, asked: Mapping[str, str]) -> Answer:
        """Returns the answer to a request.

        Args:
            path: the decoded path.
            asked: the parameters of the query.
        """
        if path.startswith(API):
            return await self._data(path.removeprefix(API), asked)
        if path in ("/", BASE.rstrip("/")):
            return Answer(_text("The traces are there."), HTTPStatus.FOUND, location=BASE)
        file = _file(path)
        return Answer(file) if file else _refusal(HTTPStatus.NOT_FOUND, "no such page")

    async def _data(self, route: str, asked: Mapping[str, str]) -> Answer:
        try:
            found = await self._api.answer(route, asked)
        except LookUpError as error:
            return _refusal(HTTPStatus.BAD_GATEWAY, f"Tempo: {error}")
        except (KeyError, ValueError) as error:
            return _refusal(HTTPStatus.BAD_REQUEST, f"a parameter is missing or wrong: {error}")
        return Answer(_json(found)) if found is not None else _refusal(HTTPStatus.NOT_FOUND, "not found")


def _file(path: str) -> File | None:
    if path == f"{BASE}config.json":
        return _json(CONFIGURATION)
    if path.startswith(BASE):
        # Lens finds out itself which of its pages a path is.
        return lens_file(path.removeprefix(BASE)) or lens_page()
    return own_file("rates.html" if path == RATES else path.removeprefix("/own/"))


def _json(document: object) -> File:
    return File(json.dumps(document).encode(), "application/json")


def _text(text: str) -> File:
    return File(f"{text}\n".encode(), "text/plain; charset=utf-8")


def _refusal(status: HTTPStatus, reason: str) -> Answer:
    return Answer(_text(reason), status, reason)
