"""Requests to the API server, of the cluster that the Kubernetes provider changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self, cast

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.core.exceptions import ConfigError

from components.api_objects import Object, listed
from components.cluster import CONNECT_SECONDS, read_config


class ApiUnavailableError(Exception):
    """The API server did not answer, or no usable kubeconfig names one; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What the API server says to a request: an object, or a Status that tells why there is none."""

    status: int
    body: Object

    @property
    def is_ok(self) -> bool:
        """Whether the request was served."""
        return self.status < HTTPStatus.BAD_REQUEST

    @property
    def is_missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def message(self) -> str:
        """The API server's own words on a request that it did not serve."""
        return str(self.body.get("message") or f"HTTP {self.status}")

    @property
    def items(self) -> list[Object]:
        """The objects of a list; none where it may not be read."""
        return listed(self.body, "items") if self.is_ok else []


class Api:
    """A client of the API server, for as long as it is entered. Each request may take five seconds."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context

    async def __aenter__(self) -> Self:
        """Reads the kubeconfig.

        Raises:
            ApiUnavailableError: it cannot be used.
        """
        try:
            config = read_config(self._kubeconfig, self._context)
            self._client = AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(CONNECT_SECONDS)))
        except (ConfigError, OSError, KeyError, AttributeError, TypeError, ValueError, httpx2.InvalidURL) as error:
            raise ApiUnavailableError(f"no usable kubeconfig: {error}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def get(self, path: str, **parameters: str) -> Answer:
        """An object, or a list of objects.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("GET", path, parameters)

    async def try_out(self, path: str, body: Object) -> Answer:
        """Has the API server check what it would say to a new object, without creating it.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("POST", path, {"dryRun": "All"}, body)

    async def offer(self, path: str, body: Object) -> Answer:
        """Has the API server say what it says to an object that no API server takes, and so is never created.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("POST", path, {}, body)

    async def text(self, path: str, **parameters: str) -> str | None:
        """Plain text, as a container's log is; none where it may not be read, or there is none.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        answer = await self._sent("GET", path, parameters)
        return answer.text if answer.is_success else None

    async def _asked(self, method: str, path: str, parameters: Mapping[str, str], body: Object | None = None) -> Answer:
        answer = await self._sent(method, path, parameters, body)
        try:
            document = answer.json()
        except ValueError:
            # A proxy before the API server, or its time-out, speaks no JSON.
            document = None
        is_object = isinstance(document, dict)
        return Answer(answer.status_code, cast("Object", document) if is_object else {"message": answer.text[:300]})

    async def _sent(
        self, method: str, path: str, parameters: Mapping[str, str], body: Object | None = None
    ) -> httpx2.Response:
        try:
            return await self._client.request(method, path, params=dict(parameters), json=body)
        except (httpx2.HTTPError, ConfigError, OSError, KeyError, ValueError) as error:
            # The last two: an exec plugin that prints no credentials.
            raise ApiUnavailableError(str(error) or type(error).__name__) from error
