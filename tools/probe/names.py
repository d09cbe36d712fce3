"""Names the counters of each hop, and the texts that hops write into their logs."""

import re

from components.documents import collector, collector_tiers, tempo_gateway
from components.documents.collector_spans import PROXIED
from settings.versions.collector import KNOWN, CollectorRelease

_RELEASES = [CollectorRelease(version) for version in KNOWN]
COLLECTOR_METRICS_PORT = collector.METRICS_PORT
# The port of the gateway in Tempo's pod: Tempo's own port is open to the pod alone.
TEMPO_METRICS_PORT = tempo_gateway.INSIDE_PORT
ACCEPTED = "otelcol_receiver_accepted_spans"
REFUSED = "otelcol_receiver_refused_spans"
LIMITED = f"{_RELEASES[-1].memory_limiter_counters}refused_spans"
"""Those of the refused spans that the memory limiter refused. The others found a queue or its volume full."""
RENAMED = {f"{release.memory_limiter_counters}refused_spans": LIMITED for release in _RELEASES}
"""Counters that versions call differently: the newest name, by every name."""
COUNTED_PROCESSORS = {PROXIED}
"""Processors whose own counters are read; those of the others are not."""
MADE = f'otelcol_processor_outgoing_items{{processor="{PROXIED}"}}'
"""The spans of upstreams that the Collector made. It sends them besides those that it accepted."""
SENT = "otelcol_exporter_sent_spans"
SEND_FAILED = "otelcol_exporter_send_failed_spans"
ENQUEUE_FAILED = "otelcol_exporter_enqueue_failed_spans"
QUEUE_SIZE = "otelcol_exporter_queue_size"
RECEIVED = "tempo_distributor_spans_received_total"
DISCARDED = "tempo_discarded_spans_total"
TO_TEMPO = frozenset(f"{release.grpc_exporter}/tempo" for release in _RELEASES)
"""Names of the Collector's exporter to the stack's own Tempo, by version."""
TO_DECIDERS = frozenset(f"{release.load_balancing}/{collector_tiers.EXPORTER}" for release in _RELEASES)
"""Names of the first tier's exporter to the Collectors that decide, by version."""
COUNTED_TWICE = re.compile(r".+_.+:4317")
"""The exporters that the exporter to the deciders has for each of them, before 0.140: `_` is in no exporter's name."""
# Gauges: the value after the run counts, not the difference. In bytes; on a volume, before Collector 0.130, in exports.
# What is under way is included.
GAUGES = {QUEUE_SIZE}
# In the order of a span's way.
COLLECTOR_METRICS = (ACCEPTED, REFUSED, LIMITED, MADE, SENT, SEND_FAILED, ENQUEUE_FAILED, QUEUE_SIZE)
DECIDER_METRICS = (MADE, SENT, SEND_FAILED, ENQUEUE_FAILED, QUEUE_SIZE)
"""A decider's: the first tier counts what it accepts already, and sends what it refuses again."""
TEMPO_METRICS = (RECEIVED, DISCARDED)

LOGGED = "requests_in_access_log"
DROPPED_LINES = "dropped_records_lines"
FAILURE_LINES = "export_failure_lines"
FULL_LINES = "disk_full_lines"
# The texts of ngx_otel_module in NGINX's error log.
DROPPED_TEXT = "OTel dropped records"
FAILURE_TEXT = "OTel export failure"
# The operating system's text, in Tempo's log.
FULL_TEXT = "no space left on device"
NO_TEMPO = "the stack has no Tempo of its own"
