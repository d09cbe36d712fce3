"""tempo.yaml for a monolithic Tempo 2.7 with its blocks on its own disk.

Only what differs from Tempo's defaults is set. Not for the microservices mode, nor for object storage.
"""

from components.documents import Document
from settings.capabilities import attribute_limit
from settings.limits import burst, tempo_inside
from settings.sizes import MIB, RECEIVER, TEMPO_RECEIVER
from settings.tempo import TempoSettings

HTTP_PORT = 3200
"""On the pod's loopback address alone: the gateway is in front of it."""

LOOPBACK = "127.0.0.1"
OTLP_PORT = 4317
DATA = "/var/tempo"
"""The one writable folder: the WAL and the blocks."""

LATENESS = "24h"
"""Spans that the Collector kept while Tempo was away are searched for at their own time, if they are no older.

Tempo's own is two minutes for the range of a block, which leaves out what is older, and then a search of that time
leaves out the block (`tempodb/encoding/vparquet4/wal_block.go`); and half an hour for searches that ask the ingester.
Until it is in a block of the backend with a range that is right, such a trace is found by its ID alone.
"""


def tempo_document(settings: TempoSettings) -> Document:
    """Tempo, set to keep every trace and to show it within a second or two."""
    inside = tempo_inside(settings.ingestion.bytes_per_trace)
    messages = {"max_recv_msg_size": inside, "max_send_msg_size": inside}
    return {
        # Its HTTP port has operational routes (/shutdown, /flush, …) beside the API; its gRPC port (9095) takes queries
        # and spans for Tempo's own parts. Neither asks for a password, and every part is in this one process.
        "server": {
            "http_listen_address": LOOPBACK,
            "http_listen_port": HTTP_PORT,
            "grpc_listen_address": LOOPBACK,
            # 16 MiB by default, which neither a large push nor a large trace gets through.
            "grpc_server_max_recv_msg_size": inside,
            "grpc_server_max_send_msg_size": inside,
            # 30 s by default: too short for the largest trace over a slow link.
            "http_server_write_timeout": "5m",
        },
        "distributor": {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {
                            # Since 2.7 receivers listen on localhost unless they are told otherwise.
                            "endpoint": f"0.0.0.0:{OTLP_PORT}",
                            "max_recv_msg_size_mib": TEMPO_RECEIVER // MIB,
                        }
                    }
                }
            },
            # 2048 by default: Tempo cuts what is longer, and tells no one.
            attribute_limit(settings.image): RECEIVER,
            # Without it the Collector takes a full Tempo for a permanent error and drops the batch.
            "retry_after_on_resource_exhausted": "1s",
        },
        "ingester_client": {"grpc_client_config": dict(messages), "remote_timeout": "30s"},
        "ingester": {
            "lifecycler": {
                # /ready is 503 for that long after a start; the default costs every rollout 15 s.
                "min_ready_duration": "1s",
                # From telling the distributor that it leaves to refusing what the distributor sends. Without it what is
                # on its way is refused with a code that the Collector takes for final, and drops (grafana/tempo#4493).
                "final_sleep": "2s",
            },
            "trace_idle_period": settings.flush.trace_idle_period,
            "flush_check_period": settings.flush.check_period,
            "max_block_duration": settings.flush.max_block_duration,
            "complete_block_timeout": settings.flush.complete_block_timeout,
            # A Tempo that ends may write its live traces before it refuses more (`stopping` in
            # `modules/ingester/ingester.go`; the lab's, which is newer than 2.7.2, writes once more by itself).
            "flush_all_on_shutdown": True,
        },
        "storage": {
            "trace": {
                "backend": "local",
                "blocklist_poll": settings.flush.blocklist_poll,
                "local": {"path": f"{DATA}/blocks"},
                "wal": {"path": f"{DATA}/wal", "ingestion_time_range_slack": LATENESS},
            }
        },
        # A search of what is older asks the backend's blocks alone; what came late is not there until it is flushed.
        # A search may cover the whole retention: the default is 168 h, and 3 h for metrics. 0 means no limit.
        "query_frontend": {
            "search": {"query_ingesters_until": LATENESS, "max_duration": "0s"},
            "metrics": {"max_duration": "0s"},
        },
        "querier": {"frontend_worker": {"grpc_client_config": dict(messages)}},
        "compactor": {"compaction": {"block_retention": settings.retention}},
        "overrides": {
            "defaults": {
                "ingestion": {
                    "max_traces_per_user": settings.ingestion.live_traces,
                    "rate_limit_bytes": settings.ingestion.bytes_per_second,
                    "burst_size_bytes": burst(settings.ingestion.bytes_per_second),
                },
                # 1 MB by default: Tempo leaves out a tag's further values.
                "read": {"max_bytes_per_tag_values_query": RECEIVER},
                "global": {"max_bytes_per_trace": settings.ingestion.bytes_per_trace},
            }
        },
        "usage_report": {"reporting_enabled": settings.usage_report},
    }
