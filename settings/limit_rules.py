"""Rules of size: a message that one hop may send, the next one takes, and the memory holds it."""

import json
from collections.abc import Callable, Iterator

from settings.errors import ConfigError, Place, RuleViolation, remove_command, set_command
from settings.limits import (
    KIB,
    MIB,
    batch_size,
    collector_memory,
    head,
    largest_span,
    largest_trace,
    memory_batch,
    message_batch,
    nginx_memory,
    nginx_receiver,
    receiver,
    tempo_memory,
)
from settings.nginx import WORKERS, NginxSettings
from settings.stack import Settings
from settings.types import amount

_EXPORTERS: Place = ("collector", "exporters")


def _nginx_messages(settings: Settings) -> Iterator[RuleViolation]:
    nginx = settings.nginx
    most, largest = message_batch(settings), largest_span(nginx)
    takes = f"the receiver takes {nginx_receiver(settings) // MIB} MiB in one message"
    others: tuple[Place, ...] = (("nginx",), _EXPORTERS, ("collector", "enabled"))
    if not most:
        place = _cause_of_large_spans(nginx)
        message = f"lets a client make spans of {largest // KIB} KiB, and {takes}: not one would fit"
        yield RuleViolation(ConfigError(place, message, remove_command(place)), others)
    elif nginx.exporter.batch_size is not None and nginx.exporter.batch_size > most:
        place = ("nginx", "exporter", "batchSize")
        message = f"must be at most {most}: clients can make spans of {largest // KIB} KiB, and {takes}"
        yield RuleViolation(
            ConfigError(place, message, set_command(place, most), str(nginx.exporter.batch_size)), others
        )


def _cause_of_large_spans(nginx: NginxSettings) -> Place:
    """The place that makes spans larger than a message: buffers for the head of a request, else attributes."""
    if head(nginx) != head(NginxSettings()):
        block = "http" if "client_header_buffer" in nginx.extra_config.http else "server"
        return ("nginx", "extraConfig", block)
    if nginx.span_attributes:
        return ("nginx", "spanAttributes")
    return ("nginx", "routes")


def _nginx_memory(settings: Settings) -> Iterator[RuleViolation]:
    nginx = settings.nginx
    if not message_batch(settings):
        return
    spans = min(batch_size(settings), message_batch(settings))
    if spans <= memory_batch(nginx):
        return
    place: Place = ("nginx", "resources", "memoryLimit")
    limit, needed = nginx.resources.memory_limit, nginx_memory(nginx, spans)
    message = (
        f"must be at least {_mebibytes(needed)}: when the receiver hangs, NGINX holds batchSize * batchCount * "
        f"{WORKERS} workers = {spans * nginx.exporter.batch_count * WORKERS} spans, and clients can make them of "
        f"{largest_span(nginx) // KIB} KiB; smaller values of the two keys hold fewer"
    )
    others: tuple[Place, ...] = (("nginx",), _EXPORTERS, ("collector", "enabled"))
    yield RuleViolation(
        ConfigError(place, message, set_command(place, _mebibytes(needed)), json.dumps(limit), (limit,)), others
    )


def _collector_memory(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    # Where the limiter's two percentages are wrong, another rule says so.
    spike = collector.memory_limiter.spike_limit_percentage
    if not collector.enabled or spike >= collector.memory_limiter.limit_percentage:
        return
    limit, needed = collector.resources.memory_limit, collector_memory(collector)
    if amount(limit) >= needed:
        return
    place: Place = ("collector", "resources", "memoryLimit")
    message = (
        f"must be at least {_mebibytes(needed)}: a message of up to {receiver(collector) // MIB} MiB takes six times "
        "its size on its way through, within what the memory limiter leaves"
    )
    others: tuple[Place, ...] = (_EXPORTERS, ("collector", "memoryLimiter"))
    yield RuleViolation(
        ConfigError(place, message, set_command(place, _mebibytes(needed)), json.dumps(limit), (limit,)), others
    )


def _tempo_memory(settings: Settings) -> Iterator[RuleViolation]:
    tempo = settings.tempo
    limit, size = tempo.resources.memory_limit, tempo.ingestion.bytes_per_trace
    if not tempo.enabled or amount(limit) >= tempo_memory(size):
        return
    most = largest_trace(tempo.resources.memory_limit)
    place: Place = ("tempo", "ingestion", "bytesPerTrace")
    memory: Place = ("tempo", "resources", "memoryLimit")
    if "bytes_per_trace" in tempo.ingestion.model_fields_set and most >= 1000:
        message = (
            f"must be at most {most} with a `tempo.resources.memoryLimit` of {limit}: reading a trace takes Tempo "
            "sixteen times its bytes"
        )
        yield RuleViolation(ConfigError(place, message, set_command(place, most), str(size), (limit,)), (memory,))
    else:
        needed = _mebibytes(tempo_memory(size))
        message = f"must be at least {needed}: to read a trace of `tempo.ingestion.bytesPerTrace` takes that"
        yield RuleViolation(
            ConfigError(memory, message, set_command(memory, needed), json.dumps(limit), (limit,)), (place,)
        )


def _mebibytes(size: int) -> str:
    return f"{-(-size // MIB)}Mi"


LIMIT_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _nginx_messages,
    _nginx_memory,
    _collector_memory,
    _tempo_memory,
)
