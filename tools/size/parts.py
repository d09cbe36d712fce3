"""Sizes NGINX, the Collectors and Tempo for a load."""

import math
from dataclasses import dataclass

from settings.collector import CollectorSettings
from settings.limits import nginx_memory
from settings.nginx import NginxSettings
from settings.sizes import DEFAULT_BATCH, NGINX_BASE, SPAN_BYTES, STORED_SPAN, WORKERS, span_memory
from settings.spans import largest_span
from settings.tempo import TempoSettings
from settings.types import amount, seconds
from tools.size.arguments import Load
from tools.size.figures import (
    COLLECTOR_SPANS,
    GIGABYTES_PER_CORE,
    MONOLITHIC_MEGABYTES,
    MONOLITHIC_SPANS,
    Figures,
)

LEAST_PODS = 2
"""One keeps running while the other is replaced, evicted or killed."""

_HELD_SECONDS = 2.0
"""How long a worker's buffer holds all spans while a Collector hangs. Our choice: longer than a Collector stands still
for its volume or for collecting garbage."""

_CERTAINTY = 0.99
"""How surely no Collector gets more connections than it is sized for. Our choice."""

_ROOM = 1.25
"""Memory limits over what was measured: Go's heap stays within 80 % of them."""


@dataclass(frozen=True)
class Use:
    """Holds what the load takes of a pod, as a measurement finds it. A pod may have more reserved."""

    cores: float
    memory: float | None
    """Bytes; None if no use is predicted."""


@dataclass(frozen=True)
class Pods:
    """Pods of one kind."""

    replicas: int
    use: Use | None
    """The use of each; None for what is only quoted."""

    cores: float
    """Reserved for each: the use, the default or what is quoted, whichever is largest."""

    memory: float
    """Bytes that are reserved for each."""

    memory_limit: float


@dataclass(frozen=True)
class Nginx(Pods):
    """The pods of NGINX."""

    ends: float
    """Requests a second of one."""

    held_seconds: float
    """How long the buffers of a worker hold the spans while a Collector hangs."""

    @property
    def connections(self) -> int:
        """Connections to the Collectors: each worker keeps one."""
        return self.replicas * WORKERS


@dataclass(frozen=True)
class Collectors(Pods):
    """The Collectors. `use` and `cores` are those of an even share, and `memory` is the fullest one's."""

    ends: float
    """Spans a second that one core sends on."""

    is_measured: bool
    """Whether that was measured, and is less than what is published."""

    fullest: float
    """The share of all spans that the fullest one gets."""

    fullest_use: Use

    core_limit: int
    """Cores that the fullest one needs."""

    volume: float
    """Bytes of each one's queue."""


@dataclass(frozen=True)
class DistributedPart(Pods):
    """A part of Tempo that runs by itself."""

    name: str
    each: str
    """The purpose of one, in words."""

    by: str
    """Where its cores are from."""


@dataclass(frozen=True)
class Tempo(Pods):
    """The monolithic Tempo, or the parts of a distributed one."""

    is_distributed: bool
    ends: float
    """Spans a second of a monolithic one."""

    parts: tuple[DistributedPart, ...]


def nginx(load: Load, figures: Figures) -> Nginx:
    """Returns the pods of NGINX for a load with its headroom."""
    settings = NginxSettings()
    batches = settings.exporter.batch_count
    ends = WORKERS * 1e6 / figures.nginx_cpu
    held = WORKERS * batches * DEFAULT_BATCH
    replicas = max(LEAST_PODS, math.ceil(load.requests / ends), math.ceil(load.traced * _HELD_SECONDS / held))
    a_second = max(1 / float(seconds(settings.exporter.interval)), load.traced / replicas / WORKERS / DEFAULT_BATCH)
    # Larger ones are of applications: no client can make NGINX's as large.
    span = min(largest_span(settings), max(SPAN_BYTES, load.span_bytes))
    used, resources = figures.nginx_cores(load.requests, replicas * WORKERS) / replicas, settings.resources
    return Nginx(
        replicas=replicas,
        # Of its memory, what full buffers take is computed, and an answer has room for that.
        use=Use(used, None),
        cores=max(float(amount(resources.cpu)), used),
        memory=NGINX_BASE + held * span_memory(span),
        memory_limit=max(float(amount(resources.memory_limit)), nginx_memory(settings, DEFAULT_BATCH)),
        ends=ends,
        held_seconds=batches / a_second,
    )


def collectors(load: Load, figures: Figures, connections: int, outage_seconds: float) -> Collectors:
    """Returns the Collectors for a load with its headroom.

    NGINX's workers keep a connection each, for which kube-proxy picks a Collector at random: one may get more of them
    than its share. Spans of applications count as spread evenly, because more pods send them. A Collector has one core,
    or as many as the fullest one needs.

    Args:
        load: the load.
        figures: what was measured.
        connections: the connections of all of NGINX's workers.
        outage_seconds: how long the queue holds all spans.
    """
    published = COLLECTOR_SPANS * load.spans / load.exported
    cores = figures.collector_cores(load.spans, load.span_bytes)
    measured = load.spans / cores
    ends = min(published, measured)
    of_nginx = load.traced * (2 if load.makes_upstream_spans else 1)
    of_applications = load.spans - of_nginx
    # With fewer than two connections of NGINX for each, many would have none.
    most = connections // 2 + math.ceil(of_applications / ends)
    replicas = max(LEAST_PODS, min(math.ceil(load.spans / ends), most))
    share = (of_nginx * fullest_share(connections, replicas) + of_applications / replicas) / load.spans
    core_limit = max(1, math.ceil(share * load.spans / ends))
    stored = load.span_bytes * STORED_SPAN / SPAN_BYTES
    least = CollectorSettings().resources
    used = figures.collector_bytes(share * load.megabytes)
    return Collectors(
        replicas=replicas,
        use=Use(cores / replicas, figures.collector_bytes(load.megabytes / replicas)),
        fullest_use=Use(share * cores, used),
        cores=max(float(amount(least.cpu)), load.spans / ends / replicas),
        memory=max(float(amount(least.memory)), used),
        memory_limit=max(core_limit * GIGABYTES_PER_CORE * 1e9, _ROOM * used),
        ends=ends,
        is_measured=measured <= published,
        fullest=share,
        core_limit=core_limit,
        volume=share * load.spans * outage_seconds * stored,
    )


def fullest_share(connections: int, receivers: int) -> float:
    """Returns the share of the connections that the fullest receiver gets at most, in 99 of 100 cases.

    Each connection picks its receiver at random: for one receiver that is a binomial distribution, and that any of them
    gets more is at most as likely as the sum over them.
    """
    chance, most = 1 / receivers, (1 - _CERTAINTY) / receivers
    if receivers == 1:
        return 1.0
    reached = 0.0
    for number in range(connections + 1):
        reached += math.exp(
            math.lgamma(connections + 1)
            - math.lgamma(number + 1)
            - math.lgamma(connections - number + 1)
            + number * math.log(chance)
            + (connections - number) * math.log1p(-chance)
        )
        if 1 - reached <= most:
            return number / connections
    return 1.0


def tempo(load: Load, figures: Figures, *, reads: float) -> Tempo:
    """Returns Tempo for a load with its headroom.

    Args:
        load: the load.
        figures: what was measured.
        reads: memory for reading the largest trace, in bytes.
    """
    ends = min(MONOLITHIC_SPANS, MONOLITHIC_MEGABYTES * 1e6 / load.span_bytes)
    is_distributed = load.spans > ends
    cores, least = figures.tempo_cores(load.spans, load.span_bytes), TempoSettings().resources
    used = figures.tempo_bytes(load.spans, load.span_bytes)
    return Tempo(
        replicas=1,
        use=None if is_distributed else Use(cores, used),
        cores=max(float(amount(least.cpu)), cores),
        memory=max(float(amount(least.memory)), used),
        memory_limit=max(float(amount(least.memory_limit)), reads, _ROOM * used),
        is_distributed=is_distributed,
        ends=ends,
        parts=distributed(load, reads) if is_distributed else (),
    )


@dataclass(frozen=True)
class _Published:
    """Holds what the makers of Tempo publish of a part of a distributed Tempo 2 (`TEMPO_SIZE`)."""

    name: str
    megabytes: float
    """MB a second of received traffic that one is for; 0 if their number does not depend on it."""

    least: int
    cores: float
    gigabytes: float
    each: str
    """The purpose of one, in words."""

    by: str = "quoted"
    """Where its cores are from."""


_QUERIES = "our choice: quoted is “dependent on trace size and queries”"
_PARTS = (
    _Published("distributor", 10, LEAST_PODS, 2, 2, "10 MB/s"),
    # Three copies of each span, each on another one.
    _Published("ingester", 3, 3, 2.5, 4, "3 MB/s"),
    _Published("querier", 2, LEAST_PODS, 1, 4, "2 MB/s", _QUERIES),
    _Published("query-frontend", 0, LEAST_PODS, 1, 4, "two, for availability", _QUERIES),
    _Published("compactor", 5, 1, 1, 4, "5 MB/s"),
    _Published("metrics-generator", 10, LEAST_PODS, 2, 4, "10 MB/s, as of distributors: our choice", "our choice"),
)
"""Where a range is published, parts that take spans have its cautious end, and parts that read or tidy up the other.

The second kind may be late and loses nothing.
"""


def distributed(load: Load, reads: float) -> tuple[DistributedPart, ...]:
    """Returns the parts of a Tempo 2 for a load with its headroom.

    Memory is requested as the least that is published, and limited to twice as much, our choice, or to what reading the
    largest trace takes.
    """
    return tuple(
        DistributedPart(
            replicas=max(each.least, math.ceil(load.megabytes / each.megabytes) if each.megabytes else 0),
            use=None,
            cores=each.cores,
            memory=each.gigabytes * 1e9,
            memory_limit=max(2 * each.gigabytes * 1e9, reads),
            name=each.name,
            each=each.each,
            by=each.by,
        )
        for each in _PARTS
    )
