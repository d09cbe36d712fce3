"""What the deployed programs can do, by version and distribution: no image is asked, tables are."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from settings.collector import Distribution
from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE

_SUFFIXES: dict[str, Distribution] = {"": "core", "-k8s": "k8s", "-contrib": "contrib"}

OFFICIAL_NGINX = frozenset({"nginx", "library/nginx", "nginxinc/nginx-unprivileged"})
"""Names of the official images on Docker Hub, whose tag says whether they carry the module.

What another registry calls `nginx` may be anything.
"""


OFFICIAL_COLLECTORS: dict[str, Distribution] = {
    f"{folder}/opentelemetry-collector{suffix}": distribution
    for folder in ("otel", "open-telemetry/opentelemetry-collector-releases")
    for suffix, distribution in _SUFFIXES.items()
}
"""Names of the official images, on Docker Hub and on GitHub's registry."""


@dataclass(frozen=True)
class Module:
    """What the ngx_otel_module of an image knows."""

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
    """Whether an image has the module; none where its name does not tell."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"] not in OFFICIAL_NGINX or matched["host"] not in DOCKER_HUB_HOSTS:
        return None
    if not matched["tag"]:
        return None
    version = _version(matched["tag"])
    return "otel" in matched["tag"].split("-") and (version is None or version >= _BY_NGINX_VERSION[-1][0])


def module_of(image: str) -> Module | None:
    """What an image's module knows, by a tag `<version>-otel` of NGINX or a copy of it; none where it does not tell."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    is_nginx = matched is not None and matched["name"].split("/")[-1] in {"nginx", "nginx-unprivileged"}
    tag = matched["tag"] if matched and is_nginx else None
    version = _version(tag or "")
    if tag is None or version is None or "otel" not in tag.split("-"):
        return None
    return next((module for first, module in _BY_NGINX_VERSION if version >= first), NO_MODULE)


FOLLOWS_NAMES = (1, 27, 3)
"""The first NGINX, open source, with `resolve` in `upstream`; from its change log."""


def follows_names(image: str) -> bool | None:
    """Whether an image's NGINX looks the names of upstreams up while it runs; none where its tag does not tell."""
    version = nginx_version(image)
    return version >= FOLLOWS_NAMES if version else None


def nginx_version(image: str) -> tuple[int, ...] | None:
    """The version of NGINX, open source, that an image's tag tells; none where it does not."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"].split("/")[-1] not in {"nginx", "nginx-unprivileged"}:
        return None
    return _version(matched["tag"] or "")


def distribution_of(image: str) -> Distribution | None:
    """The distribution that an image of the Collector has; none where its name does not tell."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["host"] not in DOCKER_HUB_HOSTS | {"ghcr.io"}:
        return None
    return OFFICIAL_COLLECTORS.get(matched["name"])


Version = tuple[int, int]
"""Major and minor: what documents and features go by."""


def version_of(image: str, names: Collection[str]) -> Version | None:
    """The version in an image's tag; none where the image has another name than those, no tag or a tag of another kind.

    A digest beside a tag is what is pulled, and the tag is taken for what it is.
    """
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"].split("/")[-1] not in names:
        return None
    # A pseudo-version of Go (`v1.5.1-0.20250529124718-87c2dc380cec`) names a commit, whatever its first numbers are.
    version = re.match(r"v?(\d+)\.(\d+)(?!\d)(?!.*-0\.\d{14}-)", matched["tag"] or "")
    return (int(version[1]), int(version[2])) if version else None


def release_of(image: str) -> int | None:
    """The release of NGINX Plus in an image's tag, `R34` or `r34-…`; none where there is none."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    release = re.match(r"[Rr](\d{2})(?!\d)", (matched["tag"] if matched else None) or "")
    return int(release[1]) if release else None


_PSEUDO_VERSION = re.compile(r".*-0\.(\d{8})\d{6}-[0-9a-f]{12}")
"""Go's name for a commit between versions, with its date."""

_ATTRIBUTE_LIMIT_RENAMED = ((2, 8), "20250304")
"""grafana/tempo#4633: the version, and the day."""


def attribute_limit(image: str) -> str:
    """The key of Tempo's limit for an attribute's length; that of 2.7 where the image's name does not tell.

    Tempo refuses a document with the other one.
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
"""Components of the Collector's distributions at 0.126, of those that this program uses; from their manifests."""
