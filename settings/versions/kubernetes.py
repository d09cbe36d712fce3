"""Holds until when each version of Kubernetes is maintained, and what an older one does not do.

No rule of the stack depends on it: vendors maintain versions for longer, and may turn a feature on earlier.
"""

from collections.abc import Mapping
from datetime import date

from settings.versions.support import Support, Version

_PAGE = "kubernetes.io/releases"

_ENDED = "kubernetes.io/releases/patch-releases"
"""The page of lines whose support has ended."""

TABLE: Mapping[Version, Support] = {
    # Our choice: the oldest version that this program's documents name. The lab runs 1.32 and 1.36.
    (1, 30): Support(date(2025, 7, 15), _ENDED),
    (1, 31): Support(date(2025, 11, 11), _ENDED),
    (1, 32): Support(date(2026, 2, 28), _PAGE),
    (1, 33): Support(date(2026, 6, 28), _PAGE),
    (1, 34): Support(date(2026, 10, 27), _PAGE),
    (1, 35): Support(date(2027, 2, 28), _PAGE),
    (1, 36): Support(date(2027, 6, 28), _PAGE),
    (1, 37): Support(date(2027, 10, 28), _PAGE),
}
"""By version of Kubernetes."""

KEEPS_TRAFFIC_DISTRIBUTION: Version = (1, 31)
"""From here on an API server keeps a Service's `trafficDistribution` by default. 1.30 drops it without an error."""

TRAFFIC_DISTRIBUTION: Mapping[str, Version] = {
    "PreferClose": KEEPS_TRAFFIC_DISTRIBUTION,
    "PreferSameZone": (1, 34),
    "PreferSameNode": (1, 34),
}
"""From which version on each value is on by default. Source: the gates `ServiceTrafficDistribution` and
`PreferSameTrafficDistribution` in `pkg/features/kube_features.go`, and `dropServiceDisabledFields` of Services."""
