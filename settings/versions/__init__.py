"""Holds what the deployed programs are, by version: support, known flaws, features, and the names of their counters.

Decided from built-in tables; no image is inspected. `tags.py` reads the version in an image's tag, `sets.py` has the
versions that a stack runs by default, and each program has its table: `tempo.py`, `collector.py`, `nginx.py`,
`plus.py`, `grafana.py`, and `kubernetes.py`, which is information only.

Every table is read in the same way:

- a version newer than the table has the rules of the newest row, and `image_warnings` tells so;
- a version older than the table has the rules of the oldest row, and is warned of too;
- an image whose tag shows no version has the rules of the set's version (`versions`), and `image_warnings` tells so.
"""

from settings.versions.collector import CollectorRelease, Distribution, collector_release
from settings.versions.nginx import Module, NginxRelease, nginx_release
from settings.versions.plus import PlusRelease, plus_release
from settings.versions.sets import SETS, VersionSet
from settings.versions.support import Flaw, Support
from settings.versions.tempo import TempoRelease, tempo_release

__all__ = [
    "SETS",
    "CollectorRelease",
    "Distribution",
    "Flaw",
    "Module",
    "NginxRelease",
    "PlusRelease",
    "Support",
    "TempoRelease",
    "VersionSet",
    "collector_release",
    "nginx_release",
    "plus_release",
    "tempo_release",
]
