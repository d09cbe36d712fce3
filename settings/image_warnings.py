"""Warns of images whose version this program does not know, or cannot read."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from settings.errors import Place, path, remove_command, set_command
from settings.stack import Settings
from settings.versions import SETS, collector, grafana, nginx, plus, prometheus, tempo
from settings.versions.sets import DEFAULT, Set
from settings.versions.support import Version, dotted
from settings.versions.tags import release_of


@dataclass(frozen=True)
class _Image:
    place: Place
    program: str
    version: Version | None
    known: Collection[Version]
    """Lines of releases, the oldest first."""


def image_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of images that are older or newer than the known versions, or whose tag does not show theirs."""
    yield from _unreadable(settings)
    for image in _images(settings):
        version, first, last = image.version, min(image.known), max(image.known)
        if version is not None and version[:2] not in image.known:
            nearest = max((line for line in image.known if line <= version), default=first)
            # The table of the Collector has what is announced for later versions, too.
            is_announced = image.known is collector.KNOWN and version > last
            announced = " with the changes that are announced" if is_announced else ""
            yield (
                f"{path(image.place)} is {_age(version > first)} than the versions of {image.program} that this "
                f"program knows, which are {dotted(first)} to {dotted(last)}: it gets the configuration of "
                f"{dotted(nearest)}{announced}, and may refuse it, or count under other names. Check after "
                "`pulumi up`: python -m tools probe"
            )
    version = tempo.shown_version(settings.tempo.pulled_image)
    if settings.tempo.enabled and settings.tempo.release.is_one_way and version:
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
        yield _Image(("nginx", "image"), "NGINX", nginx.nginx_version(settings.nginx.pulled_image), nginx.TABLE)
    if settings.collector.enabled:
        version = collector.shown_version(settings.collector.pulled_image)
        yield _Image(("collector", "image"), "the Collector", version, collector.KNOWN)
    if settings.tempo.enabled:
        yield _Image(("tempo", "image"), "Tempo", tempo.shown_version(settings.tempo.pulled_image), tempo.TABLE)
    if settings.prometheus.enabled:
        version = prometheus.shown_version(settings.prometheus.pulled_image)
        yield _Image(("prometheus", "image"), "Prometheus", version, prometheus.TABLE)
    if settings.grafana.enabled:
        version = grafana.shown_version(settings.grafana.pulled_image)
        yield _Image(("grafana", "image"), "Grafana", version, grafana.TABLE)


def _unreadable(settings: Settings) -> Iterator[str]:
    """Yields a warning for each image that gets the document of the set's version, because its tag shows none.

    NGINX is left out: its files do not depend on the version.
    """
    collecting, tracing = settings.collector, settings.tempo
    if collecting.enabled and collecting.image and collector.shown_version(collecting.image) is None:
        yield _assumed(settings, "collector.image", collecting.image, "the Collector", lambda one: one.collector)
    if tracing.enabled and tracing.image and not tempo.is_readable(tracing.image):
        yield _assumed(settings, "tempo.image", tracing.image, "Tempo", lambda one: one.tempo)


def _assumed(settings: Settings, key: str, image: str, program: str, version: Callable[[Set], Version]) -> str:
    other = "tutorial" if settings.versions == DEFAULT else DEFAULT
    command = set_command("versions", other) if other != DEFAULT else remove_command("versions")
    assumed, example = dotted(version(SETS[settings.versions])), dotted(version(SETS[other]))
    # The reference without its digest and tag: a colon before the last slash is that of a port.
    name = re.sub(r"(:[^/@]+)?(@.*)?$", "", image, count=1)
    return (
        f"{key} is {image}, whose tag shows no version of {program}: its document is that of {assumed}, the version of "
        f"`versions: {settings.versions}`, and another version may refuse it. If it is another, name its tag beside "
        f"the digest, such as {name}:{example}@sha256:…, or take the set that has it: {command}"
    )


def _age(is_newer: bool) -> str:
    return "newer" if is_newer else "older"


def _plus_release(settings: Settings) -> int | None:
    if settings.edition != "plus":
        return None
    return release_of(settings.plus.image or f"nginx-plus:{settings.plus.chosen_release}")
