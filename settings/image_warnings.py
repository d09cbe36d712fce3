"""Warns of images whose version this program does not know."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from settings.errors import Place, path
from settings.stack import Settings
from settings.versions import collector, nginx, plus, tempo
from settings.versions.support import Version, dotted
from settings.versions.tags import release_of, version_of


@dataclass(frozen=True)
class _Image:
    place: Place
    program: str
    image: str
    names: Collection[str]
    known: Collection[Version]
    """Lines of releases, the oldest first."""


def image_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of images that are older or newer than the known versions, as far as a tag shows the version."""
    for image in _images(settings):
        version, first, last = version_of(image.image, image.names), min(image.known), max(image.known)
        if version is not None and version[:2] not in image.known:
            nearest = max((line for line in image.known if line <= version), default=first)
            yield (
                f"{path(image.place)} is {_age(version > first)} than the versions of {image.program} that this "
                f"program knows, which are {dotted(first)} to {dotted(last)}: it gets the configuration of "
                f"{dotted(nearest)}, and may refuse it, or count under other names. Check after `pulumi up`: "
                "python -m tools probe"
            )
    version = version_of(settings.tempo.pulled_image, tempo.NAMES)
    if settings.tempo.enabled and settings.tempo.release.is_one_way and version and version[:2] in tempo.TABLE:
        yield (
            f"tempo.image is Tempo {dotted(version)}: the document for Tempo 3 was not run on this program's "
            "lab, and nothing leads back to Tempo 2. Check after `pulumi up`: python -m tools probe"
        )
    release = _plus_release(settings)
    if release and not plus.FIRST <= release <= plus.LAST:
        key = "plus.image" if settings.plus.image else "plus.release"
        yield (
            f"{key} is {_age(release > plus.LAST)} than the releases of NGINX Plus that this program knows, which are "
            f"R{plus.FIRST} to R{plus.LAST}: it gets the configuration of the nearest, and may refuse it. Check after "
            "`pulumi up`: python -m tools probe"
        )


def _images(settings: Settings) -> Iterator[_Image]:
    if settings.edition == "oss":
        yield _Image(("nginx", "image"), "NGINX", settings.nginx.pulled_image, nginx.NAMES, nginx.TABLE)
    if settings.collector.enabled:
        image = settings.collector.pulled_image
        yield _Image(("collector", "image"), "the Collector", image, collector.NAMES, collector.KNOWN)
    if settings.tempo.enabled:
        yield _Image(("tempo", "image"), "Tempo", settings.tempo.pulled_image, tempo.NAMES, tempo.TABLE)


def _age(is_newer: bool) -> str:
    return "newer" if is_newer else "older"


def _plus_release(settings: Settings) -> int | None:
    if settings.edition != "plus":
        return None
    return release_of(settings.plus.image or f"nginx-plus:{settings.plus.chosen_release}")
