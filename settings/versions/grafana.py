"""Holds what Grafana is, by version."""

from collections.abc import Mapping
from datetime import date

from settings.versions.support import Support, Version, dotted
from settings.versions.tags import version_of

NAMES = frozenset({"grafana", "grafana-oss", "grafana-enterprise"})
"""Last parts of the names of Grafana's images."""

_POLICY = "grafana.com/docs/grafana/latest/upgrade-guide/when-to-upgrade"

# "Support for each minor release extends to nine months after their release date", and to fifteen for the last one of a
# major version. 12.4 of 2026-02-24 is the last 12.x; 13.0 came on 2026-04-14, 13.1 on 2026-06-23, 13.2 on 2026-08-18.
TABLE: Mapping[Version, Support] = {
    (12, 4): Support(date(2027, 5, 24), _POLICY),
    (13, 0): Support(date(2027, 1, 14), _POLICY),
    (13, 1): Support(date(2027, 3, 23), _POLICY),
    (13, 2): Support(date(2027, 5, 18), _POLICY),
}
"""By line."""

# Earlier lines came before 12.4 did on 2026-02-24, so that nine months ended by then. 11.6, the last 11.x, came on
# 2025-03-25.
EARLIER = Support(date(2026, 11, 24), _POLICY)
"""All lines before the table's: the last of them had no fixes after that day."""

# Wolfi's package of that name fixed what its scanners found until 2026-11-14 (osv.dev, CGA-9xcx-c962-m4f3). From 13.2
# on the Tempo data source is a plugin of its own, which Grafana updates from the internet (grafana.com/docs/grafana/
# v13.3/datasources/tempo): 12.4 has it built in.
DEFAULT: Version = (12, 4, 15)
"""The version of every set: the tutorial had no Grafana."""

IMAGE = f"grafana/grafana:{dotted(DEFAULT)}"


def shown_version(image: str) -> Version | None:
    """Returns Grafana's version in an image's tag; None if it shows none."""
    return version_of(image, NAMES)
