"""Computes what the spans take on Tempo's volume or in its bucket."""

from dataclasses import dataclass

from settings.tempo import BLOCK, TempoSettings
from settings.types import amount, seconds
from tools.size.arguments import Load
from tools.size.figures import Figures

LARGEST_VOLUME = 2**40
"""Bytes of the largest volume that an answer proposes. Our choice: a larger one takes hours to copy or to restore."""

_FREE = 0.8
"""How full a volume gets. The alert `VolumeIsNearlyFull` fires at nine tenths."""

_METRICS_COPY_SECONDS = 3600
"""How long the metrics generator keeps its copy of a block beside the storage (docs/explanation/metrics.md)."""

DAY, YEAR = 86_400, 365 * 86_400


@dataclass(frozen=True)
class Storage:
    """Holds what the spans take."""

    span_bytes: float
    """Bytes of a span in blocks, where it stands twice."""

    a_second: float
    """Bytes that are written on average."""

    kept: float
    """Bytes after the retention, with an average load."""

    grown: float
    """The same after the load has grown by the headroom."""

    working: float
    """Bytes on the disk that are not, or not yet, among the kept blocks, at the busiest time with its headroom."""

    kind: str
    """`local`, or the type of the bucket."""

    @property
    def volume(self) -> float:
        """Bytes of the volume."""
        blocks = self.grown if self.kind == "local" else 0.0
        return max(float(amount(BLOCK)), (blocks + self.working) / _FREE)

    @property
    def a_year(self) -> float:
        """Bytes that are written in a year."""
        return self.a_second * YEAR


def storage(load: Load, figures: Figures, *, is_distributed: bool) -> Storage:
    """Returns what the spans of a load take, without its headroom at first."""
    of_span = figures.stored(load.span_bytes)
    a_second = load.spans * load.average * of_span
    kept = a_second * float(seconds(load.retention))
    grown = kept * (1 + load.headroom)
    return Storage(
        of_span,
        a_second,
        kept,
        grown,
        working(load.grown(), of_span),
        _kind(load, grown, is_distributed=is_distributed),
    )


def working(load: Load, stored: float) -> float:
    """Returns the bytes of the write-ahead log, of blocks that are kept a while, and of one more block.

    The log holds spans for `maxBlockDuration`; in it a span is no larger than Tempo got it. Closed blocks stay for
    `completeBlockTimeout`, and the metrics generator's for an hour.
    """
    flush = TempoSettings().flush
    log = load.megabytes * 1e6 * float(seconds(flush.max_block_duration))
    blocks = load.spans * stored / 2 * (float(seconds(flush.complete_block_timeout)) + _METRICS_COPY_SECONDS)
    return log + blocks + float(amount(BLOCK))


def _kind(load: Load, grown: float, *, is_distributed: bool) -> str:
    if load.storage:
        return load.storage
    return "s3" if is_distributed or grown / _FREE > LARGEST_VOLUME else "local"
