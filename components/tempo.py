"""Grafana Tempo, the backend that keeps and finds traces, behind a gateway that lets others read them and no more."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgs, ContainerPortArgs, ServicePortArgs, VolumeMountArgs
from pydantic import SecretStr

from components.documents import dump
from components.documents.tempo import DATA, OTLP_PORT, tempo_document
from components.documents.tempo_gateway import (
    CONF_FILE,
    FOLDER,
    INSIDE_PORT,
    PASSWORD_FILE,
    PASSWORD_FOLDER,
    PUBLIC_PORT,
    USER_NAME,
    gateway_conf,
    password_file,
)
from components.kubernetes.exposure import clients, expose
from components.kubernetes.network import from_anywhere, from_component, network_policy, to_dns, to_hosts
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import (
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
    pod_monitor,
    ready_when,
    resources,
    secret_object,
    secret_volume,
    service,
    started_when,
    stateful_set,
)
from components.plan.labels import COLLECTOR, TEMPO
from components.plan.objects import RECEIVER
from components.plan.pods import GATEWAY
from settings import TempoSettings
from settings.tempo import Gateway

METRICS = Metrics("metrics", INSIDE_PORT)
GRACE_SECONDS = 15
"""For two of them Tempo takes what is on its way (`final_sleep`); then it writes that to its disk within a second.
Completing a block may take longer: cut off, it is done at the next start. Meanwhile spans wait in the Collector."""

USER = 10001
"""The image's own user."""


START_SECONDS = 3600
"""/ready is 503 while Tempo replays its write-ahead log, which may take long after a long time on a full volume; only a
start that never ends is begun again. A smaller limit would restart a Tempo that was about to be Ready."""

USAGE_REPORT = ("stats.grafana.org", 443)
"""Where Tempo sends its statistics of use."""


class TempoBackend(pulumi.ComponentResource):
    """A monolithic Tempo with OTLP inside the cluster, whose traces are read through a gateway in its pod.

    It keeps traces on the pod's own disk, where they are gone with the pod, or on a volume. Not for object storage, nor
    for more than one replica, which would each know a part of the traces.
    """

    otlp_endpoint: Endpoint
    """Where spans are received, OTLP over gRPC without TLS."""

    url: pulumi.Output[str] | None
    """Tempo's read API for clients: `/api/search`, `/api/traces/<trace ID>`. Known after `publish`."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP. Known after `publish`."""

    user: str | None
    """Whose password the read API asks for; none where it asks for none."""

    policies: list[pulumi.Resource]
    """The network policies that its pods need; none where they are off."""

    def __init__(
        self,
        name: str,
        settings: TempoSettings,
        stack: StackContext,
        *,
        password: SecretStr | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config objects, the workload and the Service of the receiver.

        Args:
            name: the resource's name.
            settings: what can be configured.
            stack: what holds for all components.
            password: the read API's; none to let everybody read who reaches it.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:TempoBackend", name, None, opts)
        self._settings, self._stack = settings, stack
        self.user = USER_NAME if password else None
        # A Service of its own: every port of the clients' Service would be open on the nodes.
        self.otlp_endpoint = Endpoint(TEMPO, stack.namespace_name, OTLP_PORT, RECEIVER)

        files = {
            "tempo.yaml": dump(tempo_document(settings)),
            f"gateway-{CONF_FILE}": gateway_conf(has_password=password is not None),
        }
        volumes = [config_volume(config_object(TEMPO, files, stack=stack, parent=self)), empty_volume("tmp")]
        volumes.append(empty_volume("gateway-tmp"))
        if password:
            line = password_file(password.get_secret_value(), salt_of=stack.namespace_name)
            volumes.append(secret_volume(secret_object(TEMPO, {PASSWORD_FILE: line}, stack=stack, parent=self)))
        containers = [
            _container(settings, stack.images["tempo"]),
            _gateway(settings.gateway, stack.images["gateway"], has_password=password is not None),
        ]
        self.policies = network_policy(
            TEMPO,
            ingress=[
                *clients(settings.service, PUBLIC_PORT),
                # Counters are no secret, and who reads them is the cluster's matter, as for the Collector.
                from_anywhere(INSIDE_PORT),
                from_component(COLLECTOR, OTLP_PORT),
            ],
            egress=[to_dns(), *to_hosts([USAGE_REPORT], stack.namespace_name)] if settings.usage_report else [],
            stack=stack,
            parent=self,
        )
        persistence = settings.persistence
        if persistence.size is None:
            volumes.append(empty_volume("data"))
        workload = Workload(TEMPO, containers, volumes, USER, METRICS, GRACE_SECONDS, depends_on=self.policies)
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
        receiver = ServicePortArgs(name="otlp-grpc", port=OTLP_PORT, target_port="otlp-grpc")
        service(TEMPO, [receiver], stack=stack, parent=self, suffix=RECEIVER)

    def publish(self, *, after: Sequence[pulumi.Resource]) -> None:
        """Makes the Service that clients read traces by, and registers the outputs.

        Args:
            after: the Collector's pods. In an earlier version they sent spans by this Service, which has no port for
                that any more; the pods of before the update still do, until new ones are Ready.
        """
        exposed = expose(
            TEMPO,
            self._settings.service,
            port=PUBLIC_PORT,
            node_port=self._settings.node_port,
            stack=self._stack,
            parent=self,
            after=after,
        )
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint), "url": self.url, "node_port": self.node_port})


def _container(settings: TempoSettings, image: str) -> ContainerArgs:
    return ContainerArgs(
        name=TEMPO,
        image=image,
        args=["-config.file=/etc/tempo/tempo.yaml"],
        env=[go_memory_limit(settings.resources)],
        ports=[ContainerPortArgs(name="otlp-grpc", container_port=OTLP_PORT)],
        resources=resources(settings.resources),
        security_context=container_security(),
        # Through the gateway, as Tempo listens on the pod's loopback address.
        startup_probe=started_when("/ready", INSIDE_PORT, within_seconds=START_SECONDS),
        readiness_probe=ready_when("/ready", INSIDE_PORT),
        # Once it was Ready, a Tempo whose ingester or another part has ended is not Ready ever again, while it goes on
        # answering: after /shutdown, for example. A minute of that is no pause.
        liveness_probe=alive_while("/ready", INSIDE_PORT),
        volume_mounts=[
            VolumeMountArgs(name="config", mount_path="/etc/tempo", read_only=True),
            VolumeMountArgs(name="data", mount_path=DATA),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - in the container
        ],
    )


def _gateway(settings: Gateway, image: str, *, has_password: bool) -> ContainerArgs:
    mounts = [
        # A single file: the folder holds files of the image besides.
        VolumeMountArgs(
            name="config", mount_path=f"{FOLDER}/{CONF_FILE}", sub_path=f"gateway-{CONF_FILE}", read_only=True
        ),
        VolumeMountArgs(name="gateway-tmp", mount_path="/tmp"),  # noqa: S108 - in the container
    ]
    if has_password:
        mounts.append(VolumeMountArgs(name="secrets", mount_path=PASSWORD_FOLDER, read_only=True))
    return ContainerArgs(
        name=GATEWAY,
        image=image,
        ports=[
            ContainerPortArgs(name="http", container_port=PUBLIC_PORT),
            ContainerPortArgs(name="metrics", container_port=INSIDE_PORT),
        ],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/healthz", INSIDE_PORT),
        liveness_probe=alive_while("/healthz", INSIDE_PORT),
        volume_mounts=mounts,
    )
