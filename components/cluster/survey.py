"""Reads the objects that exist under the names that a stack would use, and what a namespace holds."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.cluster.api import Api
from components.cluster.api_objects import section
from components.cluster.kubeconfig import ApiUnavailableError
from components.plan.labels import is_part_of
from components.plan.objects import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
    STACK_ANNOTATION,
    STATEFUL_SET,
    Kind,
    Planned,
)

CONNECTIONS = 4
"""The number of requests at a time. Twenty objects took 24 ms on the lab, and 14 ms of CPU time. With eight
connections, each with its handshake, they took 26 and 18 ms."""

SHOWN = 10
"""The number of objects of each kind that the error names of a namespace. Our choice: a screen has room for them."""

_CONTENTS = (
    DEPLOYMENT,
    STATEFUL_SET,
    Kind("DaemonSet", "daemonsets", "apps"),
    Kind("CronJob", "cronjobs", "batch"),
    Kind("Job", "jobs", "batch"),
    POD,
    SERVICE,
    CLAIM,
    CONFIG_MAP,
    SECRET,
)
"""The kinds that a person would miss after somebody deleted the namespace."""

_PUBLISHED = {"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"}
"""The ConfigMaps that controllers put into each namespace."""

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """An object that exists under a name that the stack would use."""

    planned: Planned
    namespace: str | None
    """None for the namespace itself."""

    metadata: Metadata

    @property
    def mark(self) -> str | None:
        """The stack that made it; none without a mark."""
        return texts(self.metadata, "annotations").get(STACK_ANNOTATION)

    @property
    def uid(self) -> str:
        """The identifier, which no other object of the cluster ever has."""
        return str(self.metadata.get("uid"))

    @property
    def title(self) -> str:
        """The kind, the name and the namespace."""
        place = f" in the namespace {self.namespace}" if self.namespace else ""
        return f"{self.planned.kind.name} {self.planned.name}{place}"

    @property
    def argument(self) -> str:
        """The object as an argument of kubectl."""
        return f"{self.planned.kind.singular}/{self.planned.name}"

    def is_of(self, mark: str) -> bool:
        """Tells whether the object's own metadata says that it is the stack's."""
        if self.planned.kind == CLAIM and self.mark is None:
            # Kubernetes makes claims from a template that cannot be edited. The template therefore has no mark.
            return is_part_of(texts(self.metadata, "labels"))
        return self.mark == mark


@dataclass(frozen=True)
class Survey:
    """The answers of the API server."""

    found: Sequence[Found] = ()
    unchecked: Mapping[Kind, str] = field(default_factory=dict[Kind, str])
    """The kinds that it did not tell about, each with its reason."""
    deleted_since: str | None = None
    """The time from which the namespace is being deleted; none if it is not."""


async def survey(wanted: Sequence[Planned], namespace: str, api: Api) -> Survey:
    """Asks the API server for each object by its name. If there is no namespace yet, one request is enough.

    Args:
        wanted: the objects that the stack would make.
        namespace: their namespace.
        api: the API server.

    Raises:
        ApiUnavailableError: the API server does not answer.
    """
    place = await _read(api, None, Planned(NAMESPACE, namespace))
    if place is None:
        return Survey()
    at_a_time = asyncio.Semaphore(CONNECTIONS)

    async def read(item: Planned) -> "Found | _Untold | None":
        async with at_a_time:
            return await _read(api, namespace, item)

    answers = await asyncio.gather(*(read(item) for item in wanted if item.kind != NAMESPACE))
    if any(item.kind == NAMESPACE for item in wanted):
        answers = [place, *answers]
    since = None if isinstance(place, _Untold) else place.metadata.get("deletionTimestamp")
    return Survey(
        [answer for answer in answers if isinstance(answer, Found)],
        {answer.kind: answer.reason for answer in answers if isinstance(answer, _Untold)},
        str(since) if since else None,
    )


async def contents(namespace: str, besides: Iterable[Found], api: Api) -> list[str]:
    """Returns texts about what a namespace holds: some objects of each kind.

    Args:
        namespace: its name.
        besides: objects that the error names anyway.
        api: the API server.
    """
    known = {(item.planned.kind, item.planned.name) for item in besides}
    try:
        answers = await asyncio.gather(
            *(api.list_metadata(kind.path(namespace), limit=str(SHOWN)) for kind in _CONTENTS)
        )
    except ApiUnavailableError as error:
        return [f"objects that the program could not read ({error})"]
    said: list[str] = []
    for kind, answer in zip(_CONTENTS, answers, strict=True):
        items: list[Metadata] = [item["metadata"] for item in answer.items]
        names = [str(item["name"]) for item in items if _is_somebody_s(item) and (kind, item["name"]) not in known]
        more: int = section(answer.body, "metadata").get("remainingItemCount", 0)
        if names:
            said.append(f"{kind.name} {', '.join(names)}{f' and {more} more' if more else ''}")
    return said


def _is_somebody_s(metadata: Metadata) -> bool:
    """Tells whether a person or a program put an object there, rather than a controller."""
    is_token = "kubernetes.io/service-account.name" in texts(metadata, "annotations")
    return not metadata.get("ownerReferences") and metadata["name"] not in _PUBLISHED and not is_token


@dataclass(frozen=True)
class _Untold:
    kind: Kind
    reason: str


async def _read(api: Api, namespace: str | None, item: Planned) -> Found | _Untold | None:
    """Reads an object. Returns none if the object or its kind does not exist, or the reason of a refusal."""
    answer = await api.get_metadata(f"{item.kind.path(namespace)}/{item.name}")
    if answer.is_missing:
        return None
    metadata = section(answer.body, "metadata")
    if answer.is_ok and metadata:
        return Found(item, namespace, metadata)
    return _Untold(item.kind, f"{answer.status}: {answer.message}")


def texts(metadata: Metadata, part: str) -> Mapping[str, str]:
    """Returns an object's labels, or its annotations."""
    return metadata.get(part) or {}
