"""Objects that are the stack's by their label and that Pulumi does not know.

A killed `pulumi up` leaves some. Claims of volumes it never knows: Kubernetes makes them for the replicas of a
StatefulSet, and keeps them when there are fewer replicas, or none.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from previews.differences import Object, section
from previews.digest import Digest
from previews.kubectl import Access, kubectl

_KINDS = (
    "configmaps,secrets,services,deployments,statefulsets,poddisruptionbudgets,networkpolicies,persistentvolumeclaims"
)
_SELECTOR = "app.kubernetes.io/part-of=nginx-tracing"
_CLAIM = "PersistentVolumeClaim"

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
        return self.kind == _CLAIM


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


def strangers(names: Collection[Name], access: Access) -> list[Stranger]:
    """Lists them with kubectl, in the namespace of the stack; none for a stack that has no namespace.

    Args:
        names: the objects that Pulumi knows, and the claims in use.
        access: how the stack's cluster is reached.

    Raises:
        PreviewsError: they cannot be listed.
    """
    found: list[Stranger] = []
    for namespace in sorted(name for _, kind, name in names if kind == "Namespace"):
        pairs = [(item["kind"], item["metadata"]["name"]) for item in _listed(namespace, access)]
        found += [Stranger(kind, name, namespace) for kind, name in pairs if (namespace, kind, name) not in names]
    return found


def _name(inputs: Object) -> Name:
    metadata = section(inputs, "metadata")
    return str(metadata.get("namespace", "")), str(inputs["kind"]), str(metadata.get("name"))


def _claims(stateful_set: Object) -> Iterator[Name]:
    """The claims of a StatefulSet's replicas, by the names that Kubernetes gives to them."""
    namespace, _, name = _name(stateful_set)
    spec = section(stateful_set, "spec")
    for template in _objects(spec.get("volumeClaimTemplates")):
        for ordinal in range(_replicas(spec)):
            yield namespace, _CLAIM, f"{section(template, 'metadata').get('name')}-{name}-{ordinal}"


def _replicas(spec: Object) -> int:
    replicas = spec.get("replicas")
    # Kubernetes' own default is 1.
    return int(replicas) if isinstance(replicas, int | float) else 1


def _objects(value: JsonValue) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _listed(namespace: str, access: Access) -> list[dict[str, Any]]:
    command = ["get", _KINDS, f"--selector={_SELECTOR}", f"--namespace={namespace}", "--output=json"]
    return json.loads(kubectl(command, access))["items"]
