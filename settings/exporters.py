"""Exporters of the Collector: other receivers of its spans, and the proxy on the way to them."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from settings.headers import HeaderName, HeaderValue
from settings.license import ClientKey
from settings.sizes import FOREIGN_RECEIVER, MIB, RECEIVER
from settings.types import (
    Bytes,
    CertificateBundle,
    ClientCertificate,
    Host,
    Model,
    NotProxied,
    OtlpEndpoint,
    Password,
    Proxy,
    Text,
    amount,
    is_private,
    is_service,
    split_endpoint,
)
from settings.upstreams import HTTPS_PORTS, service_of


def _message(size: str) -> str:
    # The Collector counts in whole mebibytes. The upper bound is our choice: it takes no more than `RECEIVER` anyway.
    if not MIB <= amount(size) <= 1024 * MIB:
        raise ValueError("must be from 1Mi to 1Gi")
    return size


_CERTIFICATE_TEXT = "`clientCertificate` is the text of the file, and `clientKey` the text of its key"
_AUTHORITY_TEXT = "`caBundle` is the text of the file"
_IS_ALWAYS_CHECKED = (
    "anyone in between can read a connection whose certificate is not checked: name the authority with `caBundle`, "
    "and with `serverName` the host that the certificate is for"
)


class ExporterTls(Model):
    """TLS of a connection to a receiver."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("certfile", "cert", "certpem", "certificate", "keyfile", "key", "keypem"), _CERTIFICATE_TEXT),
        **dict.fromkeys(("cafile", "ca", "capem", "trustedcertificate", "cacert"), _AUTHORITY_TEXT),
        **dict.fromkeys(("insecureskipverify", "skipverify", "verify"), _IS_ALWAYS_CHECKED),
        "insecure": "`enabled: false` turns TLS off",
        "servernameoverride": "it is called `serverName`",
        "reloadinterval": "a new certificate replaces the pods, so the Collector reads no file again",
    }

    enabled: bool = Field(
        default=True, description="Use TLS. Receivers inside a cluster often speak plain text: `false`."
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that the Collector trusts for the receiver. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_certificate: ClientCertificate | None = Field(
        default=None,
        description="Certificate that the Collector shows the receiver, its own first, then the intermediate ones. "
        "Needs `clientKey`. A new one replaces the pods.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_key: ClientKey | None = Field(
        default=None, description="Private key of `clientCertificate`, without a passphrase; set it with --secret."
    )
    server_name: Host | None = Field(
        default=None,
        description="Host that the receiver's certificate is for. Unset: the endpoint's.",
        examples=["otlp.vendor.example"],
    )


_LOGIN_HEADER = "a login is a header: `headers.authorization`, such as `Basic …` in base64 or `Bearer …`"
_SAME_FOR_ALL = (
    "the program sets the same for all exporters, with `collector.queue`: it repeats until a receiver takes it"
)


class OtlpExporter(Model):
    """A receiver that gets all spans. Each has its own queue, so one that is away does not delay the others."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("auth", "basicauth", "bearertoken", "token", "apikey", "username", "password"), _LOGIN_HEADER),
        **dict.fromkeys(("sendingqueue", "queue", "retry", "retryonfailure", "timeout"), _SAME_FOR_ALL),
        "compression": "the Collector compresses what it sends to others, with gzip",
        "insecure": "`tls.enabled: false` turns TLS off",
    }

    endpoint: OtlpEndpoint = Field(
        description="host:port for gRPC; for HTTP the URL without /v1/traces.", examples=["otlp.vendor.example:4317"]
    )
    protocol: Literal["grpc", "http"] = Field(default="grpc", description="OTLP over gRPC or over HTTP.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict[str, SecretStr],
        description="Headers of each export; set them with --secret. Over gRPC, those that it sets itself are refused.",
    )
    tls: ExporterTls = Field(default_factory=ExporterTls, description="TLS of the connection.")
    max_message_size: Annotated[Bytes, AfterValidator(_message)] = Field(
        default=f"{FOREIGN_RECEIVER // MIB}Mi",
        description=f"Largest message that the receiver takes: {FOREIGN_RECEIVER // MIB}Mi by default over gRPC, and "
        f"with many vendors. The Collector takes no larger message itself, and at most {RECEIVER // MIB}Mi.",
    )

    @property
    def scheme(self) -> str:
        """The endpoint's `http://` or `https://`, or nothing."""
        matched = re.match("https?://", self.endpoint)
        return matched[0] if matched else ""

    @property
    def address(self) -> tuple[str, int]:
        """The receiver's host and port."""
        return split_endpoint(self.endpoint)

    @property
    def is_probably_plain(self) -> bool:
        """Whether TLS is on by default alone, and the receiver is in a cluster or a private network."""
        host, _ = self.address
        return (is_private(host) or is_service(host)) and self.has_tls_by_default

    @property
    def may_be_plain(self) -> bool:
        """Whether TLS is on by default alone, and the receiver may be a Service (`tempo.obs`) or public."""
        host, _ = self.address
        return service_of(host, "") is not None and self.has_tls_by_default and not self.is_probably_plain

    @property
    def has_tls_by_default(self) -> bool:
        """Whether nothing says that it has TLS or not: neither `tls`, nor a scheme, nor a port of HTTPS."""
        return not (self.tls.model_fields_set or self.scheme or self.address[1] in HTTPS_PORTS)


class ExporterProxy(Model):
    """HTTP proxy on the way to the exporters' receivers. Spans for the stack's own Tempo never pass it."""

    url: Proxy = Field(description="The proxy: http://host:port.", examples=["http://proxy.example:3128"])
    username: Text | None = Field(default=None, description="User of the proxy.", examples=["collector"])
    password: Password | None = Field(default=None, description="That user's password; set it with --secret.")
    exclude: list[NotProxied] = Field(
        default_factory=list[str],
        description="Receivers that the Collector reaches without the proxy: hosts with their subdomains, addresses, "
        "ranges. Services of the cluster with their full names (`<name>.<namespace>.svc`) always are.",
        examples=[["tempo.corp.example"]],
    )
