"""Puts the sizes of all parts together: the configuration, with the reason of each number."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from settings import Settings
from settings.limits import tempo_memory as memory_to_read
from settings.limits import trace_copies
from settings.sizes import SPAN_BYTES, STORED_SPAN, WORKERS
from settings.tempo import TempoSettings
from settings.types import seconds
from tools.size import parts
from tools.size.arguments import Load, WrongArgumentsError
from tools.size.figures import Figures
from tools.size.quantities import whole_cores, whole_gibibytes, whole_mebibytes
from tools.size.storage import Storage, storage


@dataclass(frozen=True)
class Key:
    """A key of the configuration."""

    place: tuple[str, ...]
    value: int | float | str | bool
    reason: str


@dataclass(frozen=True)
class Plan:
    """The answer."""

    load: Load
    figures: Figures
    nginx: parts.Nginx
    collectors: parts.Collectors
    tempo: parts.Tempo
    storage: Storage
    keys: tuple[Key, ...]

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the keys, as a stack's file has it."""
        tree: dict[str, Any] = {}
        for key in self.keys:
            group = tree
            for part in key.place[:-1]:
                group = group.setdefault(part, {})
            group[key.place[-1]] = key.value
        return tree


def plan(load: Load, figures: Figures) -> Plan:
    """Returns the answer for a load.

    Raises:
        WrongArgumentsError: the storage that is asked for does not go with the load.
    """
    grown = load.grown()
    nginx = parts.nginx(grown, figures)
    collectors = parts.collectors(grown, figures, nginx.connections, float(seconds(load.outage)))
    trace = _trace_bytes(load)
    tempo = parts.tempo(grown, figures, reads=float(memory_to_read(trace, trace_copies(Settings()))))
    if tempo.is_distributed and load.storage == "local":
        raise WrongArgumentsError(
            [
                f"--storage local: {grown.megabytes:.1f} MB/s with the headroom are more than one monolithic Tempo "
                f"takes ({tempo.ends * load.span_bytes / 1e6:.0f} MB/s), and the parts of a distributed one share a "
                "bucket; use s3, gcs or azure"
            ]
        )
    kept = storage(load, figures, is_distributed=tempo.is_distributed)
    return Plan(
        load,
        figures,
        nginx,
        collectors,
        tempo,
        kept,
        (
            *_nginx(load, nginx, figures),
            *_collector(load, collectors, figures),
            *_tempo(load, tempo, kept, figures),
            *_bucket(load, tempo, kept),
        ),
    )


def _trace_bytes(load: Load) -> int:
    """Returns `tempo.ingestion.bytesPerTrace`: the default, or twice the traces of this load, in whole MB."""
    return max(
        TempoSettings().ingestion.bytes_per_trace, math.ceil(2 * load.spans_per_request * load.span_bytes / 1e6) * 10**6
    )


def _nginx(load: Load, nginx: parts.Nginx, figures: Figures) -> Iterator[Key]:
    grown = load.grown()
    place = ("nginx", "resources")
    yield Key(
        ("nginx", "replicas"),
        nginx.replicas,
        f"{WORKERS} workers take {nginx.ends:.0f} requests/s (quoted), and their buffers hold the spans of 2 s; at "
        "least two pods, for one to go on",
    )
    yield Key(
        (*place, "cpu"),
        whole_cores(nginx.cores),
        f"{grown.requests / nginx.replicas:.0f} requests/s with the headroom; a million take {figures.nginx_cpu} s "
        "with full cores (quoted), and more with less to do (measured)",
    )
    yield Key(
        (*place, "memory"),
        whole_mebibytes(nginx.memory),
        "the buffers of all workers, full of spans of this size, as while a Collector hangs",
    )
    yield Key(
        (*place, "memoryLimit"),
        whole_mebibytes(nginx.memory_limit),
        "the same buffers full of the largest spans that clients can cause",
    )
    if load.sampling < 1:
        yield Key(("nginx", "sampling", "ratio"), load.sampling, "as asked for")
    yield Key(
        ("nginx", "upstreamSpans"),
        load.makes_upstream_spans,
        "the Collector makes one of the spans of a request" if load.makes_upstream_spans else "one span for a request",
    )


def _collector(load: Load, collectors: parts.Collectors, figures: Figures) -> Iterator[Key]:
    grown, place = load.grown(), ("collector", "resources")
    basis = "measured" if collectors.is_measured else "quoted"
    fullest = f"{100 * collectors.fullest:.0f} % of the spans"
    yield Key(
        ("collector", "replicas"),
        collectors.replicas,
        f"a core sends {collectors.ends:.0f} spans/s ({basis}); at least two, for one to go on",
    )
    yield Key(
        (*place, "cpu"),
        whole_cores(collectors.cores),
        f"an even share, {grown.spans / collectors.replicas:.0f} spans/s with the headroom",
    )
    if collectors.core_limit > 1:
        yield Key(
            (*place, "cpuLimit"),
            str(collectors.core_limit),
            f"the fullest Collector gets up to {fullest}: each worker of NGINX has one connection, whose Collector is "
            "picked at random",
        )
    basis = figures.basis(*(collectors.fullest * rate for rate in (grown.spans, grown.megabytes)))
    yield Key((*place, "memory"), whole_mebibytes(collectors.memory), f"at the fullest Collector's MB/s ({basis})")
    yield Key(
        (*place, "memoryLimit"),
        whole_mebibytes(collectors.memory_limit),
        f"2 GB for each core (quoted), of which the fullest Collector needs {collectors.core_limit}, or a quarter more "
        "than the memory above",
    )
    yield Key(
        ("collector", "queue", "storage"), "persistent", "spans outlive a killed Collector, and an outage of Tempo"
    )
    yield Key(
        ("collector", "queue", "size"),
        whole_gibibytes(collectors.volume),
        f"{load.outage} without Tempo, the fullest Collector with {fullest}, each span with "
        f"{STORED_SPAN / SPAN_BYTES:.2f} times its bytes",
    )


def _tempo(load: Load, tempo: parts.Tempo, kept: Storage, figures: Figures) -> Iterator[Key]:
    grown = load.grown()
    ends = f"a monolithic one ends at {tempo.ends:.0f} spans/s of this size (quoted)"
    yield Key(("tempo", "mode"), "distributed" if tempo.is_distributed else "monolithic", ends)
    if tempo.is_distributed:
        for part in tempo.parts:
            yield from _part(part)
    else:
        place = ("tempo", "resources")
        basis = figures.basis(grown.spans, grown.megabytes)
        rate = f"{grown.spans:.0f} spans/s and {grown.megabytes:.1f} MB/s with the headroom ({basis})"
        yield Key((*place, "cpu"), whole_cores(tempo.cores), rate)
        yield Key((*place, "memory"), whole_mebibytes(tempo.memory), rate)
        yield Key(
            (*place, "memoryLimit"),
            whole_mebibytes(tempo.memory_limit),
            "the largest of the default, of what reading the largest trace takes, and of a quarter more than the above",
        )
    yield Key(("tempo", "retention"), load.retention, "as asked for")
    if _trace_bytes(load) > TempoSettings().ingestion.bytes_per_trace:
        yield Key(("tempo", "ingestion", "bytesPerTrace"), _trace_bytes(load), "twice the traces of this load")
    yield Key(("tempo", "persistence", "size"), whole_gibibytes(_volume(tempo, kept)), _volume_reason(tempo, kept))


def _volume(tempo: parts.Tempo, kept: Storage) -> float:
    """Returns the volume of Tempo, or of each ingester and each metrics generator, which have three and one copies."""
    if not tempo.is_distributed:
        return kept.volume
    numbers = {part.name: part.replicas for part in tempo.parts}
    return kept.volume * max(3 / numbers["ingester"], 1 / numbers["metrics-generator"])


def _volume_reason(tempo: parts.Tempo, kept: Storage) -> str:
    if tempo.is_distributed:
        return "of each ingester and metrics generator: what is not in the bucket yet, three copies of each span"
    if kept.kind == "local":
        return f"{kept.span_bytes:.0f} bytes of each span (measured), the log before them, and a fifth free"
    return "what is not in the bucket yet, copies that Tempo keeps for an hour, and a fifth free"


def _part(part: parts.DistributedPart) -> Iterator[Key]:
    first, *rest = part.name.split("-")
    place = ("tempo", first + "".join(word.capitalize() for word in rest))
    yield Key((*place, "replicas"), part.replicas, f"one for {part.each}" if "/s" in part.each else part.each)
    yield Key((*place, "resources", "cpu"), whole_cores(part.cores), part.by)
    yield Key((*place, "resources", "memory"), whole_mebibytes(part.memory), "the least that is quoted")
    yield Key(
        (*place, "resources", "memoryLimit"),
        whole_mebibytes(part.memory_limit),
        "twice that, or what reading the largest trace takes",
    )


_BUCKETS: Mapping[str, Mapping[str, str]] = {
    "local": {},
    "s3": {"bucket": "traces", "region": "eu-central-1", "identity": "serviceAccount"},
    "gcs": {"bucket": "traces", "identity": "serviceAccount"},
    "azure": {"bucket": "traces", "account": "traces", "identity": "00000000-0000-0000-0000-000000000000"},
}


def _bucket(load: Load, tempo: parts.Tempo, kept: Storage) -> Iterator[Key]:
    if load.storage:
        reason = "as asked for"
    elif tempo.is_distributed:
        reason = "the parts of a distributed Tempo share a bucket"
    else:
        reason = f"the blocks {'fit a volume' if kept.kind == 'local' else 'need more than a volume'} of 1 TiB"
    yield Key(("tempo", "storage", "type"), kept.kind, reason)
    for name, value in _BUCKETS[kept.kind].items():
        yield Key(("tempo", "storage", name), value, "an example: write your own")
