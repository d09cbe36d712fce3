"""Warns of versions that get no security fixes any more, or have a flaw by which a request may execute code."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

from settings.errors import Place, path, remove_command, set_command
from settings.stack import Settings
from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE
from settings.versions import SETS, collector, grafana, kubernetes, nginx, nginx_release, prometheus, tempo
from settings.versions.plus import FIRST, flaws_of_build, plus_release
from settings.versions.sets import DEFAULT
from settings.versions.support import Flaw, Support, Version, dotted, row_of
from settings.versions.tags import build_of, release_of

_CURRENT = SETS[DEFAULT]

_NO_NEWER = "A newer nginx-tracing has a newer one"


@dataclass(frozen=True)
class _Running:
    """A version that the stack runs."""

    place: Place
    """The key that decides it: that of the image, or `versions`."""

    title: str
    support: Support
    flaws: tuple[Flaw, ...]
    way_on: str
    """The command that moves on, or the reason why there is none."""


def version_warnings(settings: Settings, today: datetime.date) -> Iterator[str]:
    """Yields one line for each program whose version has had its day.

    Args:
        settings: the configuration.
        today: the day that decides what is maintained.
    """
    programs = (_nginx, _plus, _collector, _tempo, _prometheus, _grafana)
    for running in (each for program in programs for each in program(settings)):
        reasons: list[str] = []
        if running.support.has_ended(today):
            reasons.append(f"has had no security fixes since {running.support.until}")
        if running.flaws:
            cves = ", ".join(flaw.cve for flaw in running.flaws)
            reasons.append(f"has known flaws by which a request may execute code ({cves})")
        if reasons:
            yield f"{path(running.place)}: {running.title} {', and '.join(reasons)}. {running.way_on}"


def kubernetes_warning(version: Version, today: datetime.date) -> str | None:
    """Returns the line about a cluster's version that gets no fixes any more, or is not in the table.

    Args:
        version: the API server's, of two numbers.
        today: the day that decides what is maintained.
    """
    oldest, newest = min(kubernetes.TABLE), max(kubernetes.TABLE)
    title = f"the cluster runs Kubernetes {dotted(version)}, which"
    if version > newest:
        return (
            f"{title} is newer than the versions that this program knows, {dotted(oldest)} to {dotted(newest)}. Check "
            "after `pulumi up`: python -m tools probe"
        )
    support = kubernetes.TABLE.get(version)
    if support and not support.has_ended(today):
        return None
    maintained = [dotted(line) for line, known in kubernetes.TABLE.items() if not known.has_ended(today)]
    # A control plane moves on by one minor version at a time: kubernetes.io/releases/version-skew-policy.
    way_on = (
        f"Kubernetes maintains {', '.join(maintained)}; upgrade to {version[0]}.{version[1] + 1} next"
        if maintained
        else "A newer nginx-tracing knows which versions Kubernetes maintains"
    )
    if support is None:
        return f"{title} is older than {dotted(oldest)}, the oldest that this program is for. {way_on}"
    return f"{title} has had no security fixes since {support.until}, unless its vendor goes on with them. {way_on}"


def traffic_distribution_warning(settings: Settings, version: Version) -> str | None:
    """Returns the line about a cluster that does not send traffic to near Collectors, although it should.

    Args:
        settings: the configuration.
        version: the API server's, of two numbers.
    """
    place, value = "collector.trafficDistribution", settings.collector.traffic_distribution
    since = kubernetes.TRAFFIC_DISTRIBUTION[value] if value else version
    if version >= since:
        return None
    title = f"{place}: the cluster runs Kubernetes {dotted(version)}, which"
    reason = f"it is on by default from {dotted(since)} on"
    if version < kubernetes.KEEPS_TRAFFIC_DISTRIBUTION:
        what = f"drops {value} without an error, so that connections go to any Collector"
        return f"{title} {what}: {reason}. To leave it out: {remove_command(place)}"
    return f"{title} refuses {value}: {reason}. For the same zone: {set_command(place, 'PreferClose')}"


def _nginx(settings: Settings) -> Iterator[_Running]:
    own, gateway = settings.nginx.image, settings.tempo.gateway.image
    images: dict[Place, str] = {}
    if settings.edition == "oss":
        images[("nginx", "image") if own else ("versions",)] = settings.nginx.pulled_image
    if settings.tempo.enabled and (gateway or settings.edition == "plus"):
        place = ("tempo", "gateway", "image") if gateway else ("nginx", "image") if own else ("versions",)
        images.setdefault(place, gateway or settings.nginx.pulled_image)
    if settings.demo.enabled:
        images.setdefault(("nginx", "image") if own else ("versions",), settings.nginx.pulled_image)
    for place, image in images.items():
        version = nginx.nginx_version(image)
        if version:
            release = nginx_release(image, settings.nginx.version_set.nginx)
            fixes = [fix for flaw in release.flaws for fix in flaw.fixed if fix[:2] == version[:2]]
            # A line that is newer than the current version's has the fixes in a later version of its own.
            target = max(fixes) if fixes and version > _CURRENT.nginx else _CURRENT.nginx
            way_on = _way_on(place, image, version, target)
            yield _Running(place, f"NGINX {dotted(version)}", release.support, release.flaws, way_on)


def _plus(settings: Settings) -> Iterator[_Running]:
    plus = settings.plus
    name = plus.image or f"nginx-plus:{plus.chosen_release}"
    number = release_of(name) if settings.edition == "plus" else None
    if number is None:
        return
    build = build_of(name)
    release = plus_release(f"R{number}.{build[1]}" if build else f"R{max(number, FIRST)}")
    flaws = release.flaws or flaws_of_build(build)
    if plus.image:
        place: Place = ("plus", "image")
        way_on = f"Name {'a new image' if build else 'an image'} of {_CURRENT.plus}"
    elif plus.release:
        place, way_on = ("plus", "release"), f"Move on: {set_command('plus.release', _CURRENT.plus)}"
    else:
        place, way_on = ("versions",), _of_set(settings)
    yield _Running(place, f"NGINX Plus R{number}", release.support, flaws, way_on)


def _collector(settings: Settings) -> Iterator[_Running]:
    own, image = settings.collector.image, settings.collector.pulled_image
    version = collector.shown_version(image) if settings.collector.enabled else None
    if version:
        place: Place = ("collector", "image") if own else ("versions",)
        way_on = _way_on(place, image, version, _CURRENT.collector)
        release = settings.collector.release
        yield _Running(place, f"the Collector {dotted(version)}", release.support, (), way_on)


def _tempo(settings: Settings) -> Iterator[_Running]:
    own, image = settings.tempo.image, settings.tempo.pulled_image
    version = tempo.shown_version(image) if settings.tempo.enabled else None
    # The day of another line says nothing of one that is not in the table, unless all that are in it are newer.
    if version and (version[:2] in tempo.TABLE or version < min(tempo.TABLE)):
        place: Place = ("tempo", "image") if own else ("versions",)
        way_on = _way_on(place, image, version, _CURRENT.tempo)
        yield _Running(place, f"Tempo {dotted(version)}", settings.tempo.release.support, (), way_on)


def _prometheus(settings: Settings) -> Iterator[_Running]:
    own, image = settings.prometheus.image, settings.prometheus.pulled_image
    version = prometheus.shown_version(image) if settings.prometheus.enabled else None
    if version and (version[:2] in prometheus.TABLE or version < max(prometheus.TABLE)):
        place: Place = ("prometheus", "image") if own else ("versions",)
        way_on = _way_on(place, image, version, _CURRENT.prometheus)
        support = row_of(prometheus.TABLE, version)
        yield _Running(place, f"Prometheus {dotted(version)}", support, (), way_on)


def _grafana(settings: Settings) -> Iterator[_Running]:
    image = settings.grafana.pulled_image
    version = grafana.shown_version(image) if settings.grafana.enabled else None
    if version and (version[:2] in grafana.TABLE or version < min(grafana.TABLE)):
        place: Place = ("grafana", "image")
        way_on = _way_on(place, image, version, grafana.DEFAULT)
        # The oldest line in the table is the last one of its major version, which lives longer than the next line.
        support = grafana.TABLE.get(version[:2], grafana.EARLIER)
        yield _Running(place, f"Grafana {dotted(version)}", support, (), way_on)


def _way_on(place: Place, image: str, version: Version, current: Version) -> str:
    """Returns the command that leads to the current version, if that is a newer one."""
    if version >= current:
        return _NO_NEWER
    if place == ("versions",):
        return f"Move on: {remove_command(place)}"
    command = set_command(place, _moved(image, version, current))
    return f"Move on: {command}" if _is_public(image) else f"Once your registry has it: {command}"


def _of_set(settings: Settings) -> str:
    return f"Move on: {remove_command('versions')}" if settings.versions != DEFAULT else _NO_NEWER


def _moved(image: str, version: Version, current: Version) -> str:
    """Returns an image with another version in its tag, and without a digest, which is that of the old one."""
    name, _, tag = image.split("@", maxsplit=1)[0].rpartition(":")
    return f"{name}:{tag.replace(dotted(version), dotted(current), 1)}"


def _is_public(image: str) -> bool:
    """Tells whether the makers of the program publish the image themselves, so that the current version is there."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["host"] not in DOCKER_HUB_HOSTS | {"ghcr.io"}:
        return False
    official = r"(library/)?nginx|nginxinc/nginx-unprivileged|grafana/(tempo|grafana)|prom/prometheus"
    return collector.distribution_of(image) is not None or re.fullmatch(official, matched["name"]) is not None
