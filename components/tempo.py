"""Grafana Tempo, the backend that keeps and finds traces."""

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgs, ContainerPortArgs, ServicePortArgs, VolumeMountArgs

from components.documents import dump
from components.documents.tempo import DATA, HTTP_PORT, OTLP_PORT, tempo_document
from components.kubernetes import (
    Endpoint,
    Metrics,
    Workload,
    alive_while,
    config_object,
    config_volume,
    container_security,
    deployment,
    empty_volume,
    go_memory_limit,
    node_port_of,
    pod_monitor,
    ready_when,
    resources,
    service,
    stateful_set,
    url,
)
from components.network import from_anywhere, from_component, network_policy, to_dns, to_hosts
from components.stack import COLLECTOR, TEMPO, StackContext
from settings import TempoSettings

METRICS = Metrics("http", HTTP_PORT)
GRACE_SECONDS = 15
"""For two of them Tempo takes what is on its way (`final_sleep`); then it writes that to its disk within a second.
Completing a block may take longer: cut off, it is done at the next start. Meanwhile spans wait in the Collector."""

USER = 10001
"""The image's own user."""


USAGE_REPORT = ("stats.grafana.org", 443)
"""Where Tempo sends its statistics of use."""


class TempoBackend(pulumi.ComponentResource):
    """A monolithic Tempo with OTLP inside the cluster and its HTTP API on a NodePort.

    It keeps traces on the pod's own disk, where they are gone with the pod, or on a volume. Not for object storage, nor
    for more than one replica, which would each know a part of the traces.
    """

    otlp_endpoint: Endpoint
    """Where spans are received, OTLP over gRPC without TLS."""

    url: pulumi.Output[str]
    """Tempo's HTTP API from outside: `/api/search`, `/api/traces/<trace ID>`."""

    node_port: pulumi.Output[int]

    policies: list[pulumi.Resource]
    """The network policies that its pods need; none where they are off."""

    def __init__(
        self,
        name: str,
        settings: TempoSettings,
        stack: StackContext,
        *,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            stack: what holds for all components.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:TempoBackend", name, None, opts)
        self.otlp_endpoint = Endpoint(TEMPO, stack.namespace_name, OTLP_PORT)

        config = config_object(TEMPO, {"tempo.yaml": dump(tempo_document(settings))}, stack=stack, parent=self)
        volumes = [config_volume(config), empty_volume("tmp")]
        container = _container(settings, stack.images["tempo"])
        self.policies = network_policy(
            TEMPO,
            ingress=[
                from_anywhere(HTTP_PORT),
                from_component(COLLECTOR, OTLP_PORT),
            ],
            egress=[to_dns(), *to_hosts([USAGE_REPORT], stack.namespace_name)] if settings.usage_report else [],
            stack=stack,
            parent=self,
        )
        persistence = settings.persistence
        if persistence.size is None:
            volumes.append(empty_volume("data"))
        workload = Workload(TEMPO, container, volumes, USER, METRICS, GRACE_SECONDS, depends_on=self.policies)
        if persistence.size is None:
            deployment(workload, stack=stack, parent=self)
        else:
            stateful_set(
                workload,
                "data",
                size=persistence.size,
                storage_class=persistence.storage_class,
                stack=stack,
                parent=self,
            )
        pod_monitor(workload, stack=stack, parent=self)
        ports = [
            ServicePortArgs(name="http", port=HTTP_PORT, target_port="http", node_port=settings.node_port),
            ServicePortArgs(name="otlp-grpc", port=OTLP_PORT, target_port="otlp-grpc"),
        ]
        exposed = service(TEMPO, ports, kind="NodePort", stack=stack, parent=self)
        self.node_port = node_port_of(exposed, "http", settings.node_port)
        self.url = url(stack.host, self.node_port)
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint), "url": self.url, "node_port": self.node_port})


def _container(settings: TempoSettings, image: str) -> ContainerArgs:
    return ContainerArgs(
        name=TEMPO,
        image=image,
        args=["-config.file=/etc/tempo/tempo.yaml"],
        env=[go_memory_limit(settings.resources)],
        ports=[
            ContainerPortArgs(name="http", container_port=HTTP_PORT),
            ContainerPortArgs(name="otlp-grpc", container_port=OTLP_PORT),
        ],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/ready", HTTP_PORT),
        # Not /ready, which is 503 while a write-ahead log is replayed: that is not a reason to start again.
        liveness_probe=alive_while("/status/version", HTTP_PORT),
        volume_mounts=[
            VolumeMountArgs(name="config", mount_path="/etc/tempo", read_only=True),
            VolumeMountArgs(name="data", mount_path=DATA),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - in the container
        ],
    )
