"""Grafana Tempo, the backend that keeps and finds traces, behind a gateway that allows only to read them."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgs, ContainerPortArgs, ServicePortArgs, VolumeArgs, VolumeMountArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs, NetworkPolicyIngressRuleArgs
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
from components.documents.tempo_metrics import CONFIG_FOLDER, SECRETS_FOLDER, Writes, receiver
from components.kubernetes.component import Component
from components.kubernetes.containers import (
    alive_while,
    container_security,
    go_memory_limit,
    ready_when,
    resources,
    started_when,
)
from components.kubernetes.exposure import PORT_NAME, clients, expose
from components.kubernetes.files import config_object, config_volume, empty_volume, secret_object, secret_volume
from components.kubernetes.monitoring import Metrics, pod_monitor
from components.kubernetes.network import from_anywhere, from_component, network_policy, to_component, to_dns, to_hosts
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint, service
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import deployment, stateful_set
from components.plan.labels import COLLECTOR, DECIDER, RECEIVER, TEMPO
from components.plan.pods import GATEWAY
from settings import TempoSettings
from settings.tempo import Gateway

METRICS = Metrics("metrics", INSIDE_PORT)
OTLP = "otlp-grpc"
"""The name of the receiver's port."""

GRACE_SECONDS = 15
"""Tempo goes on taking spans for 2 s (`final_sleep`), then writes them to its disk within 1 s. Completing a block may
take longer: if the kubelet cuts it off, Tempo completes the block at its next start. Meanwhile spans wait in the
Collector."""

USER = 10001
"""The image's own user."""

START_SECONDS = 3600
"""Our choice: only a start that never ends is begun again. /ready is 503 while Tempo replays its write-ahead log, which
takes long after a long time on a full volume. A smaller limit would restart a Tempo that was about to be Ready."""

USAGE_REPORT = ("stats.grafana.org", 443)
"""Where Tempo sends its usage statistics."""


class TempoBackend(Component):
    """A monolithic Tempo with OTLP inside the cluster. Clients read its traces through a gateway in its pod.

    It keeps traces on the pod's own disk, which ends with the pod, or on a volume. It has neither object storage nor a
    second replica: each replica would know a part of the traces.
    """

    otlp_endpoint: Endpoint
    """Where Tempo receives spans, OTLP over gRPC without TLS."""

    http_endpoint: Endpoint
    """The gateway's read API, for the stack's own pods."""

    url: pulumi.Output[str] | None
    """Tempo's read API for clients: `/api/search`, `/api/traces/<trace ID>`. Known after `publish`."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP. Known after `publish`."""

    user: str | None
    """The user whose password the read API asks for; none if it asks for none."""

    def __init__(
        self,
        name: str,
        settings: TempoSettings,
        stack: StackContext,
        *,
        password: SecretStr | None = None,
        writes: Writes | None = None,
        prometheus: Endpoint | None = None,
        readers: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config objects, the workload and the Service of the receiver.

        Args:
            name: the resource's name.
            settings: Tempo's settings.
            stack: the settings and the namespace that all components share.
            password: the read API's password; none to let everybody read who reaches the API.
            writes: a receiver of metrics of spans that is not the stack's; none without one.
            prometheus: the stack's own Prometheus; none without one.
            readers: the stack's components that read traces, besides the clients that the settings allow.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:TempoBackend", name, TEMPO, stack, opts)
        self._settings, self._writes = settings, writes or Writes()
        self._receivers = [*([receiver(f"http://{prometheus}")] if prometheus else []), *self._writes.receivers]
        self.user = USER_NAME if password else None
        # A Service of its own: Kubernetes would open each port of the clients' Service on the nodes.
        self.otlp_endpoint = Endpoint(TEMPO, stack.namespace_name, OTLP_PORT, RECEIVER)
        self.http_endpoint = Endpoint(TEMPO, stack.namespace_name, PUBLIC_PORT)
        volumes = self._volumes(password)
        egress = _egress(settings, stack, self._writes, prometheus)
        self.policies = network_policy(self, ingress=_ingress(settings, readers, stack), egress=egress)
        workload = Workload(
            [
                _container(settings, stack.images["tempo"], has_secrets=bool(self._writes.secrets)),
                _gateway(settings.gateway, stack.images["gateway"], has_password=password is not None),
            ],
            volumes,
            USER,
            METRICS,
            GRACE_SECONDS,
            depends_on=self.policies,
        )
        storage = settings.persistence
        if storage.size is None:
            deployment(self, workload)
        else:
            stateful_set(self, workload, "data", size=storage.size, storage_class=storage.storage_class)
        pod_monitor(self, METRICS)
        service(self, [ServicePortArgs(name=OTLP, port=OTLP_PORT, target_port=OTLP)], suffix=RECEIVER)

    def _volumes(self, password: SecretStr | None) -> list[VolumeArgs]:
        files = {
            "tempo.yaml": dump(tempo_document(self._settings, self._receivers)),
            f"gateway-{CONF_FILE}": gateway_conf(has_password=password is not None),
            **self._writes.certificates,
        }
        volumes = [config_volume(config_object(self, files)), empty_volume("tmp"), empty_volume("gateway-tmp")]
        if password:
            line = password_file(password.get_secret_value(), salt_of=self.stack.namespace_name)
            volumes.append(secret_volume(secret_object(self, {PASSWORD_FILE: line})))
        if self._writes.secrets:
            volumes.append(secret_volume(secret_object(self, self._writes.secrets, "metrics"), "metrics-secrets"))
        return [*volumes, *([empty_volume("data")] if self._settings.persistence.size is None else [])]

    def publish(self, *, after: Sequence[pulumi.Input[pulumi.Resource]]) -> None:
        """Makes the Service that clients read traces by, and registers the outputs.

        Args:
            after: the Collector's pods. The pods of an earlier version send spans by this Service, which has lost its
                port for that. Pulumi therefore updates it after the new pods are Ready.
        """
        exposed = expose(
            self, self._settings.service, port=PUBLIC_PORT, node_port=self._settings.node_port, after=after
        )
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint), "url": self.url, "node_port": self.node_port})


def _ingress(
    settings: TempoSettings, readers: Sequence[str], stack: StackContext
) -> list[NetworkPolicyIngressRuleArgs]:
    return [
        *clients(settings.service, PUBLIC_PORT),
        *(from_component(reader, PUBLIC_PORT) for reader in readers if settings.service.is_restricted),
        # Counters are no secret. The cluster decides who reads them, as it does for the Collector's.
        from_anywhere(INSIDE_PORT),
        from_component(DECIDER if stack.has(DECIDER) else COLLECTOR, OTLP_PORT),
    ]


def _egress(
    settings: TempoSettings, stack: StackContext, writes: Writes, prometheus: Endpoint | None
) -> list[NetworkPolicyEgressRuleArgs]:
    hosts = [*([writes.host] if writes.host else []), *([USAGE_REPORT] if settings.usage_report else [])]
    return [
        *([to_dns()] if hosts or prometheus else []),
        *to_hosts(hosts, stack.namespace_name),
        *([to_component(prometheus.component, prometheus.port)] if prometheus else []),
    ]


def _container(settings: TempoSettings, image: str, *, has_secrets: bool) -> ContainerArgs:
    mounts = [
        VolumeMountArgs(name="config", mount_path=CONFIG_FOLDER, read_only=True),
        VolumeMountArgs(name="data", mount_path=DATA),
        VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - in the container
    ]
    if has_secrets:
        mounts.append(VolumeMountArgs(name="metrics-secrets", mount_path=SECRETS_FOLDER, read_only=True))
    return ContainerArgs(
        name=TEMPO,
        image=image,
        args=[f"-config.file={CONFIG_FOLDER}/tempo.yaml"],
        env=[go_memory_limit(settings.resources)],
        ports=[ContainerPortArgs(name=OTLP, container_port=OTLP_PORT)],
        resources=resources(settings.resources),
        security_context=container_security(),
        # The probes go through the gateway: Tempo listens on the pod's loopback address.
        startup_probe=started_when("/ready", INSIDE_PORT, within_seconds=START_SECONDS),
        readiness_probe=ready_when("/ready", INSIDE_PORT),
        # A Tempo that was Ready stays unready for ever after its ingester or another part has ended, and goes on
        # answering: after /shutdown, for example. A minute of that is no pause.
        liveness_probe=alive_while("/ready", INSIDE_PORT),
        volume_mounts=mounts,
    )


def _gateway(settings: Gateway, image: str, *, has_password: bool) -> ContainerArgs:
    mounts = [
        # A single file, because the folder also holds files of the image.
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
            ContainerPortArgs(name=PORT_NAME, container_port=PUBLIC_PORT),
            ContainerPortArgs(name=METRICS.port_name, container_port=METRICS.port),
        ],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/healthz", INSIDE_PORT),
        liveness_probe=alive_while("/healthz", INSIDE_PORT),
        volume_mounts=mounts,
    )
