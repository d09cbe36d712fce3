"""Kinds of values: how each is written, checked the way the program checks it that will read it.

Each type carries the name under which the configuration reference lists it.
"""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from settings.nginx_syntax import literal, template


class Model(BaseModel):
    """A group of settings: keys in camelCase, none but the known ones."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that people expect here, in lower case without `_`: where it is set instead, or why there is no such key."""

    written_as_text: ClassVar[bool] = False
    """Whether people may write one text in its place, which errors show although the model has secrets in it."""


class TypeName:
    """Names a type for people."""

    def __init__(self, name: str) -> None:
        self.name = name


class Hidden:
    """Marks a type whose values are not shown: a secret may have been put there by mistake."""


def _as_text(value: Any) -> Any:
    """`pulumi config set --path` stores `true` and `7` as a boolean and a number, also where text is meant."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _no_percentage(value: Any) -> Any:
    matched = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*", value, re.ASCII) if isinstance(value, str) else None
    if matched:
        raise ValueError(f"must be a number from 0 to 1, not a percentage: {Decimal(matched[1]) / 100:f}")
    return value


def _one_line(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _lines(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must be lines of printable characters")
    return text


def matching(pattern: str, what: str) -> AfterValidator:
    """Checks that the whole text matches; otherwise says that it must be `what`."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"must be {what}")
        return text

    return AfterValidator(check)


def _password(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must not begin or end with white space: is there a line end in the file?")
    return value


Password = Annotated[SecretStr, AfterValidator(_password), TypeName("secret")]

Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(_one_line), TypeName("text")]

LiteralText = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_one_line),
    AfterValidator(literal),
    TypeName("text"),
]
"""Text for nginx.conf in which `$` has no meaning."""

Lines = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_lines),
    AfterValidator(template),
    TypeName("text with NGINX variables"),
]
"""As `TemplateText`, with line ends."""

TemplateText = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_one_line),
    AfterValidator(template),
    TypeName("text with NGINX variables"),
]

DOCKER_HUB_HOSTS = frozenset({None, "docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of Docker Hub in an image reference."""

# Images: the distribution project's reference grammar, with a tag or a digest made mandatory.
IMAGE_REFERENCE = re.compile(
    r"(?:(?P<host>localhost(?::\d+)?|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d+)?|[a-zA-Z0-9-]+:\d+)/)?"
    r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def _pinned_image(image: str) -> str:
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None:
        raise ValueError("must be an image reference, which is [registry/]name:tag or [registry/]name@sha256:…")
    if not matched["digest"] and matched["tag"] in {None, "latest"}:
        raise ValueError("must be pinned: give a tag other than `latest`, or a digest")
    return image


Image = Annotated[str, AfterValidator(_pinned_image), TypeName("image")]


def _registry(prefix: str) -> str:
    matched = IMAGE_REFERENCE.fullmatch(f"{prefix}/name:tag")
    # Without a point, a port or `localhost`, the first part of an image's name is a folder of Docker Hub.
    if matched is None or matched["host"] is None:
        raise ValueError(
            "must be a registry's host, with a point or a port in it, and an optional path in lower case; "
            "without a scheme or a closing slash"
        )
    return prefix


RegistryPrefix = Annotated[str, AfterValidator(_registry), TypeName("registry")]

# Times: one number and one unit, which Go (the Collector, Tempo) and NGINX read alike.
_DURATION = re.compile(r"(\d{1,12})(ms|s|m|h)", re.ASCII)
_TEN_YEARS = Decimal(87_600 * 3600)
_UNIT_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}


def seconds(duration: str) -> Decimal:
    """The length of a valid duration."""
    matched = _DURATION.fullmatch(duration)
    if matched is None:
        raise ValueError(f"not a duration: {duration!r}")
    return int(matched[1]) * _UNIT_SECONDS[matched[2]]


def _duration(text: str) -> str:
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a whole number with its unit: ms, s, m or h, such as 500ms or 48h")
    if seconds(text) == 0:
        raise ValueError("must be longer than nothing")
    if seconds(text) > _TEN_YEARS:
        # Go counts nanoseconds in 64 bits, which are 292 years.
        raise ValueError("must be at most 87600h, which are ten years")
    return text


Duration = Annotated[str, BeforeValidator(_as_text), AfterValidator(_duration), TypeName("duration")]


def _whole_seconds(duration: str) -> str:
    if seconds(duration) % 1:
        raise ValueError("must be whole seconds: Kubernetes counts in them")
    return duration


WholeSeconds = Annotated[Duration, AfterValidator(_whole_seconds), TypeName("duration")]

# Kubernetes' quantities, as its API server reads them.
_QUANTITY = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", re.ASCII)
_QUANTITY_FACTORS = {"": Decimal(1), "m": Decimal("0.001")} | {
    unit: Decimal(base**power)
    for base, suffix in ((1000, ""), (1024, "i"))
    for power, unit in (
        (number + 1, letter + suffix) for number, letter in enumerate(("K" if suffix else "k", *"MGTPE"))
    )
}


def amount(quantity: str) -> Decimal:
    """A valid quantity as a number: cores, or bytes."""
    matched = _QUANTITY.fullmatch(quantity)
    if matched is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    return Decimal(matched[1]) * _QUANTITY_FACTORS[matched[2] or ""]


def _cpu(text: str) -> str:
    matched = _QUANTITY.fullmatch(text)
    if matched is None or matched[2] not in {None, "m"} or not 0 < amount(text) <= 100_000:
        raise ValueError("must be cores, such as 2 or 0.5, or thousandths of one, such as 500m")
    return text


def _bytes(text: str) -> str:
    matched = _QUANTITY.fullmatch(text)
    if matched is None or matched[2] == "m" or not 0 < amount(text) <= 2**60:
        raise ValueError("must be bytes with a unit, such as 256Mi or 2G")
    if matched[2] is None and amount(text) < 1_000_000:
        # `memory: 512` is half a kilobyte, and never meant.
        raise ValueError("must be bytes with a unit, such as 256Mi or 2G")
    return text


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Cpu = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_cpu), TypeName("cores")]
Bytes = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_bytes), TypeName("bytes")]


def _room(text: str) -> str:
    if amount(text) < 16 * 2**20:
        raise ValueError("must be at least 16Mi: with less, a container hardly starts")
    return text


MemoryLimit = Annotated[Bytes, AfterValidator(_room), TypeName("bytes")]

# Kubernetes counts in 32 bits.
Count = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True), TypeName("integer")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True), TypeName("port")]


Ratio = Annotated[
    Decimal,
    BeforeValidator(_no_boolean),
    BeforeValidator(_no_percentage),
    Field(ge=0, le=1),
    # -0 is 0, but would be written as it is.
    AfterValidator(abs),
    TypeName("number from 0 to 1"),
]

# Names of Kubernetes.
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_WORDS = "lower-case letters, digits and `-`, 63 at most, with a letter or digit at both ends"

LabelName = Annotated[str, matching(_LABEL, _LABEL_WORDS), TypeName("name")]
"""RFC 1123 label: namespaces, Services, the names of this program's own lists."""

SubdomainName = Annotated[str, matching(_SUBDOMAIN, "lower-case letters, digits, `-` and `.`"), TypeName("name")]
"""RFC 1123 subdomain: priority classes, storage classes."""

MetadataKey = Annotated[
    str,
    matching(
        rf"({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?",
        "[domain/]name, the name of letters, digits, `-`, `_` and `.`, 63 at most, with a letter or digit at both ends",
    ),
    TypeName("key"),
]
LabelValue = Annotated[
    str,
    BeforeValidator(_as_text),
    matching(
        r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?",
        "letters, digits, `-`, `_` and `.`, 63 at most, with a letter or digit at both ends",
    ),
    TypeName("text"),
]
AnnotationValue = Annotated[str, BeforeValidator(_as_text), TypeName("text")]

OWN_PREFIX = "nginx-tracing/"
"""The prefix of the mark by which the program knows its stack's objects."""


def not_own(key: str) -> str:
    """Checks that the key of a label or annotation is not one of the program's marks.

    Raises:
        ValueError: it is.
    """
    if key.startswith(OWN_PREFIX):
        raise ValueError(f"must be another: the program marks the stack's objects with {OWN_PREFIX}…")
    return key


def _annotation_key(key: str) -> str:
    if key.startswith("pulumi.com/"):
        raise ValueError("must be another: annotations of pulumi.com steer Pulumi, and the program sets them itself")
    return not_own(key)


AnnotationKey = Annotated[MetadataKey, AfterValidator(_annotation_key)]


# Addresses.
HOST_NAME_LENGTH = 253
# Underscores are in no host name, but in names that resolvers know; a point at the end keeps them from trying others.
_NAME_PART = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = rf"{_NAME_PART}(\.{_NAME_PART})*\.?"


def is_address(text: str) -> bool:
    """Whether it is an IP address, without brackets; one with a scope (`fe80::1%eth0`) is of one machine alone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_host(text: str) -> bool:
    """Whether it is an IP address, without brackets, or a host name."""
    # Digits and points alone are an address with a mistake in it.
    is_name = re.fullmatch(HOST_NAME, text) is not None and re.fullmatch(r"[\d.]+", text) is None
    return (is_name and len(text) <= HOST_NAME_LENGTH) or is_address(text)


def is_service(host: str) -> bool:
    """Whether a host can be a Service of the cluster alone: `shop`, `shop.web.svc` and longer."""
    labels = host.rstrip(".").lower().split(".")
    return not is_address(host) and (len(labels) == 1 or labels[2:3] == ["svc"])


def is_of_namespace(host: str) -> bool:
    """Whether a host looks like a Service of another namespace (`tempo.monitoring`), not like `shop.example`."""
    labels = host.rstrip(".").lower().split(".")
    # Names of the world end in few letters, most of them; in `example` those of documentation do.
    return not is_address(host) and len(labels) == 2 and len(labels[1]) > 3 and labels[1] != "example"


def _server_url(text: str) -> str:
    try:
        url = urlsplit(text)
        valid = url.scheme in {"https", "http"} and is_host(url.hostname or "") and url.port != 0
    except ValueError:
        valid = False
        url = urlsplit("")
    if not valid or "@" in url.netloc or url.query or url.fragment or not text.isprintable() or " " in text:
        raise ValueError("must be https://host[:port][/path]")
    return text


ServerUrl = Annotated[str, AfterValidator(_server_url), TypeName("URL")]


def bracketed(host: str) -> str:
    """A valid host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _host(address: str) -> str:
    if not is_host(address):
        raise ValueError("must be an IP address, without brackets, or a host name")
    return address


Host = Annotated[str, AfterValidator(_host), TypeName("host")]


def split_address(text: str) -> tuple[str, int] | None:
    """`host:port` in its parts, an IPv6 address without its brackets; none where it is not one."""
    matched = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>[0-9]{1,5})", text)
    if matched is None or not 1 <= int(matched["port"]) <= 65535:
        return None
    host = matched["six"] or matched["host"]
    return (host, int(matched["port"])) if is_host(host) else None


def _host_and_port(text: str) -> str:
    if split_address(text) is None:
        raise ValueError("must be host:port")
    return text


HostAndPort = Annotated[str, AfterValidator(_host_and_port), TypeName("host:port")]


class NearMissError(ValueError):
    """A wrong value, with the right one that the person most likely means: the command that is offered sets it.

    Args:
        message: what is wrong and what is allowed.
        instead: the value, without anything that may be secret.
    """

    def __init__(self, message: str, instead: str) -> None:
        super().__init__(message)
        self.instead = instead


def _endpoint(text: str) -> str:
    if split_address(re.sub(r"^https?://", "", text)) is None:
        raise ValueError("must be host:port, http://host:port or https://host:port")
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint), TypeName("endpoint")]


def _otlp_endpoint(text: str) -> str:
    matched = re.fullmatch(r"https?://([^/]+)(/[\w./~:@%+-]*)?", text, re.ASCII)
    if split_address(text) is None and (
        matched is None or (split_address(matched[1]) is None and not is_host(matched[1]))
    ):
        raise ValueError("must be host:port, or http://host[:port][/path] or https://host[:port][/path]")
    if re.search(r"/v1/traces/?$", text):
        message = "must be without /v1/traces, which the Collector adds"
        if "@" in text:
            raise ValueError(message)
        raise NearMissError(message, re.sub(r"/v1/traces/?$", "", text))
    return text


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """The host and the port of a valid endpoint, with a scheme or without; the scheme's port where it names none."""
    scheme, _, rest = endpoint.rpartition("://")
    authority = rest.split("/")[0]
    return split_address(authority) or (authority, 80 if scheme == "http" else 443)


OtlpEndpoint = Annotated[str, AfterValidator(_otlp_endpoint), TypeName("endpoint, or URL")]


def _certificates(text: str) -> str:
    if re.search("BEGIN [A-Z ]*PRIVATE KEY", text):
        raise ValueError("must be certificates alone, without a private key")
    # What stands between them is for people.
    unindented = re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", unindented, re.DOTALL)
    bundle = "".join(f"{block}\n" for block in blocks)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle)
    except (ssl.SSLError, TypeError, ValueError):
        raise ValueError("must be certificates in PEM, -----BEGIN CERTIFICATE----- and so on") from None
    return bundle


CertificateBundle = Annotated[str, AfterValidator(_certificates), TypeName("PEM certificates"), Hidden()]


ClientCertificate = Annotated[str, AfterValidator(_certificates), TypeName("PEM certificates"), Hidden()]
"""A certificate, followed by those of the authorities between it and one that the other side knows."""


def _proxy(text: str) -> str:
    if "@" in text:
        raise ValueError("must be http://host:port, without a login: that is `username` and `password`")
    if not text.startswith("http://") or split_address(text.removeprefix("http://")) is None:
        raise ValueError("must be http://host:port: gRPC knows no other kind of proxy, and no usual port")
    return text


Proxy = Annotated[str, AfterValidator(_proxy), TypeName("URL")]


def _not_proxied(text: str) -> str:
    # As Go reads an entry of NO_PROXY: a domain (`.corp.example` with what is below it alone), an address, a range.
    if is_host(text.removeprefix(".")) or split_address(text) is not None:
        return text
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            "must be a host, host:port, .domain, an IP address or a range of them, such as 10.0.0.0/8"
        ) from None
    return text


NotProxied = Annotated[str, AfterValidator(_not_proxied), TypeName("host, or range")]


def _origin(text: str) -> str:
    # Pages of applications have schemes of their own: `capacitor://localhost`.
    matched = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://([^/\s]+)", text)
    host = matched[1].replace("*", "any") if matched and text.count("*") <= 1 else ""
    if text != "*" and split_address(host) is None and not is_host(host):
        raise ValueError("must be `*`, or https://host[:port] with one `*` at most, without a path")
    # Browsers send it in lower case.
    return text.lower()


Origin = Annotated[str, AfterValidator(_origin), TypeName("origin")]
