"""Rules of the Collector's number of pods, and of how a pod with a persistent queue ends."""

from collections.abc import Iterator

from settings.errors import RuleViolation, needs, violation
from settings.stack import Settings
from settings.types import seconds

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
    # With two tiers the deciders have the volumes, and no autoscaler.
    if collector.queue.is_persistent and not collector.queue.drains and not collector.has_tiers:
        message = (
            "needs `collector.queue.drain` with a persistent queue: without it, the spans of each pod that the "
            "autoscaler ends wait on its volume until it makes as many pods again"
        )
        yield needs(_AUTOSCALING, message, _DRAIN_ENABLED, value=True)


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
    elif seconds(queue.drain.timeout) <= collector.settled_seconds:
        least = collector.settled_seconds + 1
        reason = "no spans move for 2 s"
        if collector.sampling.tail is not None:
            reason += ", besides `collector.sampling.tail.decisionWait` and `collector.batch.timeout`"
        message = f"must be at least {least}s: a pod has sent all once {reason}"
        places = ["collector.sampling.tail", "collector.batch.timeout"]
        yield violation(f"{_DRAIN}.timeout", message, set_to=f"{least}s", depends_on=places)


QUEUE_RULES = (_autoscaling, _drain)
