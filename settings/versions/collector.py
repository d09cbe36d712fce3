"""Holds what the OpenTelemetry Collector is, by version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE
from settings.versions.support import Support, Version
from settings.versions.tags import full_version_of, version_of

Distribution = Literal["core", "k8s", "contrib"]

_SUFFIXES: dict[str, Distribution] = {"": "core", "-k8s": "k8s", "-contrib": "contrib"}

_OFFICIAL: dict[str, Distribution] = {
    f"{folder}/opentelemetry-collector{suffix}": distribution
    for folder in ("otel", "open-telemetry/opentelemetry-collector-releases")
    for suffix, distribution in _SUFFIXES.items()
}
"""Names of the official images, on Docker Hub and on GitHub's registry."""

NAMES = frozenset(f"opentelemetry-collector{suffix}" for suffix in _SUFFIXES)
"""Last parts of the names of the Collector's images."""

KNOWN: Sequence[Version] = [(0, minor) for minor in range(126, 166)]
"""The versions whose documents and counters this program knows."""

_RELEASED: Mapping[Version, date] = {
    (0, 126): date(2025, 5, 12),
    (0, 146): date(2026, 2, 18),
    (0, 155): date(2026, 6, 24),
    (0, 160): date(2026, 9, 2),
}
"""Days of some releases, from github.com/open-telemetry/opentelemetry-collector-releases. A release that
is not here came before the next one that is, at the latest: it counts as that old. Nothing is claimed of one after the
last."""

_OLD_AFTER = timedelta(days=182)
"""Our choice, half a year: the project fixes the newest release alone, and one every two weeks is no rhythm for a
stack."""


@dataclass(frozen=True)
class CollectorRelease:
    """The features of a version of the Collector, and the names of its parts and counters.

    Every value has the first version that it holds for beside it, from the Collector's own change logs
    (`CHANGELOG.md` of open-telemetry/opentelemetry-collector, and of its -contrib).
    """

    version: Version

    @property
    def support(self) -> Support:
        """How long it counts as maintained."""
        released = next((day for line, day in _RELEASED.items() if line >= self.version[:2]), None)
        until = released + _OLD_AFTER if released else None
        return Support(until, "github.com/open-telemetry/opentelemetry-collector-releases/releases")

    @property
    def grpc_exporter(self) -> str:
        """The type of the exporter of OTLP over gRPC. The old name is an alias of the new one."""
        return "otlp_grpc" if self.version >= (0, 144) else "otlp"

    @property
    def http_exporter(self) -> str:
        """The type of the exporter of OTLP over HTTP. The old name is an alias of the new one."""
        return "otlp_http" if self.version >= (0, 144) else "otlphttp"

    @property
    def load_balancing(self) -> str:
        """The type of the exporter that sends all spans of a trace to the same receiver."""
        return "load_balancing" if self.version >= (0, 146) else "loadbalancing"

    @property
    def balances(self) -> bool:
        """Whether that exporter works. In 0.139 it makes no exporter for a receiver (contrib#44218)."""
        return self.version[:2] != (0, 139)

    @property
    def decides_at_its_end(self) -> bool:
        """Whether tail sampling decides about the traces that wait when the Collector ends. Earlier versions drop them.

        With this version came `drop_pending_traces_on_shutdown`, which is false by default.
        """
        return self.version >= (0, 141)

    @property
    def kubernetes_attributes(self) -> str:
        """The type of the processor that adds the attributes of pods."""
        return "k8s_attributes" if self.version >= (0, 146) else "k8sattributes"

    @property
    def blocks_on_full_queue(self) -> str:
        """The key in `sending_queue` by which a sender waits for room."""
        return "block_on_overflow" if self.version >= (0, 129) else "blocking"

    @property
    def sizes_persistent_queue(self) -> bool:
        """Whether a persistent queue can be measured in bytes or items; else in requests alone."""
        return self.version >= (0, 130)

    @property
    def has_queue_record(self) -> bool:
        """Whether one record on the volume describes a persistent queue. Earlier versions do not know it.

        With such a record, this version does not look for what an earlier one wrote beside it.
        """
        return self.version >= (0, 130)

    @property
    def batches_persistent_queue(self) -> bool:
        """Whether `sending_queue.batch` works behind `sending_queue.storage`: 0.126 refuses the two together."""
        return self.version >= (0, 138)

    @property
    def has_batch_processor(self) -> bool:
        """Whether there is a processor `batch`, which is deprecated, and announced to be gone in 0.177."""
        return self.version < (0, 177)

    @property
    def batches_by_default(self) -> bool:
        """Whether exporters batch without being told to, as is announced for 0.171."""
        return self.version >= (0, 171)

    @property
    def labels_counters_with_service(self) -> bool:
        """Whether each of its own counters has the labels `service_name`, `service_version` and so on, by default.

        This program sets a reader of its own, with which no version adds them.
        """
        return self.version < (0, 149)

    @property
    def memory_limiter_counters(self) -> str:
        """The beginning of the names of the memory limiter's counters, before `accepted_spans` or `refused_spans`."""
        return "otelcol_processor_memory_limiter_" if self.version >= (0, 155) else "otelcol_processor_"

    @property
    def counts_enqueued_sizes(self) -> bool:
        """Whether there are `otelcol_exporter_enqueue_size*`, and `batch_send_size` counts what leaves a batch.

        Both are shown with `level: detailed` alone, which this program does not set.
        """
        return self.version >= (0, 159)


def collector_release(image: str, default: Version) -> CollectorRelease:
    """Returns what the Collector of an image is.

    Args:
        image: the reference of the image.
        default: the version to assume if the tag shows none: that of the stack's set.
    """
    return CollectorRelease(shown_version(image) or default)


def shown_version(image: str) -> Version | None:
    """Returns the Collector's version in an image's tag; None if it shows none.

    People name their own builds with the Collector's version or with one of their own: in an image of another name,
    numbers from 0.126.0 on and below 1 are taken for the Collector's.
    """
    own = full_version_of(image)
    is_plausible = own is not None and KNOWN[0] <= own < (1,)
    return version_of(image, NAMES) or (own if is_plausible else None)


def distribution_of(image: str) -> Distribution | None:
    """Returns the distribution of a Collector's image; None if its name does not show it."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["host"] not in DOCKER_HUB_HOSTS | {"ghcr.io"}:
        return None
    return _OFFICIAL.get(matched["name"])


_EVERYWHERE = frozenset(
    {"otlp", "otlphttp", "memory_limiter", "batch", "health_check", "probabilistic_sampler"}
    | {"attributes", "filter", "forward"}
)
_MORE = _EVERYWHERE | {"tail_sampling", "k8sattributes", "file_storage", "transform", "loadbalancing"}
COMPONENTS: Mapping[Distribution, frozenset[str]] = {"core": _EVERYWHERE, "k8s": _MORE, "contrib": _MORE}
"""The Collector's components that this program uses, by distribution, and by their names in 0.126.

From the manifests of 0.126 and 0.159 (open-telemetry/opentelemetry-collector-releases).
"""
