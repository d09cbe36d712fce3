"""Builds tempo.yaml for a monolithic Tempo 2.7 with its blocks on its own disk.

It sets only what differs from Tempo's defaults. The microservices mode and object storage are not supported.
"""

from components.documents import Document
from settings.capabilities import attribute_limit
from settings.limits import burst, tempo_inside
from settings.sizes import MIB, RECEIVER, TEMPO_RECEIVER
from settings.tempo import TempoSettings

HTTP_PORT = 3200
"""The port on the pod's loopback address; the gateway is in front of it."""

LOOPBACK = "127.0.0.1"
OTLP_PORT = 4317
DATA = "/var/tempo"
"""The one writable folder: the WAL and the blocks."""

LATENESS = "24h"
"""The greatest age of spans that a search finds at their own time, such as spans that waited while Tempo was away.

Tempo's default is two minutes for the range of a block: the range leaves out older spans, and a search of their time
leaves out the block (`tempodb/encoding/vparquet4/wal_block.go`). For searches that ask the ingester it is half an hour.
Such a trace is found by its ID alone, until it is in a block of the backend with the right range.
"""


def tempo_document(settings: TempoSettings) -> Document:
    """Returns the configuration by which Tempo keeps every trace and shows it within a second or two."""
    inside = tempo_inside(settings.ingestion.bytes_per_trace)
    messages = {"max_recv_msg_size": inside, "max_send_msg_size": inside}
    return {
        # Its HTTP port has operational routes (/shutdown, /flush, …) beside the API; its gRPC port (9095) takes queries
        # and spans for Tempo's own parts. Neither asks for a password, and every part is in this one process.
        "server": {
            "http_listen_address": LOOPBACK,
            "http_listen_port": HTTP_PORT,
            "grpc_listen_address": LOOPBACK,
            # The default is 16 MiB, which refuses large pushes and large traces.
            "grpc_server_max_recv_msg_size": inside,
            "grpc_server_max_send_msg_size": inside,
            # The default is 30 s, which is too short for the largest trace over a slow link.
            "http_server_write_timeout": "5m",
        },
        "distributor": {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {
                            # Since 2.7 receivers listen on localhost by default.
                            "endpoint": f"0.0.0.0:{OTLP_PORT}",
                            "max_recv_msg_size_mib": TEMPO_RECEIVER // MIB,
                        }
                    }
                }
            },
            # The default is 2048: Tempo cuts longer attributes without a word.
            attribute_limit(settings.image): RECEIVER,
            # Without it the Collector takes a full Tempo for a permanent error, and drops the batch.
            "retry_after_on_resource_exhausted": "1s",
        },
        "ingester_client": {"grpc_client_config": dict(messages), "remote_timeout": "30s"},
        "ingester": {
            "lifecycler": {
                # /ready answers 503 that long after a start; the default costs every rollout 15 s.
                "min_ready_duration": "1s",
                # An ingester takes spans that long after it told the distributor that it leaves. Without it, it refuses
                # spans on their way with a code that is final to the Collector, which drops them (grafana/tempo#4493).
                "final_sleep": "2s",
            },
            "trace_idle_period": settings.flush.trace_idle_period,
            "flush_check_period": settings.flush.check_period,
            "max_block_duration": settings.flush.max_block_duration,
            "complete_block_timeout": settings.flush.complete_block_timeout,
            # A Tempo that ends may write its live traces before it refuses more (`stopping` in
            # `modules/ingester/ingester.go`). The lab's Tempo is newer than 2.7.2 and writes once more without this.
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
        # A search of an older time asks the backend's blocks alone, which late spans reach once they are flushed.
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
                # The default is 1 MB, beyond which Tempo leaves out a tag's values.
                "read": {"max_bytes_per_tag_values_query": RECEIVER},
                "global": {"max_bytes_per_trace": settings.ingestion.bytes_per_trace},
            }
        },
        "usage_report": {"reporting_enabled": settings.usage_report},
    }
