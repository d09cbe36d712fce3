"""Lists the versions of images that this program knows, and warns of others."""

from collections.abc import Iterator
from dataclasses import dataclass

from settings.capabilities import FIRST_PLUS, LAST_PLUS, Version, release_of, version_of
from settings.collector import DEFAULT_IMAGES
from settings.errors import Place, path
from settings.stack import Settings


@dataclass(frozen=True)
class Known:
    """The versions of a program that are known to read this program's documents."""

    program: str
    names: frozenset[str]
    """Last parts of the names of its images. An image of another registry with such a name is taken for a copy."""

    first: Version
    last: Version


# 2.8.4, 2.9.5 and 2.10.8 read this program's tempo.yaml; the lab runs a build between 2.7 and 2.8.
TEMPO = Known("Tempo", frozenset({"tempo"}), (2, 7), (2, 10))
# 0.126 runs in the lab; 0.165 has the same processors and exporters.
COLLECTOR = Known(
    "the Collector",
    frozenset(image.split("/")[-1].split(":")[0] for image in DEFAULT_IMAGES.values()),
    (0, 126),
    (0, 165),
)
# From the first image with the module to the newest whose module's version is known.
NGINX = Known("NGINX", frozenset({"nginx", "nginx-unprivileged"}), (1, 25), (1, 31))

TEMPO_3: Version = (3, 0)
"""Refuses a document with `ingester` or `compactor`, which earlier versions need."""


def image_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of images that are older or newer than the known versions, as far as a tag shows the version."""
    images: list[tuple[Place, Known, str]] = []
    if settings.edition == "oss":
        images.append((("nginx", "image"), NGINX, settings.nginx.image))
    if settings.collector.enabled:
        images.append((("collector", "image"), COLLECTOR, settings.collector.pulled_image))
    if settings.tempo.enabled:
        images.append((("tempo", "image"), TEMPO, settings.tempo.image))
    for place, known, image in images:
        version = version_of(image, known.names)
        if version is not None and not known.first <= version <= known.last:
            yield (
                f"{path(place)} is {_age(version > known.last)} than the versions of {known.program} that this program "
                f"knows, which are {dotted(known.first)} to {dotted(known.last)}: it may refuse its configuration, or "
                "count under other names. Check after `pulumi up`: python -m tools probe"
            )
    release = _plus_release(settings)
    if release and not FIRST_PLUS <= release <= LAST_PLUS:
        key = "plus.image" if settings.plus.image else "plus.release"
        yield (
            f"{key} is {_age(release > LAST_PLUS)} than the releases of NGINX Plus that this program knows, which are "
            f"R{FIRST_PLUS} to R{LAST_PLUS}: it may refuse its configuration. Check after `pulumi up`: "
            "python -m tools probe"
        )


def _age(is_newer: bool) -> str:
    return "newer" if is_newer else "older"


def _plus_release(settings: Settings) -> int | None:
    if settings.edition != "plus":
        return None
    return release_of(settings.plus.image or f"nginx-plus:{settings.plus.release}")


def dotted(version: Version) -> str:
    """Returns a version as text."""
    return ".".join(map(str, version))
