"""What the components share: labels, security, the shape of their objects, NodePorts and their URLs."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    HTTPGetActionArgs,
    KeyToPathArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
    Service,
    ServicePortArgs,
    ServiceSpecArgs,
    VolumeArgs,
)
from pulumi_kubernetes.core.v1 import Namespace as KubernetesNamespace
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

PART_OF = "nginx-tracing"
WORKLOAD_TIMEOUTS = pulumi.CustomTimeouts(create="5m", update="5m")
"""A pod that is not Ready by then will hardly be: five minutes pull the images on a slow line."""


@dataclass(frozen=True)
class Endpoint:
    """Where a component listens inside the cluster."""

    service: str
    namespace: str
    port: int

    def __str__(self) -> str:
        # Without the cluster's domain, which is not `cluster.local` everywhere; pods search it.
        return f"{self.service}.{self.namespace}.svc:{self.port}"


def labels(component: str) -> dict[str, str]:
    """The labels of a component's objects; its pods' too, and so its selectors'."""
    return {"app.kubernetes.io/name": component, "app.kubernetes.io/part-of": PART_OF}


def metadata(
    component: str,
    namespace: pulumi.Output[str],
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> ObjectMetaArgs:
    """Metadata of an object: auto-named without a name, for objects whose every edit makes a new one."""
    return ObjectMetaArgs(name=name, namespace=namespace, labels=labels(component), annotations=annotations)


def config_object(
    component: str, key: str, text: str, *, namespace: pulumi.Output[str], parent: pulumi.Resource
) -> ConfigMap:
    """A document for a component's pods. Auto-named: an edit makes a new object, and so rolls the pods."""
    return ConfigMap(
        f"{component}-config",
        metadata=metadata(component, namespace),
        data={key: text},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def deployment(
    component: str,
    container: ContainerArgs,
    volumes: Sequence[VolumeArgs],
    *,
    user: int,
    namespace: pulumi.Output[str],
    parent: pulumi.Resource,
    replicas: int = 1,
) -> Deployment:
    """Pods of the restricted standard that are replaced one by one, the new one Ready before an old one goes.

    Args:
        component: the component, and the name of the object.
        container: the one container.
        volumes: what it mounts.
        user: the image's own user, and the group that owns the volumes.
        namespace: the namespace's name.
        parent: the component's resource.
        replicas: pods.
    """
    return Deployment(
        component,
        metadata=metadata(component, namespace, component),
        spec=DeploymentSpecArgs(
            replicas=replicas,
            strategy=DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
            ),
            selector=LabelSelectorArgs(match_labels=labels(component)),
            template=PodTemplateSpecArgs(
                metadata=ObjectMetaArgs(labels=labels(component)),
                spec=PodSpecArgs(
                    automount_service_account_token=False,
                    security_context=_pod_security(user),
                    containers=[container],
                    volumes=volumes,
                ),
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, custom_timeouts=WORKLOAD_TIMEOUTS),
    )


def service(
    component: str,
    ports: Sequence[ServicePortArgs],
    *,
    kind: str,
    namespace: pulumi.Output[str],
    parent: pulumi.Resource,
) -> Service:
    """A Service of a component's pods, with the stable name that others reach it by.

    Not awaited: that costs ten seconds, and tells nothing that the awaited Deployment does not.
    """
    return Service(
        component,
        metadata=metadata(component, namespace, component, annotations={"pulumi.com/skipAwait": "true"}),
        spec=ServiceSpecArgs(type=kind, selector=labels(component), ports=ports),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def restricted_namespace(name: str) -> KubernetesNamespace:
    """The stack's namespace, which refuses pods that violate the *restricted* Pod Security Standard."""
    standard = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "v1.32"))
    }
    return KubernetesNamespace(
        "namespace",
        metadata=ObjectMetaArgs(name=name, labels={"app.kubernetes.io/part-of": PART_OF, **standard}),
    )


def _pod_security(user: int) -> PodSecurityContextArgs:
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


def resources(*, cpu: str, memory: str, memory_limit: str) -> ResourceRequirementsArgs:
    """Requests, and a limit of memory only: a limit of CPU would delay requests and spans without need."""
    return ResourceRequirementsArgs(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory_limit})


def ready_when(path: str, port: int) -> ProbeArgs:
    """Readiness by HTTP, asked each second: it decides how long a rollout takes."""
    return ProbeArgs(http_get=HTTPGetActionArgs(path=path, port=port), period_seconds=1, failure_threshold=3)


def alive_while(path: str, port: int) -> ProbeArgs:
    """Liveness by HTTP; a minute of silence is a dead process, less may be a busy one."""
    return ProbeArgs(
        http_get=HTTPGetActionArgs(path=path, port=port), period_seconds=10, timeout_seconds=5, failure_threshold=6
    )


def config_volume(config_map: ConfigMap, key: str) -> VolumeArgs:
    """The volume `config` with one document of a config object."""
    return VolumeArgs(
        name="config",
        config_map=ConfigMapVolumeSourceArgs(
            name=config_map.metadata["name"], items=[KeyToPathArgs(key=key, path=key)]
        ),
    )


def empty_volume(name: str) -> VolumeArgs:
    """Room for files that are gone with the pod."""
    return VolumeArgs(name=name, empty_dir=EmptyDirVolumeSourceArgs())


def node_port_of(service: Service, port_name: str, configured: int | None) -> pulumi.Output[int]:
    """The NodePort that the cluster gave to a port of a Service.

    In the preview of a Service that does not exist yet, the API server's dry run answers with a port that the real
    one will not get: it is unknown then, unless it was configured.
    """
    if configured is not None:
        return pulumi.Output.from_input(configured)

    # The id is unknown exactly as long as the Service does not exist, which makes the whole unknown.
    return service.id.apply(lambda _: service.spec).apply(
        lambda spec: next(port.node_port or 0 for port in spec.ports or [] if port.name == port_name)
    )


def url(host: pulumi.Input[str], port: pulumi.Output[int]) -> pulumi.Output[str]:
    """The URL of a NodePort."""
    return pulumi.Output.all(host, port).apply(lambda known: f"http://{_in_url(known[0])}:{known[1]}")


def _in_url(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
