"""Grafana Tempo, the backend that keeps and finds traces."""

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgs, ContainerPortArgs, EnvVarArgs, ServicePortArgs, VolumeMountArgs

from components.documents import dump
from components.documents.tempo import DATA, HTTP_PORT, OTLP_PORT, tempo_document
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
from settings import TempoSettings

NAME = "tempo"
USER = 10001
"""The image's own user."""


class TempoBackend(pulumi.ComponentResource):
    """A monolithic Tempo with OTLP inside the cluster and its HTTP API on a NodePort.

    It keeps traces on the pod's own disk: they are gone with the pod. Not for object storage, nor for more than one
    replica, which would each know a part of the traces.
    """

    otlp_endpoint: Endpoint
    """Where spans are received, OTLP over gRPC without TLS."""

    url: pulumi.Output[str]
    """Tempo's HTTP API from outside: `/api/search`, `/api/traces/<trace ID>`."""

    node_port: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        settings: TempoSettings,
        *,
        namespace: pulumi.Output[str],
        namespace_name: str,
        host: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            namespace: the namespace's name, known once it exists.
            namespace_name: the same as plain text, for the endpoint.
            host: the address for `url`.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:TempoBackend", name, None, opts)
        self.otlp_endpoint = Endpoint(NAME, namespace_name, OTLP_PORT)

        config = config_object(NAME, "tempo.yaml", dump(tempo_document()), namespace=namespace, parent=self)
        volumes = [config_volume(config, "tempo.yaml"), empty_volume("data"), empty_volume("tmp")]
        deployment(NAME, _container(settings), volumes, user=USER, namespace=namespace, parent=self)
        ports = [
            ServicePortArgs(name="http", port=HTTP_PORT, target_port="http", node_port=settings.node_port),
            ServicePortArgs(name="otlp-grpc", port=OTLP_PORT, target_port="otlp-grpc"),
        ]
        exposed = service(NAME, ports, kind="NodePort", namespace=namespace, parent=self)
        self.node_port = node_port_of(exposed, "http", settings.node_port)
        self.url = url(host, self.node_port)
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint), "url": self.url, "node_port": self.node_port})


def _container(settings: TempoSettings) -> ContainerArgs:
    return ContainerArgs(
        name=NAME,
        image=settings.image,
        args=["-config.file=/etc/tempo/tempo.yaml"],
        # 80 % of the memory limit, so that Go's collector works harder before the kernel ends the process.
        env=[EnvVarArgs(name="GOMEMLIMIT", value="1600MiB")],
        ports=[
            ContainerPortArgs(name="http", container_port=HTTP_PORT),
            ContainerPortArgs(name="otlp-grpc", container_port=OTLP_PORT),
        ],
        resources=resources(cpu="100m", memory="256Mi", memory_limit="2000Mi"),
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
