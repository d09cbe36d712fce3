"""NGINX Plus: its image, its packages, its usage reports, and its features that open-source NGINX lacks."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from settings.routes import SamplingRatio
from settings.types import (
    IMAGE_REFERENCE,
    CertificateBundle,
    Duration,
    HostAndPort,
    Image,
    Model,
    NearMissError,
    Text,
    TypeName,
    is_host,
    matching,
    seconds,
    split_address,
)
from settings.versioned import Versioned
from settings.versions import SETS, PlusRelease, plus_release
from settings.versions.plus import FIRST, FIRST_WITH_ALL
from settings.versions.sets import DEFAULT
from settings.versions.tags import FIRST_WITH_MINOR


def _repository(name: str) -> str:
    matched = IMAGE_REFERENCE.fullmatch(name)
    if matched is None or matched["host"] is None or matched["tag"] or matched["digest"]:
        raise ValueError("must be registry/name, without a tag: the program adds the release as the tag")
    return name


def _release(release: str) -> str:
    matched = re.fullmatch(r"R([0-9]{2})(\.[0-9]{1,2})?", release)
    if matched is None or int(matched[1]) < FIRST:
        current = SETS[DEFAULT].plus
        reason = "by the folder of its packages; earlier ones take no license token"
        raise ValueError(f"must be R{FIRST} or a later release, such as {current}, {reason}")
    number, minor = int(matched[1]), matched[2]
    if (minor is None) == (number >= FIRST_WITH_MINOR):
        name = f"R{number}" if minor else f"R{number}.0"
        reason = f"from R{FIRST_WITH_MINOR}.0 on, and not before, the folder of a release's packages has two numbers"
        raise NearMissError(f"must be {name}: {reason}", name)
    return release


def _https(url: str) -> str:
    matched = re.fullmatch(r"https://([^/]+)(/[\w./~-]*)?", url, re.ASCII)
    if matched is None or not _is_plain(matched[1]) or url.endswith("/"):
        raise ValueError("must be https://host[:port][/path], without a closing slash")
    return url


def _is_plain(text: str) -> bool:
    """Tells whether it is a host with or without a port, but no IPv6 address, whose colons apt and NGINX misread."""
    return text.count(":") <= 1 and (split_address(text) is not None or is_host(text))


def _address(text: str) -> str:
    if not _is_plain(text):
        raise ValueError("must be host or host:port, without an IPv6 address")
    return text


def _plain(fingerprint: object) -> object:
    return fingerprint.replace(" ", "").upper() if isinstance(fingerprint, str) else fingerprint


Repository = Annotated[str, AfterValidator(_repository), TypeName("image, without a tag")]
Release = Annotated[str, AfterValidator(_release), TypeName("release")]
HttpsUrl = Annotated[str, AfterValidator(_https), TypeName("URL")]
Address = Annotated[str, AfterValidator(_address), TypeName("host, or host:port")]
Fingerprint = Annotated[
    str,
    BeforeValidator(_plain),
    matching(r"[0-9A-F]{40}", "the fingerprint of an OpenPGP key: 40 hexadecimal digits"),
    TypeName("fingerprint"),
]


def _report_interval(interval: str) -> str:
    # At most: NGINX Plus stops after 180 days without a report. At least: our choice.
    if not 60 <= seconds(interval) <= 180 * 24 * 3600:
        raise ValueError("must be from 1m to 4320h, which are 180 days")
    return interval


ReportInterval = Annotated[Duration, AfterValidator(_report_interval), TypeName("duration")]
BuilderName = Annotated[
    str,
    matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", "the name of a builder, as `docker buildx ls` lists it"),
    TypeName("name"),
]

OFFICIAL_SIGNING_KEYS = (
    "573BFD6B3D8FBC641079A6ABABF5BD827BD9BF62",
    "8540A6F18833A80E9C1653A42FD21310B49F6B46",
    "9E9BE90EACBCDE69FE9B204CBCDCD8A38D88A2B3",
)
"""The keys with which NGINX signs its packages, from the Dockerfile of its own image."""


class Packages(Model):
    """Where the packages come from. The keys are for mirrors in closed networks."""

    repository: HttpsUrl = Field(
        default="https://pkgs.nginx.com/plus",
        description="Package repository: its URL before the release. The build logs in with `nginxRepoCrt`.",
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that the build trusts for the repository. Unset: Debian's.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    signing_key: HttpsUrl = Field(
        default="https://cs.nginx.com/static/keys/nginx_signing.key",
        description="File with the keys that sign the packages.",
    )
    fingerprints: list[Fingerprint] = Field(
        default_factory=lambda: list(OFFICIAL_SIGNING_KEYS),
        min_length=1,
        description="The keys of that file that the build trusts. Unset: the three of NGINX.",
        examples=[[OFFICIAL_SIGNING_KEYS[0]]],
    )


class UsageReport(Model):
    """The usage reports that the license demands."""

    endpoint: Address = Field(
        default="product.connect.nginx.com",
        description="Receiver of the reports: F5, or an NGINX Instance Manager in closed networks. NGINX checks its "
        "certificate.",
    )
    interval: ReportInterval = Field(default="1h", description="Time between two reports.")
    proxy: HostAndPort | None = Field(
        default=None,
        description=f"HTTP proxy on the way there; needs R{FIRST_WITH_ALL} or later.",
        examples=["proxy.example:3128"],
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that NGINX trusts for the endpoint. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    enforce_initial_report: bool = Field(
        default=False,
        description="Serve nothing until the first report has arrived, which is NGINX Plus' own default. `false`: "
        "serve for 180 days without a report, so that new pods do not depend on the endpoint.",
    )


class PlusSettings(Versioned):
    """NGINX Plus, for the edition `plus`."""

    image: Image | None = Field(
        default=None,
        description="Existing image of NGINX Plus with ngx_otel_module. Unset: `pulumi up` builds one.",
        examples=[f"registry.example/nginx-plus:{SETS[DEFAULT].plus}"],
    )
    repository: Repository | None = Field(
        default=None,
        description="Where `pulumi up` pushes the image that it builds; the release is its tag.",
        examples=["registry.example/team/nginx-plus"],
    )
    release: Release | None = Field(
        default=None,
        description="Release of NGINX Plus, by the folder of its packages: R37.0 is a release with long-term support. "
        "A new value rebuilds the image. Unset: that of the set that `versions` names.",
        examples=[SETS[DEFAULT].plus],
    )
    rebuild: Text | None = Field(
        default=None,
        description="Any text, such as a date. A new value rebuilds the image, for updates of Debian and of the "
        "release. A new certificate alone does not.",
        examples=["2025-06-01"],
    )
    base_image: Image = Field(
        default="debian:bookworm-slim",
        description="Image of Debian that the build starts from; `imageRegistry` applies.",
    )
    platform: Literal["linux/amd64", "linux/arm64"] = Field(default="linux/amd64", description="Platform of the image.")
    builder: BuilderName | None = Field(
        default=None, description="Builder of `docker buildx`. Unset: the current one.", examples=["ci"]
    )
    cache: Image | None = Field(
        default=None,
        description="Image that the build pushes its cache to, and takes it from.",
        examples=["registry.example/team/nginx-plus:cache"],
    )
    packages: Packages = Field(default_factory=Packages, description="Where the packages come from.")
    usage_report: UsageReport = Field(
        default_factory=UsageReport, description="The usage reports that the license demands."
    )
    dashboard: bool = Field(
        default=False,
        description="Serve the live activity API and its dashboard inside each pod. "
        "Reach them with `kubectl port-forward`.",
    )
    sampling_ratios: list[SamplingRatio] = Field(
        default_factory=list[SamplingRatio],
        description="Ratios that people may switch a running pod to in place of `nginx.sampling.ratio`, through the "
        "API's key-value store.",
        examples=[[0.1, 1]],
    )

    @property
    def built_release(self) -> PlusRelease | None:
        """The release of the image that `pulumi up` builds; None if `image` names an existing one."""
        return plus_release(self.chosen_release) if self.image is None else None

    @property
    def chosen_release(self) -> str:
        """The release by name: `release`, or the set's."""
        return self.release or self.version_set.plus
