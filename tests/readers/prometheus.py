"""Runs the lab's Prometheus on loopback, with the document of the program."""

import contextlib
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.documents import dump
from components.documents.prometheus import (
    ALERTS_FILE,
    CONFIG_FILE,
    DATA,
    FOLDER,
    alerts,
    flags,
    prometheus_document,
)
from lab.build.targets import PROMETHEUS
from settings import PrometheusSettings
from tests.otlp import free_port
from tests.readers.loopback import ask
from tools.running import started


@dataclass(frozen=True)
class RunningPrometheus:
    """Holds a Prometheus that runs, or will."""

    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Returns its address."""
        return f"http://127.0.0.1:{self.port}"

    def series(self, query: str) -> list[Any]:
        """Returns the series of a query now."""
        return ask(f"{self.url}/api/v1/query", query=query)["data"]["result"]

    def values(self, query: str) -> dict[tuple[str, ...], float]:
        """Returns the values of a query, by the labels of each series in the order of their names."""
        return {
            tuple(value for name, value in sorted(one["metric"].items()) if name != "__name__"): float(one["value"][1])
            for one in self.series(query)
        }

    def exemplars(self, query: str) -> list[dict[str, str]]:
        """Returns the labels of the exemplars beside a series."""
        now = time.time()
        found = ask(f"{self.url}/api/v1/query_exemplars", query=query, start=now - 600, end=now + 60)["data"]
        return [one["labels"] for series in found for one in series["exemplars"]]


@contextlib.contextmanager
def running_prometheus(
    folder: Path,
    prometheus: RunningPrometheus | None = None,
    pods: Mapping[str, int] | None = None,
    rules: str = "",
    **configured: Any,
) -> Generator[RunningPrometheus]:
    """Runs the lab's Prometheus with the document and the flags of a configuration.

    Args:
        folder: a folder for its files.
        prometheus: where it listens, if others must know it before.
        pods: ports of loopback with counters, since there are no pods, by the pod's name in the labels that they get.
        rules: its rules; none for the program's alerts.
        configured: the keys of `prometheus`.
    """
    prometheus = prometheus or RunningPrometheus()
    settings = PrometheusSettings.model_validate({"enabled": True} | configured)
    document = prometheus_document(settings, "tracing")
    labels = {"app_kubernetes_io_part_of": "nginx-tracing", "namespace": "tracing"}
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": labels | {"pod": pod}} for pod, port in (pods or {}).items()
    ]
    # The counters of a kubelet have a namespace of their own.
    document["scrape_configs"] = [{"job_name": "loopback", "honor_labels": True, "static_configs": targets}]
    for name, text in {CONFIG_FILE: dump(document), ALERTS_FILE: rules or alerts()}.items():
        (folder / name).write_text(text.replace(f"{FOLDER}/", f"{folder}/"))
    arguments = [
        flag.replace(f"{FOLDER}/", f"{folder}/").replace(f"={DATA}", f"={folder}/data") for flag in flags(settings)
    ]
    command = [PROMETHEUS.folder / "prometheus", *arguments, f"--web.listen-address=127.0.0.1:{prometheus.port}"]
    with started(command, folder / "log", f"{prometheus.url}/-/ready"):
        yield prometheus
