"""How much each hop sends at most, and how much the next one takes, for a configuration.

The documents are rendered from these numbers, the rules reject what does not fit them, and `limit_table.py` shows them.
All sizes are bytes unless their name says otherwise.
"""

from dataclasses import dataclass

from settings.collector import CollectorSettings
from settings.nginx import NginxSettings
from settings.sampling import is_partial, samples
from settings.sizes import (
    COLLECTOR_BASE,
    FOREIGN_RECEIVER,
    LARGEST_BATCH,
    MESSAGE_COPIES,
    MESSAGE_FRAME,
    METRICS_TRACE_COPIES,
    MIB,
    NGINX_BASE,
    RECEIVER,
    SPAN_BYTES,
    STORED_SENT_SPAN,
    STORED_SPAN,
    TEMPO_BASE,
    TEMPO_INSIDE,
    TEMPO_RECEIVER,
    TRACE_COPIES,
    WORKERS,
    span_memory,
)
from settings.spans import largest_span, renamed_span
from settings.stack import Settings
from settings.tempo_parts import INGESTER, METRICS_GENERATOR, PART_KEYS, QUERIER, QUERY_FRONTEND
from settings.types import amount
from settings.upstream_spans import are_made


def _resource(nginx: NginxSettings) -> int:
    texts = (nginx.service_name, *nginx.resource_attributes, *nginx.resource_attributes.values())
    return sum(len(text.encode()) + 16 for text in texts)


def nginx_memory(nginx: NginxSettings, batch_size: int) -> int:
    """Returns the memory of a pod of NGINX whose buffers are full of the largest spans because the receiver hangs."""
    held = WORKERS * nginx.exporter.batch_count * batch_size
    return NGINX_BASE + held * span_memory(largest_span(nginx))


def message_batch(settings: Settings) -> int:
    """Returns the largest batch of the largest spans that the next hop takes, in spans; 0 if not even one fits."""
    nginx = settings.nginx
    return max(0, (nginx_receiver(settings) - MESSAGE_FRAME - _resource(nginx)) // message_span(settings))


def passed_span(settings: Settings) -> int:
    """Returns the bytes of the largest span of NGINX behind its receiver, where it may have two names for a value."""
    is_renamed = settings.collector.enabled and settings.collector.semantic_conventions == "both"
    return renamed_span(settings.nginx) if is_renamed else largest_span(settings.nginx)


def message_span(settings: Settings) -> int:
    """Returns the bytes of the largest span in the message that `nginx_receiver` bounds.

    Other backends may take no larger messages than the Collector does. Tempo takes twice as much and more.
    """
    return passed_span(settings) if settings.collector.exporters else largest_span(settings.nginx)


def memory_batch(nginx: NginxSettings) -> int:
    """Returns the largest batch of which the memory limit holds `batchCount`, in spans; 0 if not even one span fits."""
    held = WORKERS * nginx.exporter.batch_count * span_memory(largest_span(nginx))
    return max(0, (int(amount(nginx.resources.memory_limit)) - NGINX_BASE) // held)


def batch_size(settings: Settings) -> int:
    """Returns the number of spans in a full export of NGINX."""
    if settings.nginx.exporter.batch_size is not None:
        return settings.nginx.exporter.batch_size
    return max(1, min(LARGEST_BATCH, message_batch(settings), memory_batch(settings.nginx)))


def nginx_receiver(settings: Settings) -> int:
    """Returns the largest message that the receiver of NGINX's exports takes."""
    return receiver(settings.collector) if settings.collector.enabled else FOREIGN_RECEIVER


def receiver(collector: CollectorSettings) -> int:
    """Returns the largest message that the Collector takes: no larger than each of its backends takes.

    It is whole mebibytes, because the Collector's gRPC receiver counts in them.
    """
    foreign = (int(amount(exporter.max_message_size)) for exporter in collector.exporters.values())
    return min((RECEIVER, *foreign)) // MIB * MIB


@dataclass(frozen=True)
class Exports:
    """The sizes of NGINX's exports to the Collector."""

    spans: int
    """The number of spans in a full export."""

    largest_span: int
    """The bytes of the largest span, as it leaves the Collector."""

    upstream_spans: bool = False
    """Whether they tell of upstreams, of whose time the Collector makes spans."""

    are_sampled: bool = False
    """Whether spans say how many requests each stands for, in text."""


def exports(settings: Settings) -> Exports:
    """Returns what NGINX exports, which depends on the whole configuration."""
    are_sampled = samples(settings.nginx, settings.plus if settings.edition == "plus" else None)
    return Exports(batch_size(settings), passed_span(settings), are_made(settings), are_sampled)


def are_weighed(settings: Settings) -> bool:
    """Tells whether every span says how many requests it stands for, as a number that Tempo can sum up."""
    are_sampled = exports(settings).are_sampled or is_partial(settings.collector.sampling.ratio)
    return are_sampled and settings.tempo.release.has_sums


def batch_bytes(collector: CollectorSettings) -> int:
    """Returns the bytes at which a batch for Tempo is full."""
    return collector.batch.size * SPAN_BYTES


def tail_batch(collector: CollectorSettings, exports: Exports) -> int:
    """Returns the spans of a batch behind tail sampling: as many of NGINX's largest as every backend takes."""
    foreign = (int(amount(exporter.max_message_size)) for exporter in collector.exporters.values())
    most = (min((TEMPO_RECEIVER, *foreign)) - MESSAGE_FRAME) // exports.largest_span
    return max(1, min(collector.batch.size, most))


def soft_limit(collector: CollectorSettings) -> int:
    """Returns the bytes in use at which the memory limiter starts to refuse spans."""
    limiter = collector.memory_limiter
    percent = limiter.limit_percentage - limiter.spike_limit_percentage
    return int(amount(collector.resources.memory_limit)) * percent // 100


def queue_bytes(collector: CollectorSettings) -> int:
    """Returns the size of each queue in memory: all that the memory limiter leaves.

    The limiter then refuses spans before the queue is full. It tells the sender, and a full queue cannot: it stands
    behind a processor that has already answered.
    Measured with a soft limit of 300 MiB, when it began to refuse: 200 MiB of ordinary spans, 120 MiB of spans of 1 MB.
    """
    return soft_limit(collector)


def queue_entries(collector: CollectorSettings, exports: Exports, queues: int) -> int:
    """Returns the entries of each persistent queue that is measured in them, as before Collector 0.130.

    Together the queues fill the volume with full exports of ordinary spans.
    """
    spans = tail_batch(collector, exports) if collector.sampling.tail else exports.spans
    return max(1, int(amount(collector.queue.size)) // (spans * STORED_SENT_SPAN * queues))


def stored_bytes(collector: CollectorSettings, queues: int) -> int:
    """Returns the size of each persistent queue in bytes of spans: together the queues fill the volume.

    The largest message fits each queue, even if the queues then outgrow the volume: one without room for it would
    refuse it for ever.
    """
    spans = int(amount(collector.queue.size)) // (STORED_SPAN * queues)
    return max(receiver(collector), spans * SPAN_BYTES)


def collector_memory(collector: CollectorSettings) -> int:
    """Returns the least memory limit with which the largest message passes before the limiter refuses more."""
    limiter = collector.memory_limiter
    percent = limiter.limit_percentage - limiter.spike_limit_percentage
    return COLLECTOR_BASE + MESSAGE_COPIES * receiver(collector) * 100 // percent


def burst(bytes_per_second: int) -> int:
    """Returns the burst that Tempo takes. It refuses a larger push however often the Collector repeats it."""
    return max(bytes_per_second, TEMPO_RECEIVER)


def tempo_inside(bytes_per_trace: int) -> int:
    """Returns the largest message between Tempo's parts: a push, or an answer with a whole trace."""
    return max(TEMPO_INSIDE, 2 * bytes_per_trace)


def makes_metrics(settings: Settings) -> bool:
    """Tells whether anything reads the metrics that Tempo makes of spans."""
    read = settings.tempo.traceql_metrics or settings.prometheus.enabled or settings.metrics.remote_write
    return bool(read)


def trace_copies(settings: Settings) -> int:
    """Returns the memory of a process of Tempo that takes and reads a trace, in multiples of the trace's size."""
    both = makes_metrics(settings) and not settings.tempo.is_distributed
    return METRICS_TRACE_COPIES if both else TRACE_COPIES


def trace_memory_limits(settings: Settings) -> dict[str, str]:
    """Returns the memory limits of the containers that have a whole trace in memory, by their keys."""
    parts = settings.tempo.parts(makes_metrics=makes_metrics(settings))
    if not parts:
        return {"tempo": settings.tempo.resources.memory_limit}
    whole = (INGESTER, QUERIER, QUERY_FRONTEND, METRICS_GENERATOR)
    return {f"tempo.{PART_KEYS[name]}": part.resources.memory_limit for name, part in parts.items() if name in whole}


def tempo_memory(bytes_per_trace: int, copies: int) -> int:
    """Returns the memory limit with which Tempo can read a trace of this many bytes."""
    return TEMPO_BASE + copies * bytes_per_trace


def largest_trace(memory_limit: str, copies: int) -> int:
    """Returns the largest `tempo.ingestion.bytesPerTrace` that Tempo reads within a memory limit; negative if none."""
    most = (int(amount(memory_limit)) - TEMPO_BASE) // copies
    # A round number, as people write them.
    return most // 1_000_000 * 1_000_000 if most >= 1_000_000 else most
