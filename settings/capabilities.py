"""What the deployed programs can do, by version and distribution: no image is asked, tables are."""

import re
from dataclasses import dataclass

from settings.collector import Distribution
from settings.values import DOCKER_HUB_HOSTS, IMAGE_REFERENCE

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


def version_of(image: str) -> tuple[int, ...] | None:
    """The version of NGINX that an image's tag tells; none where it does not."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    return _version(matched["tag"] or "") if matched else None


def distribution_of(image: str) -> Distribution | None:
    """The distribution that an image of the Collector has; none where its name does not tell."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["host"] not in DOCKER_HUB_HOSTS | {"ghcr.io"}:
        return None
    return OFFICIAL_COLLECTORS.get(matched["name"])


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
