"""Builds tempo.yaml for a monolithic Tempo, 2.7 to 3.0, with its blocks on its own disk or in a bucket.

It sets only what differs from Tempo's defaults. `parts_document` adds what Tempo in parts needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.documents import Document
from components.documents.tempo_metrics import frontend, generator, overrides
from components.documents.tempo_storage import storage_document
from settings.limits import burst, tempo_inside
from settings.sizes import MIB, RECEIVER, TEMPO_RECEIVER
from settings.tempo import TempoSettings
from settings.types import seconds

HTTP_PORT = 3200
"""The port on the pod's loopback address; the gateway is in front of it."""

LOOPBACK = "127.0.0.1"
OTLP_PORT = 4317
DATA = "/var/tempo"
"""The one writable folder: the WAL, and the blocks that are in no bucket."""

LATENESS = "24h"
"""The greatest age of spans that a search finds at their own time, such as spans that waited while Tempo was away.

Tempo's default is two minutes for the range of a block: the range leaves out older spans, and a search of their time
leaves out the block (`tempodb/encoding/vparquet4/wal_block.go`). For searches that ask the ingester it is half an hour.
Such a trace is found by its ID alone, until it is in a block of the backend with the right range.
"""

_LEAST_BORDER = 15 * 60
"""`query_frontend.search.query_backend_after` by default, in seconds."""

_LONGEST_LIVE = 30
"""`live_store.max_trace_live` by default, in seconds."""


def tempo_document(settings: TempoSettings, receivers: Sequence[Document] = ()) -> Document:
    """Returns the configuration by which Tempo keeps every trace and shows it within a second or two.

    The parts that Tempo 3 replaced are those of the image's version: `_ingester` or `_live_store`.

    Args:
        settings: what can be configured.
        receivers: where it writes metrics of spans: entries of `remote_write`.
    """
    inside = tempo_inside(settings.ingestion.bytes_per_trace)
    messages = {"max_recv_msg_size": inside, "max_send_msg_size": inside}
    parts = _live_store if settings.release.has_live_store else _ingester
    replaced = parts(settings, messages)
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
            settings.release.attribute_limit: RECEIVER,
            # Without it the Collector takes a full Tempo 2 for a permanent error, and drops the batch.
            "retry_after_on_resource_exhausted": "1s",
        },
        **replaced.writers,
        **generator(settings, receivers, data=DATA, lateness=LATENESS, messages=messages),
        "storage": {
            "trace": {
                "backend": settings.storage.type,
                "blocklist_poll": settings.flush.blocklist_poll,
                **storage_document(settings.storage, DATA),
                "wal": replaced.wal,
            }
        },
        "query_frontend": {
            **replaced.cutoff,
            # A search may cover the whole retention: the default is 168 h, and 3 h for metrics. 0 means no limit.
            "search": {**replaced.search, "max_duration": "0s"},
            "metrics": {**replaced.metrics, "max_duration": "0s"},
        },
        "querier": {"frontend_worker": {"grpc_client_config": dict(messages)}},
        **replaced.compaction,
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
                **overrides(settings, receivers),
            }
        },
        "usage_report": {"reporting_enabled": settings.usage_report},
    }


@dataclass(frozen=True)
class _Parts:
    """The parts of the document that Tempo 3 replaced."""

    writers: Document
    """The part that takes spans from the distributor, and its client."""

    wal: Document
    cutoff: Document
    """How much of the newest time a query leaves out."""

    search: Document
    metrics: Document
    """Which times are asked of the blocks."""

    compaction: Document


def _ingester(settings: TempoSettings, messages: Document) -> _Parts:
    """Returns the parts of Tempo 2."""
    flush = settings.flush
    return _Parts(
        writers={
            "ingester_client": {"grpc_client_config": dict(messages), "remote_timeout": "30s"},
            "ingester": {
                "lifecycler": {
                    # /ready answers 503 that long after a start; the default costs every rollout 15 s.
                    "min_ready_duration": "1s",
                    # An ingester takes spans that long after it told the distributor that it leaves. Without it, it
                    # refuses spans on their way with a code that is final to the Collector, which drops them
                    # (grafana/tempo#4493).
                    "final_sleep": "2s",
                },
                "trace_idle_period": flush.trace_idle_period,
                "flush_check_period": flush.check_period,
                "max_block_duration": flush.max_block_duration,
                "complete_block_timeout": flush.complete_block_timeout,
                # A Tempo that ends may write its live traces before it refuses more (`stopping` in
                # `modules/ingester/ingester.go`). The lab's Tempo is newer than 2.7.2 and writes once more without it.
                "flush_all_on_shutdown": True,
            },
        },
        wal={"path": f"{DATA}/wal", "ingestion_time_range_slack": LATENESS},
        cutoff={},
        # A search of an older time asks the backend's blocks alone, which late spans reach once they are flushed.
        search={**_recent_blocks(settings), "query_ingesters_until": LATENESS},
        metrics=frontend(settings),
        compaction={"compactor": {"compaction": {"block_retention": settings.retention}}},
    )


def _recent_blocks(settings: TempoSettings) -> Document:
    """Returns from which age on a search asks the blocks: from 15 minutes by default, and from none with a bucket.

    Before a bucket a Tempo may start without its last one's disk: what that one wrote is in the bucket alone.
    """
    return {"query_backend_after": "0s"} if settings.storage.is_remote else {}


def _live_store(settings: TempoSettings, messages: Document) -> _Parts:
    """Returns the parts of Tempo 3, from Grafana's "Configure Tempo" of 3.0. Not run on the lab.

    Every folder that it writes to is on the volume. A time before the border, `query_backend_after`, is asked of the
    blocks in the storage alone, and one after it of the live store alone: there is no `query_ingesters_until` any more.
    By then a block must be closed, written, and seen by a poll; and the live store must keep it until then.
    """
    flush, retention = settings.flush, {"block_retention": settings.retention}
    idle = flush.trace_idle_period
    border = max(_LEAST_BORDER, math.ceil(seconds(flush.max_block_duration) + 2 * seconds(flush.blocklist_poll)))
    kept = max(border, math.ceil(seconds(flush.complete_block_timeout)))
    return _Parts(
        writers={
            "live_store_client": {"grpc_client_config": dict(messages), "remote_timeout": "30s"},
            "live_store": {
                "max_trace_idle": idle,
                # Tempo refuses one that is shorter than `max_trace_idle`; 30s is its default.
                "max_trace_live": idle if seconds(idle) > _LONGEST_LIVE else f"{_LONGEST_LIVE}s",
                # The default is 250 MB, beyond which Tempo drops spans that it has answered success for. 0: no limit.
                "max_live_traces_bytes": 0,
                "flush_check_period": flush.check_period,
                "max_block_duration": flush.max_block_duration,
                "complete_block_timeout": f"{kept}s",
                # By default, a live store that lags refuses every search.
                "fail_on_high_lag": False,
                "shutdown_marker_dir": f"{DATA}/live-store/shutdown-marker",
                "wal": {"path": f"{DATA}/live-store/traces", "ingestion_time_range_slack": LATENESS},
            },
        },
        wal={"path": f"{DATA}/wal"},
        # The default is 30 s: a search leaves out that much of the newest time.
        cutoff={"query_end_cutoff": "0s"},
        search={"query_backend_after": f"{border}s"},
        metrics={"query_backend_after": f"{border}s"},
        compaction={
            "backend_scheduler": {
                "local_work_path": f"{DATA}/scheduler",
                "provider": {"compaction": {"compaction": dict(retention)}},
            },
            "backend_worker": {"compaction": dict(retention)},
        },
    )
