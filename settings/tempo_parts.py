"""The parts of a distributed Tempo: how many pods each has, and what their containers ask for."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from settings.general import Resources
from settings.types import Bytes, Count, MemoryLimit, Model, TypeName, matching

COPIES = 3
"""Ingesters that get each span (`replication_factor`).

Tempo then writes and reads while any one of them is away. With one copy every look-up fails meanwhile.
"""

INGESTER_SECONDS = 1200
"""The grace period of an ingester, which first writes what it holds to the bucket (`flush_all_on_shutdown`), because
nothing tells it whether it will start again. Grafana's own manifests have the same (operations/jsonnet of Tempo)."""

ZONE_LABEL = "topology.kubernetes.io/zone"
"""Kubernetes' label of the zone of a node."""

# A StatefulSet's revisions are labels of its pods: its name, `-` and ten characters, 63 at most. The name is
# `tempo-ingester-` and the zone.
Zone = Annotated[
    str,
    matching(
        r"[a-z0-9]([-a-z0-9]{0,35}[a-z0-9])?",
        "lower-case letters, digits and `-`, 37 at most, with a letter or digit at both ends: a StatefulSet has it in "
        "its name",
    ),
    TypeName("name"),
]

DISTRIBUTOR = "distributor"
INGESTER = "ingester"
QUERIER = "querier"
QUERY_FRONTEND = "query-frontend"
COMPACTOR = "compactor"
METRICS_GENERATOR = "metrics-generator"
"""The parts, by the names that Tempo's `-target` has for them."""

PART_KEYS: Mapping[str, str] = {
    DISTRIBUTOR: "distributor",
    INGESTER: "ingester",
    QUERIER: "querier",
    QUERY_FRONTEND: "queryFrontend",
    COMPACTOR: "compactor",
    METRICS_GENERATOR: "metricsGenerator",
}
"""The parts' keys below `tempo`."""


class PartResources(Resources):
    """Resources of a part's container. Its heap stays within 80 % of the memory limit."""

    memory: Bytes = Field(default="128Mi", description="Memory request.")
    # Measured at 2 000 spans a second: 0.85 GiB for an ingester and 1.1 GiB for a querier, without a limit
    # (`tempo-parts-memory` in docs/explanation/measurements.json).
    memory_limit: MemoryLimit = Field(default="2000Mi", description="Memory above which the kernel ends the container.")


class PartAutoscaling(Model):
    """A HorizontalPodAutoscaler. Needs metrics-server, or another source of the pods' CPU use."""

    elsewhere: ClassVar[Mapping[str, str]] = {"minreplicas": "the part's `replicas` is the smallest number of pods"}

    max_replicas: Count = Field(description="Largest number of pods; `replicas` is the smallest.", examples=[10])
    # Our choice, as for NGINX.
    cpu: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=70, description="Target use of CPU, in percent of the part's `resources.cpu`."
    )


_IN_COMMON: Mapping[str, str] = {
    **dict.fromkeys(
        ("persistence", "persistentvolume", "size", "storageclass", "volume"),
        "`tempo.persistence` is the volume of each ingester and of each metrics generator",
    ),
    **dict.fromkeys(("image", "tag"), "all parts have the image `tempo.image`"),
    **dict.fromkeys(("enabled", "kind"), "`tempo.mode` says which parts there are"),
    **dict.fromkeys(("config", "extraconfig", "args", "extraargs"), "the program makes Tempo's document from its keys"),
    **dict.fromkeys(
        ("poddisruptionbudget", "pdb", "maxunavailable"),
        "from two `replicas` on, there is one that lets one pod at a time go",
    ),
}


class TempoPart(Model):
    """A part whose number of pods is fixed."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **_IN_COMMON,
        **dict.fromkeys(
            ("autoscaling", "maxreplicas", "minreplicas", "hpa"),
            "the other parts have it; the pods of this one each hold what no other part has, on a volume",
        ),
    }

    replicas: Count = Field(default=1, description="Number of pods.")
    resources: PartResources = Field(default_factory=PartResources, description="Resources of the container.")


class ScaledPart(Model):
    """A part that has nothing of its own, so that an autoscaler may end any of its pods.

    Grafana's chart tempo-distributed autoscales the same parts, and ingesters, with a warning that data may be lost.
    """

    elsewhere: ClassVar[Mapping[str, str]] = {
        **_IN_COMMON,
        **dict.fromkeys(("maxreplicas", "minreplicas", "hpa"), "see `autoscaling`"),
    }

    # Grafana's "Size the cluster": two for high availability.
    replicas: Count = Field(default=2, description="Number of pods, or the smallest number with `autoscaling`.")
    autoscaling: PartAutoscaling | None = Field(
        default=None,
        description="More pods under load. Unset: always `replicas`. If there was an autoscaler before, "
        "`PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up` takes the number of pods back from it.",
    )
    resources: PartResources = Field(default_factory=PartResources, description="Resources of the container.")

    @property
    def most_replicas(self) -> int:
        """The largest number of pods."""
        return self.autoscaling.max_replicas if self.autoscaling else self.replicas


class Ingesters(TempoPart):
    """The part that holds the newest traces, each on three ingesters, and writes them to the bucket."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **TempoPart.elsewhere,
        **dict.fromkeys(
            ("replicationfactor", "copies"),
            f"each span is on {COPIES} ingesters; with one copy every look-up fails while any ingester is away",
        ),
        **dict.fromkeys(
            ("zoneawarereplication", "zoneawareness", "zoneawarenessenabled", "availabilityzones", "availabilityzone"),
            "did you mean `zones`?",
        ),
        **dict.fromkeys(("lifecycler", "maxblockduration", "traceidleperiod", "flush"), "see `tempo.flush`"),
    }

    replicas: Count = Field(
        default=COPIES,
        description=f"Number of pods, at least {COPIES}: each span is on {COPIES} of them. One that is scaled down "
        "first writes what it holds to the bucket.",
    )
    zones: list[Zone] = Field(
        default_factory=list[str],
        description=f"Zones of the nodes, at least {COPIES}, by the values of their label `{ZONE_LABEL}`: each of the "
        f"{COPIES} copies of a span is in another zone, and Tempo goes on while all ingesters of one zone are away. "
        "Each zone has a StatefulSet, with an equal part of `replicas`. Unset: pods prefer different zones, and copies "
        "do not depend on them. docs/how-to/run-tempo-in-parts.md says how to change it.",
    )


class Compactors(ScaledPart):
    """The part that joins blocks in the bucket, and deletes old ones. A pod that ends leaves its work to the others."""

    replicas: Count = Field(default=1, description="Number of pods, or the smallest number with `autoscaling`.")
