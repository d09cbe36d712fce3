"""The stack's own Prometheus."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from settings.general import Resources
from settings.types import (
    Bytes,
    Duration,
    Image,
    LabelName,
    MemoryLimit,
    Model,
    SubdomainName,
    TypeName,
    at_least,
    no_shorter,
)
from settings.versioned import Versioned
from settings.versions import SETS
from settings.versions.sets import DEFAULT

LEAST_VOLUME = "1Gi"
"""Our choice: a block of two hours and the write-ahead log of 30 000 series take some 300 MiB."""

_LEAST_RETENTION = "2h"
_Retention = Annotated[
    Duration, no_shorter(_LEAST_RETENTION, "Prometheus keeps two hours in one block"), TypeName("duration")
]


class PrometheusPersistence(Model):
    """A volume for metrics. Without one they are lost with the pod."""

    size: Annotated[Bytes, at_least(LEAST_VOLUME, "Prometheus keeps two hours in one block")] | None = Field(
        default=None,
        description=f"Size of the volume, at least {LEAST_VOLUME}. Prometheus deletes the oldest metrics when they "
        "fill 80 % of it. Unset: the node's disk, for as long as the pod lives.",
        examples=["10Gi"],
    )
    storage_class: SubdomainName | None = Field(
        default=None, description="StorageClass of the volume. Unset: the cluster's default.", examples=["standard"]
    )


class PrometheusResources(Resources):
    """Resources of Prometheus' container. Its heap stays within 80 % of the memory limit."""

    memory: Bytes = Field(default="128Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(
        default="1000Mi", description="Memory above which the kernel ends the container. Series count towards it."
    )


class PrometheusSettings(Versioned):
    """A small Prometheus: it takes Tempo's metrics, reads the stack's pods, and evaluates the project's alerts."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("replicas", "nodeport", "service", "servicetype", "ingress", "host"),
            "this Prometheus has one pod and a Service inside the cluster alone; a larger one of yours goes into "
            "`metrics.remoteWrite`",
        ),
        **dict.fromkeys(
            ("alertmanager", "alerting", "rules", "scrapeconfigs", "config", "extraconfig", "remotewrite"),
            "the program makes Prometheus' document; one of yours goes into `metrics.remoteWrite`",
        ),
    }

    enabled: bool = Field(
        default=False,
        description="Run a Prometheus in the stack, in the cluster alone: `http://prometheus.<namespace>.svc:9090`. "
        "Needs the right to create Roles.",
    )
    image: Image | None = Field(
        default=None,
        examples=[SETS[DEFAULT].prometheus_image],
        description="Image of Prometheus 3. Unset: that of the set that `versions` names.",
    )
    retention: _Retention = Field(
        default="360h", description=f"Time that Prometheus keeps metrics, at least {_LEAST_RETENTION}."
    )
    scrape_interval: Duration = Field(
        default="15s", description="Time between two looks at the pods' counters, and at the alerts."
    )
    persistence: PrometheusPersistence = Field(
        default_factory=PrometheusPersistence, description="A volume for metrics."
    )
    resources: PrometheusResources = Field(
        default_factory=PrometheusResources, description="Resources of the container."
    )
    allowed_namespaces: list[LabelName] = Field(
        default_factory=list[str],
        description="Namespaces whose pods may connect, such as that of your Grafana; they may read and write, because "
        "it has no users. Unset: the stack's own pods alone.",
        examples=[["monitoring"]],
    )

    @property
    def pulled_image(self) -> str:
        """The image: `image`, or the set's."""
        return self.image or self.version_set.prometheus_image
