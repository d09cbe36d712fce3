"""The OpenTelemetry Collector."""

from collections.abc import Mapping
from decimal import Decimal
from math import ceil
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from settings.collector_queue import Queue
from settings.collector_sampling import CollectorResources, CollectorSampling
from settings.exporters import ExporterProxy, OtlpExporter
from settings.receivers import Receivers
from settings.sizes import BATCH_SIZE, SPAN_BYTES
from settings.types import (
    Count,
    Duration,
    Image,
    LabelName,
    Model,
    Port,
    seconds,
)
from settings.versioned import Versioned
from settings.versions import SETS, CollectorRelease, Distribution, collector_release
from settings.versions.collector import COMPONENTS, distribution_of
from settings.versions.sets import DEFAULT

DEFAULT_DISTRIBUTION: Distribution = "k8s"
"""The smaller one of the two that have `transform`, without which there are no spans of upstreams."""

SemanticConventions = Literal["old", "stable", "both"]

TrafficDistribution = Literal["PreferClose", "PreferSameZone", "PreferSameNode"]
"""Kubernetes' values of a Service's `trafficDistribution` (its documentation, "Virtual IPs and Service Proxies").

`settings.versions.kubernetes.TRAFFIC_DISTRIBUTION` says from which version on each is on by default.
"""

DEFAULT_REPLICAS = 2
"""One keeps running while the other is killed, evicted or replaced.

NGINX's module never sends an export again, and after a refused connection gRPC waits for 1 s, then 1.6 times longer
each time, while every export fails. docs/explanation/where-spans-can-be-lost.md has what is lost with one and with two.
"""


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


class CollectorAutoscaling(Model):
    """A HorizontalPodAutoscaler. Needs metrics-server, or another source of the pods' CPU use."""

    elsewhere: ClassVar[Mapping[str, str]] = {"minreplicas": "`collector.replicas` is the smallest number of pods"}

    max_replicas: Count = Field(
        description="Largest number of pods; `collector.replicas` is the smallest.", examples=[6]
    )
    # Our choices, as NGINX's.
    cpu: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=70, description="Target use of CPU, in percent of `collector.resources.cpu`."
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
        **dict.fromkeys(
            ("deciders", "tiers", "loadbalancing", "gateway"),
            "`collector.sampling.tail` makes two tiers of two replicas or more",
        ),
        "terminationgraceperiodseconds": "a pod has 45 s to end, one that decides 75 s and its "
        "`decisionWait`, and `queue.drain.timeout` before with a volume",
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
        description=f"Number of pods. Unset: {DEFAULT_REPLICAS}, or 1 with tail sampling and no `autoscaling`. With "
        "one, NGINX's spans are lost while it is away: after it was killed or evicted, or is replaced with a "
        "persistent queue, until it is back and NGINX has connected again. With two or more, tail sampling has "
        "pods of its own behind them: `sampling.tail.replicas`.",
        examples=[2],
    )
    traffic_distribution: TrafficDistribution | None = Field(
        default=None,
        description="Which Ready replica a connection of NGINX or of an application goes to: one in its own zone with "
        "`PreferClose`, which is on by default from Kubernetes 1.31 on, or with `PreferSameZone`; one on its own node "
        "with `PreferSameNode`. These two are on by default from 1.34 on. A zone with more NGINX gives its Collectors "
        "more work. Unset: any replica.",
        examples=["PreferClose"],
    )
    autoscaling: CollectorAutoscaling | None = Field(
        default=None,
        description="More pods under load; with two tiers: of the first tier, which receives spans. Unset: always "
        "`collector.replicas`. If there was an autoscaler before, "
        "`PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up` takes the number of pods back from it.",
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

        With tail sampling it is 1: two tiers need twice the pods, which a person has to ask for. `autoscaling` asks.
        """
        if self.replicas is not None:
            return self.replicas
        return 1 if self.sampling.tail and not self.autoscaling else DEFAULT_REPLICAS

    @property
    def has_tiers(self) -> bool:
        """Whether the replicas receive spans alone, and pods of their own behind them decide about traces."""
        return self.sampling.tail is not None and self.most_replicas > 1

    @property
    def most_replicas(self) -> int:
        """The largest number of pods, which an autoscaler may reach."""
        return self.autoscaling.max_replicas if self.autoscaling else self.replica_count

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
    def settled_seconds(self) -> int:
        """The time without a span that moves, after which a pod has sent all that it has.

        It is longer than the pause between two readings of the counters. Tail sampling holds spans before the queue.
        """
        tail = self.sampling.tail
        return 2 + (ceil(seconds(tail.decision_wait) + seconds(self.batch.timeout)) if tail else 0)

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
