"""The template of a component's pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.core.v1 import (
    AffinityArgs,
    ContainerArgs,
    LocalObjectReferenceArgs,
    NodeAffinityArgs,
    NodeSelectorArgs,
    NodeSelectorRequirementArgs,
    NodeSelectorTermArgs,
    PodAffinityTermArgs,
    PodAntiAffinityArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    SeccompProfileArgs,
    TolerationArgs,
    TopologySpreadConstraintArgs,
    VolumeArgs,
    WeightedPodAffinityTermArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

from components.kubernetes.component import Component
from components.kubernetes.monitoring import Metrics
from components.plan.labels import own_labels
from settings.general import TopologySpread
from settings.tempo_parts import ZONE_LABEL

OVER_NODES = (TopologySpread.model_validate({"topologyKey": "kubernetes.io/hostname"}),)
"""The default spreads a component's pods over nodes, so that the end of one node does not end them all."""


@dataclass(frozen=True)
class Workload:
    """The pods of a component, and how many there are."""

    containers: Sequence[ContainerArgs]
    """The component's own container first: `kubectl logs` shows that one."""

    volumes: Sequence[VolumeArgs]
    user: int
    """The image's own user, and the group that owns the volumes."""

    metrics: Metrics | None
    """Where Prometheus reads the pods' counters; none if it does not."""

    grace_seconds: int
    """Time from the decision to end a pod until the kubelet kills its processes."""

    drain_seconds: int = 0
    """How much of that a pod may take to send what it holds; 0 if it sends nothing."""

    replicas: int = 1

    autoscaled: bool = False
    """Whether an autoscaler sets the number of replicas once they exist."""

    over_zones: bool = False
    """Whether the pods also prefer zones with few of them. Nodes without the label of a zone are as good as others."""

    zone: str | None = None
    """The only zone that the pods run in; none for any."""

    service_account: pulumi.Output[str] | None = None
    """The account with which the pods reach the API server. Without one they do not reach it."""

    identity: pulumi.Output[str] | None = None
    """The account that a cloud knows the pods by. They get no token of the API server for it."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels of the pods besides the component's."""

    init_containers: Sequence[ContainerArgs] = ()
    """Containers that run to their end, one after another, before the others start."""

    depends_on: Sequence[pulumi.Input[pulumi.Resource]] = ()
    """Resources that must exist before the pods, besides those that the pods are made of."""


def pod_template(owner: Component, workload: Workload) -> PodTemplateSpecArgs:
    """Returns the template of a component's pods, by the *restricted* Pod Security Standard.

    Args:
        owner: the component.
        workload: its pods.
    """
    stack = owner.stack
    labels = own_labels(owner.selects)
    scraped = workload.metrics.annotations() if workload.metrics and stack.monitoring.annotations else {}
    annotations = {**stack.annotations, **scraped}
    return PodTemplateSpecArgs(
        metadata=ObjectMetaArgs(labels={**stack.labels, **workload.labels, **labels}, annotations=annotations or None),
        spec=PodSpecArgs(
            automount_service_account_token=workload.service_account is not None,
            service_account_name=workload.identity if workload.service_account is None else workload.service_account,
            termination_grace_period_seconds=workload.grace_seconds,
            image_pull_secrets=[LocalObjectReferenceArgs(name=stack.pull_secret)] if stack.pull_secret else None,
            security_context=_pod_security(workload.user if stack.sets_user else None),
            node_selector=stack.scheduling.node_selector or None,
            tolerations=[
                TolerationArgs(key=item.key, operator=item.operator, value=item.value, effect=item.effect)
                for item in stack.scheduling.tolerations
            ]
            or None,
            affinity=_affinity(owner, workload, labels),
            priority_class_name=stack.scheduling.priority_class,
            topology_spread_constraints=[
                TopologySpreadConstraintArgs(
                    topology_key=item.topology_key,
                    max_skew=item.max_skew,
                    when_unsatisfiable=item.when_unsatisfiable,
                    label_selector=LabelSelectorArgs(match_labels=labels),
                )
                for item in stack.scheduling.topology_spread or OVER_NODES
            ],
            init_containers=list(workload.init_containers) or None,
            containers=workload.containers,
            volumes=workload.volumes,
        ),
    )


def _affinity(owner: Component, workload: Workload, labels: Mapping[str, str]) -> AffinityArgs | None:
    if workload.zone:
        return _in_zone(workload.zone)
    return _over_zones(labels) if workload.over_zones and not owner.stack.scheduling.topology_spread else None


def _in_zone(zone: str) -> AffinityArgs:
    """Returns the demand for a node of a zone."""
    wanted = NodeSelectorRequirementArgs(key=ZONE_LABEL, operator="In", values=[zone])
    term = NodeSelectorTermArgs(match_expressions=[wanted])
    required = NodeSelectorArgs(node_selector_terms=[term])
    return AffinityArgs(node_affinity=NodeAffinityArgs(required_during_scheduling_ignored_during_execution=required))


def _over_zones(labels: Mapping[str, str]) -> AffinityArgs:
    """Returns the preference for zones with few pods of these labels.

    A second topology spread would do worse: with one, the scheduler gives every node without the label of a zone the
    same rank, and no longer spreads over the nodes of a cluster without zones. Source: `scoring.go` of its plugin
    podtopologyspread, Kubernetes 1.32.
    """
    term = PodAffinityTermArgs(topology_key=ZONE_LABEL, label_selector=LabelSelectorArgs(match_labels=labels))
    weighted = WeightedPodAffinityTermArgs(weight=100, pod_affinity_term=term)
    return AffinityArgs(
        pod_anti_affinity=PodAntiAffinityArgs(preferred_during_scheduling_ignored_during_execution=[weighted])
    )


def _pod_security(user: int | None) -> PodSecurityContextArgs:
    """Returns the *restricted* standard for a pod. Without a user, the cluster assigns one, and the volumes' group."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user,
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )
