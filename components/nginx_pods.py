"""The pods of NGINX with the OpenTelemetry module: of the stack's own, and of the demo's services."""

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
from pydantic import SecretStr

from components.documents.nginx import (
    CA_FILE,
    EXPORTER_FILE,
    HEALTH_PORT,
    HTTP_PORT,
    LICENSE_FILE,
    LICENSE_FOLDER,
    REPORT_CA_FILE,
    STATE_FOLDER,
    exporter_conf,
    nginx_conf,
)
from components.documents.nginx_upstreams import (
    FOLDER,
    RESOLVE_FILE,
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    resolve_script,
    upstream_files,
    upstream_keys,
    upstreams_conf,
)
from components.kubernetes.component import Component
from components.kubernetes.containers import alive_while, container_security, ready_when, resources, stop_after
from components.kubernetes.exposure import PORT_NAME
from components.kubernetes.files import config_object, config_volume, empty_volume, secret_object, secret_volume
from components.kubernetes.monitoring import Metrics
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint
from components.plan.labels import NGINX
from components.plan.pods import RESOLVE
from settings import NginxSettings, PlusSettings
from settings.types import seconds

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
