"""Settings that all components share: resources, scheduling and monitoring."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from settings.types import Bytes, Count, Cpu, LabelValue, MemoryLimit, MetadataKey, Model, SubdomainName, TypeName


class Toleration(Model):
    """A taint that the pods tolerate, as Kubernetes writes it."""

    key: MetadataKey | None = Field(
        default=None, description="The taint's key. Unset: every taint.", examples=["dedicated"]
    )
    operator: Literal["Equal", "Exists"] = Field(
        default="Exists", description="Equal: the taint's value must be `value`. Exists: it may be any."
    )
    value: LabelValue | None = Field(
        default=None, description="The taint's value, for the operator Equal.", examples=["tracing"]
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect. Unset: all.", examples=["NoSchedule"]
    )


class TopologySpread(Model):
    """How Kubernetes spreads the pods of each component."""

    topology_key: MetadataKey = Field(
        description="Label of the nodes whose value names a domain.", examples=["topology.kubernetes.io/zone"]
    )
    max_skew: Count = Field(
        default=1, description="Number of pods by which the fullest and the emptiest domain may differ.", examples=[1]
    )
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = Field(
        default="ScheduleAnyway", description="Whether Kubernetes still schedules a pod that would exceed `maxSkew`."
    )


class Scheduling(Model):
    """Where the pods of all components run."""

    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("affinity", "nodeaffinity", "podantiaffinity"),
        "`nodeSelector` chooses nodes, `topologySpread` spreads pods over them",
    )

    node_selector: dict[MetadataKey, LabelValue] = Field(
        default_factory=dict[str, str], description="Labels of the nodes that the pods may run on."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list[Toleration], description="Taints of nodes that the pods tolerate."
    )
    priority_class: SubdomainName | None = Field(
        default=None, description="PriorityClass of the pods.", examples=["high-priority"]
    )
    topology_spread: list[TopologySpread] = Field(
        default_factory=list[TopologySpread], description="How Kubernetes spreads each component's pods over the nodes."
    )


class Monitoring(Model):
    """How Prometheus finds the counters of all components: connections, and spans received, sent and lost."""

    annotations: bool = Field(
        default=True,
        description="Annotate the pods with prometheus.io/scrape, port and path, which many set-ups look for.",
    )
    pod_monitors: bool = Field(
        default=False,
        description="Create a PodMonitor for each component. Needs the Prometheus Operator. There are no "
        "ServiceMonitors, because every port of NGINX's Service is public.",
    )


class Resources(Model):
    """Requests and limits of a container."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "requests": "requests are `cpu` and `memory`",
        "limits": "limits are `cpuLimit` and `memoryLimit`",
    }

    cpu: Cpu = Field(default="100m", description="CPU request.")
    cpu_limit: Annotated[Cpu | None, TypeName("cores")] = Field(
        default=None,
        description="CPU limit. Unset: none, since a limit delays requests and spans without need.",
        examples=["2"],
    )
    memory: Bytes = Field(default="64Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(default="256Mi", description="Memory above which the kernel ends the container.")
