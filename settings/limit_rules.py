"""Rules of size: the next hop takes every message that a hop may send, and the memory holds it."""

from collections.abc import Iterator

from settings.errors import Place, RuleViolation, violation
from settings.limits import (
    batch_size,
    collector_memory,
    largest_trace,
    memory_batch,
    message_batch,
    message_span,
    nginx_memory,
    nginx_receiver,
    receiver,
    tempo_memory,
    trace_copies,
    trace_memory_limits,
)
from settings.nginx import NginxSettings
from settings.sizes import KIB, MESSAGE_COPIES, MIB, WORKERS
from settings.spans import head, largest_span
from settings.stack import Settings
from settings.types import amount

_NGINX_SIZES: tuple[Place, ...] = (("nginx",), ("collector", "exporters"), ("collector", "enabled"))
"""The places that the size of NGINX's exports depends on."""


def _nginx_messages(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects batches whose largest spans would not fit a message to the receiver."""
    nginx, most = settings.nginx, message_batch(settings)
    spans = f"spans of {message_span(settings) // KIB} KiB"
    takes = f"the receiver takes {nginx_receiver(settings) // MIB} MiB in one message"
    if not most:
        message = f"lets a client make {spans}, and {takes}: not even one would fit"
        yield violation(_cause_of_large_spans(nginx), message, depends_on=_NGINX_SIZES)
    elif nginx.exporter.batch_size is not None and nginx.exporter.batch_size > most:
        message = f"must be at most {most}: clients can make {spans}, and {takes}"
        yield violation("nginx.exporter.batchSize", message, set_to=most, depends_on=_NGINX_SIZES)


def _cause_of_large_spans(nginx: NginxSettings) -> Place:
    """Returns the place that makes spans larger than a message: buffers for the head of a request, else attributes."""
    if head(nginx) != head(NginxSettings()):
        block = "http" if "client_header_buffer" in nginx.extra_config.http else "server"
        return ("nginx", "extraConfig", block)
    return ("nginx", "spanAttributes") if nginx.span_attributes else ("nginx", "routes")


def _nginx_memory(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a memory limit that does not hold NGINX's buffers when they are full of the largest spans."""
    nginx = settings.nginx
    if not message_batch(settings):
        return
    spans = min(batch_size(settings), message_batch(settings))
    if spans <= memory_batch(nginx):
        return
    limit, needed = nginx.resources.memory_limit, _mebibytes(nginx_memory(nginx, spans))
    held = spans * nginx.exporter.batch_count * WORKERS
    message = (
        f"must be at least {needed}: when the receiver hangs, NGINX holds batchSize * batchCount * {WORKERS} workers = "
        f"{held} spans, and clients can make them of {largest_span(nginx) // KIB} KiB; smaller values of the two keys "
        "hold fewer"
    )
    place = "nginx.resources.memoryLimit"
    yield violation(place, message, set_to=needed, depends_on=_NGINX_SIZES, echoed=[limit])


def _collector_memory(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a memory limit with which the largest message would not pass the Collector, or the tier that decides."""
    collector, limiter = settings.collector, settings.collector.memory_limiter
    # If the limiter's two percentages do not fit together, another rule rejects them.
    if not collector.enabled or limiter.spike_limit_percentage >= limiter.limit_percentage:
        return
    needed, tail = collector_memory(collector), collector.sampling.tail
    limits = {"collector.resources.memoryLimit": collector.resources.memory_limit}
    if collector.has_tiers and tail and tail.resources:
        limits["collector.sampling.tail.resources.memoryLimit"] = tail.resources.memory_limit
    for place, limit in limits.items():
        if amount(limit) < needed:
            message = (
                f"must be at least {_mebibytes(needed)}: a message of up to {receiver(collector) // MIB} MiB takes "
                f"{MESSAGE_COPIES} times its size on its way through, within what the memory limiter leaves"
            )
            others = ["collector.exporters", "collector.memoryLimiter"]
            yield violation(place, message, set_to=_mebibytes(needed), depends_on=others, echoed=[limit])


def _tempo_memory(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a size of traces that Tempo, or a part of it, could not read within its memory limit."""
    ingestion = settings.tempo.ingestion
    copies, trace = trace_copies(settings), "tempo.ingestion.bytesPerTrace"
    needed = tempo_memory(ingestion.bytes_per_trace, copies)
    limits = trace_memory_limits(settings) if settings.tempo.enabled else {}
    small = {f"{key}.resources.memoryLimit": limit for key, limit in limits.items() if amount(limit) < needed}
    if not small:
        return
    memory, least = min(small.items(), key=lambda item: amount(item[1]))
    most = largest_trace(least, copies)
    if "bytes_per_trace" in ingestion.model_fields_set and most >= 1000:
        message = (
            f"must be at most {most} with a `{memory}` of {least}: reading a trace takes Tempo {copies} times its bytes"
        )
        yield violation(trace, message, set_to=most, depends_on=[*small], echoed=[least])
        return
    for place, limit in small.items():
        message = f"must be at least {_mebibytes(needed)}: Tempo needs that to read a trace of `{trace}`"
        yield violation(place, message, set_to=_mebibytes(needed), depends_on=[trace], echoed=[limit])


def _mebibytes(size: int) -> str:
    return f"{-(-size // MIB)}Mi"


LIMIT_RULES = (
    _nginx_messages,
    _nginx_memory,
    _collector_memory,
    _tempo_memory,
)
