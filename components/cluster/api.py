"""Requests to the API server, of the cluster that the Kubernetes provider changes."""

import asyncio
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self, cast

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.core.exceptions import ConfigError

from components.cluster.api_objects import Object, listed
from components.cluster.kubeconfig import ClusterUnreachableError, KubeconfigError, read_config

CONNECT_SECONDS = 5.0

_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
"""Asks for metadata alone: a Secret's text never comes here."""


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
    """A client of the API server, for as long as it is entered. Each request may take five seconds.

    It reads the kubeconfig at the first request, so that each part of the program that asks can say what it could not
    find out.
    """

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._client: httpx2.AsyncClient | None = None
        self._login: asyncio.Future[httpx2.Response] | None = None
        """A first request, for whose answer all others wait, so that a credential plugin is run once. It takes up to
        seconds, or asks a person something."""

    async def __aenter__(self) -> Self:
        """Opens nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the connections."""
        if self._client:
            await self._client.aclose()

    async def get(self, path: str, **parameters: str) -> Answer:
        """An object, or a list of objects.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("GET", path, parameters)

    async def get_metadata(self, path: str) -> Answer:
        """An object with its metadata alone.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("GET", path, {}, accept=_METADATA.format(""))

    async def list_metadata(self, path: str, **parameters: str) -> Answer:
        """A list of objects with their metadata alone.

        Raises:
            ApiUnavailableError: there was no answer.
        """
        return await self._asked("GET", path, parameters, accept=_METADATA.format("List"))

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

    async def _asked(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        body: Object | None = None,
        accept: str = "application/json",
    ) -> Answer:
        answer = await self._sent(method, path, parameters, body, accept)
        try:
            document = answer.json()
        except ValueError:
            # A proxy before the API server, or its time-out, speaks no JSON.
            document = None
        is_object = isinstance(document, dict)
        return Answer(answer.status_code, cast("Object", document) if is_object else {"message": answer.text[:300]})

    async def _sent(
        self, method: str, path: str, parameters: Mapping[str, str], body: Object | None = None, accept: str = "*/*"
    ) -> httpx2.Response:
        with _told():
            self._client = self._client or self._connected()
            if self._login:
                await self._login
            return await self._client.request(
                method, path, params=dict(parameters), json=body, headers={"Accept": accept}
            )

    def _connected(self) -> httpx2.AsyncClient:
        config = read_config(self._kubeconfig, self._context)
        client = AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(CONNECT_SECONDS)))
        if config.user and config.user.exec:
            self._login = asyncio.ensure_future(client.get("/version"))
        return client


@contextmanager
def _told() -> Generator[None]:
    """Tells why the API server cannot be asked.

    Raises:
        ClusterUnreachableError: there is no usable kubeconfig, its credential plugin failed, or there is no answer
            within five seconds.
        KubeconfigError: the library cannot use the kubeconfig, or what its credential plugin printed.
    """
    try:
        yield
    except ConfigError as error:
        raise ClusterUnreachableError(f"no usable kubeconfig: {error}") from error
    except (KeyError, AttributeError, AssertionError, TypeError, ValueError, httpx2.InvalidURL) as error:
        raise KubeconfigError(f"the kubeconfig cannot be used for it ({type(error).__name__}: {error})") from error
    except (httpx2.HTTPError, OSError) as error:
        raise ClusterUnreachableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Returns why there was no answer.

    Where every attempt to connect failed, the error says no more than that, and the reason of the first is its cause.
    """
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, BaseExceptionGroup):
        cause = cast("BaseExceptionGroup[BaseException]", cause).exceptions[0]
    if isinstance(cause, OSError) and cause.errno and "Connect call failed" in str(cause):
        return f"[Errno {cause.errno}] {os.strerror(cause.errno)}"
    return str(error) or type(error).__name__
