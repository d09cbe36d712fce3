"""A small Prometheus for the stack's counters and for the metrics that Tempo makes of spans."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ContainerArgs, ContainerPortArgs, ServicePortArgs, VolumeMountArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicyIngressRuleArgs

from components.documents import dump
from components.documents.collector import METRICS_PORT
from components.documents.prometheus import (
    ALERTS_FILE,
    CONFIG_FILE,
    DATA,
    FOLDER,
    PORT,
    alerts,
    flags,
    prometheus_document,
)
from components.documents.tempo_gateway import INSIDE_PORT
from components.kubernetes.accounts import pod_reader
from components.kubernetes.component import Component
from components.kubernetes.containers import (
    alive_while,
    container_security,
    go_memory_limit,
    ready_when,
    resources,
    started_when,
)
from components.kubernetes.files import config_object, config_volume, empty_volume
from components.kubernetes.monitoring import Metrics, pod_monitor
from components.kubernetes.network import (
    from_component,
    from_namespaces,
    network_policy,
    to_component,
    to_kubernetes_api,
)
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint, service
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import pods_with
from components.plan.labels import COLLECTOR, DECIDER, NGINX, PROMETHEUS, TEMPO
from settings import PrometheusSettings
from settings.snippets.ours import HEALTH_PORT

METRICS = Metrics("metrics", PORT)
"""Its own counters, at the port of its API."""

TARGETS = {NGINX: HEALTH_PORT, COLLECTOR: METRICS_PORT, TEMPO: INSIDE_PORT}
"""The components whose counters it reads in every stack, and their ports. It reads its own without leaving its pod."""

GRACE_SECONDS = 30
"""Kubernetes' default. Prometheus writes nothing at its end that its write-ahead log does not have."""

USER = 65534
"""The image's own user."""

START_SECONDS = 900
"""Our choice: Prometheus is unready while it reads its write-ahead log, which takes seconds for a million
samples. A smaller limit would restart one that is about to be Ready."""


class Prometheus(Component):
    """A Prometheus with one pod, which reads the stack's pods and takes what Tempo writes.

    It keeps metrics on the pod's own disk, which ends with the pod, or on a volume. It has no Service for clients
    outside the cluster, no users, and no Alertmanager: it shows which alerts fire, and sends no messages.
    """

    http_endpoint: Endpoint
    """Where it serves its API and takes remote write, without TLS and without a password."""

    url: str
    """The same as a URL, for pods."""

    pods: pulumi.Input[pulumi.CustomResource]
    """The workload. Pulumi has made or updated it once its pod is Ready."""

    def __init__(
        self,
        name: str,
        settings: PrometheusSettings,
        stack: StackContext,
        *,
        readers: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the account, the workload and the Service.

        Args:
            name: the resource's name.
            settings: Prometheus' settings.
            stack: the settings and the namespace that all components share.
            readers: the stack's components that read metrics.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:Prometheus", name, PROMETHEUS, stack, opts)
        self.http_endpoint = Endpoint(PROMETHEUS, stack.namespace_name, PORT)
        self.url = f"http://{self.http_endpoint}"
        document = dump(prometheus_document(settings, stack.namespace_name))
        config = config_object(self, {CONFIG_FILE: document, ALERTS_FILE: alerts()})
        self.policies = network_policy(
            self,
            ingress=_ingress(settings, readers),
            egress=[
                to_kubernetes_api(stack.api_ports),
                *(to_component(component, port) for component, port in TARGETS.items()),
                *([to_component(DECIDER, METRICS_PORT)] if stack.has(DECIDER) else []),
            ],
        )
        storage = settings.persistence
        workload = Workload(
            [_container(settings, stack.images["prometheus"])],
            [config_volume(config), *([] if storage.size else [empty_volume("data")])],
            USER,
            METRICS,
            GRACE_SECONDS,
            service_account=pod_reader(self),
            depends_on=self.policies,
        )
        self.pods = pods_with(self, workload, "data", size=storage.size, storage_class=storage.storage_class)
        # The policy lets no other Prometheus in without `allowedNamespaces`: its target would be down for ever.
        if settings.allowed_namespaces or not stack.network_policies:
            pod_monitor(self, METRICS)
        service(self, [ServicePortArgs(name="http", port=PORT, target_port=METRICS.port_name)])
        self.register_outputs({"url": self.url})


def _ingress(settings: PrometheusSettings, readers: Sequence[str]) -> list[NetworkPolicyIngressRuleArgs]:
    others = settings.allowed_namespaces
    return [
        *(from_component(component, PORT) for component in (TEMPO, *readers)),
        *([from_namespaces(others, PORT)] if others else []),
    ]


def _container(settings: PrometheusSettings, image: str) -> ContainerArgs:
    return ContainerArgs(
        name=PROMETHEUS,
        image=image,
        args=flags(settings),
        env=[go_memory_limit(settings.resources)],
        ports=[ContainerPortArgs(name=METRICS.port_name, container_port=PORT)],
        resources=resources(settings.resources),
        security_context=container_security(),
        startup_probe=started_when("/-/ready", PORT, within_seconds=START_SECONDS),
        readiness_probe=ready_when("/-/ready", PORT),
        liveness_probe=alive_while("/-/healthy", PORT),
        volume_mounts=[
            VolumeMountArgs(name="config", mount_path=FOLDER, read_only=True),
            VolumeMountArgs(name="data", mount_path=DATA),
        ],
    )
