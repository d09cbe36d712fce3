"""Grafana Tempo."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from settings.exposure import ServiceSettings
from settings.general import Resources
from settings.sizes import SPAN_BYTES
from settings.tempo_parts import (
    COMPACTOR,
    DISTRIBUTOR,
    INGESTER,
    INGESTER_SECONDS,
    METRICS_GENERATOR,
    QUERIER,
    QUERY_FRONTEND,
    Ingesters,
    QueryFrontends,
    ScaledPart,
    TempoPart,
)
from settings.tempo_storage import TempoStorage
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
    """A volume for traces. Without one they are lost with the pod, but for those that are in a bucket."""

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
    """Grafana Tempo, in one process or in parts, with its blocks on its own disk or in a bucket."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "servicetype": "did you mean `service.type`?",
        **dict.fromkeys(
            ("s3", "gcs", "azure", "objectstorage", "bucket", "backend"),
            "for blocks in a bucket see `tempo.storage`",
        ),
        **dict.fromkeys(
            ("multitenancy", "multitenancyenabled", "multitenant"),
            "this Tempo has no tenants; run a Tempo of your own for them, name it in `collector.exporters`, and set "
            "`tempo.enabled` to false",
        ),
        **dict.fromkeys(
            ("remotewrite", "spanmetrics", "servicegraphs", "localblocks"),
            "`tempo.traceqlMetrics` is for metrics by TraceQL; `metrics.remoteWrite` and `prometheus.enabled` let "
            "Tempo write span metrics and the service graph",
        ),
        **dict.fromkeys(("ingress", "host"), "an ingress of your own leads to the Service `tempo`; see `service.type`"),
        **dict.fromkeys(
            ("overrides", "config", "extraconfig", "memberlist"),
            "the program makes Tempo's document from these keys",
        ),
        **dict.fromkeys(
            ("distributed", "microservices", "parts", "target", "deploymentmode", "scalablesinglebinary"),
            "`mode: distributed` runs Tempo in parts",
        ),
        "ingesters": "did you mean `ingester`?",
        "queriers": "did you mean `querier`?",
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
    mode: Literal["monolithic", "distributed"] = Field(
        default="monolithic",
        description="monolithic: one process. distributed: a Deployment or StatefulSet for each part of Tempo 2, which "
        "grow apart from each other and of which any pod may end; needs a bucket (`storage`) and a volume "
        "(`persistence.size`). docs/how-to/run-tempo-in-parts.md says when, and how to change it.",
    )
    replicas: Count = Field(
        default=1, description="Always 1: each of several would have only a part of the newest traces."
    )
    resources: TempoResources = Field(
        default_factory=TempoResources, description="Resources of the container of a monolithic Tempo."
    )
    distributor: ScaledPart = Field(
        default_factory=ScaledPart, description="The part that takes spans and gives each to three ingesters."
    )
    ingester: Ingesters = Field(
        default_factory=Ingesters, description="The part that holds the newest traces and writes them to the bucket."
    )
    querier: ScaledPart = Field(
        default_factory=ScaledPart, description="The part that reads traces from the ingesters and from the bucket."
    )
    query_frontend: QueryFrontends = Field(
        default_factory=QueryFrontends, description="The part that takes queries and divides them among the queriers."
    )
    compactor: TempoPart = Field(
        default_factory=TempoPart, description="The part that joins blocks in the bucket, and deletes old ones."
    )
    metrics_generator: TempoPart = Field(
        default_factory=TempoPart,
        description="The part that makes metrics of spans; it runs only if something reads them.",
    )
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
        description="The NGINX in each of Tempo's pods that lets others read traces, and do nothing else.",
    )
    retention: Duration = Field(default="48h", description="Time that Tempo keeps traces; its own default is 336h.")
    ingestion: Ingestion = Field(default_factory=Ingestion, description="How much it takes.")
    flush: Flush = Field(
        default_factory=Flush, description="When it makes spans searchable, and writes them to the disk."
    )
    persistence: Persistence = Field(default_factory=Persistence, description="A volume for traces.")
    storage: TempoStorage = Field(
        default_factory=TempoStorage, description="Where the blocks are: on that volume, or in a bucket."
    )
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

    @property
    def is_distributed(self) -> bool:
        """Whether Tempo runs in parts."""
        return self.mode == "distributed"

    @property
    def drain_seconds(self) -> int:
        """How long an ingester may take to write what it holds to the bucket, before the next one starts; 0 without."""
        return INGESTER_SECONDS if self.is_distributed else 0

    def parts(self, *, makes_metrics: bool) -> dict[str, ScaledPart | TempoPart]:
        """Returns the parts that run, by the names that `-target` has for them; none if Tempo is one process.

        Args:
            makes_metrics: whether anything reads the metrics that Tempo makes of spans.
        """
        if not self.is_distributed:
            return {}
        return {
            DISTRIBUTOR: self.distributor,
            INGESTER: self.ingester,
            QUERIER: self.querier,
            QUERY_FRONTEND: self.query_frontend,
            COMPACTOR: self.compactor,
            **({METRICS_GENERATOR: self.metrics_generator} if makes_metrics else {}),
        }
