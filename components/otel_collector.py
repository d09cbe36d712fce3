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
    ServiceAccount,
    ServicePortArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs, NetworkPolicyIngressRuleArgs

from components.documents import dump
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
    not_proxied,
    proxy_url,
    secret_files,
)
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
    disruption_budget,
    go_memory_limit,
    pod_monitor,
    ready_when,
    resources,
    secret_object,
    secret_volume,
    service,
    stateful_set,
    stop_after,
)
from components.plan.labels import COLLECTOR, NGINX
from components.plan.objects import ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Kind
from settings import CollectorSettings
from settings.limits import Exports
from settings.types import amount, split_endpoint

METRICS = Metrics("metrics", METRICS_PORT)
DELAY_SECONDS = 5
GRACE_SECONDS = DELAY_SECONDS + 40
"""What is in memory goes to its backends after a pod's end was decided, if they take it."""

USER = 10001
"""The image's own user."""


class OtelCollector(pulumi.ComponentResource):
    """A Collector that takes spans from inside the cluster, batches them and sends them on until they are taken.

    What it holds is in memory, and lost when it is killed, or in a volume, and sent by the next one.
    """

    otlp_endpoint: Endpoint
    """Where spans are received, OTLP over gRPC without TLS."""

    pods: pulumi.CustomResource
    """The workload: there, or updated, once its pods are Ready."""

    policies: list[pulumi.Resource]
    """The network policies that its pods need; none where they are off."""

    def __init__(
        self,
        name: str,
        settings: CollectorSettings,
        stack: StackContext,
        *,
        backend: Endpoint | None,
        exports: Exports,
        backends: Sequence[tuple[str, int]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            stack: what holds for all components.
            backend: the stack's own Tempo; none if it has none.
            exports: what NGINX sends.
            backends: where Services lead that exporters name, as far as that is no pod of their namespace.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:OtelCollector", name, None, opts)
        self.otlp_endpoint = Endpoint(COLLECTOR, stack.namespace_name, OTLP_PORT)

        document = collector_document(
            settings,
            backend=str(backend) if backend else None,
            namespace=stack.namespace_name,
            exports=exports,
        )
        files = {"config.yaml": dump(document)} | certificate_files(settings.exporters)
        volumes = [config_volume(config_object(COLLECTOR, files, stack=stack, parent=self))]
        mounts = [VolumeMountArgs(name="config", mount_path=FOLDER, read_only=True)]
        if settings.queue.storage == "persistent":
            mounts.append(VolumeMountArgs(name="queue", mount_path=QUEUE_FOLDER))
        secrets = secret_files(settings.exporters)
        if secrets:
            volumes.append(secret_volume(secret_object(COLLECTOR, secrets, stack=stack, parent=self)))
            mounts.append(VolumeMountArgs(name="secrets", mount_path=SECRETS_FOLDER, read_only=True))
        account = _pod_reader(stack, self) if settings.kubernetes_attributes else None
        container = _container(settings, stack.images["collector"], mounts, self._proxy(settings, stack))
        self.policies = network_policy(
            COLLECTOR,
            ingress=_ingress(settings),
            egress=_egress(settings, backend, stack, backends),
            stack=stack,
            parent=self,
        )
        workload = Workload(
            COLLECTOR,
            [container],
            volumes,
            USER,
            METRICS,
            grace_seconds=GRACE_SECONDS,
            replicas=settings.replica_count,
            service_account=account,
            depends_on=self.policies,
        )
        if settings.queue.storage == "persistent":
            queue = settings.queue
            self.pods = stateful_set(
                workload, "queue", size=queue.size, storage_class=queue.storage_class, stack=stack, parent=self
            )
        else:
            self.pods = deployment(workload, stack=stack, parent=self)
        pod_monitor(workload, stack=stack, parent=self)
        disruption_budget(COLLECTOR, settings.replica_count, stack=stack, parent=self)
        ports = [
            ServicePortArgs(name=port_name, port=port, target_port=port_name)
            for port_name, port in _ports(settings).items()
            # Counters and health are each pod's own: who reads them asks the pods.
            if port not in {HEALTH_PORT, METRICS_PORT}
        ]
        service(COLLECTOR, ports, stack=stack, parent=self)
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint)})

    def _proxy(self, settings: CollectorSettings, stack: StackContext) -> list[EnvVarArgs]:
        """The variables of the proxy, which the Collector and gRPC read; with a login they are in a Secret."""
        proxy = settings.proxy
        if proxy is None:
            return []
        names, url = ("HTTP_PROXY", "HTTPS_PROXY"), proxy_url(proxy)
        # Before NO_PROXY comes nothing that it needs: the kubelet knows the API server's address by itself.
        past = EnvVarArgs(name="NO_PROXY", value=not_proxied(settings))
        if proxy.password is None:
            return [*(EnvVarArgs(name=name, value=url) for name in names), past]
        secret = secret_object(COLLECTOR, {"url": url}, stack=stack, parent=self, name="proxy")
        source = EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=secret.metadata["name"], key="url"))
        return [*(EnvVarArgs(name=name, value_from=source) for name in names), past]


def _ports(settings: CollectorSettings) -> dict[str, int]:
    ports = {"otlp-grpc": OTLP_PORT, "metrics": METRICS_PORT, "health": HEALTH_PORT}
    return ports | ({"otlp-http": OTLP_HTTP_PORT} if settings.receivers.http else {})


def _ingress(settings: CollectorSettings) -> list[NetworkPolicyIngressRuleArgs]:
    ports = [OTLP_PORT, *([OTLP_HTTP_PORT] if settings.receivers.http else [])]
    # Counters are no secret, and who reads them is the cluster's matter: Prometheus, or the API server for `probe`.
    rules = [from_component(NGINX, *ports), from_anywhere(METRICS_PORT)]
    return [*rules, from_namespaces(settings.receivers.namespaces, *ports)] if settings.receivers.namespaces else rules


def _egress(
    settings: CollectorSettings, backend: Endpoint | None, stack: StackContext, backends: Sequence[tuple[str, int]]
) -> list[NetworkPolicyEgressRuleArgs]:
    hosts = [split_endpoint(exporter.endpoint) for exporter in settings.exporters.values()]
    if settings.proxy is not None:
        hosts.append(split_endpoint(settings.proxy.url))
    return [
        to_dns(),
        *([to_component(backend.component, backend.port)] if backend else []),
        *to_hosts([*hosts, *backends], stack.namespace_name),
        *([to_kubernetes_api(stack.api_ports)] if settings.kubernetes_attributes else []),
    ]


def _container(
    settings: CollectorSettings, image: str, mounts: list[VolumeMountArgs], environment: list[EnvVarArgs]
) -> ContainerArgs:
    return ContainerArgs(
        name=COLLECTOR,
        image=image,
        args=[f"--config={FOLDER}/config.yaml"],
        # Half as many rounds of garbage collection: a fifth of the CPU time at 500 spans a second.
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
        liveness_probe=alive_while("/", HEALTH_PORT),
        # NGINX is told of the new pod before this one stops to listen.
        lifecycle=stop_after(DELAY_SECONDS),
        volume_mounts=mounts,
    )


def _cores(settings: CollectorSettings) -> EnvVarArgs:
    """The cores that Go uses: those of the CPU limit, else one.

    Go takes all of the node's by default, and its threads wake for each message: a sixth of the CPU time at 500 spans a
    second, with two cores. One core took 244 000 spans a second from the official module; for more load there are more
    replicas.
    """
    limit = settings.resources.cpu_limit
    return EnvVarArgs(name="GOMAXPROCS", value=str(ceil(amount(limit))) if limit else "1")


def _pod_reader(stack: StackContext, parent: pulumi.Resource) -> pulumi.Output[str]:
    """An account that may read the namespace's pods, and no other's; gives its name."""
    # Imported here: each group of the Kubernetes SDK costs a part of a second, and few stacks need this one.
    from pulumi_kubernetes.rbac.v1 import (  # noqa: PLC0415
        PolicyRuleArgs,
        Role,
        RoleBinding,
        RoleRefArgs,
        SubjectArgs,
    )

    name, options = parent.pulumi_resource_name, pulumi.ResourceOptions(parent=parent)

    def named(kind: Kind) -> ObjectMetaArgs:
        return stack.metadata(kind, COLLECTOR, COLLECTOR)

    account = ServiceAccount(name, metadata=named(SERVICE_ACCOUNT), automount_service_account_token=False, opts=options)
    verbs = ["get", "list", "watch"]
    role = Role(
        name,
        metadata=named(ROLE),
        rules=[
            PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=verbs),
            # A pod's Deployment is known by its ReplicaSet.
            PolicyRuleArgs(api_groups=["apps"], resources=["replicasets"], verbs=verbs),
        ],
        opts=options,
    )
    binding = RoleBinding(
        name,
        metadata=named(ROLE_BINDING),
        role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata["name"]),
        subjects=[SubjectArgs(kind="ServiceAccount", name=account.metadata["name"], namespace=stack.namespace)],
        opts=options,
    )
    # Not before the account may do it: the Collector would end at once.
    return pulumi.Output.all(account.metadata["name"], binding.id).apply(lambda known: str(known[0]))
