"""Builds the configuration of the stack's Prometheus: the pods that it reads, and the project's alerts."""

from pathlib import Path

from components.documents import Document
from settings.prometheus import PrometheusSettings
from settings.stack import PART_OF_LABEL
from settings.types import amount

PORT = 9090
FOLDER = "/etc/prometheus"
CONFIG_FILE = "prometheus.yaml"
ALERTS_FILE = "alerts.yaml"
DATA = "/prometheus"
"""The one writable folder."""

JOB = "nginx-tracing"

_LATE = "4h"
"""How late Tempo may write a metric after this Prometheus was away: as long as Tempo keeps what it could not write
(`max_wal_time` of Prometheus' agent). By default it refuses what is an hour older than its newest sample."""

_OF_POD = "__meta_kubernetes_pod"


def alerts() -> str:
    """Returns the project's alerts."""
    return (Path(__file__).parents[2] / "monitoring" / ALERTS_FILE).read_text(encoding="utf-8")


def prometheus_document(settings: PrometheusSettings, namespace: str) -> Document:
    """Returns the configuration of Prometheus, which has no secret in it.

    Args:
        settings: what can be configured.
        namespace: the namespace whose pods it reads.
    """
    return {
        "global": {"scrape_interval": settings.scrape_interval, "evaluation_interval": settings.scrape_interval},
        "rule_files": [f"{FOLDER}/{ALERTS_FILE}"],
        "storage": {"tsdb": {"out_of_order_time_window": _LATE}},
        "scrape_configs": [_pods(namespace)],
    }


def flags(settings: PrometheusSettings) -> list[str]:
    """Returns the arguments of Prometheus. The documents of its early versions 3 have no keys for these."""
    limited = settings.persistence.size
    # The rest of the volume is for what is written while old blocks wait for their deletion.
    size = [f"--storage.tsdb.retention.size={int(amount(limited) * 80 / 100)}B"] if limited else []
    return [
        f"--config.file={FOLDER}/{CONFIG_FILE}",
        f"--storage.tsdb.path={DATA}",
        f"--storage.tsdb.retention.time={settings.retention}",
        *size,
        # Tempo writes its metrics here, with the IDs of traces beside them.
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
    ]


def _pods(namespace: str) -> Document:
    """Returns the job that reads the stack's pods, each at the port that its annotation names."""
    label = PART_OF_LABEL
    annotated, port = f"{_OF_POD}_annotation_prometheus_io", f"{_OF_POD}_container_port_number"
    return {
        "job_name": JOB,
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [namespace]},
                "selectors": [{"role": "pod", "label": f"{label}=nginx-tracing"}],
            }
        ],
        "relabel_configs": [
            {"action": "keep", "source_labels": [f"{annotated}_scrape"], "regex": "true"},
            # Pods without an address, and pods that have ended.
            {"action": "drop", "source_labels": [f"{_OF_POD}_phase"], "regex": "Pending|Succeeded|Failed"},
            # A pod has an address for each port of its containers.
            {"action": "keepequal", "source_labels": [f"{annotated}_port"], "target_label": port},
            {"source_labels": [f"{annotated}_path"], "target_label": "__metrics_path__"},
            # The alerts select the stack's pods by these, and name them.
            *(
                {"source_labels": [f"{_OF_POD}_{source}"], "target_label": target}
                for source, target in (
                    ("label_app_kubernetes_io_part_of", "app_kubernetes_io_part_of"),
                    ("label_app_kubernetes_io_name", "app_kubernetes_io_name"),
                    ("name", "pod"),
                )
            ),
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        ],
    }
