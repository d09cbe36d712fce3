"""What can be configured.

Each setting's type, default, unit and meaning is written here and nowhere else: `Pulumi.yaml`'s keys and the README's
reference are generated from these models. `load()` is the only reader of Pulumi's configuration, and reports every
error at once, before anything is created. Nothing here knows of Kubernetes objects.
"""

from settings.collector import CollectorSettings
from settings.load import ClusterAccess, cluster_access, load
from settings.nginx import NginxSettings
from settings.plus import PlusSettings
from settings.stack import Settings
from settings.tempo import TempoSettings

__all__ = [
    "ClusterAccess",
    "CollectorSettings",
    "NginxSettings",
    "PlusSettings",
    "Settings",
    "TempoSettings",
    "cluster_access",
    "load",
]
