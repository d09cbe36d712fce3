"""The limits of size: how much each hop sends at most, and how much the next one takes.

The documents are rendered from these numbers, the rules reject what does not fit them, and the README's table is
written from `HOPS` by `make reference`. All sizes are bytes unless their name says otherwise.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from settings.collector import CollectorSettings
from settings.nginx import SPAN_BYTES, WORKERS, NginxSettings
from settings.nginx_syntax import is_known_variable, uncommented, variables
from settings.nginx_tree import parse
from settings.stack import Settings
from settings.types import amount

KIB, MIB = 2**10, 2**20

# NGINX: the head of a request.
FIRST_HEAD_BUFFER = 1 * KIB
"""`client_header_buffer_size` by default (ngx_http_core_module)."""

HEAD_BUFFERS, HEAD_BUFFER = 4, 8 * KIB
"""`large_client_header_buffers` by default: a request line, or a header, must fit one of them (414, 400 else)."""

BODY_BUFFER = 16 * KIB
"""`client_body_buffer_size` by default on 64 bits: what `$request_body` has at most."""

ANSWER_BUFFER = 8 * KIB
"""`proxy_buffer_size` is a page, 4 or 8 KiB: an upstream's headers must fit it (502 else)."""

SPAN_FRAME = 1 * KIB
"""A span without what a client or the configuration puts into it: an ordinary one has some 750 bytes in all."""

# NGINX: the module's buffer.
SPAN_OBJECTS = 2400
SPAN_COPIES = 2
"""What the module holds of a span that waits: objects, and its text twice (in the batch, and in the message).

Measured with the official module 0.1.2 and a receiver that hangs: 16 384 spans took 101 MiB at 0.75 kB each and 570 MiB
at 15.75 kB; 8 192 took 71 and 305; 65 536 took 278. That is 40 MiB, and for each span 2.4 kB and twice its bytes.
"""
NGINX_BASE = 40 * MIB

LARGEST_BATCH = 512
"""Spans of an export at most, unless `nginx.exporter.batchSize` says otherwise; the module's own default."""

# The Collector.
RECEIVER = 16 * MIB
"""What the Collector takes in one message, over gRPC and over HTTP, where every backend takes as much.

gRPC's default is 4 MiB, OTLP/HTTP's 20 MiB (Collector 0.126, `configgrpc` and `confighttp`).
"""

FOREIGN_RECEIVER = 4 * MIB
"""What a receiver of somebody else takes unless it was told otherwise: gRPC's default, which Collectors have too."""

MESSAGE_FRAME = 64 * KIB
"""What a message may have besides NGINX's spans: the resource, and what the Collector's processors add to it."""

MESSAGE_COPIES = 6
"""Memory of a message on its way through the Collector, in its own size.

Measured with Collector 0.126: 15 MiB in fifteen spans took 68 MiB, as bytes, as objects and as bytes again.
"""

COLLECTOR_BASE = 64 * MIB
"""Memory of a Collector that has nothing to do: some 55 MiB."""

STORED_SPAN = 1 * KIB
"""An ordinary span in the Collector's volume, with what bbolt needs besides."""

# Tempo.
TEMPO_RECEIVER = 128 * MIB
"""What Tempo's receiver takes: more than any message of the Collector that is not made of giant spans alone."""

TEMPO_BASE = 256 * MIB
TRACE_COPIES = 16
"""Memory of Tempo that takes and reads a trace, in the size of the trace.

Measured with the lab's Tempo: 1030 MiB for 20 MB with nothing to keep its heap small; 1738 MiB for 90 MB within a limit
of 2000 MiB. By its ID that trace came in 3 s, as 94 MB of JSON.
"""

TEMPO_INSIDE = 256 * MIB
"""What Tempo's own parts take from each other at least: a push has the resource once for each trace."""

# The text of a request that a variable has; each header is text of its own.
_REQUEST_LINE = frozenset(
    {"request", "request_uri", "uri", "document_uri", "args", "query_string", "request_filename", "fastcgi_script_name"}
)
_OF_HEADERS = {
    "host": "http_host",
    "content_type": "http_content_type",
    "remote_user": "http_authorization",
    "proxy_add_x_forwarded_for": "http_x_forwarded_for",
}
_ANSWER_FAMILIES = ("sent_http_", "sent_trailer_", "upstream_http_", "upstream_cookie_", "upstream_trailer_")
_CERTIFICATE = 64 * KIB
_SHORT = 256
"""What other variables have at most: numbers, times, addresses, IDs."""

_OWN_TEXTS = ("request line", "http_user_agent")
"""What the module itself writes into each span: `http.target`, `http.user_agent`; and `net.host.name`, see below."""


@dataclass(frozen=True)
class Head:
    """How large the head of a request may be."""

    line: int
    """A request line, or a header."""

    whole: int
    """All of them."""


def head(nginx: NginxSettings) -> Head:
    """The largest head that NGINX takes: its defaults, unless `extraConfig` sets others."""
    text = uncommented(f"{nginx.extra_config.http}\n{nginx.extra_config.server}").replace('"', "").replace("'", "")
    sizes = [
        (int(number), _nginx_size(size))
        for number, size in re.findall(r"\blarge_client_header_buffers\s+(\d+)\s+(\w+)\s*;", text)
    ] or [(HEAD_BUFFERS, HEAD_BUFFER)]
    first = max(map(_nginx_size, re.findall(r"\bclient_header_buffer_size\s+(\w+)\s*;", text)), default=0)
    first = first or FIRST_HEAD_BUFFER
    return Head(
        line=max(first, *(size for _, size in sizes)), whole=first + max(number * size for number, size in sizes)
    )


def _nginx_size(written: str) -> int:
    matched = re.fullmatch(r"(\d{1,9})([kKmM]?)", written)
    return int(matched[1]) * {"": 1, "k": KIB, "m": MIB}[matched[2].lower()] if matched else 0


def largest_span(nginx: NginxSettings) -> int:
    """The bytes of the largest span that a client can make NGINX send."""
    templates = [list(nginx.span_attributes.items())]
    for route in nginx.routes:
        attributes = nginx.span_attributes | route.span_attributes
        templates.append([*attributes.items(), ("", route.span_name or route.path)])
    written = uncommented(
        "\n".join((nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)))
    )
    # In a block, they replace those around it: a span has at most all of them.
    snippets = re.findall(r"\botel_span_(?:attr\s+\S+|name)\s+([^;]+);", written)
    own = [*_OWN_TEXTS] if nginx.server_name else [*_OWN_TEXTS, "http_host"]
    written = written.replace('"', "").replace("'", "")
    made = _Made(
        _texts_made(nginx), _buffer("client_body", written, BODY_BUFFER), _buffer(_PROXY, written, ANSWER_BUFFER)
    )
    return max(_span(head(nginx), own, [*texts, *(("", snippet) for snippet in snippets)], made) for texts in templates)


_PROXY = "(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)"


@dataclass(frozen=True)
class _Made:
    """What snippets say of variables."""

    texts: Mapping[str, Sequence[str]]
    """The values that `set` and `map` give, by the variable."""

    body: int
    answer: int
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """What is known of them by now."""


def _texts_made(nginx: NginxSettings) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for text in (nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)):
        for each in (inner for top in parse(text) for inner in (top, *top.all_inside())):
            values = [each.arguments[1]] if each.name == "set" and len(each.arguments) == 2 else []
            if each.name == "map" and len(each.arguments) == 2:
                values += [line.arguments[0] for line in each.inside if line.arguments]
            if values:
                name = each.arguments[0 if each.name == "set" else 1].removeprefix("$").lower()
                texts.setdefault(name, []).extend(values)
    return texts


def _buffer(kind: str, written: str, default: int) -> int:
    return max([default, *map(_nginx_size, re.findall(rf"\b{kind}_buffer_size\s+(\w+)\s*;", written))])


def _span(of_request: Head, own: Iterable[str], texts: Iterable[tuple[str, str]], made: _Made) -> int:
    literal, answers = 0, 0
    uses = Counter(own)
    for name, value in texts:
        literal += len(name.encode()) + len(value.encode())
        for variable in variables(value):
            source = _text_of_request(variable)
            if source:
                uses[source] += 1
            else:
                answers += _most(variable, of_request, made)
    # Every text once is no more than the whole head; what is used again comes on top.
    once = min(of_request.whole, sum(_of_request(source, of_request) for source in uses))
    again = sum(_of_request(source, of_request) * (times - 1) for source, times in uses.items())
    return SPAN_FRAME + literal + once + again + answers


def _text_of_request(variable: str) -> str | None:
    name = variable.lower()
    if name in _REQUEST_LINE or name.startswith("arg_"):
        return "request line"
    if name.startswith("cookie_"):
        return "http_cookie"
    return _OF_HEADERS.get(name) or (name if name.startswith("http_") else None)


def _of_request(source: str, of_request: Head) -> int:
    # NGINX joins what came in several headers of one name; these three it takes once.
    return of_request.line if source in {*_OWN_TEXTS, "http_host"} else of_request.whole


def _most(variable: str, of_request: Head, made: _Made) -> int:
    name = variable.lower()
    if name == "request_body":
        return made.body
    if name.startswith(_ANSWER_FAMILIES):
        return made.answer
    if name.startswith("ssl_client_") and "cert" in name:
        return _CERTIFICATE
    source = _text_of_request(variable)
    if source:
        return _of_request(source, of_request)
    if is_known_variable(name) and not name.startswith("jwt_"):
        return _SHORT
    if name not in made.sizes:
        # What a pattern or another directive makes may be any text of the request, and so may what makes itself.
        made.sizes[name] = of_request.line
        texts = (
            len(text.encode()) + sum(_most(inner, of_request, made) for inner in variables(text))
            for text in made.texts.get(name, ())
        )
        made.sizes[name] = max([of_request.line, *texts])
    return made.sizes[name]


def _resource(nginx: NginxSettings) -> int:
    texts = (nginx.service_name, *nginx.resource_attributes, *nginx.resource_attributes.values())
    return sum(len(text.encode()) + 16 for text in texts)


def span_memory(span: int) -> int:
    """What a span of so many bytes takes in the module's buffer."""
    return SPAN_OBJECTS + SPAN_COPIES * span


def nginx_memory(nginx: NginxSettings, batch_size: int) -> int:
    """What a pod of NGINX needs when its buffers are full of the largest spans, as when the receiver hangs."""
    held = WORKERS * nginx.exporter.batch_count * batch_size
    return NGINX_BASE + held * span_memory(largest_span(nginx))


def message_batch(settings: Settings) -> int:
    """The largest batch of NGINX, in spans, that the next hop takes with the largest spans; 0 where not one fits."""
    nginx = settings.nginx
    return max(0, (nginx_receiver(settings) - MESSAGE_FRAME - _resource(nginx)) // largest_span(nginx))


def memory_batch(nginx: NginxSettings) -> int:
    """The largest batch of NGINX, in spans, of which the memory limit holds `batchCount`; 0 where not one fits."""
    held = WORKERS * nginx.exporter.batch_count * span_memory(largest_span(nginx))
    return max(0, (int(amount(nginx.resources.memory_limit)) - NGINX_BASE) // held)


def batch_size(settings: Settings) -> int:
    """The spans of a full export of NGINX."""
    if settings.nginx.exporter.batch_size is not None:
        return settings.nginx.exporter.batch_size
    return max(1, min(LARGEST_BATCH, message_batch(settings), memory_batch(settings.nginx)))


def sized(settings: Settings) -> Settings:
    """The settings with `nginx.exporter.batchSize` as it follows from the others, where it is not set."""
    exporter = settings.nginx.exporter.model_copy(update={"batch_size": batch_size(settings)})
    return settings.model_copy(update={"nginx": settings.nginx.model_copy(update={"exporter": exporter})})


def nginx_receiver(settings: Settings) -> int:
    """What the receiver of NGINX's exports takes in one message."""
    return receiver(settings.collector) if settings.collector.enabled else FOREIGN_RECEIVER


def receiver(collector: CollectorSettings) -> int:
    """What the Collector takes in one message: no more than each of its backends does.

    Whole mebibytes, which is how its gRPC receiver counts.
    """
    foreign = (int(amount(exporter.max_message_size)) for exporter in collector.exporters.values())
    return min((RECEIVER, *foreign)) // MIB * MIB


@dataclass(frozen=True)
class Exports:
    """What NGINX sends to the Collector."""

    spans: int
    """Of a full export."""

    largest_span: int
    """In bytes."""


def exports(settings: Settings) -> Exports:
    """What NGINX sends, by the whole configuration."""
    return Exports(batch_size(settings), largest_span(settings.nginx))


def batch_bytes(collector: CollectorSettings) -> int:
    """The bytes from which a batch for Tempo is full."""
    return collector.batch.size * SPAN_BYTES


def tail_batch(collector: CollectorSettings, exports: Exports) -> int:
    """The spans of a batch behind tail sampling: as many of NGINX's largest as each backend takes."""
    foreign = (int(amount(exporter.max_message_size)) for exporter in collector.exporters.values())
    most = (min((TEMPO_RECEIVER, *foreign)) - MESSAGE_FRAME) // exports.largest_span
    return max(1, min(collector.batch.size, most))


def soft_limit(collector: CollectorSettings) -> int:
    """The bytes in use from which the memory limiter refuses."""
    limiter = collector.memory_limiter
    percent = limiter.limit_percentage - limiter.spike_limit_percentage
    return int(amount(collector.resources.memory_limit)) * percent // 100


def queue_bytes(collector: CollectorSettings) -> int:
    """The size of each queue in memory: what the memory limiter leaves, so that the limiter refuses before it is full.

    What the limiter refuses, its sender is told of; what a full queue refuses is behind a processor that has answered.
    Measured with a soft limit of 300 MiB, when it began to refuse: 200 MiB of ordinary spans, 120 MiB of spans of 1 MB.
    """
    return soft_limit(collector)


def queue_entries(collector: CollectorSettings, exports: Exports, queues: int) -> int:
    """The entries of each persistent queue: as many full ones of ordinary spans as the volume holds in all queues."""
    spans = exports.spans if collector.sampling.tail is None else tail_batch(collector, exports)
    return max(1, int(amount(collector.queue.size)) // (spans * STORED_SPAN * queues))


def collector_memory(collector: CollectorSettings) -> int:
    """The memory limit with which the largest message is on its way through before more is refused."""
    limiter = collector.memory_limiter
    percent = limiter.limit_percentage - limiter.spike_limit_percentage
    return COLLECTOR_BASE + MESSAGE_COPIES * receiver(collector) * 100 // percent


def burst(bytes_per_second: int) -> int:
    """The burst that Tempo takes: a push that is larger is never taken, however often it is repeated."""
    return max(bytes_per_second, TEMPO_RECEIVER)


def tempo_inside(bytes_per_trace: int) -> int:
    """What Tempo's parts take from each other: a push, and an answer with a whole trace."""
    return max(TEMPO_INSIDE, 2 * bytes_per_trace)


def tempo_memory(bytes_per_trace: int) -> int:
    """The memory limit with which Tempo can read a trace of so many bytes."""
    return TEMPO_BASE + TRACE_COPIES * bytes_per_trace


def largest_trace(memory_limit: str) -> int:
    """The largest `tempo.ingestion.bytesPerTrace` that can be read within a memory limit; negative where none can."""
    most = (int(amount(memory_limit)) - TEMPO_BASE) // TRACE_COPIES
    # In round numbers, as people write them.
    return most // 1_000_000 * 1_000_000 if most >= 1_000_000 else most
