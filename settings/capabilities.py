"""Holds the features of the deployed programs, by version and distribution.

Decided from built-in tables keyed by version and distribution; no image is inspected.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from settings.collector import DEFAULT_IMAGES, Distribution
from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE

_SUFFIXES: dict[str, Distribution] = {"": "core", "-k8s": "k8s", "-contrib": "contrib"}

OFFICIAL_NGINX = frozenset({"nginx", "library/nginx", "nginxinc/nginx-unprivileged"})
"""Names of the official images on Docker Hub, whose tag says whether they have the module.

An image called `nginx` in another registry may be anything.
"""


_NGINX_NAMES = frozenset({"nginx", "nginx-unprivileged"})
"""Last parts of the names of NGINX's images and of their copies in other registries."""

OFFICIAL_COLLECTORS: dict[str, Distribution] = {
    f"{folder}/opentelemetry-collector{suffix}": distribution
    for folder in ("otel", "open-telemetry/opentelemetry-collector-releases")
    for suffix, distribution in _SUFFIXES.items()
}
"""Names of the official images, on Docker Hub and on GitHub's registry."""


@dataclass(frozen=True)
class Module:
    """The features of an image's ngx_otel_module."""

    headers: bool
    """`header` in `otel_exporter`."""

    resource_attributes: bool
    """`otel_resource_attr`."""

    tls: bool
    """`https://` endpoints, and `trusted_certificate`."""


NO_MODULE = Module(headers=False, resource_attributes=False, tls=False)

# From the module's change log, and for 1.27.4-otel, whose module is newer than its label says, from its commit and
# from nginx/nginx-otel#94 (unknown directive "header").
_BY_NGINX_VERSION = (
    ((1, 27, 5), Module(headers=True, resource_attributes=True, tls=True)),
    ((1, 27, 4), Module(headers=False, resource_attributes=True, tls=True)),
    ((1, 25, 3), NO_MODULE),
)
FIRST_WITH_HEADERS = "nginx:1.27.5-otel"
FIRST_WITH_TLS = "nginx:1.27.4-otel"


def has_module(image: str) -> bool | None:
    """Tells whether an image has the module; None if its name does not show it."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"] not in OFFICIAL_NGINX or matched["host"] not in DOCKER_HUB_HOSTS:
        return None
    if not matched["tag"]:
        return None
    version = _version(matched["tag"])
    return "otel" in matched["tag"].split("-") and (version is None or version >= _BY_NGINX_VERSION[-1][0])


def module_of(image: str) -> Module | None:
    """Returns the module of an image whose tag is `<version>-otel`, as NGINX's own or a copy; None for another tag."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    is_nginx = matched is not None and matched["name"].split("/")[-1] in _NGINX_NAMES
    tag = matched["tag"] if matched and is_nginx else None
    version = _version(tag or "")
    if tag is None or version is None or "otel" not in tag.split("-"):
        return None
    return next((module for first, module in _BY_NGINX_VERSION if version >= first), NO_MODULE)


@dataclass(frozen=True)
class PlusRelease:
    """The features of a release of NGINX Plus."""

    nginx: tuple[int, int, int] | None
    """The version of open-source NGINX that it is based on; None if this program does not know the release."""

    module: Module
    report_proxy: bool
    """`proxy` in `mgmt`."""


_ALL = Module(headers=True, resource_attributes=True, tls=True)
# From F5's documentation, "NGINX Plus Releases".
_PLUS_RELEASES = {
    33: PlusRelease((1, 27, 2), NO_MODULE, report_proxy=False),
    34: PlusRelease((1, 27, 4), _ALL, report_proxy=True),
    35: PlusRelease((1, 29, 0), _ALL, report_proxy=True),
    36: PlusRelease((1, 29, 3), _ALL, report_proxy=True),
}
FIRST_PLUS, LAST_PLUS = min(_PLUS_RELEASES), max(_PLUS_RELEASES)
"""The first release that takes a license token, and the last whose packages and module this program knows."""

FIRST_PLUS_WITH_ALL = min(number for number, release in _PLUS_RELEASES.items() if release.module == _ALL)
"""The first release whose module has every feature."""


def plus_release(release: str) -> PlusRelease:
    """Returns a release, such as `R34`, by its name. A later one than this program knows has every feature."""
    return _PLUS_RELEASES.get(int(release.removeprefix("R")), PlusRelease(None, _ALL, report_proxy=True))


FOLLOWS_NAMES = (1, 27, 3)
"""The first open-source NGINX with `resolve` in `upstream`; from its change log."""


def follows_names(image: str) -> bool | None:
    """Tells whether an image's NGINX looks up upstreams' names while it runs; None if its tag does not show it."""
    version = nginx_version(image)
    return version >= FOLLOWS_NAMES if version else None


def nginx_version(image: str) -> tuple[int, ...] | None:
    """Returns the version of open-source NGINX in an image's tag; None if the tag has none."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"].split("/")[-1] not in _NGINX_NAMES:
        return None
    return _version(matched["tag"] or "")


def distribution_of(image: str) -> Distribution | None:
    """Returns the distribution of a Collector's image; None if its name does not show it."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["host"] not in DOCKER_HUB_HOSTS | {"ghcr.io"}:
        return None
    return OFFICIAL_COLLECTORS.get(matched["name"])


Version = tuple[int, int]
"""Major and minor version, which documents and features depend on."""


def dotted(version: Version) -> str:
    """Returns a version as text."""
    return ".".join(map(str, version))


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
NGINX = Known("NGINX", _NGINX_NAMES, (1, 25), (1, 31))

TEMPO_3: Version = (3, 0)
"""Refuses a document with `ingester` or `compactor`, which earlier versions need."""


def version_of(image: str, names: Collection[str]) -> Version | None:
    """Returns the version in an image's tag; None for an image of another name, without a tag, or with another tag.

    If there is a digest beside the tag, nodes pull the digest, and the tag is assumed to describe it.
    """
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"].split("/")[-1] not in names:
        return None
    # A pseudo-version of Go (`v1.5.1-0.20250529124718-87c2dc380cec`) names a commit, whatever its first numbers are.
    version = re.match(r"v?(\d+)\.(\d+)(?!\d)(?!.*-0\.\d{14}-)", matched["tag"] or "")
    return (int(version[1]), int(version[2])) if version else None


def release_of(image: str) -> int | None:
    """Returns the release of NGINX Plus in an image's tag, `R34` or `r34-…`; None if there is none."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    release = re.match(r"[Rr](\d{2})(?!\d)", (matched["tag"] if matched else None) or "")
    return int(release[1]) if release else None


_PSEUDO_VERSION = re.compile(r".*-0\.(\d{8})\d{6}-[0-9a-f]{12}")
"""Go's pseudo-version: the name of a commit between versions, with its date."""

_ATTRIBUTE_LIMIT_RENAMED = ((2, 8), "20250304")
"""The version and the day of grafana/tempo#4633."""


def attribute_limit(image: str) -> str:
    """Returns the key of Tempo's limit for an attribute's length; the key of 2.7 if the image's name shows no version.

    Tempo refuses a document with the wrong one.
    """
    matched = IMAGE_REFERENCE.fullmatch(image)
    tag = (matched["tag"] or "").removeprefix("v") if matched else ""
    version, day = _ATTRIBUTE_LIMIT_RENAMED
    commit = _PSEUDO_VERSION.fullmatch(tag)
    numbers = re.match(r"(\d+)\.(\d+)(?![\d])", tag)
    renamed = commit[1] >= day if commit else numbers is not None and tuple(map(int, numbers.groups())) >= version
    return "max_attribute_bytes" if renamed else "max_span_attr_byte"


def _version(tag: str) -> tuple[int, ...] | None:
    matched = re.match(r"(\d+)\.(\d+)\.(\d+)(?![\d.])", tag)
    return tuple(int(part) for part in matched.groups()) if matched else None


_EVERYWHERE = frozenset({"otlp", "otlphttp", "memory_limiter", "batch", "health_check", "probabilistic_sampler"})
COMPONENTS: dict[Distribution, frozenset[str]] = {
    "core": _EVERYWHERE,
    "k8s": _EVERYWHERE | {"tail_sampling", "k8sattributes", "file_storage"},
    "contrib": _EVERYWHERE | {"tail_sampling", "k8sattributes", "file_storage"},
}
"""The Collector's components that this program uses, by distribution; from the manifests of version 0.126."""
