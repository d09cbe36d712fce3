"""NGINX with the OpenTelemetry module."""

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    Service,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

from components.documents.nginx import HEALTH_PORT, HTTP_PORT, nginx_conf
from components.kubernetes import (
    SKIP_AWAIT,
    WORKLOAD_TIMEOUTS,
    Endpoint,
    alive_while,
    config_volume,
    container_security,
    labels,
    metadata,
    node_port_of,
    pod_security,
    ready_when,
    resources,
    url,
)
from settings import NginxSettings

NAME = "nginx"
USER = 101
"""The image's own user."""


class NginxOtel(pulumi.ComponentResource):
    """NGINX that sends a span for each request, on a NodePort.

    Serves the image's own page; it is not an ingress controller and reads nothing from the cluster.
    """

    url: pulumi.Output[str]
    """NGINX from outside."""

    node_port: pulumi.Output[int]

    image: pulumi.Output[str]
    """The image that runs."""

    def __init__(
        self,
        name: str,
        settings: NginxSettings,
        *,
        namespace: pulumi.Output[str],
        exporter: Endpoint,
        host: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            namespace: the namespace's name, known once it exists.
            exporter: where spans go.
            host: the address for `url`.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:NginxOtel", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.image = pulumi.Output.from_input(settings.image)

        config = ConfigMap(
            f"{NAME}-config",
            metadata=metadata(NAME, namespace),
            data={"nginx.conf": nginx_conf(exporter=str(exporter), service_name=settings.service_name)},
            opts=child,
        )
        Deployment(
            NAME,
            metadata=metadata(NAME, namespace, NAME),
            spec=DeploymentSpecArgs(
                replicas=settings.replicas,
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
                ),
                selector=LabelSelectorArgs(match_labels=labels(NAME)),
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=labels(NAME)),
                    spec=PodSpecArgs(
                        automount_service_account_token=False,
                        security_context=pod_security(USER),
                        containers=[_container(self.image)],
                        volumes=[
                            config_volume("config", config, "nginx.conf"),
                            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
                        ],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=WORKLOAD_TIMEOUTS),
        )
        service = Service(
            NAME,
            metadata=metadata(NAME, namespace, NAME, annotations=SKIP_AWAIT),
            spec=ServiceSpecArgs(
                type="NodePort",
                selector=labels(NAME),
                ports=[ServicePortArgs(name="http", port=80, target_port="http", node_port=settings.node_port)],
            ),
            opts=child,
        )
        self.node_port = node_port_of(service, "http", settings.node_port)
        self.url = url(host, self.node_port)
        self.register_outputs({"url": self.url, "node_port": self.node_port, "image": self.image})


def _container(image: pulumi.Output[str]) -> ContainerArgs:
    return ContainerArgs(
        name=NAME,
        image=image,
        ports=[
            ContainerPortArgs(name="http", container_port=HTTP_PORT),
            ContainerPortArgs(name="health", container_port=HEALTH_PORT),
        ],
        resources=resources(cpu="100m", memory="64Mi", memory_limit="256Mi"),
        security_context=container_security(),
        readiness_probe=ready_when("/healthz", HEALTH_PORT),
        liveness_probe=alive_while("/healthz", HEALTH_PORT),
        # Nodes are told of the new pod before this one stops to take connections.
        lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=5))),
        volume_mounts=[
            # One file: the folder holds the image's mime.types besides.
            VolumeMountArgs(name="config", mount_path="/etc/nginx/nginx.conf", sub_path="nginx.conf", read_only=True),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - in the container
        ],
    )
