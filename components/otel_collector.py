"""The OpenTelemetry Collector between NGINX and the backend."""

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment, DeploymentSpecArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    Service,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

from components.documents import dump
from components.documents.collector import HEALTH_PORT, METRICS_PORT, OTLP_PORT, collector_document
from components.kubernetes import (
    SKIP_AWAIT,
    WORKLOAD_TIMEOUTS,
    Endpoint,
    alive_while,
    config_volume,
    container_security,
    labels,
    metadata,
    pod_security,
    ready_when,
    resources,
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
        child = pulumi.ResourceOptions(parent=self)
        self.otlp_endpoint = Endpoint(NAME, namespace_name, OTLP_PORT)

        config = ConfigMap(
            f"{NAME}-config",
            metadata=metadata(NAME, namespace),
            data={"config.yaml": dump(collector_document(str(backend)))},
            opts=child,
        )
        Deployment(
            NAME,
            metadata=metadata(NAME, namespace, NAME),
            spec=DeploymentSpecArgs(
                replicas=1,
                selector=LabelSelectorArgs(match_labels=labels(NAME)),
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=labels(NAME)),
                    spec=PodSpecArgs(
                        automount_service_account_token=False,
                        security_context=pod_security(USER),
                        containers=[_container(settings)],
                        volumes=[config_volume("config", config, "config.yaml")],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=WORKLOAD_TIMEOUTS),
        )
        Service(
            NAME,
            metadata=metadata(NAME, namespace, NAME, annotations=SKIP_AWAIT),
            spec=ServiceSpecArgs(
                selector=labels(NAME),
                ports=[
                    ServicePortArgs(name="otlp-grpc", port=OTLP_PORT, target_port="otlp-grpc"),
                    ServicePortArgs(name="metrics", port=METRICS_PORT, target_port="metrics"),
                ],
            ),
            opts=child,
        )
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
