"""Holds the sizes from which documents, rules and descriptions are computed, each with its source.

All sizes are bytes unless their name says otherwise. `limits.py` has what depends on a configuration.
"""

from settings.types import amount

KIB, MIB = 2**10, 2**20

# NGINX: the head of a request.
FIRST_HEAD_BUFFER = 1 * KIB
"""`client_header_buffer_size` by default (ngx_http_core_module)."""

HEAD_BUFFERS, HEAD_BUFFER = 4, 8 * KIB
"""`large_client_header_buffers` by default. A request line or a header that fits none of them gets a 414 or a 400."""

BODY_BUFFER = 16 * KIB
"""`client_body_buffer_size` by default on 64 bits: the most that `$request_body` holds."""

ANSWER_BUFFER = 8 * KIB
"""`proxy_buffer_size` is a page, 4 or 8 KiB. An upstream's headers that do not fit it get a 502."""

# NGINX: a span.
SPAN_BYTES = 750
"""An ordinary span of NGINX, with short headers, in the exported message. `spans.py` computes the largest."""

SPAN_FRAME = 1 * KIB
"""A span without the text that a client or the configuration puts into it; an ordinary one has `SPAN_BYTES` in all.

What a sampled span says of the requests that it stands for, at most 100 bytes, fits into it.
"""

STABLE_NAMES = 576
"""The stable names beside the old ones, with what is no text of the request: at most 530 bytes, with an unknown method
that failed."""

SENT_BYTES = 1250
"""An ordinary span of NGINX behind the Collector, with old and stable names, which take 490 bytes (measured)."""

# NGINX: the module's buffer.
WORKERS = 2
"""Worker processes of a pod. Our choice: for more load there are more replicas."""

SPAN_OBJECTS = 2400
SPAN_COPIES = 2
"""Memory of a waiting span in the module: its objects, and its text twice (in the batch, and in the message).

Measured with the official module 0.1.2 and a receiver that hangs: 16 384 spans took 101 MiB at 0.75 kB each and 570 MiB
at 15.75 kB; 8 192 took 71 and 305; 65 536 took 278. That is 40 MiB, and for each span 2.4 kB and twice its bytes.
"""
NGINX_BASE = 40 * MIB

NGINX_MEMORY = "2Gi"
"""Memory limit of NGINX by default."""

LARGEST_BATCH = 512
"""The most spans of an export, unless `nginx.exporter.batchSize` says otherwise; the module's own default."""

BATCH_COUNT = 64
"""`nginx.exporter.batchCount` by default."""


def span_memory(span: int) -> int:
    """Returns the memory that a span of this many bytes takes in the module's buffer."""
    return SPAN_OBJECTS + SPAN_COPIES * span


# The Collector.
RECEIVER = 16 * MIB
"""The largest message that the Collector takes, over gRPC and over HTTP, where every backend takes as much.

gRPC's default is 4 MiB, OTLP/HTTP's 20 MiB (Collector 0.126, `configgrpc` and `confighttp`).
"""

FOREIGN_RECEIVER = 4 * MIB
"""The largest message that another receiver takes unless it was told otherwise: gRPC's default, and the Collector's."""

MESSAGE_FRAME = 64 * KIB
"""Room in a message besides NGINX's spans: for the resource, and for what the Collector's processors add to it."""

MESSAGE_COPIES = 6
"""Memory of a message on its way through the Collector, in multiples of its size.

Measured with Collector 0.126: 15 MiB in fifteen spans took 68 MiB, as bytes, as objects and as bytes again.
"""

COLLECTOR_BASE = 64 * MIB
"""Memory of an idle Collector: about 55 MiB."""

STORED_SPAN = 1 * KIB
"""A span of `SPAN_BYTES` in the Collector's volume, with what bbolt adds.

Measured with Collector 0.160: the file took 1.04 times the bytes of spans in exports of 50 or more, 1.25 times those in
exports of 12, 1.5 times those in exports of 6, and 2.6 times those of single spans.
"""

BATCH_SIZE = 2048
"""`collector.batch.size` by default."""

QUEUE_VOLUME = "10Gi"
"""`collector.queue.size` by default."""

# Tempo.
TEMPO_RECEIVER = 128 * MIB
"""The largest message that Tempo takes: more than any of the Collector's that is not made of giant spans alone."""

TEMPO_BASE = 256 * MIB
TRACE_COPIES = 16
"""Memory of a Tempo that takes and reads a trace, in multiples of the trace's size.

Measured with the lab's Tempo: 1030 MiB for 20 MB with nothing to keep its heap small; 1738 MiB for 90 MB within a limit
of 2000 MiB. By its ID that trace came in 3 s, as 94 MB of JSON.
"""

METRICS_TRACE_COPIES = 24
"""The same of a Tempo that makes metrics of spans, and so has the trace twice.

Measured with the lab's Tempo and a GOMEMLIMIT of 1600 MiB: 1878 MiB for 80 MB with all processors, 2158 MiB for 90 MB.
"""

TEMPO_INSIDE = 256 * MIB
"""The least that Tempo's own parts take from each other: a push repeats the resource for each trace."""

# Numbers of the descriptions, for a configuration with all defaults; a test compares them with the functions.
_DEFAULT_SPAN = SPAN_FRAME + len("/") + 3 * HEAD_BUFFER
"""The largest span by default: the route's path; a request line, `User-Agent` and `Host` that each fill a buffer."""

DEFAULT_BATCH = (int(amount(NGINX_MEMORY)) - NGINX_BASE) // (WORKERS * BATCH_COUNT * span_memory(_DEFAULT_SPAN))
"""Spans of a full export of NGINX by default: as many as `NGINX_MEMORY` holds in full buffers of the largest spans."""

STORED_SENT_SPAN = STORED_SPAN * SENT_BYTES // SPAN_BYTES
"""An ordinary span of NGINX in the Collector's volume, with old and stable names."""

DEFAULT_STORED_SPANS = int(amount(QUEUE_VOLUME)) // STORED_SENT_SPAN
"""Ordinary spans that a persistent queue holds by default."""

DEFAULT_ENTRIES = int(amount(QUEUE_VOLUME)) // (DEFAULT_BATCH * STORED_SENT_SPAN)
"""Exports of NGINX that a persistent queue holds by default, before Collector 0.130."""
