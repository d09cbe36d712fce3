"""Holds until when each version of Kubernetes is maintained, for the reference; no rule depends on it."""

from collections.abc import Mapping
from datetime import date

from settings.versions.support import Support, Version

_PAGE = "kubernetes.io/releases"

TABLE: Mapping[Version, Support] = {
    (1, 32): Support(date(2026, 2, 28), _PAGE),
    (1, 33): Support(date(2026, 6, 28), _PAGE),
    (1, 34): Support(date(2026, 10, 27), _PAGE),
    (1, 35): Support(date(2027, 2, 28), _PAGE),
    (1, 36): Support(date(2027, 6, 28), _PAGE),
}
"""By version of Kubernetes."""
