"""A stack's cluster: how the stack's configuration leads to it, and requests to its API server.

The kubeconfig is read by the program's own reader, so that a tool asks the cluster that the program changes.
"""

import json
import os
import shlex
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Self

import httpx2
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.core.exceptions import ConfigError

from components.cluster.api import BUSY_PAUSES
from components.cluster.kubeconfig import has_contents, read_config
from tools.errors import ToolError
from tools.pulumi_cli import PulumiCli

CONNECT_SECONDS, REQUEST_SECONDS = 3, 10
"""Limits for a connection and for each part of an answer; our choice."""

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Asks for the metadata of objects alone: a Secret's text never comes here."""

_KEYS = ("kubernetes:kubeconfig", "kubernetes:context")


class ClusterError(ToolError):
    """The API server did not give an answer, or refused; the text has the reason."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status of a refusal; None where there was no answer."""


@dataclass(frozen=True)
class Access:
    """The way to a stack's cluster, by the stack's configuration.

    Without these keys, the Kubernetes provider takes KUBECONFIG, which may name several files, or the default file, and
    the current context. So do the tools.
    """

    kubeconfig: str | None = field(default=None, repr=False)
    """`kubernetes:kubeconfig`: the path or the contents, which may be secret."""
    context: str | None = None
    """`kubernetes:context`."""

    @property
    def has_contents(self) -> bool:
        """Whether the configuration holds the kubeconfig itself."""
        return self.kubeconfig is not None and has_contents(self.kubeconfig)

    def options(self) -> str:
        """Returns the options for a kubectl command that a person is shown, after a blank.

        The contents of a kubeconfig are left out: they may be secret, and kubectl has no option for them.
        """
        words: list[str] = []
        if self.context:
            words += ["--context", self.context]
        if self.kubeconfig and not self.has_contents:
            words += ["--kubeconfig", os.path.expanduser(self.kubeconfig)]
        return "".join(f" {shlex.quote(word)}" for word in words)

    def in_context(self, context: str | None) -> "Access":
        """Returns the same kubeconfig with another context; with None, this access unchanged."""
        return replace(self, context=context) if context else self


def stack_access(cli: PulumiCli) -> Access:
    """Returns how a stack's cluster is reached, by the Kubernetes provider's part of its configuration.

    Raises:
        ToolError: the configuration cannot be read. Without it, another cluster might be asked.
    """
    found = cli.configured(*_KEYS)
    kubeconfig, context = (found.get(key, "").strip() or None for key in _KEYS)
    return Access(kubeconfig, context)


class ClusterApi:
    """A client of the API server of a stack's cluster; `with` closes its connections.

    Raises:
        ClusterError: there is no kubeconfig, or it cannot be used.
    """

    def __init__(self, access: Access) -> None:
        try:
            # Read as `settings/load.py` reads it for the program.
            config = read_config(access.kubeconfig or os.environ.get("KUBECONFIG") or None, access.context)
            timeout = httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
            self._client = Client(config, ConnectionParams(timeout=timeout))
        except ConfigError as error:
            raise ClusterError(f"no usable kubeconfig: {error}") from error
        except AttributeError:
            raise ClusterError("the kubeconfig is not one: its YAML is no mapping") from None
        except Exception as error:
            # There are more ways for a kubeconfig to be wrong than there are types of errors.
            raise ClusterError(f"the kubeconfig cannot be used ({type(error).__name__}: {error})") from error
        self.context = config.context_name
        """The name of the kubeconfig's context that is used."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Returns an object, or a list of objects.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        return _parsed(self._sent("GET", path, parameters).text)

    def list_metadata(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """Returns the objects of a list with their metadata alone.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        # A list of metadata without objects has `null` there.
        return _parsed(self._sent("GET", path, parameters, accept=_METADATA).text)["items"] or []

    def text(self, path: str) -> str:
        """Returns plain text, such as a page of metrics.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        return self._sent("GET", path, {}).text

    def lines(self, path: str, **parameters: str) -> Iterator[str]:
        """Yields the lines of a text that may be long, such as a log.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        with self._explained(), self._client.stream("GET", path, params=parameters) as answer:
            if not answer.is_success:
                answer.read()
            yield from _accepted(answer).iter_lines()

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Creates an object.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        self._sent("POST", path, {}, body)

    def delete(self, path: str) -> None:
        """Deletes an object.

        Raises:
            ClusterError: there was no answer, or a refusal.
        """
        self._sent("DELETE", path, {})

    def _sent(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        accept: str = "*/*",
    ) -> httpx2.Response:
        with self._explained():
            request = self._client.build_request(
                method, path, params=dict(parameters), json=body, headers={"Accept": accept}
            )
            answer = self._client.send(request)
            for pause in BUSY_PAUSES:
                if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    break
                time.sleep(pause)
                answer = self._client.send(request)
            return _accepted(answer)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Raises a ClusterError where there is no answer."""
        try:
            yield
        except httpx2.HTTPError as error:
            raise ClusterError(f"the API server {self._client.base_url} cannot be reached ({error})") from None
        except (ConfigError, OSError, KeyError, TypeError, ValueError) as error:
            # The library runs the kubeconfig's credential plugin, and reads its answer, at the first request.
            raise ClusterError(f"the kubeconfig cannot be used ({type(error).__name__}: {error})") from error


def _accepted(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_success:
        return answer
    try:
        reason = str(json.loads(answer.text)["message"])
    except (ValueError, KeyError, TypeError):
        reason = answer.text.strip()[:300]
    raise ClusterError(f"the API server answers HTTP {answer.status_code}: {reason}", answer.status_code)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError:
        # A proxy before the API server, or a page of a login.
        raise ClusterError(f"the API server does not answer with JSON: {text.strip()[:300]}") from None
