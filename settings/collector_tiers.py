"""Derives the settings of the Collectors' two tiers, which tail sampling with several replicas makes.

The pods of the first tier receive spans, and send all spans of a trace to the same pod of the second tier, which
decides about it. Objects, pods and documents of a tier are made from its settings as those of a single tier are.
"""

from math import ceil

from settings.collector import CollectorSettings
from settings.collector_queue import Queue
from settings.collector_sampling import CollectorSampling
from settings.receivers import Receivers
from settings.sizes import MIB
from settings.types import seconds

DECIDER_RECEIVER = 128 * MIB
"""The largest message that a decider takes, eight times the largest that the first tier takes.

Before Collector 0.160 the first tier repeats the resource for each trace of a message (`SplitTraces` of contrib's
`pkg/batchpersignal`), and `kubernetesAttributes` adds some hundred bytes to each. What a decider's backends take does
not bound it: tail sampling makes messages of its own, by `limits.tail_batch`.
"""

LOOKUP_SECONDS = 5
"""How often the first tier looks up the deciders' addresses: the resolver's default."""

DNS_SECONDS = 30
"""For how long DNS may tell of a decider that is gone: the `ttl` and `cache` of kubeadm's CoreDNS."""

MOST_WAIT = 120
"""The longest `decisionWait` in seconds, with two tiers. Our choice: a decider that ends goes on for as long, and with
volumes they end one after another."""


def first_tier(collector: CollectorSettings) -> CollectorSettings:
    """Returns the settings of the pods that receive spans: the Collector's own, if there is one tier."""
    if not collector.has_tiers:
        return collector
    # Nothing outlives a pod: NGINX is answered once the spans are in its memory. The deciders have the volumes.
    return collector.model_copy(
        update={
            # Without sampling of its own, its default would be that of a Collector that stands alone.
            "replicas": collector.replica_count,
            "queue": Queue(),
            "sampling": CollectorSampling(),
            "exporters": {},
            "proxy": None,
        }
    )


def tiers(collector: CollectorSettings) -> list[CollectorSettings]:
    """Returns the settings of each tier, in the order of a span's way."""
    return [first_tier(collector), *([second_tier(collector)] if collector.has_tiers else [])]


def second_tier(collector: CollectorSettings) -> CollectorSettings:
    """Returns the settings of the pods that decide about traces."""
    tail = collector.sampling.tail
    if tail is None:
        raise ValueError("only tail sampling has a second tier")
    return collector.model_copy(
        update={
            "replicas": tail.replicas or collector.replica_count,
            # A change of their number splits traces, so that only a person makes it.
            "autoscaling": None,
            "resources": tail.resources or collector.resources,
            # A pod's attributes are found by the connection of the application, which ends at the first tier.
            "kubernetes_attributes": False,
            "receivers": Receivers(),
        }
    )


def decider_delay(collector: CollectorSettings) -> int:
    """Returns the seconds that a decider goes on working after it was told to end.

    The first tier has then left it, and each trace that it holds has had its `decisionWait`. Only from 0.141 on does a
    Collector that ends decide about the traces that still wait; an older one drops them.
    """
    tail = collector.sampling.tail
    return LOOKUP_SECONDS + DNS_SECONDS + (ceil(seconds(tail.decision_wait)) if tail else 0)
