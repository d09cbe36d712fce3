"""Warns of images whose version this program does not know."""

from collections.abc import Iterator

from settings.capabilities import COLLECTOR, FIRST_PLUS, LAST_PLUS, NGINX, TEMPO, Known, dotted, release_of, version_of
from settings.errors import Place, path
from settings.stack import Settings


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
