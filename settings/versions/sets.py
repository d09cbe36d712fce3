"""Holds the sets of versions that a stack runs by default: what is current, and what the tutorial used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from settings.versions.collector import Distribution
from settings.versions.nginx import image_of
from settings.versions.support import Version, dotted

VersionSet = Literal["current", "tutorial"]


@dataclass(frozen=True)
class Set:
    """Versions that belong together, and the images that have them."""

    nginx: Version
    plus: str
    """The folder of NGINX Plus' packages, which names the release."""

    collector: Version
    tempo: Version
    prometheus: Version
    collector_registry: str
    """Folder of the Collector's images."""

    @property
    def nginx_image(self) -> str:
        """The image of open-source NGINX with its module."""
        return image_of(self.nginx)

    @property
    def tempo_image(self) -> str:
        """The image of Tempo."""
        return f"grafana/tempo:{dotted(self.tempo)}"

    @property
    def prometheus_image(self) -> str:
        """The image of Prometheus."""
        return f"prom/prometheus:v{dotted(self.prometheus)}"

    def collector_image(self, distribution: Distribution) -> str:
        """Returns the image of a distribution of the Collector."""
        suffix = "" if distribution == "core" else f"-{distribution}"
        return f"{self.collector_registry}/opentelemetry-collector{suffix}:{dotted(self.collector)}"


CURRENT_COLLECTOR: Version = (0, 160, 0)
"""The newest that the lab builds with every component that the program uses."""

DEFAULT: VersionSet = "current"

_PROMETHEUS: Version = (3, 13, 2)
"""The line with long-term support. The tutorial has no Prometheus, so both sets have the same."""

SETS: Mapping[VersionSet, Set] = {
    "current": Set(
        # nginx.org has nginx-module-otel 1.30.7+0.1.2. The versions before it have CVE-2026-123007.
        nginx=(1, 30, 7),
        plus="R37.0",
        collector=CURRENT_COLLECTOR,
        tempo=(2, 10, 8),
        prometheus=_PROMETHEUS,
        # Docker Hub got no images of the Collector for a while after 0.123.1; GitHub's registry has had each release.
        collector_registry="ghcr.io/open-telemetry/opentelemetry-collector-releases",
    ),
    "tutorial": Set(
        nginx=(1, 27, 4),
        plus="R34",
        collector=(0, 126, 0),
        tempo=(2, 7, 2),
        prometheus=_PROMETHEUS,
        collector_registry="otel",
    ),
}
