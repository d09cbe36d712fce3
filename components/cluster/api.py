"""The client of the API server, for the cluster that the Kubernetes provider changes."""

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
"""Our choice: a preview without a cluster should not wait longer for it. A request may take as long as a connection."""

BUSY_PAUSES = (0.2, 1.0, 2.0, 4.0)
"""The pauses in seconds after which a request is sent again that the API server has no time for; our choice.

It answers so while it reads the objects of a kind that was just added: "storage is (re)initializing".
"""

_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
"""Asks for metadata alone, so that a Secret's text never leaves the API server."""


@dataclass(frozen=True)
class Answer:
    """The API server's answer to a request: an object, or a Status that tells why there is none."""

    status: int
    body: Object

    @property
    def is_ok(self) -> bool:
        """Whether the API server served the request."""
        return self.status < HTTPStatus.BAD_REQUEST

    @property
    def is_missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def message(self) -> str:
        """The API server's own words on a request that it refused."""
        return str(self.body.get("message") or f"HTTP {self.status}")

    @property
    def items(self) -> list[Object]:
        """The objects of a list; none if the API server refused the list."""
        return listed(self.body, "items") if self.is_ok else []


class Api:
    """A client of the API server, for the time of its `async with`. Each request may take five seconds.

    It reads the kubeconfig at the first request. Each part of the program that asks gets the error, and can say what it
    could not find out.
    """

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._client: httpx2.AsyncClient | None = None
        self._login: asyncio.Future[httpx2.Response] | None = None
        """A first request, whose answer all others wait for, so that a credential plugin runs once. A plugin may take
        seconds, or ask a person something."""

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
        """Gets an object, or a list of objects.

        Raises:
            ApiUnavailableError: the API server did not answer.
        """
        return await self._asked("GET", path, parameters)

    async def get_metadata(self, path: str) -> Answer:
        """Gets the metadata of an object.

        Raises:
            ApiUnavailableError: the API server did not answer.
        """
        return await self._asked("GET", path, {}, accept=_METADATA.format(""))

    async def list_metadata(self, path: str, **parameters: str) -> Answer:
        """Gets the metadata of a list of objects.

        Raises:
            ApiUnavailableError: the API server did not answer.
        """
        return await self._asked("GET", path, parameters, accept=_METADATA.format("List"))

    async def try_out(self, path: str, body: Object) -> Answer:
        """Asks the API server whether it would take a new object, by a dry run, which creates nothing.

        Raises:
            ApiUnavailableError: the API server did not answer.
        """
        return await self._asked("POST", path, {"dryRun": "All"}, body)

    async def offer(self, path: str, body: Object) -> Answer:
        """Offers an object that no API server takes, for the sake of the refusal. Nothing is created.

        Raises:
            ApiUnavailableError: the API server did not answer.
        """
        return await self._asked("POST", path, {}, body)

    async def text(self, path: str, **parameters: str) -> str | None:
        """Gets plain text, such as a container's log; none if there is none, or the API server refuses it.

        Raises:
            ApiUnavailableError: the API server did not answer.
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
            # A proxy in front of the API server answers without JSON, and so does a time-out.
            document = None
        is_object = isinstance(document, dict)
        return Answer(answer.status_code, cast("Object", document) if is_object else {"message": answer.text[:300]})

    async def _sent(
        self, method: str, path: str, parameters: Mapping[str, str], body: Object | None = None, accept: str = "*/*"
    ) -> httpx2.Response:
        with _translated():
            self._client = self._client or self._connected()
            if self._login:
                await self._login
            request = self._client.build_request(
                method, path, params=dict(parameters), json=body, headers={"Accept": accept}
            )
            answer = await self._client.send(request)
            for pause in BUSY_PAUSES:
                if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    break
                await asyncio.sleep(pause)
                answer = await self._client.send(request)
            return answer

    def _connected(self) -> httpx2.AsyncClient:
        config = read_config(self._kubeconfig, self._context)
        client = AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(CONNECT_SECONDS)))
        if config.user and config.user.exec:
            self._login = asyncio.ensure_future(client.get("/version"))
        return client


@contextmanager
def _translated() -> Generator[None]:
    """Turns the libraries' errors into those of this program.

    Raises:
        ClusterUnreachableError: there is no usable kubeconfig, its credential plugin failed, or there is no answer
            within five seconds.
        KubeconfigError: the library cannot use the kubeconfig, or the output of its credential plugin.
    """
    try:
        yield
    except ConfigError as error:
        raise ClusterUnreachableError(f"no usable kubeconfig: {error}") from error
    except (KeyError, AttributeError, AssertionError, TypeError, ValueError, httpx2.InvalidURL) as error:
        raise KubeconfigError(f"the program cannot use the kubeconfig ({type(error).__name__}: {error})") from error
    except (httpx2.HTTPError, OSError) as error:
        raise ClusterUnreachableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Returns the reason for which there was no answer.

    If every attempt to connect failed, the error says no more than that. Its cause has the reason of each attempt.
    """
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, BaseExceptionGroup):
        cause = cast("BaseExceptionGroup[BaseException]", cause).exceptions[0]
    if isinstance(cause, OSError) and cause.errno and "Connect call failed" in str(cause):
        return f"[Errno {cause.errno}] {os.strerror(cause.errno)}"
    return str(error) or type(error).__name__
