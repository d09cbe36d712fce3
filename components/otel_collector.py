"""The OpenTelemetry Collector between NGINX and the backends."""

from collections.abc import Sequence
from math import ceil

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    SecretKeySelectorArgs,
    ServicePortArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs, NetworkPolicyIngressRuleArgs

from components.collector_pods import (
    DELAY_SECONDS,
    QUEUE,
    TOOLS,
    bringing_busybox,
    lifecycle,
    tell_of_volumes,
)
from components.documents import Document, dump
from components.documents.collector import (
    FOLDER,
    HEALTH_PORT,
    METRICS_PORT,
    OTLP_HTTP_PORT,
    OTLP_PORT,
    QUEUE_FOLDER,
    SECRETS_FOLDER,
    certificate_files,
    collector_document,
    secret_files,
)
from components.documents.collector_drain import DRAIN_FILE, TOOLS_FOLDER, drain_script
from components.documents.collector_proxy import not_proxied, proxy_url
from components.documents.collector_tiers import first_tier_document, second_tier_document
from components.kubernetes.accounts import pod_reader
from components.kubernetes.component import Component
from components.kubernetes.containers import (
    alive_while,
    container_security,
    go_memory_limit,
    ready_when,
    resources,
)
from components.kubernetes.files import config_object, config_volume, empty_volume, secret_object, secret_volume
from components.kubernetes.monitoring import Metrics, pod_monitor
from components.kubernetes.network import (
    from_anywhere,
    from_component,
    from_namespaces,
    network_policy,
    to_component,
    to_dns,
    to_hosts,
    to_kubernetes_api,
)
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint, service
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import Scale, autoscaler, deployment, disruption_budget, stateful_set
from components.plan.labels import COLLECTOR, DECIDER, NGINX, service_host
from components.plan.pods import DRAIN
from settings import CollectorSettings
from settings.collector_tiers import decider_delay, first_tier, second_tier
from settings.limits import Exports
from settings.types import amount, split_endpoint

METRICS = Metrics("metrics", METRICS_PORT)
SENDING_SECONDS = 40
"""Meanwhile a Collector that ends sends its memory's spans to the backends, if they take them."""

USER = 10001
"""The image's own user."""


class OtelCollector(Component):
    """A Collector that takes spans from inside the cluster, batches them and sends them on until backends take them.

    It holds spans in memory, which are lost if it is killed, or on a volume, from which the next one sends them.

    Tail sampling with several replicas has two of these components: the second tier decides about traces, and the first
    one sends all spans of a trace to the same pod of the second.
    """

    otlp_endpoint: Endpoint
    """Where the Collector receives spans, OTLP over gRPC without TLS."""

    pods: pulumi.Input[pulumi.CustomResource]
    """The workload. Pulumi has made or updated it once its pods are Ready."""

    def __init__(
        self,
        name: str,
        settings: CollectorSettings,
        stack: StackContext,
        *,
        backend: Endpoint | None,
        exports: Exports,
        backends: Sequence[tuple[str, int]] = (),
        demo: Sequence[str] = (),
        decides: bool = False,
        deciders: "OtelCollector | None" = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: the Collector's settings.
            stack: the settings and the namespace that all components share.
            backend: the stack's own Tempo; none if it has none.
            exports: the sizes of NGINX's exports.
            backends: the addresses behind the Services of `settings.exporters` that have no pods.
            demo: the demo's components, which send spans too.
            decides: whether it is the second tier.
            deciders: the second tier, if this is the first of two.
            opts: the usual options.
        """
        component = DECIDER if decides else COLLECTOR
        super().__init__("nginx-tracing:index:OtelCollector", name, component, stack, opts)
        self.otlp_endpoint = Endpoint(component, stack.namespace_name, OTLP_PORT)
        namespace = stack.namespace_name
        if deciders:
            backend, backends = deciders.otlp_endpoint, ()
            document = first_tier_document(settings, deciders=service_host(DECIDER, namespace), namespace=namespace)
        else:
            to = str(backend) if backend else None
            make = second_tier_document if decides else collector_document
            document = make(settings, backend=to, namespace=namespace, exports=exports)
        settings = (second_tier if decides else first_tier)(settings)
        self._settings = settings
        volumes, mounts = self._files(document)
        # The Collector finds a pod's Deployment by its ReplicaSet.
        account = pod_reader(self, [("apps", "replicasets")]) if settings.kubernetes_attributes else None
        delay = decider_delay(settings) if decides else DELAY_SECONDS
        container = _container(settings, stack.images["collector"], mounts, self._proxy(), delay)
        senders = [COLLECTOR] if decides else [NGINX, *demo]
        self.policies = network_policy(
            self, ingress=_ingress(settings, senders), egress=_egress(settings, backend, stack, backends)
        )
        queue, drain = settings.queue, settings.queue.drain_seconds
        workload = Workload(
            [container],
            volumes,
            USER,
            METRICS,
            delay + SENDING_SECONDS + drain,
            drain_seconds=drain,
            replicas=settings.replica_count,
            autoscaled=settings.autoscaling is not None,
            service_account=account,
            init_containers=[bringing_busybox(settings, stack.images[DRAIN])] if queue.drains else [],
            # The first tier would otherwise wait for pods that may not become Ready.
            depends_on=[*self.policies, *([deciders.pods] if deciders else [])],
        )
        self.pods = self._workload(workload)
        pod_monitor(self, METRICS)
        disruption_budget(self, settings.most_replicas)
        traffic = None if decides else settings.traffic_distribution
        service(self, _service_ports(settings), is_headless=decides, traffic_distribution=traffic)
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint)})

    def _workload(self, workload: Workload) -> pulumi.Input[pulumi.CustomResource]:
        """Makes the pods' workload, and the autoscaler. Returns the workload once its pods are Ready."""
        queue, auto = self._settings.queue, self._settings.autoscaling
        scale = Scale(workload.replicas, auto.max_replicas, auto.cpu) if auto else None
        if queue.is_persistent:
            hook = tell_of_volumes(self.component, self.resource_name, self._settings)
            size, storage_class = queue.size, queue.storage_class
            return stateful_set(
                self, workload, QUEUE, size=size, storage_class=storage_class, scale=scale, before_update=[hook]
            )
        made = deployment(self, workload)
        if scale:
            autoscaler(self, made, least=scale.least, most=scale.most, cpu=scale.cpu, is_child=False)
        return made

    def _files(self, document: Document) -> tuple[list[VolumeArgs], list[VolumeMountArgs]]:
        """Makes the objects with the Collector's files. Returns the pods' volumes, and the container's mounts."""
        queue = self._settings.queue
        files = {"config.yaml": dump(document)} | certificate_files(self._settings.exporters)
        if queue.drains:
            files[DRAIN_FILE] = drain_script()
        volumes = [config_volume(config_object(self, files))]
        mounts = [VolumeMountArgs(name="config", mount_path=FOLDER, read_only=True)]
        if queue.is_persistent:
            # The StatefulSet adds this volume to each pod.
            mounts.append(VolumeMountArgs(name=QUEUE, mount_path=QUEUE_FOLDER))
        if queue.drains:
            volumes.append(empty_volume(TOOLS))
            mounts.append(VolumeMountArgs(name=TOOLS, mount_path=TOOLS_FOLDER, read_only=True))
        if secrets := secret_files(self._settings.exporters):
            volumes.append(secret_volume(secret_object(self, secrets)))
            mounts.append(VolumeMountArgs(name="secrets", mount_path=SECRETS_FOLDER, read_only=True))
        return volumes, mounts

    def _proxy(self) -> list[EnvVarArgs]:
        """Returns the proxy's variables, which the Collector and gRPC read. A Secret has them if there is a login."""
        proxy = self._settings.proxy
        if proxy is None:
            return []
        names, url = ("HTTP_PROXY", "HTTPS_PROXY"), proxy_url(proxy)
        # NO_PROXY refers to a variable of the kubelet's, the API server's address, and to none of the variables here.
        past = EnvVarArgs(name="NO_PROXY", value=not_proxied(self._settings))
        if proxy.password is None:
            return [*(EnvVarArgs(name=name, value=url) for name in names), past]
        secret = secret_object(self, {"url": url}, "proxy")
        source = EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=secret.metadata["name"], key="url"))
        return [*(EnvVarArgs(name=name, value_from=source) for name in names), past]


def _ports(settings: CollectorSettings) -> dict[str, int]:
    ports = {"otlp-grpc": OTLP_PORT, METRICS.port_name: METRICS.port, "health": HEALTH_PORT}
    return ports | ({"otlp-http": OTLP_HTTP_PORT} if settings.receivers.http else {})


def _service_ports(settings: CollectorSettings) -> list[ServicePortArgs]:
    return [
        ServicePortArgs(name=name, port=port, target_port=name)
        for name, port in _ports(settings).items()
        # Each pod has counters and health of its own: whoever reads them asks the pods.
        if port not in {HEALTH_PORT, METRICS_PORT}
    ]


def _ingress(settings: CollectorSettings, senders: Sequence[str]) -> list[NetworkPolicyIngressRuleArgs]:
    ports = [OTLP_PORT, *([OTLP_HTTP_PORT] if settings.receivers.http else [])]
    # Counters are no secret. The cluster decides who reads them: Prometheus, or the API server for `probe`.
    rules = [*(from_component(sender, *ports) for sender in senders), from_anywhere(METRICS_PORT)]
    return [*rules, from_namespaces(settings.receivers.namespaces, *ports)] if settings.receivers.namespaces else rules


def _egress(
    settings: CollectorSettings, backend: Endpoint | None, stack: StackContext, backends: Sequence[tuple[str, int]]
) -> list[NetworkPolicyEgressRuleArgs]:
    hosts = settings.destinations
    if settings.proxy is not None:
        hosts.append(split_endpoint(settings.proxy.url))
    return [
        to_dns(),
        *([to_component(backend.component, backend.port)] if backend else []),
        *to_hosts([*hosts, *backends], stack.namespace_name),
        *([to_kubernetes_api(stack.api_ports)] if settings.kubernetes_attributes else []),
    ]


def _container(
    settings: CollectorSettings,
    image: str,
    mounts: list[VolumeMountArgs],
    environment: list[EnvVarArgs],
    delay: int,
) -> ContainerArgs:
    return ContainerArgs(
        name=COLLECTOR,
        image=image,
        args=[f"--config={FOLDER}/config.yaml"],
        # GOGC 200 halves the rounds of garbage collection, which saves a fifth of the CPU time at 500 spans a second.
        env=[
            go_memory_limit(settings.resources),
            EnvVarArgs(name="GOGC", value="200"),
            _cores(settings),
            *environment,
        ],
        ports=[ContainerPortArgs(name=name, container_port=port) for name, port in _ports(settings).items()],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/", HEALTH_PORT),
        # A Collector that hangs is not given the time to send a queue.
        liveness_probe=alive_while(
            "/", HEALTH_PORT, grace_seconds=delay + SENDING_SECONDS if settings.queue.drains else None
        ),
        lifecycle=lifecycle(settings, delay),
        volume_mounts=mounts,
    )


def _cores(settings: CollectorSettings) -> EnvVarArgs:
    """Returns the number of cores that Go uses: those of the CPU limit, else one.

    Go uses all cores of the node by default, and its threads wake for each message. That costs a sixth of the CPU time
    at 500 spans a second, with two cores. One core took 244 000 spans a second from the official module; more load
    needs more replicas.
    """
    limit = settings.resources.cpu_limit
    return EnvVarArgs(name="GOMAXPROCS", value=str(ceil(amount(limit))) if limit else "1")
