"""Rules of the Collector's number of pods, and of how a pod with a persistent queue ends."""

from collections.abc import Iterator
from decimal import Decimal
from math import ceil

from settings.collector_sampling import CollectorResources
from settings.errors import RuleViolation, needs, violation
from settings.stack import Settings
from settings.types import amount, seconds

_AUTOSCALING, _STORAGE = "collector.autoscaling", "collector.queue.storage"
_DRAIN, _DRAIN_ENABLED = "collector.queue.drain", "collector.queue.drain.enabled"


def _autoscaling(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    if collector.autoscaling is None:
        return
    if collector.autoscaling.max_replicas < collector.replica_count:
        message = f"must not be below `collector.replicas`, which is {collector.replica_count}"
        place = f"{_AUTOSCALING}.maxReplicas"
        yield violation(place, message, set_to=collector.replica_count, depends_on=["collector.replicas"])
    yield from _reachable(collector.resources, collector.autoscaling.cpu)
    # With two tiers the deciders have the volumes, and no autoscaler.
    if collector.queue.is_persistent and not collector.queue.drains and not collector.has_tiers:
        message = (
            "needs `collector.queue.drain` with a persistent queue: without it, the spans of each pod that the "
            "autoscaler ends wait on its volume until it makes as many pods again"
        )
        yield needs(_AUTOSCALING, message, _DRAIN_ENABLED, value=True)


_TOLERANCE = Decimal("1.1")
"""An autoscaler makes more pods above so many times its target: `--horizontal-pod-autoscaler-tolerance` is 0.1."""


def _reachable(own: CollectorResources, percent: int) -> Iterator[RuleViolation]:
    """Rejects a target that a Collector never reaches: it has the cores of its limit, else one."""
    most, target = amount(own.cpu_limit) if own.cpu_limit else Decimal(1), amount(own.cpu) * percent / 100
    if target * _TOLERANCE < most:
        return
    uses = f"at most its `cpuLimit` of {own.cpu_limit}" if own.cpu_limit else "one core without a `cpuLimit`"
    message = (
        f"must be lower: it is a target of {float(target):g} cores, which counts as passed a tenth above it, and a "
        f"Collector uses {uses}, so there would never be more of them"
    )
    others = ["collector.resources.cpu", "collector.resources.cpuLimit"]
    usual = max(1, int(70 * most / amount(own.cpu)))
    yield violation(f"{_AUTOSCALING}.cpu", message, set_to=usual, depends_on=others)


def _drain(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    queue = collector.queue
    if not queue.is_persistent:
        for name in ("enabled", "timeout"):
            if name in queue.drain.model_fields_set:
                message = "is for a persistent queue: a pod with a queue in memory sends it whenever it ends"
                yield violation(f"{_DRAIN}.{name}", message, depends_on=[_STORAGE])
        return
    if not queue.drain.enabled:
        for name in ("timeout", "image"):
            if name in queue.drain.model_fields_set:
                yield violation(
                    f"{_DRAIN}.{name}",
                    f"has no effect, because `{_DRAIN_ENABLED}` is false",
                    depends_on=[_DRAIN_ENABLED],
                )
        return
    # The queue gathers for so long before it sends what came last.
    longest = collector.settled_seconds + (ceil(seconds(collector.batch.timeout)) if collector.gathers_in_queue else 0)
    if seconds(queue.drain.timeout) <= longest:
        least = longest + 1
        reason = "no spans move for 2 s"
        if collector.sampling.tail is not None:
            reason += ", besides `collector.sampling.tail.decisionWait` and `collector.batch.timeout`"
        elif collector.gathers_in_queue:
            reason += ", besides `collector.batch.timeout`"
        message = f"must be at least {least}s: a pod has sent all once {reason}"
        places = ["collector.sampling.tail", "collector.batch.timeout"]
        yield violation(f"{_DRAIN}.timeout", message, set_to=f"{least}s", depends_on=places)


QUEUE_RULES = (_autoscaling, _drain)
