"""Lists every measurement."""

from lab.build.targets import COLLECTORS, NGINX_PLUS, S3_SERVER
from tools.measure import ladders
from tools.measure.configurations import check
from tools.measure.cost import commands, features, forms, growth, proxied, spans, stored, tracing, upstreams
from tools.measure.faults import buckets, deciders, edited, full_disk, full_queues, scenarios
from tools.measure.measurement import (
    FAULTS,
    GROUPS,
    LOAD,
    PROGRAM_COST,
    TRACING_COST,
    UPDATES,
    Measurement,
    SharedStack,
)
from tools.measure.sizes import sizes
from tools.measure.updates import foreign, interrupted, steady

DOWN_SECONDS = 300
TURN_SECONDS = 15
AWAY_SECONDS = 5
NO_OPS = 10
CONFIGURATIONS = 10_000
"""The extent of a full run. Our choice; `python -m tools measure --help` adds up how long each group takes."""


MEASUREMENTS = (
    Measurement(
        "configurations",
        UPDATES,
        "random configurations, whose documents the deployed programs read",
        1,
        lambda _: [check.result(CONFIGURATIONS)],
        stack=None,
        builds=(NGINX_PLUS, *COLLECTORS.values()),
    ),
    Measurement(
        "foreign",
        UPDATES,
        "foreign objects that `pulumi up` and `destroy` leave untouched",
        1,
        lambda place: [foreign.untouched(place.stack, place.show)],
        is_deployed=False,
    ),
    Measurement(
        "killed",
        UPDATES,
        "`pulumi up` killed after each resource",
        12,
        lambda place: interrupted.killed(place.stack, place.show),
        is_deployed=False,
    ),
    Measurement(
        "no-op", UPDATES, "`pulumi up` with nothing to do", 1, lambda place: [steady.no_op(place.stack, NO_OPS)]
    ),
    Measurement("refresh", UPDATES, "differences after `pulumi up`", 1, lambda place: [steady.refreshed(place.stack)]),
    Measurement(
        "edits",
        UPDATES,
        "needless replacements by edits of single options",
        3,
        lambda place: [interrupted.edits(place.stack, place.show)],
    ),
    Measurement(
        "tampering",
        UPDATES,
        "fields changed by hand in the cluster",
        1,
        lambda place: [steady.healed(place.stack, place.show)],
    ),
    Measurement("nginx-rollout", FAULTS, "NGINX is replaced", 1, lambda place: scenarios.nginx_rollout(place.stack)),
    Measurement(
        "nginx-edited", FAULTS, "NGINX gets another upstream", 1, lambda place: [edited.upstream_edited(place.stack)]
    ),
    Measurement("nginx-evicted", FAULTS, "NGINX's pods are evicted", 1, lambda place: [edited.evicted(place.stack)]),
    Measurement(
        "nginx-scale-down", FAULTS, "NGINX is scaled", 1, lambda place: [scenarios.nginx_scale_down(place.stack)]
    ),
    Measurement(
        "collector-rollout",
        FAULTS,
        "both Collectors are replaced",
        1,
        lambda place: [scenarios.collector_rollout(place.stack)],
    ),
    Measurement(
        "collector-kill", FAULTS, "a Collector is killed", 1, lambda place: [scenarios.collector_kill(place.stack)]
    ),
    Measurement(
        "collector-away",
        FAULTS,
        "no Collector is there",
        1,
        lambda place: [scenarios.collectors_away(place.stack, AWAY_SECONDS)],
    ),
    Measurement(
        "collector-queues",
        FAULTS,
        "Collectors with full queues are killed and replaced",
        2,
        lambda place: [scenarios.collectors_with_full_queues(place.stack, 30)],
    ),
    Measurement(
        "tempo-down",
        FAULTS,
        "Tempo is away for five minutes",
        8,
        lambda place: [scenarios.tempo_down(place.stack, DOWN_SECONDS)],
    ),
    Measurement("tempo-stop", FAULTS, "Tempo is terminated", 1, lambda place: [scenarios.tempo_stop(place.stack)]),
    Measurement("tempo-kill", FAULTS, "Tempo is killed", 1, lambda place: [scenarios.tempo_kill(place.stack)]),
    Measurement(
        "collector-unreachable",
        FAULTS,
        "packets to the Collectors are dropped",
        6,
        lambda place: scenarios.collector_unreachable(place.stack, TURN_SECONDS, turns=10),
    ),
    Measurement(
        "node-restart", FAULTS, "the node is killed", 2, lambda place: [scenarios.node_restart(place.stack, 10)]
    ),
    Measurement("sizes", LOAD, "spans of 1 kB to 1 MB", 2, lambda place: sizes(place.stack)),
    Measurement(
        "load-steps",
        LOAD,
        "requests at constant rates, beside the baseline",
        20,
        lambda place: ladders.beside_baseline(place.stack, place.show),
    ),
    Measurement(
        "load-steps-upstream",
        LOAD,
        "two of these rates through an upstream, two spans a request",
        4,
        lambda place: ladders.through_upstream(place.stack, place.show),
    ),
    Measurement("destroy", UPDATES, "objects left by `pulumi destroy`", 1, lambda place: [steady.removed(place.stack)]),
    Measurement(
        "collector-scale-down",
        FAULTS,
        "there are fewer Collectors, with full queues",
        2,
        lambda place: [scenarios.collector_scale_down(place.stack)],
        stack=SharedStack("scale-down", full_queues.CONFIGURATION),
    ),
    Measurement(
        "full-queue",
        FAULTS,
        "the queues' volumes are full",
        8,
        lambda place: full_disk.queue(place.stack),
        stack=SharedStack("full-queue", full_disk.QUEUE_CONFIGURATION),
    ),
    Measurement(
        "full-tempo",
        FAULTS,
        "Tempo's volume is full",
        5,
        lambda place: full_disk.tempo(place.stack),
        stack=SharedStack("full-tempo", full_disk.TEMPO_CONFIGURATION),
    ),
    Measurement(
        "bucket-away",
        FAULTS,
        "the bucket of Tempo's blocks is away for five minutes",
        7,
        lambda place: [buckets.bucket_away(place.scratch, DOWN_SECONDS)],
        stack=None,
        builds=(S3_SERVER,),
    ),
    Measurement(
        "tempo-parts",
        FAULTS,
        "each part of a distributed Tempo is killed, replaced and scaled down",
        12,
        lambda place: buckets.tempo_parts(place.scratch, place.show),
        stack=None,
        builds=(S3_SERVER,),
    ),
    Measurement(
        "deciders",
        FAULTS,
        "three Collectors decide about whole traces, become two, and three again",
        5,
        lambda place: deciders.deciders(place.stack),
        stack=SharedStack("deciders", deciders.CONFIGURATION),
    ),
    Measurement(
        "commands",
        PROGRAM_COST,
        "`pulumi up` beside `kubectl apply` and `diff` of the same objects",
        5,
        lambda place: commands.commands(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "previews",
        PROGRAM_COST,
        "`pulumi preview` beside smaller programs",
        2,
        lambda place: commands.previews(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "every-part",
        PROGRAM_COST,
        "first preview and `pulumi up` with Tempo in parts and two tiers of Collectors",
        8,
        lambda place: commands.every_part(place.scratch, place.show),
        stack=None,
        builds=(S3_SERVER,),
    ),
    Measurement(
        "growth", PROGRAM_COST, "first previews by the number of routes and components", 1, growth.growth, stack=None
    ),
    Measurement(
        "tracing",
        TRACING_COST,
        "requests a second and CPU time of NGINX: none, all and a tenth traced",
        4,
        lambda place: tracing.tracing(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "proxied",
        TRACING_COST,
        "CPU time of NGINX by the rate of requests, all proxied and traced",
        3,
        lambda place: proxied.proxied(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "spans",
        TRACING_COST,
        "CPU time, memory and time to a found trace, beside the baseline",
        9,
        lambda place: spans.spans(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "upstream-spans",
        TRACING_COST,
        "CPU time of the Collector with spans of upstreams and stable names",
        6,
        lambda place: upstreams.upstreams(place.scratch, place.show),
        stack=None,
        needs_lab=False,
    ),
    Measurement(
        "stored-spans",
        TRACING_COST,
        "bytes on the disk, CPU time and memory by the size and the rate of spans",
        7,
        lambda place: stored.stored(place.scratch, place.show),
        stack=None,
        needs_lab=False,
    ),
    Measurement(
        "features",
        TRACING_COST,
        "CPU time, memory and lost traces with all that people look at, and without",
        8,
        lambda place: features.features(place.scratch, place.show),
        stack=None,
    ),
    Measurement(
        "tempo-forms",
        TRACING_COST,
        "CPU time and memory of Tempo as one process, with a bucket, and in parts",
        8,
        lambda place: forms.forms(place.scratch, place.show),
        stack=None,
        builds=(S3_SERVER,),
    ),
)


def selected(names: list[str], only: list[str] | None = None) -> list[Measurement]:
    """Returns measurements in their order.

    Args:
        names: measurements and groups; all measurements if it is empty.
        only: measurements of these; all of them if it is None.

    Raises:
        ValueError: a name is not known, or `only` names a measurement that `names` do not contain.
    """
    known = {measurement.name for measurement in MEASUREMENTS}
    if unknown := [name for name in [*names, *(only or [])] if name not in known | set(GROUPS)]:
        raise ValueError(f"unknown: {', '.join(unknown)}. Names: {', '.join([*GROUPS, *sorted(known)])}.")
    chosen = [each for each in MEASUREMENTS if not names or each.name in names or each.group in names]
    if only is None:
        return chosen
    if outside := [name for name in only if name not in {each.name for each in chosen}]:
        raise ValueError(f"not in {' '.join(names)}: {', '.join(outside)}.")
    return [each for each in chosen if each.name in only]
