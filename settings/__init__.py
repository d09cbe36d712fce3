"""Defines what can be configured, and loads it.

Each setting's type, default, unit and meaning is written here and nowhere else: `Pulumi.yaml`'s keys and the reference
are generated from these models. `load()` is the only reader of Pulumi's configuration, and reports every error at once,
before anything is created. Nothing here knows of Kubernetes objects.

Per component there is a model (`nginx.py`, `collector.py`, `tempo.py`, `grafana.py`, `plus.py`; `stack.py` has the
whole), and beside it its rules (`nginx_rules.py` and so on). `types/` has the types of values, `sizes.py` and
`limits.py` the sizes that documents and rules share.
"""

from settings.collector import CollectorSettings
from settings.grafana import GrafanaSettings
from settings.load import ClusterAccess, cluster_access, load
from settings.nginx import NginxSettings
from settings.plus import PlusSettings
from settings.prometheus import PrometheusSettings
from settings.stack import Settings
from settings.tempo import TempoSettings

__all__ = [
    "ClusterAccess",
    "CollectorSettings",
    "GrafanaSettings",
    "NginxSettings",
    "PlusSettings",
    "PrometheusSettings",
    "Settings",
    "TempoSettings",
    "cluster_access",
    "load",
]
