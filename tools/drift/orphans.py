"""Finds orphans: objects that are the stack's by their label and that Pulumi does not know.

A killed `pulumi up` leaves some. Pulumi never knows the claims of volumes: Kubernetes makes them for the replicas of a
StatefulSet, and keeps them when the StatefulSet has fewer replicas, or is deleted.
"""

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from components.plan.labels import PART_OF, selector
from components.plan.objects import CLAIM, NAMESPACE, NAMESPACED_KINDS, POD, STACK_ANNOTATION, Kind
from tools.cluster import Access, ClusterApi, ClusterError
from tools.drift.volumes import QueueVolume, claims_of, stateful_sets
from tools.pull_request.differences import Object, section
from tools.pull_request.preview_result import PreviewResult

Name = tuple[str, str, str]
"""An object's namespace, kind and name."""


@dataclass(frozen=True)
class Orphan:
    """An object that nothing removes until its namespace is deleted."""

    kind: str
    name: str
    namespace: str
    queue: QueueVolume | None = None
    """The volume, if it is that of a Collector which is gone."""

    @property
    def is_claim(self) -> bool:
        """Whether a volume with data is deleted with it."""
        return self.kind == CLAIM.name


def known(result: PreviewResult) -> set[Name]:
    """Returns the Kubernetes objects that Pulumi knows, and the claims that replicas of its StatefulSets use."""
    names: set[Name] = set()
    for step in result.steps:
        if step.old_state and "kind" in step.old_state.inputs:
            names.add(_name(step.old_state.inputs))
    for stateful_set in stateful_sets(result):
        names.update((stateful_set.namespace, CLAIM.name, name) for name in claims_of(stateful_set))
    return names


def mark(result: PreviewResult) -> str | None:
    """Returns the mark of the stack's objects, by the URNs of its resources; None where it has no resources."""
    for step in result.steps:
        stack, project, *_ = step.urn.removeprefix("urn:pulumi:").split("::")
        return f"{project}/{stack}"
    return None


def orphans(names: Collection[Name], own_mark: str | None, access: Access) -> list[Orphan]:
    """Lists the orphans in the namespaces of the stack's objects; none for a stack that has no objects.

    Args:
        names: the objects that Pulumi knows, and the claims in use.
        own_mark: the mark of the stack's objects. Objects with another stack's mark are left out; those without a mark
            are listed, because the version before marks did not write any.
        access: how the stack's cluster is reached.

    Raises:
        ToolError: the cluster does not list them.
    """
    namespaces = sorted(filter(None, {name if kind == NAMESPACE.name else space for space, kind, name in names}))
    if not namespaces:
        return []
    with ClusterApi(access) as api:
        found = [
            Orphan(kind.name, item["metadata"]["name"], namespace)
            for namespace in namespaces
            for kind in (*NAMESPACED_KINDS, CLAIM)
            for item in _listed(api, kind, namespace)
            if (namespace, kind.name, item["metadata"]["name"]) not in names and _mark_of(item) in (None, own_mark)
        ]
        # Pods of claims: an autoscaler made them, or they send what their volumes hold before they end.
        spaces = {item.namespace for item in found if item.is_claim}
        pods = {(space, pod["metadata"]["name"]) for space in spaces for pod in _listed(api, POD, space)}
    return [item for item in found if not (item.is_claim and (item.namespace, item.name.partition("-")[2]) in pods)]


def _mark_of(item: dict[str, Any]) -> str | None:
    annotations: dict[str, str] = item["metadata"].get("annotations") or {}
    return annotations.get(STACK_ANNOTATION)


def _name(inputs: Object) -> Name:
    metadata = section(inputs, "metadata")
    return str(metadata.get("namespace", "")), str(inputs["kind"]), str(metadata.get("name"))


def _listed(api: ClusterApi, kind: Kind, namespace: str) -> list[dict[str, Any]]:
    """Lists the objects of a kind that have the program's label; none of an operator's kind that the cluster lacks."""
    try:
        return api.list_metadata(kind.path(namespace), labelSelector=selector(PART_OF))
    except ClusterError as error:
        if error.status == HTTPStatus.NOT_FOUND and not kind.is_builtin:
            return []
        raise ClusterError(f"the {kind.plural} of the namespace {namespace} cannot be listed: {error}") from None
