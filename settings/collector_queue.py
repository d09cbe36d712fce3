"""The Collector's queues: where spans wait for a backend, and how a pod sends them before it ends."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from settings.sizes import DEFAULT_ENTRIES, DEFAULT_STORED_SPANS, MIB, QUEUE_VOLUME, RECEIVER
from settings.types import Bytes, Image, Model, SubdomainName, TypeName, WholeSeconds, at_least, at_most, seconds

_MESSAGES = 16
"""Our choice: the largest messages that the volume of a queue holds at least."""

_TOO_SMALL = f"with less it holds fewer than {_MESSAGES} of the largest messages, of {RECEIVER // MIB} MiB each"
_LEAST_VOLUME = f"{_MESSAGES * RECEIVER // MIB}Mi"
_Volume = Annotated[Bytes, at_least(_LEAST_VOLUME, _TOO_SMALL), TypeName("bytes")]


class Drain(Model):
    """How a pod with a persistent queue ends: it leaves the Service, sends what its volume holds, and then ends."""

    enabled: bool = Field(
        default=True,
        description="Send what the volume holds before the pod ends. `false`: its spans wait on the volume until a pod "
        "uses it again.",
    )
    # A full queue of 10Gi takes Tempo some 7 minutes at the 25 MB/s of one Tempo. gRPC dials a Tempo that was away
    # again after at most 2.4 minutes. With the 45 s around it, the cluster autoscaler's 10 minutes for a pod are kept.
    # Longer than an hour no node's maintenance waits for a pod (GKE's limit; our choice).
    timeout: Annotated[WholeSeconds, at_most("1h")] = Field(
        default="9m",
        description="Longest time that a pod takes for it. What it could not send by then stays on its volume. "
        "Kubernetes gives the pod 45 s more, and one that decides behind others 75 s and its `decisionWait`.",
    )
    image: Image = Field(
        default="busybox:1.37.0-musl",
        description="Image with a statically linked /bin/busybox, which waits in the Collector's container: its own "
        "image has no shell.",
    )


class Queue(Model):
    """Where spans wait for a backend that is away. Each exporter has its own queue."""

    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("retentionpolicy", "persistentvolumeclaimretentionpolicy", "reclaimpolicy"),
        "the volume of a pod that is gone is always kept: it may hold spans",
    )

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
    drain: Drain = Field(
        default_factory=Drain, description="How a pod with a persistent queue ends: it sends what its volume holds."
    )

    @property
    def is_persistent(self) -> bool:
        """Whether spans wait on a volume."""
        return self.storage == "persistent"

    @property
    def drains(self) -> bool:
        """Whether a pod sends what its volume holds before it ends."""
        return self.is_persistent and self.drain.enabled

    @property
    def drain_seconds(self) -> int:
        """The longest time that a pod takes to send what its volume holds; 0 if it does not."""
        return int(seconds(self.drain.timeout)) if self.drains else 0
