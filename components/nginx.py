"""NGINX with the OpenTelemetry module."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    ObjectFieldSelectorArgs,
    VolumeMountArgs,
)
from pydantic import SecretStr

from components.documents.nginx import (
    CA_FILE,
    EXPORTER_FILE,
    FOLDER,
    HEALTH_PORT,
    HTTP_PORT,
    LICENSE_FILE,
    LICENSE_FOLDER,
    REPORT_CA_FILE,
    RESOLVE_FILE,
    STATE_FOLDER,
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    exporter_conf,
    nginx_conf,
    resolve_script,
    upstream_files,
    upstream_keys,
    upstreams_conf,
)
from components.kubernetes.exposure import HTTP, clients, expose
from components.kubernetes.network import from_anywhere, network_policy, to_component, to_dns, to_hosts
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
    empty_volume,
    pod_monitor,
    ready_when,
    resources,
    secret_object,
    secret_volume,
    stop_after,
)
from components.plan.labels import NGINX
from components.plan.objects import AUTOSCALER
from components.plan.pods import RESOLVE
from settings import NginxSettings, PlusSettings, Settings
from settings.nginx import Autoscaling
from settings.types import seconds, split_endpoint

LAST_EXPORT_SECONDS = 20
"""The module flushes when a worker ends and waits for its exports, without a deadline of its own: with a Collector that
hangs, until the kubelet kills it at the end of the grace period."""

NETWORK_SECONDS = 4
"""A new pod is left out of the Service that long, because the module connects once and never repeats a batch.

Nodes refuse a new pod's connections until their NetworkPolicies have its address. Kubernetes has no condition to wait
for, and a Collector that is away must hold no pod. gRPC connects when a worker starts, and again 1 s and 2.3 to 2.9 s
later. A network that takes 2 s therefore costs no span, with 1 s for the start of the workers.
"""

METRICS = Metrics("health", HEALTH_PORT)
USER = 101
"""The image's own user."""


@dataclass(frozen=True)
class LicensedPlus:
    """What runs NGINX Plus."""

    settings: PlusSettings
    license: SecretStr
    """The text of license.jwt."""


class NginxOtel(pulumi.ComponentResource):
    """NGINX that sends a span for each request, on a NodePort, a load balancer or an address inside the cluster.

    It is not an ingress controller and reads nothing from the cluster: its routes are the configuration's.
    """

    url: pulumi.Output[str] | None
    """NGINX for clients: from outside, or inside the cluster with `service.type` ClusterIP."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP."""

    image: pulumi.Output[str]
    """The image that runs."""

    policies: list[pulumi.Resource]
    """The network policies that its pods need; none where they are off."""

    pods: pulumi.CustomResource
    """The workload: there, or updated, once its pods are Ready."""

    def __init__(
        self,
        name: str,
        settings: NginxSettings,
        stack: StackContext,
        *,
        image: pulumi.Input[str],
        exporter: Endpoint | None,
        after: pulumi.Resource | None = None,
        plus: LicensedPlus | None = None,
        backends: Sequence[tuple[str, int]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: what can be configured.
            stack: what holds for all components.
            image: the image that runs; `settings.image` is not looked at.
            exporter: the stack's own Collector; none where `settings.exporter.endpoint` names another.
            after: its pods. The module connects when NGINX starts. A Collector that it does not find it looks for again
                after 1 s, then after 1.6 times longer each time, and what comes meanwhile is lost.
            plus: what NGINX Plus needs, where the image is one of it.
            backends: where Services lead that upstreams name, as far as that is no pod of their namespace.
            opts: the usual options.

        Raises:
            ValueError: spans have nowhere to go.
        """
        super().__init__("nginx-tracing:index:NginxOtel", name, None, opts)
        self.image = pulumi.Output.from_input(image)
        endpoint = settings.exporter.endpoint or (str(exporter) if exporter else None)
        if endpoint is None:
            raise ValueError("neither a Collector nor nginx.exporter.endpoint")

        document = nginx_conf(
            settings, exporter=endpoint, namespace=stack.namespace_name, plus=plus.settings if plus else None
        )
        files = {"nginx.conf": document, **upstream_files(settings)}
        if settings.exporter.ca_bundle:
            files[CA_FILE] = settings.exporter.ca_bundle
        if plus and plus.settings.usage_report.ca_bundle:
            files[REPORT_CA_FILE] = plus.settings.usage_report.ca_bundle
        # Single files: the folder holds the image's mime.types besides.
        mounts = [_file("config", file) for file in files]
        init_containers: list[ContainerArgs] = []
        volumes = [empty_volume("tmp")]
        if upstreams := upstreams_conf(settings, stack.namespace_name):
            files |= {UPSTREAMS_FILE: upstreams, RESOLVE_FILE: resolve_script()}
            init_containers.append(_resolving(self.image, settings))
            volumes.append(empty_volume("upstreams"))
            mounts.append(VolumeMountArgs(name="upstreams", mount_path=UPSTREAMS_FOLDER, read_only=True))
        volumes.insert(0, config_volume(config_object(NGINX, files, stack=stack, parent=self)))
        secrets = upstream_keys(settings)
        if settings.exporter.headers:
            secrets[EXPORTER_FILE] = exporter_conf(settings.exporter, endpoint=endpoint)
        if secrets:
            volumes.append(secret_volume(secret_object(NGINX, secrets, stack=stack, parent=self)))
            mounts += [_file("secrets", file) for file in secrets]
        if plus:
            license_files = {LICENSE_FILE: plus.license.get_secret_value()}
            # Auto-named too: a new license makes new pods.
            license_object = secret_object(NGINX, license_files, stack=stack, parent=self, name="license")
            volumes += [secret_volume(license_object, "license"), empty_volume("state")]
            mounts += [
                VolumeMountArgs(name="license", mount_path=LICENSE_FOLDER, read_only=True),
                VolumeMountArgs(name="state", mount_path=STATE_FOLDER),
            ]
        self.policies = network_policy(
            NGINX,
            ingress=[*clients(settings.service, HTTP_PORT), from_anywhere(METRICS.port)],
            egress=[
                to_dns(),
                *(
                    [to_component(exporter.component, exporter.port)]
                    if exporter and not settings.exporter.endpoint
                    else []
                ),
                *to_hosts([*_destinations(settings, stack.namespace_name, plus), *backends], stack.namespace_name),
            ],
            stack=stack,
            parent=self,
        )
        container = _container(self.image, settings, mounts)
        workload = Workload(
            NGINX,
            [container],
            volumes,
            USER,
            METRICS,
            init_containers=init_containers,
            grace_seconds=_grace_seconds(settings),
            replicas=settings.replicas,
            autoscaled=settings.autoscaling is not None,
            depends_on=[*self.policies, *([after] if after else [])],
        )
        scaled = deployment(workload, stack=stack, parent=self)
        self.pods = scaled
        if settings.autoscaling:
            _autoscaler(settings, settings.autoscaling, scaled, stack=stack)
        pod_monitor(workload, stack=stack, parent=self)
        most = settings.autoscaling.max_replicas if settings.autoscaling else settings.replicas
        disruption_budget(NGINX, most, stack=stack, parent=self)
        exposed = expose(NGINX, settings.service, port=HTTP, node_port=settings.node_port, stack=stack, parent=self)
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"url": self.url, "node_port": self.node_port, "image": self.image})


def licensed_plus(settings: Settings) -> LicensedPlus | None:
    """What runs NGINX Plus, with that edition and a license."""
    if settings.edition != "plus" or settings.nginx_license_jwt is None:
        return None
    return LicensedPlus(settings.plus, settings.nginx_license_jwt)


def _destinations(settings: NginxSettings, namespace: str, plus: LicensedPlus | None) -> list[tuple[str, int]]:
    """What NGINX connects to outside of the stack's components."""
    upstreams = [route.upstream for route in settings.routes if route.upstream]
    # `localhost` is the pod itself.
    hosts = [
        (upstream.name(namespace), upstream.port) for upstream in upstreams if upstream.name(namespace) != "localhost"
    ]
    hosts += [split_endpoint(address) for address in settings.egress]
    if settings.exporter.endpoint:
        hosts.append(split_endpoint(settings.exporter.endpoint))
    if plus:
        report = plus.settings.usage_report
        hosts.append(split_endpoint(report.proxy or report.endpoint))
    return hosts


def _grace_seconds(settings: NginxSettings) -> int:
    return int(seconds(settings.shutdown.delay) + seconds(settings.shutdown.timeout)) + LAST_EXPORT_SECONDS


def _autoscaler(settings: NginxSettings, autoscaling: Autoscaling, scaled: Deployment, *, stack: StackContext) -> None:
    # Imported here: few stacks need it.
    from pulumi_kubernetes.autoscaling.v2 import (  # noqa: PLC0415
        CrossVersionObjectReferenceArgs,
        HorizontalPodAutoscaler,
        HorizontalPodAutoscalerSpecArgs,
        MetricSpecArgs,
        MetricTargetArgs,
        ResourceMetricSourceArgs,
    )

    target = MetricTargetArgs(type="Utilization", average_utilization=autoscaling.cpu)
    HorizontalPodAutoscaler(
        scaled.pulumi_resource_name,
        metadata=stack.metadata(AUTOSCALER, NGINX, NGINX, annotations={"pulumi.com/skipAwait": "true"}),
        spec=HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind="Deployment", name=scaled.metadata["name"]
            ),
            min_replicas=settings.replicas,
            max_replicas=autoscaling.max_replicas,
            metrics=[MetricSpecArgs(type="Resource", resource=ResourceMetricSourceArgs(name="cpu", target=target))],
        ),
        opts=pulumi.ResourceOptions(parent=scaled),
    )


def _file(volume: str, file: str) -> VolumeMountArgs:
    return VolumeMountArgs(name=volume, mount_path=f"{FOLDER}/{file}", sub_path=file, read_only=True)


def _container(image: pulumi.Output[str], settings: NginxSettings, mounts: list[VolumeMountArgs]) -> ContainerArgs:
    return ContainerArgs(
        name=NGINX,
        image=image,
        ports=[
            ContainerPortArgs(name="http", container_port=HTTP_PORT),
            ContainerPortArgs(name="health", container_port=HEALTH_PORT),
        ],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/healthz", HEALTH_PORT, after_seconds=NETWORK_SECONDS),
        liveness_probe=alive_while("/healthz", HEALTH_PORT),
        # Nodes are told of the new pod before this one stops to take connections.
        lifecycle=stop_after(int(seconds(settings.shutdown.delay))),
        volume_mounts=[*mounts, VolumeMountArgs(name="tmp", mount_path="/tmp")],  # noqa: S108 - in the container
    )


def _resolving(image: pulumi.Output[str], settings: NginxSettings) -> ContainerArgs:
    """What writes the pod's nameservers into the upstreams, once, before NGINX starts.

    NGINX cannot read them, and no other place knows them: kubelets write them into their pods, and they are the DNS
    Service's, a node's own cache or a cloud's, under whatever domain.
    """
    template, target = f"{_TEMPLATES_FOLDER}/{UPSTREAMS_FILE}", f"{UPSTREAMS_FOLDER}/{UPSTREAMS_FILE}"
    addresses = ObjectFieldSelectorArgs(field_path="status.podIPs")
    return ContainerArgs(
        name=RESOLVE,
        image=image,
        command=["/bin/sh", f"{_TEMPLATES_FOLDER}/{RESOLVE_FILE}", "/etc/resolv.conf", template, target],
        env=[EnvVarArgs(name="POD_IPS", value_from=EnvVarSourceArgs(field_ref=addresses))],
        resources=resources(settings.resources),
        security_context=container_security(),
        volume_mounts=[
            VolumeMountArgs(name="config", mount_path=_TEMPLATES_FOLDER, read_only=True),
            VolumeMountArgs(name="upstreams", mount_path=UPSTREAMS_FOLDER),
        ],
    )


_TEMPLATES_FOLDER = "/config"
