"""NGINX with the OpenTelemetry module."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    ServicePortArgs,
    SleepActionArgs,
    VolumeMountArgs,
)

from components.documents.nginx import HEALTH_PORT, HTTP_PORT, nginx_conf
from components.kubernetes import (
    Endpoint,
    alive_while,
    config_object,
    config_volume,
    container_security,
    deployment,
    empty_volume,
    node_port_of,
    ready_when,
    resources,
    service,
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
        self.image = pulumi.Output.from_input(settings.image)

        document = nginx_conf(exporter=str(exporter), service_name=settings.service_name)
        config = config_object(NAME, "nginx.conf", document, namespace=namespace, parent=self)
        deployment(
            NAME,
            _container(self.image),
            [config_volume(config, "nginx.conf"), empty_volume("tmp")],
            user=USER,
            namespace=namespace,
            parent=self,
            replicas=settings.replicas,
        )
        ports = [ServicePortArgs(name="http", port=80, target_port="http", node_port=settings.node_port)]
        exposed = service(NAME, ports, kind="NodePort", namespace=namespace, parent=self)
        self.node_port = node_port_of(exposed, "http", settings.node_port)
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
