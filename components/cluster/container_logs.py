"""Reads the last lines of containers' logs, without secrets."""

import re
from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel, SecretStr

from components.cluster.api import Api

LINES = 15
"""The number of lines. NGINX, the Collector and Tempo give the reason of their end in the last one or two."""

_SHOWN = 2000
"""The most characters of them. Our choice: a line of a log may be as long as a request."""

_LONGEST_HARMLESS_WORD = 5
"""Characters. Our choice: a shorter word of a secret may be an ordinary word of a log."""


class ContainerLogs:
    """Reads the logs of a namespace's containers.

    Args:
        namespace: the namespace.
        secrets: texts that it hides.
    """

    def __init__(self, namespace: str, secrets: Sequence[str]) -> None:
        self._namespace = namespace
        # A part of a secret tells as well: NGINX quotes single words of a line that it cannot read.
        words = {word for secret in secrets for word in (secret, *secret.split()) if len(word) > _LONGEST_HARMLESS_WORD}
        self._secrets = sorted(words, key=len, reverse=True)

    async def last_lines(self, api: Api, pod: str, container: str, *, previous: bool) -> str:
        """Returns the last lines of a container's log.

        Args:
            api: the API server.
            pod: the pod's name.
            container: the container's name.
            previous: whether to read the log of the container before its restart.
        """
        text = await api.text(
            f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log",
            container=container,
            tailLines=str(LINES),
            **({"previous": "true"} if previous else {}),
        )
        return self._clean(text or "")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        lines = [_without_time(line) for line in text.splitlines() if line.strip()]
        # NGINX gives the reason of its end in these. The lines before them are its entry script's.
        errors = [line for line in lines if "[emerg]" in line]
        return "\n".join(dict.fromkeys(errors or lines))[-_SHOWN:]


def _without_time(line: str) -> str:
    """Returns a line of NGINX's log without its time, so that two lines with the same text are equal."""
    return re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", line)


def secrets_of(settings: BaseModel) -> list[str]:
    """Returns every secret of a configuration as plain text."""
    return list(_secrets_in(settings))


def _secrets_in(value: object) -> Sequence[str]:
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    if isinstance(value, BaseModel):
        return [text for name in type(value).model_fields for text in _secrets_in(getattr(value, name))]
    if isinstance(value, dict):
        return [text for item in cast("dict[str, object]", value).values() for text in _secrets_in(item)]
    if isinstance(value, list | tuple):
        return [text for item in cast("Sequence[object]", value) for text in _secrets_in(item)]
    return []
