"""Grafana: one of the stack's own, or what a Grafana that is there needs to show the stack's traces."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from settings.exposure import ServiceSettings
from settings.general import Resources
from settings.types import (
    Bytes,
    Image,
    MemoryLimit,
    Model,
    Port,
    ServerUrl,
    SubdomainName,
    TypeName,
    at_least,
    matching,
)
from settings.versions import grafana
from settings.versions.support import dotted

# "The UID can have a maximum length of 40 characters": Grafana's HTTP API, "Data source API".
Uid = Annotated[str, matching(r"[A-Za-z0-9_-]{1,40}", "letters, digits, `-` and `_`, 40 at most"), TypeName("UID")]


def uid(name: str, namespace: str) -> str:
    """Returns the UID of what a stack has in Grafana, which two stacks do not share; of 40 characters at most."""
    return f"nginx-tracing-{name}-{hashlib.sha256(namespace.encode()).hexdigest()[:8]}"


class DataSource(Model):
    """A data source beside Tempo."""

    uid: Uid = Field(
        description="Its UID in Grafana: that of one which is there, or, with `url`, of the one that the stack makes.",
        examples=["prometheus"],
    )
    url: ServerUrl | None = Field(
        default=None,
        description="Where Grafana reaches it, without a password. Unset: the data source exists in Grafana.",
        examples=["http://prometheus.monitoring.svc:9090"],
    )


class GrafanaResources(Resources):
    """Resources of Grafana's container. The figures are our choice: the image was not run on the lab."""

    memory: Bytes = Field(default="256Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(default="512Mi", description="Memory above which the kernel ends the container.")


_LEAST_VOLUME = "100Mi"


class GrafanaPersistence(Model):
    """A volume for what people change in Grafana. Without one it is lost with the pod; the dashboards come back."""

    size: Annotated[Bytes, at_least(_LEAST_VOLUME, "Grafana's database grows")] | None = Field(
        default=None,
        description=f"Size of the volume, at least {_LEAST_VOLUME}. Unset: the node's disk, as long as the pod lives.",
        examples=["1Gi"],
    )
    storage_class: SubdomainName | None = Field(
        default=None, description="StorageClass of the volume. Unset: the cluster's default.", examples=["standard"]
    )


class GrafanaSettings(Model):
    """Grafana, with the stack's Tempo as a data source and dashboards for it."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("adminpassword", "password"), "the password is the top-level key `grafanaPassword`"),
        **dict.fromkeys(("ingress", "host"), "an ingress of your own leads to the Service `grafana`"),
        **dict.fromkeys(("loki", "datasources"), "`logs` names a data source for logs, `prometheus` one for metrics"),
        "plugins": "this Grafana reaches no internet to load plugins from; name an image that has them",
        "servicetype": "did you mean `service.type`?",
    }

    enabled: bool = Field(
        default=False, description="Run a Grafana that shows the stack's traces. It needs `grafanaPassword`."
    )
    provision: Literal["configMaps"] | None = Field(
        default=None,
        description="configMaps: make the data source and the dashboards as ConfigMaps, and the data source as a "
        "Secret if `tempoPassword` is set, with the labels that the sidecar of Grafana's Helm chart looks for. For a "
        "Grafana that is there. Unset: none.",
        examples=["configMaps"],
    )
    image: Image | None = Field(
        default=None,
        examples=[grafana.IMAGE],
        description=f"Image of Grafana, version {dotted(min(grafana.TABLE))} to {dotted(max(grafana.TABLE))}. Unset: "
        f"`{grafana.IMAGE}`. It is not run on the lab.",
    )
    resources: GrafanaResources = Field(default_factory=GrafanaResources, description="Resources of the container.")
    node_port: Port | None = Field(
        default=None,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30300],
    )
    service: ServiceSettings = Field(
        default_factory=ServiceSettings, description="How browsers reach Grafana, and which may connect."
    )
    persistence: GrafanaPersistence = Field(
        default_factory=GrafanaPersistence, description="A volume for what people change in Grafana."
    )
    prometheus: DataSource | None = Field(
        default=None,
        description="Prometheus with the metrics that Tempo makes of spans, and the counters of the pods. Unset: the "
        "stack's own, if it has one; without any, only the dashboard of requests is made.",
    )
    logs: DataSource | None = Field(
        default=None,
        description="Loki with NGINX's access log: a span then leads to the lines with its trace ID. Unset: none.",
    )

    @property
    def is_used(self) -> bool:
        """Whether there is a Grafana that reads the stack's Tempo."""
        return self.enabled or self.provision is not None

    @property
    def pulled_image(self) -> str:
        """The image: `image`, or the default one."""
        return self.image or grafana.IMAGE
