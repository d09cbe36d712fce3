"""Holds what Prometheus is, by version."""

from collections.abc import Mapping
from datetime import date

from settings.versions.support import Support, Version
from settings.versions.tags import version_of

NAMES = frozenset({"prometheus"})
"""Last parts of the names of Prometheus' images."""

_POLICY = "prometheus.io/docs/introduction/release-cycle"

TABLE: Mapping[Version, Support] = {
    (3, 5): Support(date(2026, 7, 31), _POLICY),
    # A line without long-term support gets fixes until the next one comes, six weeks later.
    (3, 12): Support(date(2026, 7, 1), _POLICY),
    (3, 13): Support(date(2027, 7, 31), _POLICY),
    (3, 14): Support(date(2026, 9, 24), _POLICY),
    (3, 15): Support(date(2026, 11, 4), _POLICY),
    (3, 16): Support(None, _POLICY),
}
"""By line. 3.5 and 3.13 have long-term support, for a year. The lab runs 3.16.0."""


def shown_version(image: str) -> Version | None:
    """Returns Prometheus' version in an image's tag; None if it shows none."""
    return version_of(image, NAMES)
