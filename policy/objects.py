"""Reads Kubernetes objects as a policy gets them: in camelCase, with the fields that the program sets, some unknown."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

Object = dict[str, Any]
"""A Kubernetes object or a part of one."""


class Unknown:
    """The type of `UNKNOWN`."""

    def __str__(self) -> str:
        return "[unknown]"


UNKNOWN: Final = Unknown()
"""A value that a preview cannot know yet.

Rules allow it. The update knows the value and checks again: an object before it is made, the whole stack at its end.
"""

_IN_SPEC: Final = ("spec", "template")
TEMPLATE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": _IN_SPEC,
    "StatefulSet": _IN_SPEC,
    "DaemonSet": _IN_SPEC,
    "ReplicaSet": _IN_SPEC,
    "ReplicationController": _IN_SPEC,
    "Job": _IN_SPEC,
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""The path of the pod template in a workload, by kind."""


def read(value: object, *path: str) -> Any:
    """Returns the value at a path; None if there is none, `UNKNOWN` if the path leads through an unknown value."""
    for key in path:
        if isinstance(value, Unknown):
            return UNKNOWN
        value = cast(Object, value).get(key) if isinstance(value, dict) else None
    return value


def mapping(value: object, *path: str) -> Object:
    """Returns the mapping at a path; empty if there is none, or an unknown one."""
    found = read(value, *path)
    return cast(Object, found) if isinstance(found, dict) else {}


def texts(value: object, *path: str) -> Iterator[tuple[str, str]]:
    """Yields the known texts of the mapping or list at a path, with their keys or positions."""
    found = read(value, *path)
    pairs = cast(Object, found).items() if isinstance(found, dict) else enumerate(sequence(found))
    for key, text in pairs:
        if isinstance(text, str):
            yield str(key), text


def sequence(value: object, *path: str) -> list[object]:
    """Returns the list at a path; empty if there is none, or an unknown one."""
    found = read(value, *path)
    return cast(list[object], found) if isinstance(found, list) else []


def items(value: object, *path: str) -> list[Object]:
    """Returns the objects in the list at a path, without unknown ones."""
    return [cast(Object, entry) for entry in sequence(value, *path) if isinstance(entry, dict)]


def kind_of(item: Object) -> str:
    """Returns the kind, which is known of every object."""
    return str(item.get("kind"))


def title(item: Object) -> str:
    """Returns kind and name, with which messages begin."""
    return f'{kind_of(item)} "{read(item, "metadata", "name")}"'


def pod_template(item: Object) -> Object | None:
    """Returns metadata and spec of a workload's pods, or the Pod itself; None for an object without pods."""
    path = TEMPLATE_PATHS.get(kind_of(item))
    return None if path is None else mapping(item, *path)


def pod_spec(item: Object) -> Object | None:
    """Returns the spec of a workload's pods, for every kind of workload alike; None for an object without pods."""
    template = pod_template(item)
    return None if template is None else mapping(template, "spec")


def containers(item: Object, *lists: str) -> Iterator[tuple[str, Object]]:
    """Yields the containers of a workload's pods, each with the words that begin a message about it.

    Args:
        item: the object; one without pods has none.
        lists: `containers`, `initContainers` or `ephemeralContainers`; in this order.
    """
    pod = pod_spec(item)
    for field in lists:
        for container in items(pod, field):
            what = {"initContainers": "init container", "ephemeralContainers": "ephemeral container"}.get(field)
            yield f'{title(item)}, {what or "container"} "{container.get("name")}"', container
