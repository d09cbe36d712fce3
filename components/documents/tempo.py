"""tempo.yaml for a monolithic Tempo 2.7 with its blocks on its own disk.

Only what differs from Tempo's defaults is set. Not for the microservices mode, nor for object storage.
"""

from components.documents import Document
from settings.tempo import TempoSettings

HTTP_PORT = 3100
OTLP_PORT = 4317
DATA = "/var/tempo"
"""The one writable folder: the WAL and the blocks."""


def tempo_document(settings: TempoSettings) -> Document:
    """Tempo, set to keep every trace and to show it within a second or two."""
    return {
        "server": {"http_listen_port": HTTP_PORT},
        "distributor": {
            # Since 2.7 receivers listen on localhost unless they are told otherwise.
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{OTLP_PORT}"}}}},
            # Without it the Collector takes a full Tempo for a permanent error and drops the batch.
            "retry_after_on_resource_exhausted": "1s",
        },
        "ingester": {
            # /ready is 503 for that long after a start; the default costs every rollout 15 s.
            "lifecycler": {"min_ready_duration": "1s"},
            "trace_idle_period": settings.flush.trace_idle_period,
            "flush_check_period": settings.flush.check_period,
            "max_block_duration": settings.flush.max_block_duration,
            "complete_block_timeout": settings.flush.complete_block_timeout,
        },
        "storage": {
            "trace": {
                "backend": "local",
                "blocklist_poll": settings.flush.blocklist_poll,
                "local": {"path": f"{DATA}/blocks"},
                "wal": {"path": f"{DATA}/wal"},
            }
        },
        "compactor": {"compaction": {"block_retention": settings.retention}},
        "overrides": {
            "defaults": {
                "ingestion": {
                    "max_traces_per_user": settings.ingestion.live_traces,
                    "rate_limit_bytes": settings.ingestion.bytes_per_second,
                    "burst_size_bytes": settings.ingestion.bytes_per_second,
                },
                "global": {"max_bytes_per_trace": settings.ingestion.bytes_per_trace},
            }
        },
        "usage_report": {"reporting_enabled": settings.usage_report},
    }
