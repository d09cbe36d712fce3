"""The table of limits in the docs: each hop, with all keys at their defaults."""

from collections.abc import Iterator
from dataclasses import dataclass

from settings.collector_tiers import DECIDER_RECEIVER
from settings.limits import (
    batch_bytes,
    batch_size,
    burst,
    largest_trace,
    nginx_memory,
    passed_span,
    queue_bytes,
    receiver,
    stored_bytes,
    tempo_inside,
    trace_copies,
    trace_memory_limits,
)
from settings.sizes import (
    ANSWER_BUFFER,
    FOREIGN_RECEIVER,
    HEAD_BUFFER,
    HEAD_BUFFERS,
    KIB,
    MESSAGE_FRAME,
    MIB,
    RECEIVER,
    TEMPO_RECEIVER,
    WORKERS,
)
from settings.spans import largest_span
from settings.stack import Settings
from settings.types import amount, seconds


@dataclass(frozen=True)
class Hop:
    """One hop of a message."""

    way: str
    """Its sender and receiver."""

    sends: str
    """The most that the sender sends."""

    takes: str
    """The most that the receiver takes."""

    beyond: str
    """The fate of a larger message, and who counts it."""

    source: str
    """The directive or setting, and the source of its default."""


def hops(settings: Settings | None = None) -> Iterator[Hop]:
    """Yields every hop, in the order in which spans and then answers pass them.

    Args:
        settings: the configuration whose sizes are shown; unset, the defaults.
    """
    settings = settings or Settings()
    yield from _into_nginx()
    yield from _out_of_nginx(settings)
    yield from _through_the_collector(settings)
    yield from _tempo(settings)


def _into_nginx() -> Iterator[Hop]:
    yield Hop(
        "client → NGINX: head of a request",
        "any size",
        f"{HEAD_BUFFERS} buffers of {_size(HEAD_BUFFER)}; a line or header of {_size(HEAD_BUFFER)}",
        "400 or 414, without a span: the module makes none",
        "`large_client_header_buffers` (ngx_http_core_module); if `extraConfig` sets another, the program uses that",
    )
    yield Hop(
        "client → NGINX: body",
        "any size",
        "1 MiB",
        "413, without a span: the module makes none",
        "`client_max_body_size` (ngx_http_core_module); `extraConfig` may set another",
    )
    yield Hop(
        "upstream → NGINX: head of an answer",
        "any size",
        f"{_size(ANSWER_BUFFER // 2)} or {_size(ANSWER_BUFFER)}, a page",
        "502, with a span",
        "`proxy_buffer_size` (ngx_http_proxy_module); `extraConfig` may set another",
    )


def _out_of_nginx(settings: Settings) -> Iterator[Hop]:
    nginx, spans = settings.nginx, batch_size(settings)
    span = largest_span(nginx)
    slots = nginx.exporter.batch_count
    yield Hop(
        "NGINX: a span",
        f"{_size(span)}: target, agent and host of {_size(HEAD_BUFFER)} each; more with `spanAttributes` of variables. "
        f"Behind the Collector {_size(passed_span(settings))}, with old and stable names",
        "the same",
        "nothing is cut",
        "computed from `spanAttributes`, `spanName` and the head's buffers",
    )
    yield Hop(
        "NGINX's buffer, while the receiver hangs",
        f"{slots} batches of {spans} spans for each of {WORKERS} workers: "
        f"{int(slots * seconds(nginx.exporter.interval))} s at up to {_rate(settings)} spans a second of a worker",
        f"{nginx.resources.memory_limit}; the largest spans take {nginx_memory(nginx, spans) // MIB} MiB",
        "lost; NGINX logs `OTel dropped records`",
        "`nginx.exporter`, `nginx.resources.memoryLimit`; measured with the official module 0.1.2",
    )
    yield Hop(
        "NGINX → Collector",
        f"{_size(spans * span + MESSAGE_FRAME)}: a batch of the largest spans",
        _size(receiver(settings.collector)),
        "impossible: the preview refuses a larger `batchSize`",
        "`max_recv_msg_size_mib` (configgrpc; 4 MiB by default)",
    )
    yield Hop(
        "NGINX → `nginx.exporter.endpoint`",
        f"a batch that fits {_size(FOREIGN_RECEIVER)}",
        f"{_size(FOREIGN_RECEIVER)}, or what it is set to",
        "impossible, unless the receiver takes less; NGINX logs `OTel export failure`",
        "gRPC's default",
    )


def _through_the_collector(settings: Settings) -> Iterator[Hop]:
    collector = settings.collector
    yield Hop(
        "application → Collector",
        "any size",
        f"{_size(RECEIVER)}, or the smallest `maxMessageSize` of `collector.exporters`, over gRPC and HTTP",
        "the Collector refuses it, tells the sender (RESOURCE_EXHAUSTED, or 400), and counts nothing",
        "`max_recv_msg_size_mib`, `max_request_body_size` (confighttp; 20 MiB by default)",
    )
    yield Hop(
        "Collector → decider, with two tiers",
        f"an unchanged message, {_size(RECEIVER)} at most, and before Collector 0.160 its resource once more for each "
        "trace in it",
        _size(DECIDER_RECEIVER),
        "lost: `otelcol_exporter_send_failed_spans`; it takes a message with thousands of traces and a resource of "
        "tens of kilobytes",
        "`max_recv_msg_size_mib` of the deciders",
    )
    yield Hop(
        "Collector: a queue in memory",
        "spans that no backend takes yet",
        f"{_size(queue_bytes(collector))}; the memory limiter refuses earlier: at 200 MiB of ordinary spans",
        "the Collector refuses more and tells the sender: `otelcol_receiver_refused_spans`",
        "`sending_queue.sizer: bytes`: the memory that `collector.memoryLimiter` leaves",
    )
    yield Hop(
        "Collector: a persistent queue",
        "spans that no backend takes yet",
        f"{_size(stored_bytes(collector, queues=1))} on a volume of {collector.queue.size}; before Collector 0.130 as "
        "many exports of ordinary spans as it holds",
        "the Collector refuses more: `otelcol_receiver_refused_spans`; exports of fewer than ten spans, and before "
        "0.130 larger spans, fill the volume before the count",
        "`sending_queue.sizer: bytes`; before 0.130 a persistent queue counts exports alone",
    )
    yield Hop(
        "Collector → Tempo",
        f"{_size(batch_bytes(collector) + _passed(settings))}: a batch that is nearly full, and one message more; "
        f"with a persistent queue before Collector 0.138 {_size(receiver(collector))}, an unchanged message",
        _size(TEMPO_RECEIVER),
        "impossible, except behind tail sampling, whose batches count spans alone, with giant spans: "
        "`otelcol_exporter_send_failed_spans`",
        "`sending_queue.batch.min_size`; `max_recv_msg_size_mib` of Tempo's receiver",
    )
    yield Hop(
        "Collector → `collector.exporters`",
        "an unchanged message, no larger than `maxMessageSize`",
        f"`maxMessageSize`, {_size(FOREIGN_RECEIVER)} by default",
        "lost if the receiver takes less than `maxMessageSize`, or behind tail sampling with giant spans: "
        "`otelcol_exporter_send_failed_spans`",
        "gRPC's default; for HTTP the vendor's",
    )


def _passed(settings: Settings) -> int:
    """Returns the largest message behind the Collector: an application's, or one of NGINX with more names."""
    return max(receiver(settings.collector), batch_size(settings) * passed_span(settings) + MESSAGE_FRAME)


def _least_memory(settings: Settings) -> str:
    return min(trace_memory_limits(settings).values(), key=amount)


def _tempo(settings: Settings) -> Iterator[Hop]:
    ingestion = settings.tempo.ingestion
    inside = _size(tempo_inside(ingestion.bytes_per_trace))
    yield Hop(
        "Tempo: a push at once",
        _size(TEMPO_RECEIVER),
        _size(burst(ingestion.bytes_per_second)),
        "impossible; Tempo would refuse every repetition",
        "`burst_size_bytes`, `tempo.ingestion.bytesPerSecond` at least",
    )
    yield Hop(
        "Tempo: distributor → ingester",
        "a push, with its resource once for each trace in it",
        inside,
        "the Collector repeats it for as long as Tempo cannot take it; it takes a message with tens of thousands of "
        "traces and kilobytes of resource",
        "`server.grpc_server_max_recv_msg_size` (16 MiB by default), `ingester_client.grpc_client_config`",
    )
    yield Hop(
        "Tempo: an attribute",
        _size(RECEIVER),
        _size(RECEIVER),
        "impossible; with its own limit of 2048 bytes Tempo would cut it and tell no one",
        "`max_span_attr_byte`, from 2.8 on `max_attribute_bytes`",
    )
    yield Hop(
        "Tempo: a trace",
        "any size",
        f"{ingestion.bytes_per_trace} bytes (`tempo.ingestion.bytesPerTrace`)",
        "Tempo drops its further spans: `tempo_discarded_spans_total`",
        f"reading a trace takes {trace_copies(settings)} times its bytes; Tempo's memory limit then allows "
        f"{largest_trace(_least_memory(settings), trace_copies(settings))} bytes",
    )
    yield Hop(
        "Tempo: querier → query frontend → reader",
        "a trace",
        inside,
        "impossible",
        "`grpc_server_max_send_msg_size`, `querier.frontend_worker.grpc_client_config`; 5 min for the answer",
    )
    yield Hop(
        "reader → Tempo: range of a search",
        "any size",
        "no limit",
        "impossible",
        "`query_frontend.search.max_duration` (168 h by default), `metrics.max_duration` (3 h)",
    )


def _rate(settings: Settings) -> int:
    """Returns the spans a second at which a worker's full batches take no more slots than its intervals do."""
    return int(batch_size(settings) / seconds(settings.nginx.exporter.interval))


def _size(size: int) -> str:
    if size % MIB == 0:
        return f"{size // MIB} MiB"
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{size // KIB} KiB"


def limits_table() -> str:
    """Returns the table."""
    head = "| hop | sends at most | takes | beyond that | set by |\n|---|---|---|---|---|\n"
    rows = (f"| {hop.way} | {hop.sends} | {hop.takes} | {hop.beyond} | {hop.source} |\n" for hop in hops())
    return head + "".join(rows)
