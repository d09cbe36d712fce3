"""Holds what Grafana Tempo is, by version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from settings.versions.support import Support, Version, row_of
from settings.versions.tags import commit_day, full_version_of, version_of

NAMES = frozenset({"tempo"})
"""Last parts of the names of Tempo's images."""


@dataclass(frozen=True)
class TempoRelease:
    """A line of Tempo's releases."""

    support: Support
    attribute_limit: str
    """Key of the limit for an attribute's length. Tempo refuses a document with the wrong one."""

    has_live_store: bool
    """Whether a live store, a scheduler and a worker do what the ingester and the compactor did.

    With it, Tempo refuses a document with `ingester`, `ingester_client`, `compactor`, flat overrides or
    `query_frontend.search.query_ingesters_until`; without it, a document with `live_store`.
    """

    has_sums: bool = True
    """Whether TraceQL has `sum_over_time` (grafana/tempo#4786)."""

    @property
    def is_one_way(self) -> bool:
        """Whether an earlier Tempo cannot read what this one has written: blocks and WAL have no way back."""
        return self.has_live_store


_POLICY = "grafana.com/docs/tempo/next/set-up-for-tracing/setup-tempo/recommended-versions"

TABLE: Mapping[Version, TempoRelease] = {
    (2, 7): TempoRelease(
        Support(date(2025, 10, 31), _POLICY), "max_span_attr_byte", has_live_store=False, has_sums=False
    ),
    # 2.8 renames the limit (grafana/tempo#4633) and changes the default HTTP port, which the document sets.
    (2, 8): TempoRelease(Support(date(2026, 3, 31), _POLICY), "max_attribute_bytes", has_live_store=False),
    (2, 9): TempoRelease(Support(date(2026, 12, 31), _POLICY), "max_attribute_bytes", has_live_store=False),
    # The last line of 2.x. It still takes `ingester` and `compactor`.
    (2, 10): TempoRelease(Support(date(2027, 4, 30), _POLICY), "max_attribute_bytes", has_live_store=False),
    # "Migrate to Tempo 3.0", grafana.com/docs/tempo/v3.0.x/set-up-for-tracing/setup-tempo/migrate-to-3.
    (3, 0): TempoRelease(Support(date(2027, 2, 28), _POLICY), "max_attribute_bytes", has_live_store=True),
}
"""By first version of a line. 2.7.2, 2.8.4, 2.9.5, 2.10.8 and 3.0.3 were given this program's documents."""

_RENAMED_ON = "20250304"
"""The day of grafana/tempo#4633, between 2.7 and 2.8: decides for images that name a commit."""


def tempo_release(image: str, default: Version) -> TempoRelease:
    """Returns what the Tempo of an image is.

    Args:
        image: the reference of the image.
        default: the version to assume if the tag shows none: that of the stack's set.
    """
    day = commit_day(image, NAMES)
    if day is not None:
        return TABLE[(2, 8) if day >= _RENAMED_ON else (2, 7)]
    return row_of(TABLE, shown_version(image) or default)


def shown_version(image: str) -> Version | None:
    """Returns Tempo's version in an image's tag; None if it shows none.

    In an image of another name, numbers of a line in the table are taken for Tempo's.
    """
    own = full_version_of(image)
    return version_of(image, NAMES) or (own if own is not None and own[:2] in TABLE else None)


def is_readable(image: str) -> bool:
    """Tells whether an image's tag shows the version of Tempo, or the commit."""
    return shown_version(image) is not None or commit_day(image, NAMES) is not None
