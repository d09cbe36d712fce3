"""Rules of a distributed Tempo: what it needs, and how many pods its parts have."""

import math
from collections.abc import Iterator

from settings.errors import RuleViolation, needs, repeated, set_command, violation
from settings.limits import makes_metrics
from settings.stack import Settings
from settings.tempo_parts import COPIES, METRICS_GENERATOR, PART_KEYS, ZONE_LABEL, ScaledPart
from settings.types import seconds

_MODE = "tempo.mode"
_ZONES = ("tempo", "ingester", "zones")


def _parts_need_the_mode(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys of parts that do not run, and the keys of the one process in their place."""
    tempo = settings.tempo
    written = tempo.model_fields_set
    keys = {name: (name.replace("-", "_"), PART_KEYS[name]) for name in PART_KEYS}
    if not tempo.enabled:
        # Another module warns of keys that have no effect with `tempo.enabled` false.
        return
    if not tempo.is_distributed:
        for field, key in keys.values():
            if field in written:
                message = f"is a part of a distributed Tempo, and `{_MODE}` is monolithic"
                yield needs(f"tempo.{key}", message, _MODE, "distributed")
        return
    if "resources" in written:
        message = f"is for one process, and with `{_MODE}` distributed each part has `resources` of its own"
        yield violation("tempo.resources", message, depends_on=[_MODE])
    if METRICS_GENERATOR.replace("-", "_") in written and not makes_metrics(settings):
        message = (
            "makes metrics of spans, and nothing reads them: `tempo.traceqlMetrics` and `prometheus.enabled` are "
            "false, and `metrics.remoteWrite` is unset"
        )
        others = ["tempo.traceqlMetrics", "prometheus.enabled", "metrics.remoteWrite"]
        yield violation("tempo.metricsGenerator", message, depends_on=others)


def _distributed_needs(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a distributed Tempo without what its parts share, and a version that is not run in parts."""
    tempo = settings.tempo
    if not tempo.enabled or not tempo.is_distributed:
        return
    if tempo.release.has_live_store:
        message = (
            "must be monolithic with Tempo 3, whose parts pass spans on through Kafka, which this program does not "
            "run. Parts need Tempo 2"
        )
        yield violation(_MODE, message, set_to="monolithic", depends_on=["tempo.image"])
    if not tempo.storage.is_remote:
        message = (
            f"must be s3, gcs or azure with `{_MODE}` distributed: the queriers read what the ingesters wrote from a "
            "bucket"
        )
        yield violation("tempo.storage.type", message, set_to="s3", depends_on=[_MODE])
    if tempo.persistence.size is None:
        message = (
            f"is required with `{_MODE}` distributed: it is the volume of each ingester, which holds the spans that "
            "are not in the bucket yet"
        )
        yield violation("tempo.persistence.size", message, set_to="10Gi", depends_on=[_MODE])


def _ingesters(settings: Settings) -> Iterator[RuleViolation]:
    replicas = settings.tempo.ingester.replicas
    if settings.tempo.is_distributed and replicas < COPIES:
        message = (
            f"must be at least {COPIES}: Tempo gives each span to {COPIES} ingesters, and goes on without any one of "
            "them"
        )
        yield violation("tempo.ingester.replicas", message, set_to=COPIES)


def _zones(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects zones that cannot have a copy of each span in three of them, or not as many ingesters each."""
    replicas, zones = settings.tempo.ingester.replicas, settings.tempo.ingester.zones
    if not settings.tempo.is_distributed or not zones:
        return
    twice = list(repeated(zones))
    for number, _ in twice:
        yield violation((*_ZONES, number), "is there twice")
    count = len(zones)
    if not twice and count < COPIES:
        message = f"must be at least {COPIES} zones: each of the {COPIES} copies of a span is in another one"
        yield violation(_ZONES, message)
    elif not twice and replicas >= COPIES and replicas % count:
        message = f"must be a multiple of {count}, the number of `tempo.ingester.zones`, which have equal parts of it"
        more = math.ceil(replicas / count) * count
        yield violation("tempo.ingester.replicas", message, set_to=more, depends_on=[_ZONES])
    if ZONE_LABEL in settings.scheduling.node_selector:
        message = "lets pods run in one zone alone, and `tempo.ingester.zones` needs ingesters in each of its zones"
        yield violation(("scheduling", "nodeSelector", ZONE_LABEL), message, depends_on=[_ZONES])


def _autoscaling(settings: Settings) -> Iterator[RuleViolation]:
    for name, part in settings.tempo.parts(makes_metrics=True).items():
        if isinstance(part, ScaledPart) and part.most_replicas < part.replicas:
            place = f"tempo.{PART_KEYS[name]}"
            message = f"must not be below `{place}.replicas`, which is {part.replicas}"
            yield violation(
                f"{place}.autoscaling.maxReplicas", message, set_to=part.replicas, depends_on=[f"{place}.replicas"]
            )


def _blocks_reach_the_bucket(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects ingesters that forget a block before the queriers know that it is in the bucket."""
    flush = settings.tempo.flush
    kept, poll = seconds(flush.complete_block_timeout), seconds(flush.blocklist_poll)
    # Another rule rejects those that are shorter than one poll.
    if settings.tempo.is_distributed and poll <= kept < 2 * poll:
        needed = f"{math.ceil(2 * poll)}s"
        message = (
            f"must be at least {needed} with `{_MODE}` distributed, twice `tempo.flush.blocklistPoll`: a compactor "
            "lists the bucket once in that time, and a querier reads that list once in that time"
        )
        yield violation(
            "tempo.flush.completeBlockTimeout",
            message,
            set_to=needed,
            depends_on=["tempo.flush.blocklistPoll", _MODE],
        )


def tempo_parts_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning of a gRPC port that any pod reaches: one process has it on its loopback address."""
    if settings.tempo.enabled and settings.tempo.is_distributed and not settings.network_policies:
        past = ", also without `tempoPassword`" if settings.tempo_password else ""
        yield (
            f"{_MODE} is distributed and networkPolicies is false: Tempo's parts reach each other at the port 9095, "
            f"which asks for no password, so every pod of the cluster can read and write traces there{past}. "
            f"To close it: {set_command('networkPolicies', value=True)}"
        )


TEMPO_PARTS_RULES = (
    _parts_need_the_mode,
    _distributed_needs,
    _ingesters,
    _zones,
    _autoscaling,
    _blocks_reach_the_bucket,
)
