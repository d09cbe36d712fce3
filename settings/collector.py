"""The OpenTelemetry Collector."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from settings.exporters import ExporterProxy, OtlpExporter
from settings.general import Resources
from settings.receivers import Receivers
from settings.sizes import BATCH_SIZE, DEFAULT_ENTRIES, DEFAULT_STORED_SPANS, MIB, QUEUE_VOLUME, RECEIVER, SPAN_BYTES
from settings.types import (
    Bytes,
    Count,
    Duration,
    Image,
    LabelName,
    MemoryLimit,
    Model,
    Port,
    Ratio,
    SubdomainName,
    TypeName,
    at_least,
)
from settings.versioned import Versioned
from settings.versions import SETS, CollectorRelease, Distribution, collector_release
from settings.versions.collector import COMPONENTS, distribution_of
from settings.versions.sets import DEFAULT

DEFAULT_DISTRIBUTION: Distribution = "k8s"
"""The smaller one of the two that have `transform`, without which there are no spans of upstreams."""

SemanticConventions = Literal["old", "stable", "both"]

DEFAULT_REPLICAS = 2
"""One keeps running while the other is killed, evicted or replaced.

NGINX's module never sends an export again, and after a refused connection gRPC waits for 1 s, then 1.6 times longer
each time, while every export fails. docs/explanation/where-spans-can-be-lost.md has what is lost with one and with two.
"""

_MESSAGES = 16
"""Our choice: the largest messages that the volume of a queue holds at least."""

_TOO_SMALL = f"with less it holds fewer than {_MESSAGES} of the largest messages, of {RECEIVER // MIB} MiB each"
_LEAST_VOLUME = f"{_MESSAGES * RECEIVER // MIB}Mi"
_Volume = Annotated[Bytes, at_least(_LEAST_VOLUME, _TOO_SMALL), TypeName("bytes")]


def _countable(ratio: Decimal) -> Decimal:
    if 0 < ratio < Decimal("0.000000001"):
        # probabilistic_sampler of Collector 0.126 refuses a smaller share.
        raise ValueError("must be 0, or at least 0.000000001: the Collector refuses a smaller share")
    return ratio


TraceRatio = Annotated[Ratio, AfterValidator(_countable)]


class Batch(Model):
    """How the Collector gathers spans: for Tempo from its queue, and for every backend behind tail sampling.

    Other backends get each export unchanged: two joined ones could be larger than they take.
    """

    timeout: Duration = Field(
        default="500ms", description="Time after which the Collector sends a batch that is not full."
    )
    # Our choice: a push of 100 000 spans, each of its own trace, took Tempo 15 s and 2.6 GB (measured).
    size: Annotated[Count, Field(le=5000)] = Field(
        default=BATCH_SIZE,
        description=f"Spans of a full batch, of {SPAN_BYTES} bytes each: larger ones fill it sooner. Behind tail "
        "sampling it counts spans alone, and is smaller if so many of NGINX's largest spans would not fit a backend's "
        "messages.",
    )


class MemoryLimiter(Model):
    """When the Collector refuses spans rather than run out of memory. NGINX never sends refused spans again."""

    # Our choices: some memory stays free above the limit, and some is left for spans below it.
    limit_percentage: Annotated[int, Field(ge=10, le=95, strict=True)] = Field(
        default=80, description="Share of the memory limit above which the Collector refuses spans, in percent."
    )
    spike_limit_percentage: Annotated[int, Field(ge=1, le=50, strict=True)] = Field(
        default=20,
        description="Room below that for spans that arrive between two checks, in percent of the memory limit.",
    )


class Queue(Model):
    """Where spans wait for a backend that is away. Each exporter has its own queue."""

    storage: Literal["memory", "persistent"] = Field(
        default="memory",
        description="`memory` is lost with the pod; `persistent` is a volume for each pod, which outlives it.",
    )
    size: _Volume = Field(
        default=QUEUE_VOLUME,
        description=f"Size of the volume, with `persistent`; at least {_LEAST_VOLUME}. {QUEUE_VOLUME} hold "
        f"{DEFAULT_STORED_SPANS} ordinary spans, or fewer larger ones, of which a request to an upstream "
        "has two; several exporters share them. Beyond that the Collector refuses spans, and counts them. Before 0.130 "
        "it counts exports, and assumes that each is a full one of ordinary spans: "
        f"{QUEUE_VOLUME} hold {DEFAULT_ENTRIES} of NGINX's by default, of which each of its workers makes two a "
        "second, or more under load.",
    )
    storage_class: SubdomainName | None = Field(
        default=None,
        description="StorageClass of the volume. Unset: the cluster's default.",
        examples=["standard"],
    )

    @property
    def is_persistent(self) -> bool:
        """Whether spans wait on a volume."""
        return self.storage == "persistent"


class TailSampling(Model):
    """Which whole traces are kept: those that at least one rule keeps, once their spans have had time to arrive."""

    decision_wait: Duration = Field(
        default="5s",
        description="Time from a trace's first span to the decision. The Collector sends none of it before.",
    )
    # Our choice: at `SPAN_BYTES` a trace, the upper bound is 75 GB of memory.
    traces: Annotated[Count, Field(le=100_000_000)] = Field(
        default=100_000,
        description="Number of traces that wait in memory for their decision. If more come, the oldest is dropped "
        "undecided.",
    )
    errors: bool = Field(default=True, description="Keep traces with a span of status ERROR (5xx, for NGINX).")
    latency: Duration | None = Field(
        default=None, description="Keep traces that took longer than this.", examples=["500ms"]
    )
    ratio: TraceRatio | None = Field(default=None, description="Keep this share of all traces.", examples=["0.1"])


class CollectorSampling(Model):
    """Which spans the Collector sends on: all, unless one of the two is set."""

    ratio: TraceRatio | None = Field(
        default=None,
        description="Share of the traces that the Collector sends on, the same ones in every replica. Unset: all.",
        examples=["0.1"],
    )
    tail: TailSampling | None = Field(
        default=None,
        description="Decide for whole traces. Not with the distribution core, and with one replica alone.",
    )


class CollectorResources(Resources):
    """Resources of the Collector's container. Its heap stays within 80 % of the memory limit."""

    memory: Bytes = Field(default="128Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(
        default="500Mi",
        description="Memory above which the kernel ends the container. Spans that wait in memory count towards it.",
    )


class CollectorSettings(Versioned):
    """The OpenTelemetry Collector."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("env", "extraenv", "environment", "httpproxy", "httpsproxy", "noproxy"),
            "an HTTP proxy is `proxy`; no other environment variable can be set",
        ),
        **dict.fromkeys(
            ("config", "extraconfig", "processors", "extensions", "service", "pipelines"),
            "the program makes the Collector's document from these keys",
        ),
    }

    enabled: bool = Field(
        default=True,
        description="Run a Collector. `false` if `nginx.exporter.endpoint` names another.",
    )
    distribution: Distribution | None = Field(
        default=None,
        description=f"Distribution of the Collector that the image is. Unset: the one that `image` names, else "
        f"{DEFAULT_DISTRIBUTION}. With core there are no spans of upstreams, and neither tail sampling, nor persistent "
        "queues, nor `kubernetesAttributes`.",
        examples=["core"],
    )
    image: Image | None = Field(
        default=None,
        description="Image of the Collector. Unset: the distribution's, of the set that `versions` names.",
        examples=[SETS[DEFAULT].collector_image(DEFAULT_DISTRIBUTION)],
    )
    replicas: Count | None = Field(
        default=None,
        description=f"Number of pods. Unset: {DEFAULT_REPLICAS}, or 1 with tail sampling. With one, NGINX's spans are "
        "lost while it is away: after it was killed or evicted, or is replaced with a persistent queue, until it is "
        "back and NGINX has connected again.",
        examples=[2],
    )
    proxy: ExporterProxy | None = Field(
        default=None, description="HTTP proxy on the way to the exporters' receivers. Unset: none."
    )
    resources: CollectorResources = Field(default_factory=CollectorResources, description="Resources of the container.")
    receivers: Receivers = Field(default_factory=Receivers, description="How spans reach it besides OTLP over gRPC.")
    batch: Batch = Field(default_factory=Batch, description="How it gathers spans.")
    memory_limiter: MemoryLimiter = Field(
        default_factory=MemoryLimiter, description="When it refuses spans rather than run out of memory."
    )
    queue: Queue = Field(default_factory=Queue, description="Where spans wait for a backend that is away.")
    sampling: CollectorSampling = Field(default_factory=CollectorSampling, description="Which spans it sends on.")
    kubernetes_attributes: bool = Field(
        default=False,
        description="Add the pod, its Deployment and node to the spans of pods in the stack's namespace. "
        "Needs the right to create Roles.",
    )
    kubernetes_api_port: Port | None = Field(
        default=None,
        description="Port of the API server that network policies let `kubernetesAttributes` and Prometheus reach: the "
        "port of the endpoints of the Service `kubernetes`. Unset: 443, 6443 and the port that the cluster names when "
        "asked.",
        examples=[6443],
    )
    semantic_conventions: SemanticConventions = Field(
        default="both",
        description="Names of the attributes of NGINX's spans: `old` are the module's own (`http.status_code`), "
        "`stable` those of OpenTelemetry's conventions since 1.23 (`http.response.status_code`), with `GET /path` as "
        "the name of a span. `both` adds the stable attributes, and keeps the old ones and the name.",
    )
    exporters: dict[LabelName, OtlpExporter] = Field(
        default_factory=dict[str, OtlpExporter], description="Receivers besides the stack's Tempo, or instead of it."
    )

    @property
    def replica_count(self) -> int:
        """The number of pods: `replicas`, or the default, which depends on the sampling.

        With tail sampling it is 1, because nothing sends all spans of a trace to the same one of several replicas.
        """
        if self.replicas is not None:
            return self.replicas
        return DEFAULT_REPLICAS if self.sampling.tail is None else 1

    @property
    def gathers_in_queue(self) -> bool:
        """Whether the queue for Tempo gathers spans. A persistent one cannot before Collector 0.138."""
        is_able = not self.queue.is_persistent or self.release.batches_persistent_queue
        return is_able and self.sampling.tail is None

    @property
    def gathers(self) -> bool:
        """Whether `batch` has an effect: the queue for Tempo gathers spans, or tail sampling does."""
        return self.gathers_in_queue or self.sampling.tail is not None

    @property
    def pulled_image(self) -> str:
        """The image: `image`, or the distribution's."""
        return self.image or self.version_set.collector_image(self.chosen_distribution)

    @property
    def chosen_distribution(self) -> Distribution:
        """The distribution that the image is, or counts as."""
        return self.distribution or distribution_of(self.image or "") or DEFAULT_DISTRIBUTION

    @property
    def writes_stable_names_alone(self) -> bool:
        """Whether NGINX's spans have the stable names of attributes alone."""
        return self.enabled and self.semantic_conventions == "stable"

    def has(self, component: str) -> bool:
        """Tells whether the distribution has a component, by its name in Collector 0.126."""
        return component in COMPONENTS[self.chosen_distribution]

    @property
    def release(self) -> CollectorRelease:
        """The features of the image's version, and the names of its parts and counters."""
        return collector_release(self.pulled_image, self.version_set.collector)

    @property
    def destinations(self) -> list[tuple[str, int]]:
        """The hosts and ports of the exporters' receivers."""
        return [exporter.address for exporter in self.exporters.values()]


def percent(ratio: Decimal) -> float:
    """Returns a ratio as the Collector's processors take it, in percent."""
    return float(ratio * 100)
