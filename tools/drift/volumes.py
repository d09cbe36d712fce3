"""Finds out which volumes a stack's StatefulSets use, and which pods would use those of Collectors that are gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from components.plan.labels import COLLECTOR, DECIDER
from components.plan.objects import claim_name
from tools.pull_request.differences import Object, section
from tools.pull_request.preview_result import PreviewResult


@dataclass(frozen=True)
class Replicas:
    """A StatefulSet, as Pulumi left it or as the cluster has it."""

    namespace: str
    name: str
    volumes: Sequence[str]
    """The names of its claim templates."""

    count: int


@dataclass(frozen=True)
class QueueVolume:
    """The claim of a Collector's volume that no pod uses."""

    replicas: Replicas
    """The Collectors."""

    ordinal: int
    """The number of the pod that would use it."""

    is_autoscaled: bool
    """Whether an autoscaler may make that pod by itself."""


def stateful_sets(result: PreviewResult) -> list[Replicas]:
    """Returns each StatefulSet that Pulumi knows, as Pulumi left it and as the refresh found it.

    A claim of a replica that a person added by hand is in use as well.
    """
    states = (state for step in result.steps for state in (step.old_state, step.new_state) if state)
    return [_replicas(state.inputs) for state in states if state.inputs.get("kind") == "StatefulSet"]


def claims_of(stateful_set: Replicas) -> Iterator[str]:
    """Yields the claims of a StatefulSet's replicas, by the names that Kubernetes gives to them."""
    for volume in stateful_set.volumes:
        for ordinal in range(stateful_set.count):
            yield claim_name(volume, stateful_set.name, ordinal)


def queue_volume(result: PreviewResult, namespace: str, claim: str) -> QueueVolume | None:
    """Returns what is known of a claim that no pod uses; None if it is not of the Collectors that the stack has.

    Args:
        result: the refresh.
        namespace: the claim's namespace.
        claim: its name.
    """
    # The last one is what the cluster has.
    for one in reversed(stateful_sets(result)):
        for volume in one.volumes:
            ordinal = claim.removeprefix(claim_name(volume, one.name, 0).removesuffix("0"))
            if one.name in (COLLECTOR, DECIDER) and one.namespace == namespace and ordinal.isdecimal():
                most = _most_replicas(result, namespace, one.name)
                return QueueVolume(one, int(ordinal), is_autoscaled=int(ordinal) < most)
    return None


def _most_replicas(result: PreviewResult, namespace: str, stateful_set: str) -> int:
    """Returns the largest number of replicas that an autoscaler makes of a StatefulSet; 0 without one."""
    for step in result.steps:
        inputs = step.old_state.inputs if step.old_state else {}
        spec = section(inputs, "spec")
        target = section(spec, "scaleTargetRef")
        is_there = section(inputs, "metadata").get("namespace") == namespace
        if is_there and (target.get("kind"), target.get("name")) == ("StatefulSet", stateful_set):
            return _number(spec.get("maxReplicas"), 0)
    return 0


def _replicas(inputs: Object) -> Replicas:
    metadata, spec = section(inputs, "metadata"), section(inputs, "spec")
    templates = spec.get("volumeClaimTemplates")
    volumes = [str(section(item, "metadata").get("name")) for item in _objects(templates)]
    # Kubernetes' own default is 1.
    count = _number(spec.get("replicas"), 1)
    return Replicas(str(metadata.get("namespace", "")), str(metadata.get("name")), volumes, count)


def _number(value: JsonValue, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default


def _objects(value: JsonValue) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
