"""Grafana, which shows the stack's traces: a pod of its own, or the files for a Grafana that is there."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import ConfigMap, ContainerArgs, ContainerPortArgs, Secret, VolumeMountArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs
from pydantic import SecretStr

from components.documents.grafana import (
    CONF_FILE,
    COUNT_SPANS,
    COUNT_WEIGHTS,
    DATA,
    FOLDER,
    HTTP_PORT,
    PLACES,
    PROVIDER_FILE,
    SECRETS_FOLDER,
    SOURCES_FILE,
    Source,
    Sources,
    files,
    secret_files,
    sidecar_files,
    sidecar_source,
)
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
from components.kubernetes.network import network_policy, to_component, to_dns, to_hosts
from components.kubernetes.pod_template import Workload
from components.kubernetes.services import Endpoint
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import pods_with
from components.plan.labels import GRAFANA
from components.plan.objects import CONFIG_MAP, DASHBOARDS, DATA_SOURCES, SECRET
from settings import GrafanaSettings
from settings.grafana import uid
from settings.types import split_endpoint

USER = 472
"""The image's own user (grafana.com, "Run Grafana Docker image"), as in the Helm chart."""

GRACE_SECONDS = 30
"""Kubernetes' default: Grafana ends its requests and closes its database."""

START_SECONDS = 600
"""Our choice: ten minutes for Grafana to make or migrate its database, which a slow volume draws out."""

WRITABLE = {"data": DATA, "logs": "/var/log/grafana", "tmp": "/tmp"}  # noqa: S108 - in the container
"""The folders that the image writes to, by their volumes' names. Its root is read-only."""


@dataclass(frozen=True)
class Reads:
    """The sources that Grafana reads from."""

    tempo: Endpoint
    """Tempo's API."""

    tempo_password: SecretStr | None
    prometheus: Endpoint | str | None = None
    """The stack's own Prometheus, or the URL of one. One in Grafana's settings has precedence over it."""

    has_stable_names: bool = False
    """Whether NGINX's spans have the stable names of attributes alone."""

    are_weighed: bool = False
    """Whether spans say how many requests they stand for."""

    def sources(self, settings: GrafanaSettings, stack: StackContext) -> Sources:
        """Returns the data sources."""
        name, password = stack.namespace_name, self.tempo_password
        chosen, logs = settings.prometheus, settings.logs
        own = Source(uid("prometheus", name), _url(self.prometheus)) if self.prometheus else None
        return Sources(
            name,
            _url(self.tempo),
            password.get_secret_value() if password else None,
            Source(chosen.uid, chosen.url) if chosen else own,
            Source(logs.uid, logs.url) if logs else None,
            "server.address" if self.has_stable_names else "net.host.name",
            COUNT_WEIGHTS if self.are_weighed else COUNT_SPANS,
        )

    def egress(self, settings: GrafanaSettings, stack: StackContext) -> list[NetworkPolicyEgressRuleArgs]:
        """Returns whom Grafana may reach: its data sources. No rule allows the internet."""
        configured = (settings.prometheus, settings.logs)
        urls = [source.url for source in configured if source and source.url]
        pods = [self.tempo]
        own = None if settings.prometheus else self.prometheus
        if isinstance(own, Endpoint):
            pods.append(own)
        elif own:
            urls.append(own)
        return [
            to_dns(),
            *(to_component(endpoint.component, endpoint.port) for endpoint in pods),
            *to_hosts(map(split_endpoint, urls), stack.namespace_name),
        ]


def _url(place: Endpoint | str) -> str:
    return f"http://{place}" if isinstance(place, Endpoint) else place


class Grafana(Component):
    """A Grafana with the stack's data sources and dashboards.

    It reaches those data sources and nothing else. It keeps its database on the pod's own disk, which ends with the
    pod, or on a volume.
    """

    url: pulumi.Output[str] | None
    """Grafana's page. Its user is `admin`."""

    def __init__(
        self,
        name: str,
        settings: GrafanaSettings,
        stack: StackContext,
        reads: Reads,
        *,
        password: SecretStr,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config objects, the workload and the Service.

        Args:
            name: the resource's name.
            settings: Grafana's settings.
            stack: the settings and the namespace that all components share.
            reads: what it reads from.
            password: the password of its user `admin`.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:Grafana", name, GRAFANA, stack, opts)
        ingress, egress = clients(settings.service, HTTP_PORT), reads.egress(settings, stack)
        self.policies = network_policy(self, ingress=ingress, egress=egress)
        sources = reads.sources(settings, stack)
        storage = settings.persistence
        secrets = secret_object(self, secret_files(sources, password=password.get_secret_value()))
        volumes = [config_volume(config_object(self, files(sources))), secret_volume(secrets)]
        volumes += [empty_volume(volume) for volume in WRITABLE if volume != "data" or storage.size is None]
        container = _container(settings, stack.images["grafana"])
        workload = Workload([container], volumes, USER, None, GRACE_SECONDS, depends_on=self.policies)
        pods_with(self, workload, "data", size=storage.size, storage_class=storage.storage_class)
        self.url = expose(self, settings.service, port=HTTP_PORT, node_port=settings.node_port).url
        self.register_outputs({"url": self.url})


class GrafanaFiles(Component):
    """The data sources and the dashboards of a stack, for the sidecar of a Grafana that is there.

    The objects' names are fixed, so that an edit changes them in place. Were they generated, the sidecar would write
    the new object's file and then remove it with the old object.
    """

    def __init__(
        self,
        name: str,
        settings: GrafanaSettings,
        stack: StackContext,
        reads: Reads,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the objects.

        Args:
            name: the resource's name.
            settings: Grafana's settings.
            stack: the settings and the namespace that all components share.
            reads: what it reads from.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:GrafanaFiles", name, GRAFANA, stack, opts)
        sources = reads.sources(settings, stack)
        ConfigMap(
            f"{name}{DASHBOARDS}",
            metadata=self.metadata(CONFIG_MAP, suffix=DASHBOARDS, labels={"grafana_dashboard": "1"}),
            data=dict(sidecar_files(sources)),
            opts=self.own,
        )
        file, text = sidecar_source(sources)
        kind = CONFIG_MAP if sources.tempo_password is None else SECRET
        metadata = self.metadata(kind, suffix=DATA_SOURCES, labels={"grafana_datasource": "1"})
        source = f"{name}{DATA_SOURCES}"
        if sources.tempo_password is None:
            ConfigMap(source, metadata=metadata, data={file: text}, opts=self.own)
        else:
            Secret(source, metadata=metadata, string_data=pulumi.Output.secret({file: text}), opts=self.own)
        self.register_outputs({})


def _container(settings: GrafanaSettings, image: str) -> ContainerArgs:
    return ContainerArgs(
        name=GRAFANA,
        image=image,
        env=[go_memory_limit(settings.resources)],
        ports=[ContainerPortArgs(name=PORT_NAME, container_port=HTTP_PORT)],
        resources=resources(settings.resources),
        security_context=container_security(),
        startup_probe=started_when("/api/health", HTTP_PORT, within_seconds=START_SECONDS),
        readiness_probe=ready_when("/api/health", HTTP_PORT),
        liveness_probe=alive_while("/api/health", HTTP_PORT),
        volume_mounts=[
            VolumeMountArgs(name="config", mount_path=FOLDER, read_only=True),
            VolumeMountArgs(name="secrets", mount_path=SECRETS_FOLDER, read_only=True),
            *(
                VolumeMountArgs(name=volume, mount_path=PLACES[file], sub_path=file, read_only=True)
                for file, volume in ((CONF_FILE, "config"), (PROVIDER_FILE, "config"), (SOURCES_FILE, "secrets"))
            ),
            *(VolumeMountArgs(name=name, mount_path=path) for name, path in WRITABLE.items()),
        ],
    )
