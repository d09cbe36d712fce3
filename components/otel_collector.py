"""The OpenTelemetry Collector between NGINX and the backend."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    ServicePortArgs,
    SleepActionArgs,
    VolumeMountArgs,
)

from components.documents import dump
from components.documents.collector import HEALTH_PORT, METRICS_PORT, OTLP_PORT, collector_document
from components.kubernetes import (
    Endpoint,
    alive_while,
    config_object,
    config_volume,
    container_security,
    deployment,
    ready_when,
    resources,
    service,
)
from settings import CollectorSettings

NAME = "otel-collector"
USER = 10001
"""The image's own user."""


class OtelCollector(pulumi.ComponentResource):
    """A Collector that takes spans from inside the cluster, batches them and sends them on until they are taken.

    What it holds is in memory: a Collector that is killed loses it. It samples nothing and adds nothing.
    """

    otlp_endpoint: Endpoint
    """Where spans are received, OTLP over gRPC without TLS."""

    def __init__(
        self,
        name: str,
        settings: CollectorSettings,
        *,
        namespace: pulumi.Output[str],
        namespace_name: str,
        backend: Endpoint,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            namespace: the namespace's name, known once it exists.
            namespace_name: the same as plain text, for the endpoint.
            backend: where spans go.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:OtelCollector", name, None, opts)
        self.otlp_endpoint = Endpoint(NAME, namespace_name, OTLP_PORT)

        document = dump(collector_document(str(backend)))
        config = config_object(NAME, "config.yaml", document, namespace=namespace, parent=self)
        volumes = [config_volume(config, "config.yaml")]
        deployment(NAME, _container(settings), volumes, user=USER, namespace=namespace, parent=self)
        ports = [
            ServicePortArgs(name="otlp-grpc", port=OTLP_PORT, target_port="otlp-grpc"),
            ServicePortArgs(name="metrics", port=METRICS_PORT, target_port="metrics"),
        ]
        service(NAME, ports, kind="ClusterIP", namespace=namespace, parent=self)
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint)})


def _container(settings: CollectorSettings) -> ContainerArgs:
    return ContainerArgs(
        name=NAME,
        image=settings.image,
        args=["--config=/etc/otelcol/config.yaml"],
        # 80 % of the memory limit, as the memory limiter's documentation advises.
        env=[EnvVarArgs(name="GOMEMLIMIT", value="400MiB")],
        ports=[
            ContainerPortArgs(name="otlp-grpc", container_port=OTLP_PORT),
            ContainerPortArgs(name="metrics", container_port=METRICS_PORT),
            ContainerPortArgs(name="health", container_port=HEALTH_PORT),
        ],
        resources=resources(cpu="100m", memory="128Mi", memory_limit="500Mi"),
        security_context=container_security(),
        readiness_probe=ready_when("/", HEALTH_PORT),
        liveness_probe=alive_while("/", HEALTH_PORT),
        # NGINX is told of the new pod before this one stops to listen.
        lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=5))),
        volume_mounts=[VolumeMountArgs(name="config", mount_path="/etc/otelcol", read_only=True)],
    )
