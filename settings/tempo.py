"""Grafana Tempo."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from settings.exposure import ServiceSettings
from settings.general import Resources
from settings.sizes import SPAN_BYTES
from settings.types import (
    Bytes,
    Count,
    Cpu,
    Duration,
    Image,
    MemoryLimit,
    Model,
    Port,
    SubdomainName,
    TypeName,
    at_least,
)
from settings.versioned import Versioned
from settings.versions import SETS, TempoRelease, tempo, tempo_release
from settings.versions.sets import DEFAULT
from settings.versions.support import dotted

BLOCK = "500Mi"
"""`ingester.max_block_bytes` by default (Tempo 2.7 to 2.10, modules/ingester/config.go): the size of a full block."""


class Ingestion(Model):
    """How much Tempo takes. Above the rate the Collector sends again; above the other limits spans are lost."""

    # Our choice: an ordinary batch of the Collector has 1.5 MB, so with less each would take longer than 1.5 s.
    bytes_per_second: Annotated[Count, Field(ge=1_000_000)] = Field(
        default=100_000_000,
        description=f"Rate, and burst, in bytes; a span of NGINX has about {SPAN_BYTES}. Tempo's default is 15 MB/s.",
    )
    # Our choice: as `Count`, and 0.
    live_traces: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = Field(
        default=0,
        description="Traces in memory. If more come, Tempo drops their spans although it answers success. 0: no limit.",
    )
    # Our choice: room for one ordinary span.
    bytes_per_trace: Annotated[Count, Field(ge=1000)] = Field(
        default=5_000_000, description="Size of a trace in bytes. Tempo drops the spans of a trace beyond it."
    )


class Flush(Model):
    """When Tempo makes spans searchable, and writes them to blocks on the disk."""

    trace_idle_period: Duration = Field(
        default="500ms", description="Time without a new span after which Tempo finds a trace; its own default is 10s."
    )
    check_period: Duration = Field(
        default="500ms", description="Time between two checks for such traces; Tempo's own default is 10s."
    )
    max_block_duration: Duration = Field(default="30m", description="Time after which Tempo closes a block.")
    complete_block_timeout: Duration = Field(
        default="15m", description="Time that the ingester keeps a closed block, and answers for it."
    )
    blocklist_poll: Duration = Field(default="5m", description="Time between two checks for blocks in the storage.")


class Persistence(Model):
    """A volume for traces. Without one they are lost with the pod."""

    size: Annotated[Bytes, at_least(BLOCK, "Tempo writes blocks of up to that size")] | None = Field(
        default=None,
        description=f"Size of the volume, at least {BLOCK}. Unset: the node's disk, for as long as the pod lives.",
        examples=["10Gi"],
    )
    storage_class: SubdomainName | None = Field(
        default=None, description="StorageClass of the volume. Unset: the cluster's default.", examples=["standard"]
    )


class TempoResources(Resources):
    """Resources of Tempo's container. Its heap stays within 80 % of the memory limit."""

    memory: Bytes = Field(default="256Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(
        default="2000Mi",
        description="Memory above which the kernel ends the container. Live traces count towards it.",
    )


GATEWAY_MEMORY = "128Mi"
"""The least memory limit of the gateway.

Its two processes have 14 MiB without a connection, and 87 MiB with 2000 connections that each hold a head of 30 kB
(measured with NGINX 1.28.3). Its document lets in no more connections.
"""

_GatewayMemory = Annotated[
    MemoryLimit, at_least(GATEWAY_MEMORY, "the connections that the gateway takes need 87 MiB"), TypeName("bytes")
]


class GatewayResources(Resources):
    """Resources of the gateway's container."""

    cpu: Cpu = Field(default="10m", description="CPU request.")
    memory: Bytes = Field(default="16Mi", description="Memory request.")
    memory_limit: _GatewayMemory = Field(
        default=GATEWAY_MEMORY,
        description=f"Memory above which the kernel ends the container; at least {GATEWAY_MEMORY}.",
    )


class Gateway(Model):
    """The NGINX in Tempo's pod by which others reach Tempo's API. It passes on requests that read, and no others."""

    image: Image | None = Field(
        default=None,
        description="Image of open-source NGINX. Unset: `nginx.image`, also with the edition plus.",
        examples=[SETS[DEFAULT].nginx_image],
    )
    resources: GatewayResources = Field(default_factory=GatewayResources, description="Resources of the container.")


class TempoSettings(Versioned):
    """Grafana Tempo, monolithic, with its blocks on its own disk."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "servicetype": "did you mean `service.type`?",
        **dict.fromkeys(
            ("storage", "s3", "gcs", "azure", "objectstorage", "bucket", "backend"),
            "this Tempo keeps its blocks on a volume (`persistence`); for blocks in object storage run a Tempo of your "
            "own, name it in `collector.exporters`, and set `tempo.enabled` to false",
        ),
        **dict.fromkeys(
            ("multitenancy", "multitenancyenabled", "multitenant"),
            "this Tempo has no tenants; run a Tempo of your own for them, name it in `collector.exporters`, and set "
            "`tempo.enabled` to false",
        ),
        **dict.fromkeys(
            ("metricsgenerator", "remotewrite", "spanmetrics", "servicegraphs", "localblocks"),
            "`tempo.traceqlMetrics` is for metrics by TraceQL; `metrics.remoteWrite` and `prometheus.enabled` let "
            "Tempo write span metrics and the service graph",
        ),
        **dict.fromkeys(("ingress", "host"), "an ingress of your own leads to the Service `tempo`; see `service.type`"),
        **dict.fromkeys(
            ("overrides", "config", "extraconfig", "ingester", "compactor", "distributor", "queryfrontend"),
            "the program makes Tempo's document from these keys",
        ),
    }

    enabled: bool = Field(
        default=True,
        description="Run a Tempo. `false` if `collector.exporters` names another backend.",
    )
    image: Image | None = Field(
        default=None,
        examples=[SETS[DEFAULT].tempo_image],
        description=f"Image of Tempo, version {dotted(min(tempo.TABLE))} to {dotted(max(tempo.TABLE))}. Unset: that of "
        "the set that `versions` names. Tempo 3 is not run on the lab, and nothing leads back from it.",
    )
    replicas: Count = Field(
        default=1, description="Always 1: with local storage, each of several would have only a part of the traces."
    )
    resources: TempoResources = Field(default_factory=TempoResources, description="Resources of the container.")
    node_port: Port | None = Field(
        default=None,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30310],
    )
    service: ServiceSettings = Field(
        default_factory=ServiceSettings, description="How clients reach Tempo's API, and which may connect."
    )
    gateway: Gateway = Field(
        default_factory=Gateway,
        description="The NGINX in Tempo's pod that lets others read traces, and do nothing else.",
    )
    retention: Duration = Field(default="48h", description="Time that Tempo keeps traces; its own default is 336h.")
    ingestion: Ingestion = Field(default_factory=Ingestion, description="How much it takes.")
    flush: Flush = Field(
        default_factory=Flush, description="When it makes spans searchable, and writes them to the disk."
    )
    persistence: Persistence = Field(default_factory=Persistence, description="A volume for traces.")
    traceql_metrics: bool = Field(
        default=True,
        description="Answer for rates, errors and durations by TraceQL (`{ kind = server } | rate()`). Tempo 2 keeps "
        "each span twice for that; docs/explanation/metrics.md has the cost. Tempo 3 always answers.",
    )
    usage_report: bool = Field(
        default=False, description="Send Grafana Labs anonymous usage statistics. Tempo's own default is to send them."
    )

    @property
    def release(self) -> TempoRelease:
        """The release that the image has."""
        return tempo_release(self.pulled_image, self.version_set.tempo)

    @property
    def pulled_image(self) -> str:
        """The image: `image`, or the set's."""
        return self.image or self.version_set.tempo_image
