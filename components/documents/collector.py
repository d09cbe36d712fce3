"""The Collector's configuration: OTLP in, batches, OTLP out to one backend.

Uses only components that every distribution has: core, k8s and contrib.
"""

from components.documents import Document

OTLP_PORT = 4317
METRICS_PORT = 8888
HEALTH_PORT = 13133


def collector_document(backend: str) -> Document:
    """The Collector between NGINX and a backend.

    Args:
        backend: `host:port` of an OTLP/gRPC receiver inside the cluster, without TLS.
    """
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{OTLP_PORT}"}}}},
        "processors": {
            # NGINX never sends again what was refused, so the limits leave room for a burst.
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            # 2048 spans of NGINX are some 1.5 MB; the backend refuses a message of over 4 MiB for good.
            "batch": {"timeout": "200ms", "send_batch_size": 2048, "send_batch_max_size": 2048},
        },
        "exporters": {
            "otlp": {
                "endpoint": backend,
                "tls": {"insecure": True},
                # 300 s by default, after which the batch is dropped. 0 is for ever.
                "retry_on_failure": {"initial_interval": "1s", "max_interval": "10s", "max_elapsed_time": "0s"},
                # 1000 by default, which a batch each 200 ms fills in minutes: the memory limiter is to be the bound.
                "sending_queue": {"queue_size": 50_000},
            }
        },
        "extensions": {"health_check": {"endpoint": f"0.0.0.0:{HEALTH_PORT}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"readers": [_metrics_reader()]}},
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    # memory_limiter first, as its documentation demands: it must refuse before others hold data.
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["otlp"],
                }
            },
        },
    }


def _metrics_reader() -> Document:
    """The Collector's own counters, outside localhost and under the names that its documentation uses."""
    exporter = {
        "host": "0.0.0.0",  # noqa: S104 - in the pod's own network namespace
        "port": METRICS_PORT,
        "without_type_suffix": True,
        "without_units": True,
        "without_scope_info": True,
    }
    return {"pull": {"exporter": {"prometheus": exporter}}}
