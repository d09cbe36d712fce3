"""Grafana Tempo."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from settings.exposure import ServiceSettings
from settings.general import Resources
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
    amount,
)


class Ingestion(Model):
    """What Tempo takes. Beyond the rate it asks the Collector to send again; beyond the others spans are lost."""

    bytes_per_second: Annotated[Count, Field(ge=1_000_000)] = Field(
        default=100_000_000,
        description="Rate, and burst, in bytes; a span of NGINX has some 750. Tempo's own default is 15 MB/s.",
    )
    live_traces: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = Field(
        default=0,
        description="Traces in memory; beyond, spans are dropped while the sender is told success. 0: no limit.",
    )
    bytes_per_trace: Annotated[Count, Field(ge=1000)] = Field(
        default=5_000_000, description="Size of a trace in bytes; beyond, its spans are dropped."
    )


class Flush(Model):
    """When spans go from memory to search and to blocks on the disk."""

    trace_idle_period: Duration = Field(
        default="500ms", description="Time without a new span after which a trace can be searched; Tempo's own is 10s."
    )
    check_period: Duration = Field(
        default="500ms", description="Time between two looks for such traces; Tempo's own is 10s."
    )
    max_block_duration: Duration = Field(default="30m", description="Time after which a block is closed.")
    complete_block_timeout: Duration = Field(
        default="15m", description="Time that a closed block stays with the ingester, which answers for it."
    )
    blocklist_poll: Duration = Field(default="5m", description="Time between two looks for blocks in the storage.")


class Persistence(Model):
    """A volume for traces. Without one they are gone with the pod."""

    size: Bytes | None = Field(
        default=None,
        description="Size of the volume. Unset: the node's disk, for as long as the pod lives.",
        examples=["10Gi"],
    )
    storage_class: SubdomainName | None = Field(
        default=None, description="StorageClass of the volume. Unset: the cluster's default.", examples=["standard"]
    )


class TempoResources(Resources):
    """What Tempo's container asks for; its heap is kept within 80 % of the memory limit."""

    memory: Bytes = Field(default="256Mi", description="Memory that is asked for.")
    memory_limit: MemoryLimit = Field(
        default="2000Mi", description="Memory above which the kernel ends the container; live traces are in it."
    )


GATEWAY_MEMORY = 128 * 2**20
"""The least memory limit of the gateway. Its two processes have 14 MiB without a connection, and 87 MiB with 2000 that
each hold a head of 30 kB (measured with NGINX 1.28.3), which is as many as its document lets in."""


def _holds_its_connections(limit: str) -> str:
    if amount(limit) < GATEWAY_MEMORY:
        raise ValueError("must be at least 128Mi: the connections that the gateway takes need 87 MiB")
    return limit


class GatewayResources(Resources):
    """What the gateway's container asks for."""

    cpu: Cpu = Field(default="10m", description="CPU that is asked for.")
    memory: Bytes = Field(default="16Mi", description="Memory that is asked for.")
    memory_limit: Annotated[MemoryLimit, AfterValidator(_holds_its_connections), TypeName("bytes")] = Field(
        default="128Mi", description="Memory above which the kernel ends the container; at least 128Mi."
    )


class Gateway(Model):
    """The NGINX in Tempo's pod that is all of Tempo's API that others reach: it passes on what reads, and no more."""

    image: Image | None = Field(
        default=None,
        description="Image of open-source NGINX. Unset: `nginx.image`, with the edition plus as well.",
        examples=["nginx:1.27.4-otel"],
    )
    resources: GatewayResources = Field(default_factory=GatewayResources, description="Resources of the container.")


class TempoSettings(Model):
    """Grafana Tempo, monolithic, with its blocks on its own disk."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "servicetype": "did you mean `service.type`?",
        **dict.fromkeys(
            ("storage", "s3", "gcs", "azure", "objectstorage", "bucket", "backend"),
            "this Tempo keeps its blocks on a volume (`persistence`); for blocks in object storage run a Tempo of your "
            "own, name it in `collector.exporters`, and set `tempo.enabled` to false",
        ),
        **dict.fromkeys(
            ("overrides", "config", "extraconfig", "ingester", "compactor", "distributor", "queryfrontend"),
            "Tempo's document is made from these keys",
        ),
    }

    enabled: bool = Field(
        default=True,
        description="Whether the stack has one; `false` where `collector.exporters` names another backend.",
    )
    image: Image = Field(default="grafana/tempo:2.7.2", description="Image of Tempo, 2.7 to 2.10.")
    replicas: Count = Field(
        default=1, description="Always 1: each of several with local storage would know a part of the traces."
    )
    resources: TempoResources = Field(default_factory=TempoResources, description="Resources of the container.")
    node_port: Port | None = Field(
        default=None,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30310],
    )
    service: ServiceSettings = Field(
        default_factory=ServiceSettings, description="How Tempo's API is reached, and by whom."
    )
    gateway: Gateway = Field(
        default_factory=Gateway, description="The NGINX in Tempo's pod that lets others read traces, and nothing else."
    )
    retention: Duration = Field(default="48h", description="Time that traces are kept; Tempo's own default is 336h.")
    ingestion: Ingestion = Field(default_factory=Ingestion, description="What it takes.")
    flush: Flush = Field(default_factory=Flush, description="When spans can be searched, and go to the disk.")
    persistence: Persistence = Field(default_factory=Persistence, description="A volume for traces.")
    usage_report: bool = Field(
        default=False, description="Send Grafana Labs anonymous statistics of use; Tempo's own default is to do so."
    )
