"""Holds what open-source NGINX and its OpenTelemetry module are, by version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE
from settings.versions.support import Flaw, Support, Version, dotted, reaches, row_of
from settings.versions.tags import version_of

OFFICIAL = frozenset({"nginx", "library/nginx", "nginxinc/nginx-unprivileged"})
"""Names of the official images on Docker Hub, whose tag says whether they have the module.

An image called `nginx` in another registry may be anything.
"""

NAMES = frozenset({"nginx", "nginx-unprivileged"})
"""Last parts of the names of NGINX's images and of their copies in other registries."""


@dataclass(frozen=True)
class Module:
    """The features of an image's ngx_otel_module."""

    headers: bool
    """`header` in `otel_exporter`."""

    resource_attributes: bool
    """`otel_resource_attr`."""

    tls: bool
    """`https://` endpoints, and `trusted_certificate`."""


BARE_MODULE = Module(headers=False, resource_attributes=False, tls=False)
WHOLE_MODULE = Module(headers=True, resource_attributes=True, tls=True)

# From the module's change log, and for 1.27.4-otel, whose module is newer than its label says, from its commit and
# from nginx/nginx-otel#94 (unknown directive "header").
MODULES: Mapping[Version, Module] = {
    (1, 25, 3): BARE_MODULE,
    (1, 27, 4): Module(headers=False, resource_attributes=True, tls=True),
    (1, 27, 5): WHOLE_MODULE,
}
"""By first version of NGINX whose image has it. Images before the first have none."""

FIRST_WITH_MODULE = min(MODULES)

FOLLOWS_NAMES: Version = (1, 27, 3)
"""The first with `resolve` in `upstream`; from its change log."""

KEEPS_UPSTREAMS: Version = (1, 29, 7)
"""The first that keeps connections to upstreams, and speaks HTTP/1.1 with them, by default; from its change log."""

_DOWNLOADS = "nginx.org/en/download.html"
_RELEASES = "nginx.org/en/CHANGES"

TABLE: Mapping[Version, Support] = {
    # A line ends on the day on which its successor of the same kind, mainline or stable, is released.
    (1, 25): Support(date(2024, 5, 29), _RELEASES),
    (1, 26): Support(date(2025, 4, 23), _RELEASES),
    (1, 27): Support(date(2025, 6, 24), _RELEASES),
    (1, 28): Support(date(2026, 4, 14), _RELEASES),
    (1, 29): Support(date(2026, 5, 13), _RELEASES),
    (1, 30): Support(None, _DOWNLOADS),
    (1, 31): Support(None, _DOWNLOADS),
}
"""How long each line is maintained. The first has the first image with the module."""

_ADVISORIES = "nginx.org/en/security_advisories.html"
FLAWS = (
    Flaw(
        "CVE-2026-42945",
        "`rewrite` before another `rewrite`, `if` or `set`, with unnamed captures and a `?` in the replacement",
        (0, 6, 27),
        ((1, 31, 0), (1, 30, 1)),
        _ADVISORIES,
    ),
    Flaw(
        "CVE-2026-9256",
        "`rewrite` with overlapping captures",
        (0, 1, 17),
        ((1, 31, 1), (1, 30, 2)),
        _ADVISORIES,
    ),
    Flaw(
        "CVE-2026-42055",
        "HTTP/2 and gRPC to upstreams, with `ignore_invalid_headers off` and header buffers above 2 MB",
        (1, 13, 10),
        ((1, 31, 2), (1, 30, 3)),
        _ADVISORIES,
    ),
    Flaw(
        "CVE-2026-42533",
        "`map` with regular expressions, in a text that captures of another expression come before",
        (0, 9, 6),
        ((1, 31, 3), (1, 30, 4)),
        _ADVISORIES,
    ),
    Flaw(
        "CVE-2026-123007",
        "HTTP/2 from clients: flow control",
        (1, 9, 5),
        ((1, 31, 9), (1, 30, 7)),
        "cve.org/CVERecord?id=CVE-2026-123007",
    ),
)
"""Flaws by which a request may execute code, by nginx.org's advisories and the texts of the CVEs."""


@dataclass(frozen=True)
class NginxRelease:
    """A version of open-source NGINX."""

    version: Version

    @property
    def support(self) -> Support:
        """How long its line is maintained."""
        return row_of(TABLE, self.version)

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """Flaws by which a request may execute code; none of two numbers, which are a tag that moves with the fixes."""
        return tuple(flaw for flaw in FLAWS if len(self.version) > 2 and flaw.is_in(self.version))


def nginx_release(image: str, default: Version) -> NginxRelease:
    """Returns what the NGINX of an image is.

    Args:
        image: the reference of the image.
        default: the version to assume if the tag shows none: that of the stack's set.
    """
    return NginxRelease(version_of(image, NAMES) or default)


def image_of(version: Version) -> str:
    """Returns the official image of a version, with the module."""
    return f"nginx:{dotted(version)}-otel"


def has_module(image: str) -> bool | None:
    """Tells whether an image has the module; None if its name does not show it."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None or matched["name"] not in OFFICIAL or matched["host"] not in DOCKER_HUB_HOSTS:
        return None
    if not matched["tag"]:
        return None
    version = nginx_version(image)
    return "otel" in matched["tag"].split("-") and (version is None or reaches(version, FIRST_WITH_MODULE))


def module_of(image: str) -> Module | None:
    """Returns the module of an image whose tag is `<version>-otel`, as NGINX's own or a copy; None for another tag."""
    version = nginx_version(image)
    matched = IMAGE_REFERENCE.fullmatch(image)
    if version is None or matched is None or "otel" not in (matched["tag"] or "").split("-"):
        return None
    return row_of(MODULES, version)


def follows_names(image: str) -> bool | None:
    """Tells whether an image's NGINX looks up upstreams' names while it runs; None if its tag does not show it."""
    version = nginx_version(image)
    return reaches(version, FOLLOWS_NAMES) if version else None


def nginx_version(image: str) -> Version | None:
    """Returns the version of open-source NGINX in an image's tag, of two or three numbers; None if it shows none."""
    return version_of(image, NAMES)
