"""What the components share: security, the shape of their objects, NodePorts and their URLs.

Pulumi calls an object by its component's own name, so that a program can have a component twice; Kubernetes calls it by
what the component is, once in a namespace.
"""

from collections.abc import Callable, Mapping, Sequence
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
    CapabilitiesArgs,
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    HTTPGetActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    LocalObjectReferenceArgs,
    PersistentVolumeClaimArgs,
    PersistentVolumeClaimSpecArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    Secret,
    SecretVolumeSourceArgs,
    SecurityContextArgs,
    Service,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
    TolerationArgs,
    TopologySpreadConstraintArgs,
    VolumeArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components.cluster.api_objects import section
from components.kubernetes.stack import StackContext
from components.plan.labels import own_labels
from components.plan.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    POD_MONITOR,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from settings.general import Resources, TopologySpread
from settings.types import amount

OVER_NODES = (TopologySpread.model_validate({"topologyKey": "kubernetes.io/hostname"}),)
"""Where nothing else is configured: the end of a node does not end all pods of a component."""


@dataclass(frozen=True)
class Endpoint:
    """Where a component listens inside the cluster."""

    component: str
    """Whose pods listen there."""

    namespace: str
    port: int
    service_suffix: str = ""
    """What follows the component's name in that of its Service."""

    def __str__(self) -> str:
        # Without the cluster's domain, which is not `cluster.local` everywhere; pods search it.
        return f"{self.component}{self.service_suffix}.{self.namespace}.svc:{self.port}"


@dataclass(frozen=True)
class Metrics:
    """Where a component's pods show their counters, for Prometheus."""

    port_name: str
    port: int
    path: str = "/metrics"

    def annotations(self) -> dict[str, str]:
        """What Prometheus' usual set-ups look for."""
        return {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(self.port),
            "prometheus.io/path": self.path,
        }


@dataclass(frozen=True)
class Workload:
    """What the pods of a component are made of."""

    component: str
    """The component, and the name of its objects."""

    containers: Sequence[ContainerArgs]
    """The component's own first, which `kubectl logs` shows."""

    volumes: Sequence[VolumeArgs]
    user: int
    """The image's own user, and the group that owns the volumes."""

    metrics: Metrics

    grace_seconds: int
    """Time from a pod's end being decided to its processes being killed."""

    replicas: int = 1

    autoscaled: bool = False
    """An autoscaler decides about the replicas, once they are there."""

    service_account: pulumi.Output[str] | None = None
    """The account with which the pods speak to the API server; they do not without one."""

    init_containers: Sequence[ContainerArgs] = ()
    """What runs to its end before the container starts."""

    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before the pods, and is not among what they are made of."""


def config_object(
    component: str, files: Mapping[str, str], *, stack: StackContext, parent: pulumi.Resource
) -> ConfigMap:
    """Documents for a component's pods. Auto-named: an edit makes a new object, and so rolls the pods."""
    return ConfigMap(
        f"{parent.pulumi_resource_name}-config",
        metadata=stack.metadata(CONFIG_MAP, component),
        data=files,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def secret_object(
    component: str,
    files: Mapping[str, str],
    *,
    stack: StackContext,
    parent: pulumi.Resource,
    name: str = "secrets",
) -> Secret:
    """Secret documents for a component's pods, encrypted in the stack's state. Auto-named like `config_object`."""
    return Secret(
        f"{parent.pulumi_resource_name}-{name}",
        metadata=stack.metadata(SECRET, component),
        string_data=pulumi.Output.secret(dict(files)),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def deployment(workload: Workload, *, stack: StackContext, parent: pulumi.Resource) -> Deployment:
    """Pods of the restricted standard that are replaced one by one, the new one Ready before an old one goes."""
    return Deployment(
        parent.pulumi_resource_name,
        metadata=stack.metadata(DEPLOYMENT, workload.component, workload.component),
        spec=DeploymentSpecArgs(
            replicas=workload.replicas,
            strategy=DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
            ),
            selector=LabelSelectorArgs(match_labels=own_labels(workload.component)),
            template=_pod_template(workload, stack),
        ),
        # Sent all the same until the autoscaler has taken them over: left out, they would be one, under traffic.
        opts=_workload_options(
            workload, stack, parent, ignore_changes=["spec.replicas"] if workload.autoscaled else None
        ),
    )


def stateful_set(
    workload: Workload,
    volume: str,
    *,
    size: str,
    storage_class: str | None,
    stack: StackContext,
    parent: pulumi.Resource,
) -> StatefulSet:
    """Pods of the restricted standard, each with a volume of its own that outlives it.

    Args:
        workload: the pods.
        volume: the name of the volume, which the container mounts.
        size: its size.
        storage_class: where it comes from; none for the cluster's default.
        stack: what holds for all components.
        parent: the component's resource.
    """
    claim = PersistentVolumeClaimArgs(
        # Without the stack's own labels: a claim template is never edited, only a StatefulSet made anew.
        metadata=ObjectMetaArgs(name=volume, labels=own_labels(workload.component)),
        spec=PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            resources=VolumeResourceRequirementsArgs(requests={"storage": size}),
            storage_class_name=storage_class,
        ),
    )
    return StatefulSet(
        parent.pulumi_resource_name,
        metadata=stack.metadata(STATEFUL_SET, workload.component, workload.component),
        spec=StatefulSetSpecArgs(
            service_name=workload.component,
            # Each pod has what it needs in its volume: none waits for another.
            pod_management_policy="Parallel",
            replicas=workload.replicas,
            selector=LabelSelectorArgs(match_labels=own_labels(workload.component)),
            template=_pod_template(workload, stack),
            volume_claim_templates=[claim],
        ),
        opts=_workload_options(workload, stack, parent),
    )


def _workload_options(
    workload: Workload, stack: StackContext, parent: pulumi.Resource, ignore_changes: list[str] | None = None
) -> pulumi.ResourceOptions:
    name = parent.pulumi_resource_name
    hooks = pulumi.ResourceHookBinding()
    timeout = None
    if stack.rollouts:
        timeout = stack.rollouts.timeout
        hooks.on_error = [stack.rollouts.error_hook(name, workload.component)]
    lacking = stack.no_room_to_roll.get(workload.component)
    if lacking:
        options = pulumi.ResourceHookOptions(on_dry_run=True)
        hooks.before_update = [pulumi.ResourceHook(f"{name}-room", refuse_to_roll(name, lacking), options)]
    return pulumi.ResourceOptions(
        parent=parent,
        custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout),
        depends_on=list(workload.depends_on),
        ignore_changes=ignore_changes,
        hooks=hooks if hooks.on_error or hooks.before_update else None,
    )


def refuse_to_roll(component: str, lacking: str) -> Callable[[pulumi.ResourceHookArgs], None]:
    """A hook that refuses an update of pods where there is no room for the pod that it starts first.

    Only the engine knows whether an update touches the pods, so that this is no check of the configuration.

    Args:
        component: the workload's name.
        lacking: what there is no room for.
    """

    def refuse(update: pulumi.ResourceHookArgs) -> None:
        before, after = (section(dict(inputs or {}), "spec") for inputs in (update.old_inputs, update.new_inputs))
        if before.get("template") != after.get("template"):
            raise pulumi.RunError(
                f"an update of {component} starts a pod before it ends one, and there is no room for it. {lacking}"
            )

    return refuse


def _pod_template(workload: Workload, stack: StackContext) -> PodTemplateSpecArgs:
    scheduling = stack.scheduling
    labels = own_labels(workload.component)
    found = workload.metrics.annotations() if stack.monitoring.annotations else {}
    return PodTemplateSpecArgs(
        metadata=ObjectMetaArgs(labels={**stack.labels, **labels}, annotations={**stack.annotations, **found} or None),
        spec=PodSpecArgs(
            automount_service_account_token=workload.service_account is not None,
            service_account_name=workload.service_account,
            termination_grace_period_seconds=workload.grace_seconds,
            image_pull_secrets=[LocalObjectReferenceArgs(name=stack.pull_secret)] if stack.pull_secret else None,
            security_context=_pod_security(workload.user if stack.sets_user else None),
            node_selector=scheduling.node_selector or None,
            tolerations=[
                TolerationArgs(key=item.key, operator=item.operator, value=item.value, effect=item.effect)
                for item in scheduling.tolerations
            ]
            or None,
            priority_class_name=scheduling.priority_class,
            topology_spread_constraints=[
                TopologySpreadConstraintArgs(
                    topology_key=item.topology_key,
                    max_skew=item.max_skew,
                    when_unsatisfiable=item.when_unsatisfiable,
                    label_selector=LabelSelectorArgs(match_labels=labels),
                )
                for item in scheduling.topology_spread or OVER_NODES
            ],
            init_containers=list(workload.init_containers) or None,
            containers=workload.containers,
            volumes=workload.volumes,
        ),
    )


def disruption_budget(component: str, replicas: int, *, stack: StackContext, parent: pulumi.Resource) -> None:
    """Lets a drain take one pod at a time.

    Args:
        component: the component whose pods these are.
        replicas: how many there may be; nothing is made for a single one, which has no other to wait for.
        stack: what holds for all components.
        parent: the component's resource.
    """
    if replicas < 2:
        return
    PodDisruptionBudget(
        parent.pulumi_resource_name,
        metadata=stack.metadata(DISRUPTION_BUDGET, component, component),
        spec=PodDisruptionBudgetSpecArgs(
            max_unavailable=1, selector=LabelSelectorArgs(match_labels=own_labels(component))
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def pod_monitor(workload: Workload, *, stack: StackContext, parent: pulumi.Resource) -> None:
    """Tells the Prometheus Operator of a component's pods, where it is asked for."""
    if not stack.monitoring.pod_monitors:
        return
    # Imported here: few stacks need it.
    from pulumi_kubernetes.apiextensions import CustomResource  # noqa: PLC0415

    CustomResource(
        parent.pulumi_resource_name,
        api_version=f"{POD_MONITOR.group}/{POD_MONITOR.version}",
        kind=POD_MONITOR.name,
        metadata=stack.metadata(POD_MONITOR, workload.component, workload.component),
        spec={
            "selector": {"matchLabels": own_labels(workload.component)},
            # The alerts know the stack's pods by these.
            "podTargetLabels": list(own_labels(workload.component)),
            "podMetricsEndpoints": [{"port": workload.metrics.port_name, "path": workload.metrics.path}],
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )


NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""Waiting for a Service costs ten seconds, and tells nothing that the awaited workload does not."""


def service(
    component: str,
    ports: Sequence[ServicePortArgs],
    *,
    stack: StackContext,
    parent: pulumi.Resource,
    suffix: str = "",
) -> Service:
    """A Service of a component's pods inside the cluster, with the stable name that others reach it by.

    Args:
        component: the component whose pods these are.
        ports: the ports.
        stack: what holds for all components.
        parent: the component's resource.
        suffix: what follows the component's name, where the component has another Service under the name alone.
    """
    return Service(
        f"{parent.pulumi_resource_name}{suffix}",
        metadata=stack.metadata(SERVICE, component, f"{component}{suffix}", annotations=NOT_AWAITED),
        spec=ServiceSpecArgs(type="ClusterIP", selector=own_labels(component), ports=ports),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _pod_security(user: int | None) -> PodSecurityContextArgs:
    """The restricted standard for a pod; without a user the cluster assigns one, and a group that owns the volumes."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user,
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> SecurityContextArgs:
    """A container of the restricted standard, with a read-only root besides."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def resources(configured: Resources) -> ResourceRequirementsArgs:
    """Requests and limits."""
    limits = {"memory": configured.memory_limit}
    if configured.cpu_limit is not None:
        limits["cpu"] = configured.cpu_limit
    return ResourceRequirementsArgs(requests={"cpu": configured.cpu, "memory": configured.memory}, limits=limits)


def go_memory_limit(configured: Resources) -> EnvVarArgs:
    """80 % of the memory limit, so that Go's collector works harder before the kernel ends the process."""
    mebibytes = int(amount(configured.memory_limit) * 80 / 100 / 2**20)
    return EnvVarArgs(name="GOMEMLIMIT", value=f"{mebibytes}MiB")


def ready_when(path: str, port: int, *, after_seconds: int | None = None) -> ProbeArgs:
    """Readiness by HTTP, asked each second: it decides how long a rollout takes.

    Args:
        path: what is asked for.
        port: where.
        after_seconds: how long a new pod is left out, ready or not.
    """
    get = HTTPGetActionArgs(path=path, port=port)
    return ProbeArgs(http_get=get, period_seconds=1, failure_threshold=3, initial_delay_seconds=after_seconds)


def started_when(path: str, port: int, *, within_seconds: int) -> ProbeArgs:
    """The start by HTTP, asked each second; neither readiness nor liveness is asked for before.

    Args:
        path: what is asked for.
        port: where.
        within_seconds: the time after which the container is started again.
    """
    get = HTTPGetActionArgs(path=path, port=port)
    return ProbeArgs(http_get=get, period_seconds=1, timeout_seconds=5, failure_threshold=within_seconds)


def alive_while(path: str, port: int) -> ProbeArgs:
    """Liveness by HTTP; a minute of silence is a dead process, less may be a busy one."""
    return ProbeArgs(
        http_get=HTTPGetActionArgs(path=path, port=port), period_seconds=10, timeout_seconds=5, failure_threshold=6
    )


def stop_after(seconds: int) -> LifecycleArgs:
    """Keeps a container that is to end at work for some seconds, until nobody sends it anything new."""
    return LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=seconds)))


def config_volume(config_map: ConfigMap) -> VolumeArgs:
    """The volume `config` with a config object's documents."""
    return VolumeArgs(name="config", config_map=ConfigMapVolumeSourceArgs(name=config_map.metadata["name"]))


def secret_volume(secret: Secret, name: str = "secrets") -> VolumeArgs:
    """A volume with a secret object's documents, for the group that the pod runs as."""
    return VolumeArgs(name=name, secret=SecretVolumeSourceArgs(secret_name=secret.metadata["name"], default_mode=0o440))


def empty_volume(name: str) -> VolumeArgs:
    """Room for files that are gone with the pod."""
    return VolumeArgs(name=name, empty_dir=EmptyDirVolumeSourceArgs())
