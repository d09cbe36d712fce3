"""Makes the Deployments and StatefulSets, and what keeps their pods available."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
    StatefulSet,
    StatefulSetSpecArgs,
)
from pulumi_kubernetes.core.v1 import (
    PersistentVolumeClaimArgs,
    PersistentVolumeClaimSpecArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components.cluster.api_objects import section
from components.kubernetes.component import Component
from components.kubernetes.pod_template import Workload, pod_template
from components.kubernetes.services import NOT_AWAITED
from components.plan.labels import own_labels
from components.plan.objects import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, STATEFUL_SET

END_SECONDS = 600
"""How long the provider waits for the end of a workload's pods by default."""


@dataclass(frozen=True)
class Scale:
    """How many pods an autoscaler makes."""

    least: int
    most: int
    cpu: int
    """The CPU time that it aims at, in percent of the pods' requests."""


def pods_with(
    owner: Component, workload: Workload, volume: str, *, size: str | None, storage_class: str | None
) -> pulumi.Input[pulumi.CustomResource]:
    """Makes a StatefulSet whose pods have a volume each, or a Deployment if no size is given. Returns it once it is up.

    Args:
        owner: the component.
        workload: its pods.
        volume: the name of the volume, which the container mounts.
        size: the volume's size; none for pods without one.
        storage_class: the volume's storage class; none for the cluster's default.
    """
    if size is None:
        return deployment(owner, workload)
    return stateful_set(owner, workload, volume, size=size, storage_class=storage_class)


def deployment(owner: Component, workload: Workload) -> Deployment:
    """Makes a Deployment that replaces its pods one by one: it ends an old pod only after the new one is Ready.

    Args:
        owner: the component.
        workload: its pods.
    """
    return Deployment(
        owner.resource_name,
        metadata=owner.metadata(DEPLOYMENT),
        spec=DeploymentSpecArgs(
            replicas=workload.replicas,
            strategy=DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
            ),
            selector=LabelSelectorArgs(match_labels=own_labels(owner.selects)),
            template=pod_template(owner, workload),
        ),
        opts=_options(owner, workload, _scaled_elsewhere(workload)),
    )


def _scaled_elsewhere(workload: Workload) -> list[str] | None:
    """Returns the field that an autoscaler owns.

    Keep sending `replicas` until the HPA owns the field. Omitting it would scale the workload to 1 under load.
    """
    return ["spec.replicas"] if workload.autoscaled else None


def stateful_set(
    owner: Component,
    workload: Workload,
    volume: str,
    *,
    size: str,
    storage_class: str | None,
    scale: Scale | None = None,
    before_update: Sequence[pulumi.ResourceHook] = (),
) -> pulumi.Output[pulumi.CustomResource]:
    """Makes a StatefulSet, whose pods have a volume each that outlives them. Returns it once its pods are replaced.

    Args:
        owner: the component.
        workload: its pods.
        volume: the name of the volume, which the container mounts.
        size: the volume's size.
        storage_class: the volume's storage class; none for the cluster's default.
        scale: what an autoscaler makes of it; none without one.
        before_update: hooks that run before an update, and in its preview.
    """
    claim = PersistentVolumeClaimArgs(
        # Without the stack's own labels: a claim template cannot be edited without replacing the StatefulSet.
        metadata=ObjectMetaArgs(name=volume, labels=own_labels(owner.component)),
        spec=PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            resources=VolumeResourceRequirementsArgs(requests={"storage": size}),
            storage_class_name=storage_class,
        ),
    )
    # The provider would wait until surplus pods have ended, and fail before. `Rollouts.replaced` waits for the others.
    annotations = NOT_AWAITED if workload.drain_seconds else None
    made = StatefulSet(
        owner.resource_name,
        metadata=owner.metadata(STATEFUL_SET, annotations=annotations),
        spec=StatefulSetSpecArgs(
            service_name=owner.component,
            # Each pod has everything it needs in its own volume, so that none waits for another.
            pod_management_policy="Parallel",
            replicas=workload.replicas,
            selector=LabelSelectorArgs(match_labels=own_labels(owner.component)),
            template=pod_template(owner, workload),
            volume_claim_templates=[claim],
        ),
        opts=_options(owner, workload, _scaled_elsewhere(workload), before_update),
    )
    if scale:
        autoscaler(owner, made, least=scale.least, most=scale.most, cpu=scale.cpu, is_child=False)
    rollouts, drain = owner.stack.rollouts, workload.drain_seconds
    return made.id.apply(lambda _: rollouts.replaced(owner.component, made, owner.selects, drain) if rollouts else made)


def disruption_budget(owner: Component, replicas: int) -> None:
    """Makes a PodDisruptionBudget, which lets a drain evict one pod at a time.

    Args:
        owner: the component.
        replicas: the largest number of its pods. A single pod gets no budget: it has no other to wait for.
    """
    if replicas < 2:
        return
    PodDisruptionBudget(
        owner.resource_name,
        metadata=owner.metadata(DISRUPTION_BUDGET),
        spec=PodDisruptionBudgetSpecArgs(
            max_unavailable=1, selector=LabelSelectorArgs(match_labels=own_labels(owner.selects))
        ),
        opts=owner.own,
    )


def autoscaler(
    owner: Component, scaled: Deployment | StatefulSet, *, least: int, most: int, cpu: int, is_child: bool = True
) -> None:
    """Makes an autoscaler.

    Args:
        owner: the component.
        scaled: its workload.
        least: the smallest number of pods.
        most: the largest number of pods.
        cpu: the CPU time that it aims at, in percent of the pods' requests.
        is_child: whether the autoscaler's resource is a child of the workload's. A workload that may turn into one of
            another kind has none: Pulumi would take the same autoscaler for two, and delete it after the change.
    """
    # Imported here: few stacks need it.
    from pulumi_kubernetes.autoscaling.v2 import (  # noqa: PLC0415
        CrossVersionObjectReferenceArgs,
        HorizontalPodAutoscaler,
        HorizontalPodAutoscalerSpecArgs,
        MetricSpecArgs,
        MetricTargetArgs,
        ResourceMetricSourceArgs,
    )

    target = MetricTargetArgs(type="Utilization", average_utilization=cpu)
    kind = DEPLOYMENT if isinstance(scaled, Deployment) else STATEFUL_SET
    HorizontalPodAutoscaler(
        owner.resource_name,
        metadata=owner.metadata(AUTOSCALER, annotations=NOT_AWAITED),
        spec=HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind=kind.name, name=scaled.metadata["name"]
            ),
            min_replicas=least,
            max_replicas=most,
            metrics=[MetricSpecArgs(type="Resource", resource=ResourceMetricSourceArgs(name="cpu", target=target))],
        ),
        opts=pulumi.ResourceOptions(parent=scaled if is_child else owner),
    )


def _options(
    owner: Component,
    workload: Workload,
    ignore_changes: list[str] | None,
    before_update: Sequence[pulumi.ResourceHook] = (),
) -> pulumi.ResourceOptions:
    """Returns the options of a workload: what it waits for, how long Pulumi waits for it, and its hooks."""
    name, stack = owner.resource_name, owner.stack
    hooks = pulumi.ResourceHookBinding(before_update=list(before_update))
    timeout = None
    # A workload that is removed ends with all its pods. An ingester writes what it holds to the bucket meanwhile.
    end = f"{workload.grace_seconds + 60}s" if workload.grace_seconds > END_SECONDS else None
    if stack.rollouts:
        timeout = stack.rollouts.timeout
        hooks.on_error = [stack.rollouts.error_hook(name, owner.selects)]
    lacking = stack.no_room_to_roll.get(owner.component)
    if lacking:
        options = pulumi.ResourceHookOptions(on_dry_run=True)
        room = pulumi.ResourceHook(f"{name}-room", refuse_to_roll(name, lacking), options)
        hooks.before_update = [*before_update, room]
    return pulumi.ResourceOptions(
        parent=owner,
        custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout, delete=end),
        depends_on=list(workload.depends_on),
        ignore_changes=ignore_changes,
        hooks=hooks if hooks.on_error or hooks.before_update else None,
    )


def refuse_to_roll(name: str, lacking: str) -> Callable[[pulumi.ResourceHookArgs], None]:
    """Returns a hook that refuses an update of pods if there is no room for the pod that the update starts first.

    Only the engine knows whether an update changes the pods. A check of the configuration cannot do this.

    Args:
        name: the workload's name.
        lacking: the text about the quotas without room.
    """

    def refuse(update: pulumi.ResourceHookArgs) -> None:
        before, after = (section(dict(inputs or {}), "spec") for inputs in (update.old_inputs, update.new_inputs))
        if before.get("template") != after.get("template"):
            raise pulumi.RunError(
                f"an update of {name} starts a pod before it ends one, and there is no room for it. {lacking}"
            )

    return refuse
