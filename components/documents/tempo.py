"""tempo.yaml for a monolithic Tempo 2.7 on the pod's own disk.

Only what differs from Tempo's defaults is set. Not for the microservices mode, nor for object storage.
"""

from components.documents import Document

HTTP_PORT = 3100
OTLP_PORT = 4317
DATA = "/var/tempo"
"""The one writable folder: the WAL and the blocks."""

INGESTION_BYTES_PER_SECOND = 100_000_000
"""Tempo's default, 15 MB/s, is some 20 000 spans/s of NGINX; beyond it spans are refused."""


def tempo_document() -> Document:
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
            # Search reads a trace once it was cut from the live traces, which the defaults do after 10 s and 10 s.
            "trace_idle_period": "500ms",
            "flush_check_period": "500ms",
        },
        "storage": {
            "trace": {
                "backend": "local",
                "local": {"path": f"{DATA}/blocks"},
                "wal": {"path": f"{DATA}/wal"},
            }
        },
        # The pod's disk is the node's: two days instead of two weeks.
        "compactor": {"compaction": {"block_retention": "48h"}},
        "overrides": {
            "defaults": {
                "ingestion": {
                    # 10 000 live traces by default; what is above is dropped while the sender is told success.
                    "max_traces_per_user": 0,
                    "rate_limit_bytes": INGESTION_BYTES_PER_SECOND,
                    "burst_size_bytes": INGESTION_BYTES_PER_SECOND,
                }
            }
        },
        "usage_report": {"reporting_enabled": False},
    }
