"""Rules of images whose version this program does not know: refused where it is known that they cannot work."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from settings.capabilities import Version, release_of, version_of
from settings.collector import DEFAULT_IMAGES
from settings.errors import ConfigError, Place, RuleViolation, path, set_command
from settings.stack import Settings


@dataclass(frozen=True)
class Known:
    """The versions of a program that this one's documents were read by."""

    program: str
    names: frozenset[str]
    """Last parts of its images' names; what another registry calls so is taken for a copy."""

    first: Version
    last: Version


# 2.8.4, 2.9.5 and 2.10.8 were given this program's tempo.yaml; the lab runs a build between 2.7 and 2.8.
TEMPO = Known("Tempo", frozenset({"tempo"}), (2, 7), (2, 10))
# 0.126 in the lab, 0.165 with the same processors and exporters.
COLLECTOR = Known(
    "the Collector",
    frozenset(image.split("/")[-1].split(":")[0] for image in DEFAULT_IMAGES.values()),
    (0, 126),
    (0, 165),
)
# From the first image with the module to the newest whose module's version is known.
NGINX = Known("NGINX", frozenset({"nginx", "nginx-unprivileged"}), (1, 25), (1, 31))
PLUS_RELEASES = (33, 36)
"""The first that takes a license token, and the last whose packages and module are known."""

TEMPO_3: Version = (3, 0)
"""Refuses a document with `ingester` or `compactor`, which earlier ones need."""


def _tempo(settings: Settings) -> Iterator[RuleViolation]:
    image = settings.tempo.image
    version = version_of(image, TEMPO.names)
    # What another registry calls `tempo` alone may be anything, and is warned of.
    is_grafana_s = re.search(r"(^|/)grafana/tempo[:@]", image) is not None
    if settings.tempo.enabled and is_grafana_s and version is not None and version >= TEMPO_3:
        place: Place = ("tempo", "image")
        message = (
            f"is Tempo {_text(version)}, which does not start with the configuration that this program writes: Tempo 3 "
            "has neither `ingester` nor `compactor`. Versions 2.7 to 2.10 start"
        )
        yield RuleViolation(ConfigError(place, message, set_command(place, "grafana/tempo:2.10.8"), json.dumps(image)))


def image_warnings(settings: Settings) -> Iterator[str]:
    """Images that are older or newer than what this program knows; of a digest, or a name of one's own, nothing is."""
    images: list[tuple[Place, Known, str]] = []
    if settings.edition == "oss":
        images.append((("nginx", "image"), NGINX, settings.nginx.image))
    if settings.collector.enabled and settings.collector.image:
        images.append((("collector", "image"), COLLECTOR, settings.collector.image))
    if settings.tempo.enabled:
        images.append((("tempo", "image"), TEMPO, settings.tempo.image))
    for place, known, image in images:
        version = version_of(image, known.names)
        if version is not None and not known.first <= version <= known.last:
            age = "newer" if version > known.last else "older"
            yield (
                f"{path(place)} is {age} than the versions of {known.program} that this program knows, which are "
                f"{_text(known.first)} to {_text(known.last)}: it may refuse its configuration, or count under other "
                "names. See after `pulumi up`: python -m tools probe"
            )
    release = _plus_release(settings)
    if release and not PLUS_RELEASES[0] <= release <= PLUS_RELEASES[1]:
        key = "plus.image" if settings.plus.image else "plus.release"
        age = "newer" if release > PLUS_RELEASES[1] else "older"
        yield (
            f"{key} is {age} than the releases of NGINX Plus that this program knows, which are R{PLUS_RELEASES[0]} to "
            f"R{PLUS_RELEASES[1]}: it may refuse its configuration. See after `pulumi up`: python -m tools probe"
        )


def _plus_release(settings: Settings) -> int | None:
    if settings.edition != "plus":
        return None
    return release_of(settings.plus.image) if settings.plus.image else int(settings.plus.release.removeprefix("R"))


def _text(version: Version) -> str:
    return ".".join(map(str, version))


IMAGE_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (_tempo,)
