"""Objects that are the stack's by their label and that Pulumi does not know.

A killed `pulumi up` leaves some. Claims of volumes it never knows: Kubernetes makes them for the replicas of a
StatefulSet, and keeps them when there are fewer replicas, or none.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from components.plan.objects import CLAIM, NAMESPACE, NAMESPACED_KINDS, STACK_ANNOTATION, claim_name
from settings.stack import PART_OF_LABEL
from tools.drift.kubectl import Access, kubectl
from tools.pull_request.differences import Object, section
from tools.pull_request.digest import Digest
from tools.pull_request.errors import PreviewsError

_SELECTOR = f"{PART_OF_LABEL}=nginx-tracing"
_UNKNOWN_KIND = "the server doesn't have a resource type"
"""kubectl's words for a kind of an operator that the cluster has not."""

Name = tuple[str, str, str]
"""An object's namespace, kind and name."""


@dataclass(frozen=True)
class Stranger:
    """An object that nobody will remove before the namespace goes."""

    kind: str
    name: str
    namespace: str

    @property
    def is_claim(self) -> bool:
        """Whether a volume with data goes with it."""
        return self.kind == CLAIM.name


def known(digest: Digest) -> set[Name]:
    """The Kubernetes objects that Pulumi knows, and the claims that replicas of its StatefulSets use."""
    names: set[Name] = set()
    for step in digest.steps:
        if step.old_state and "kind" in step.old_state.inputs:
            names.add(_name(step.old_state.inputs))
        # The new state is what the refresh found: a claim of a replica that somebody added by hand is in use as well.
        for state in filter(None, (step.old_state, step.new_state)):
            if state.inputs.get("kind") == "StatefulSet":
                names.update(_claims(state.inputs))
    return names


def mark(digest: Digest) -> str | None:
    """The mark of the stack's objects, by the URNs of its resources; none where it has no resources."""
    for step in digest.steps:
        stack, project, *_ = step.urn.removeprefix("urn:pulumi:").split("::")
        return f"{project}/{stack}"
    return None


def strangers(names: Collection[Name], own_mark: str | None, access: Access) -> list[Stranger]:
    """Lists them with kubectl, in the namespaces of the stack's objects; none for a stack that has no objects.

    Args:
        names: the objects that Pulumi knows, and the claims in use.
        own_mark: the mark of the stack's objects. Objects with the mark of another stack are not listed; those without
            any are, since the version before did not mark what it made.
        access: how the stack's cluster is reached.

    Raises:
        PreviewsError: they cannot be listed.
    """
    namespaces = {name if kind == NAMESPACE.name else namespace for namespace, kind, name in names}
    return [
        Stranger(item["kind"], item["metadata"]["name"], namespace)
        for namespace in sorted(filter(None, namespaces))
        for item in _listed(namespace, access)
        if (namespace, item["kind"], item["metadata"]["name"]) not in names and _mark_of(item) in (None, own_mark)
    ]


def _mark_of(item: dict[str, Any]) -> str | None:
    annotations: dict[str, str] = item["metadata"].get("annotations") or {}
    return annotations.get(STACK_ANNOTATION)


def _name(inputs: Object) -> Name:
    metadata = section(inputs, "metadata")
    return str(metadata.get("namespace", "")), str(inputs["kind"]), str(metadata.get("name"))


def _claims(stateful_set: Object) -> Iterator[Name]:
    """The claims of a StatefulSet's replicas, by the names that Kubernetes gives to them."""
    namespace, _, name = _name(stateful_set)
    spec = section(stateful_set, "spec")
    for template in _objects(spec.get("volumeClaimTemplates")):
        for ordinal in range(_replicas(spec)):
            yield namespace, CLAIM.name, claim_name(str(section(template, "metadata").get("name")), name, ordinal)


def _replicas(spec: Object) -> int:
    replicas = spec.get("replicas")
    # Kubernetes' own default is 1.
    return int(replicas) if isinstance(replicas, int | float) else 1


def _objects(value: JsonValue) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _listed(namespace: str, access: Access) -> list[dict[str, Any]]:
    """The objects of the program's label, of all kinds that it makes."""
    everywhere = [kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin]
    of_operators = [kind.resource for kind in NAMESPACED_KINDS if not kind.is_builtin]
    found = _get(",".join(everywhere), namespace, access)
    for kind in of_operators:
        try:
            found += _get(kind, namespace, access)
        except PreviewsError as error:
            if _UNKNOWN_KIND not in str(error):
                raise
    return found


def _get(kinds: str, namespace: str, access: Access) -> list[dict[str, Any]]:
    command = ["get", kinds, f"--selector={_SELECTOR}", f"--namespace={namespace}", "--output=json"]
    return json.loads(kubectl(command, access))["items"]
