"""NGINX with the OpenTelemetry module."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    ObjectFieldSelectorArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs
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
from components.kubernetes.component import Component
from components.kubernetes.containers import alive_while, container_security, ready_when, resources, stop_after
from components.kubernetes.exposure import HTTP, PORT_NAME, clients, expose
from components.kubernetes.files import config_object, config_volume, empty_volume, secret_object, secret_volume
from components.kubernetes.monitoring import Metrics, pod_monitor
from components.kubernetes.network import from_anywhere, network_policy, to_component, to_dns, to_hosts
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import autoscaler, deployment, disruption_budget
from components.plan.labels import NGINX
from components.plan.pods import RESOLVE
from settings import NginxSettings, PlusSettings, Settings
from settings.types import seconds, split_endpoint

LAST_EXPORT_SECONDS = 20
"""The module flushes when a worker ends and waits for its exports, without a deadline of its own. If the Collector
hangs, it waits until the kubelet kills it at the end of the grace period."""

NETWORK_SECONDS = 4
"""The kubelet keeps a new pod out of the Service that long, because the module connects once and never repeats a batch.

Nodes refuse a new pod's connections until their NetworkPolicies have its address. Kubernetes has no condition to wait
for, and a Collector that is away must not hold up a pod. gRPC connects when a worker starts, and again 1 s and 2.3 to
2.9 s later. A network that takes 2 s therefore costs no span, with 1 s for the start of the workers.
"""

METRICS = Metrics("health", HEALTH_PORT)
USER = 101
"""The image's own user."""


@dataclass(frozen=True)
class LicensedPlus:
    """The settings and the license of NGINX Plus."""

    settings: PlusSettings
    license: SecretStr
    """The text of license.jwt."""


class NginxOtel(Component):
    """NGINX that sends a span for each request, on a NodePort, a load balancer or an address inside the cluster.

    It is not an ingress controller and reads nothing from the cluster: its routes are the configuration's.
    """

    url: pulumi.Output[str] | None
    """NGINX for clients: from outside, or inside the cluster with `service.type` ClusterIP."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP."""

    image: pulumi.Output[str]
    """The image that runs."""

    pods: pulumi.CustomResource
    """The workload. Pulumi has made or updated it once its pods are Ready."""

    def __init__(
        self,
        name: str,
        settings: NginxSettings,
        stack: StackContext,
        *,
        image: pulumi.Input[str],
        exporter: Endpoint | None,
        after: Sequence[pulumi.Input[pulumi.Resource]] = (),
        plus: LicensedPlus | None = None,
        kept: Decimal = Decimal(1),
        backends: Sequence[tuple[str, int]] = (),
        demo: Endpoint | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: NGINX's settings.
            stack: the settings and the namespace that all components share.
            image: the image that runs, whatever `settings.image` is.
            exporter: the stack's own Collector; none if `settings.exporter.endpoint` names another.
            after: the Collector's pods, and the Services that NGINX looks up. The module connects when NGINX starts. If
                it does not find the Collector, it tries again after 1 s, then after 1.6 times longer each time, and
                drops the spans of the meantime.
            plus: what NGINX Plus needs; none for an image of open source NGINX.
            kept: the share of its spans that the Collector sends on.
            backends: the addresses behind the Services of `settings` that have no pods.
            demo: where the demo takes requests; none without a demo.
            opts: the usual options.

        Raises:
            ValueError: spans have nowhere to go.
        """
        super().__init__("nginx-tracing:index:NginxOtel", name, NGINX, stack, opts)
        self.image = pulumi.Output.from_input(image)
        self.policies = network_policy(
            self,
            ingress=[*clients(settings.service, HTTP_PORT), from_anywhere(METRICS.port)],
            egress=[
                *_egress(settings, stack.namespace_name, exporter, plus, backends),
                *([to_component(demo.component, demo.port)] if demo else []),
            ],
        )
        workload = nginx_workload(self, settings, self.image, exporter, plus=plus, after=[*self.policies, *after])
        self.pods = scaled = deployment(self, workload)
        if settings.autoscaling:
            most, cpu = settings.autoscaling.max_replicas, settings.autoscaling.cpu
            autoscaler(self, scaled, least=settings.replicas, most=most, cpu=cpu)
        pod_monitor(self, METRICS)
        disruption_budget(self, settings.autoscaling.max_replicas if settings.autoscaling else settings.replicas)
        exposed = expose(self, settings.service, port=HTTP, node_port=settings.node_port)
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"url": self.url, "node_port": self.node_port, "image": self.image})


def nginx_workload(
    owner: Component,
    settings: NginxSettings,
    image: pulumi.Output[str],
    exporter: Endpoint | None,
    *,
    plus: LicensedPlus | None = None,
    metrics: Metrics | None = METRICS,
    kept: Decimal = Decimal(1),
    after: Sequence[pulumi.Input[pulumi.Resource]] = (),
) -> Workload:
    """Makes the objects with the files of a component's NGINX, and returns its pods.

    Args:
        owner: the component.
        settings: its NGINX's settings.
        image: the image that runs.
        exporter: the stack's own Collector; none if `settings.exporter.endpoint` names another.
        plus: what NGINX Plus needs; none for an image of open source NGINX.
        metrics: where Prometheus reads the pods' counters; none if it does not.
        kept: the share of its spans that the Collector sends on.
        after: resources that must exist before the pods.

    Raises:
        ValueError: spans have nowhere to go.
    """
    volumes, mounts = _files(owner, settings, exporter, plus, kept)
    return Workload(
        [_container(image, settings, mounts)],
        volumes,
        USER,
        metrics,
        _grace_seconds(settings),
        replicas=settings.replicas,
        autoscaled=settings.autoscaling is not None,
        init_containers=[_resolving(image, settings)] if settings.has_init_container else [],
        depends_on=after,
    )


def _files(
    owner: Component, settings: NginxSettings, exporter: Endpoint | None, plus: LicensedPlus | None, kept: Decimal
) -> tuple[list[VolumeArgs], list[VolumeMountArgs]]:
    """Makes the objects with NGINX's files. Returns the pods' volumes, and the container's mounts."""
    namespace = owner.stack.namespace_name
    endpoint = settings.exporter.endpoint or (str(exporter) if exporter else None)
    if endpoint is None:
        raise ValueError("neither a Collector nor nginx.exporter.endpoint")
    files = _documents(settings, endpoint, namespace, plus, kept)
    # Single files, because the folder also holds the image's mime.types.
    mounts = [_file("config", file) for file in files]
    volumes = [empty_volume("tmp")]
    if settings.has_init_container:
        template = upstreams_conf(settings, namespace, plus.settings if plus else None)
        files |= {UPSTREAMS_FILE: template, RESOLVE_FILE: resolve_script()}
        volumes.append(empty_volume("upstreams"))
        mounts.append(VolumeMountArgs(name="upstreams", mount_path=UPSTREAMS_FOLDER, read_only=True))
    volumes.insert(0, config_volume(config_object(owner, files)))
    secrets = upstream_keys(settings)
    if settings.exporter.headers:
        secrets[EXPORTER_FILE] = exporter_conf(settings.exporter, endpoint=endpoint)
    if secrets:
        volumes.append(secret_volume(secret_object(owner, secrets)))
        mounts += [_file("secrets", file) for file in secrets]
    if plus:
        # Auto-named too: a new license makes new pods.
        license_object = secret_object(owner, {LICENSE_FILE: plus.license.get_secret_value()}, "license")
        volumes += [secret_volume(license_object, "license"), empty_volume("state")]
        mounts += [
            VolumeMountArgs(name="license", mount_path=LICENSE_FOLDER, read_only=True),
            VolumeMountArgs(name="state", mount_path=STATE_FOLDER),
        ]
    return volumes, mounts


def _documents(
    settings: NginxSettings, endpoint: str, namespace: str, plus: LicensedPlus | None, kept: Decimal
) -> dict[str, str]:
    """Returns the files that NGINX reads from the config object, by name."""
    of_plus = plus.settings if plus else None
    document = nginx_conf(settings, exporter=endpoint, namespace=namespace, plus=of_plus, kept=kept)
    files = {"nginx.conf": document, **upstream_files(settings)}
    if settings.exporter.ca_bundle:
        files[CA_FILE] = settings.exporter.ca_bundle
    if plus and plus.settings.usage_report.ca_bundle:
        files[REPORT_CA_FILE] = plus.settings.usage_report.ca_bundle
    return files


def licensed_plus(settings: Settings) -> LicensedPlus | None:
    """Returns what NGINX Plus needs; none if the edition is another, or there is no license."""
    if settings.edition != "plus" or settings.nginx_license_jwt is None:
        return None
    return LicensedPlus(settings.plus, settings.nginx_license_jwt)


def _egress(
    settings: NginxSettings,
    namespace: str,
    exporter: Endpoint | None,
    plus: LicensedPlus | None,
    backends: Sequence[tuple[str, int]],
) -> list[NetworkPolicyEgressRuleArgs]:
    own = None if settings.exporter.endpoint else exporter
    return [
        to_dns(),
        *([to_component(own.component, own.port)] if own else []),
        *to_hosts([*_destinations(settings, namespace, plus), *backends], namespace),
    ]


def _destinations(settings: NginxSettings, namespace: str, plus: LicensedPlus | None) -> list[tuple[str, int]]:
    """Returns the hosts outside of the stack's components that NGINX connects to."""
    hosts = settings.destinations(namespace)
    if plus:
        report = plus.settings.usage_report
        hosts.append(split_endpoint(report.proxy or report.endpoint))
    return hosts


def _grace_seconds(settings: NginxSettings) -> int:
    return int(seconds(settings.shutdown.delay) + seconds(settings.shutdown.timeout)) + LAST_EXPORT_SECONDS


def _file(volume: str, file: str) -> VolumeMountArgs:
    return VolumeMountArgs(name=volume, mount_path=f"{FOLDER}/{file}", sub_path=file, read_only=True)


def _container(image: pulumi.Output[str], settings: NginxSettings, mounts: list[VolumeMountArgs]) -> ContainerArgs:
    return ContainerArgs(
        name=NGINX,
        image=image,
        ports=[
            ContainerPortArgs(name=PORT_NAME, container_port=HTTP_PORT),
            ContainerPortArgs(name=METRICS.port_name, container_port=METRICS.port),
        ],
        resources=resources(settings.resources),
        security_context=container_security(),
        readiness_probe=ready_when("/healthz", HEALTH_PORT, after_seconds=NETWORK_SECONDS),
        liveness_probe=alive_while("/healthz", HEALTH_PORT),
        # Nodes learn of the new pod before this one stops taking connections.
        lifecycle=stop_after(int(seconds(settings.shutdown.delay))),
        volume_mounts=[*mounts, VolumeMountArgs(name="tmp", mount_path="/tmp")],  # noqa: S108 - in the container
    )


def _resolving(image: pulumi.Output[str], settings: NginxSettings) -> ContainerArgs:
    """Returns the init container that writes the pod's nameservers into the upstreams before NGINX starts.

    NGINX cannot read resolv.conf, and only the pod has it: the kubelet writes it. The nameservers may be the DNS
    Service, a node's own cache or a cloud's, under any domain.
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
