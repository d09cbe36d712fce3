"""Defines upstreams: their addresses and Services, how NGINX follows their names, and the proxies before NGINX."""

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from settings.license import ClientKey
from settings.types import (
    CertificateBundle,
    ClientCertificate,
    Duration,
    Host,
    LabelName,
    Model,
    NearMissError,
    Port,
    TypeName,
    bracketed,
    is_address,
    is_host,
    matching,
    seconds,
    split_address,
)

CLUSTER_DOMAIN = "cluster.local"
"""Kubernetes' own default."""

HTTPS_PORTS = frozenset({443, 6443, 8443})
"""Ports of HTTPS: IANA's `https` and `pcsync-https`, and that of Kubernetes' API server."""

# Last labels of names that are not namespaces: the first top-level domains, and names that RFC 2606 reserves.
_DOMAINS = frozenset({"com", "net", "org", "edu", "gov", "mil", "int", "info", "io", "example", "test", "invalid"})

_UPSTREAM = "must be host:port, https://host:port, or an object with `service` and `port`"


def _address_of_url(text: str) -> tuple[str, int] | None:
    """Returns the host and port of `http://host[:port][/]` or `https://…`; none if they are invalid.

    Raises:
        ValueError: it has a path.
    """
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    if path:
        base = path.rstrip("/") if re.fullmatch(r"[\w./-]+", path) else "base"
        message = (
            f"must have no path: requests keep their own. `rewrite ^/(.*)$ /{base}/$1 break;` in the route's "
            f"`extraConfig` puts /{base} before it"
        )
        if "@" in authority:
            raise ValueError(message)
        raise NearMissError(message, f"{scheme}://{authority}")
    usual = 443 if scheme == "https" else 80
    host = authority.removeprefix("[").removesuffix("]") if authority.startswith("[") else authority
    return split_address(authority) or ((host, usual) if is_host(host) else None)


class Upstream(Model):
    """Where NGINX sends a route's requests: `host:port`, or a Service of the cluster."""

    written_as_text: ClassVar[bool] = True

    host: Host | None = Field(default=None, description="A host name or an IP address.", examples=["192.0.2.20"])
    service: LabelName | None = Field(default=None, description="A Service of the cluster.", examples=["shop"])
    namespace: LabelName | None = Field(
        default=None, description="The Service's namespace. Unset: the stack's.", examples=["web"]
    )
    port: Port = Field(description="The upstream's port.", examples=[8080])
    tls: bool = Field(default=False, description="Whether NGINX speaks HTTPS to it and checks its certificate.")
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Authorities that sign its certificate. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_certificate: ClientCertificate | None = Field(
        default=None,
        description="Certificate that NGINX shows it, followed by those of intermediate authorities.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_key: ClientKey | None = Field(
        default=None, description="Private key of `clientCertificate`; set it with --secret."
    )

    _is_text: bool = PrivateAttr(default=False)

    @property
    def is_text(self) -> bool:
        """Tells whether it is written as a text, to which no command can add a key."""
        return self._is_text

    @model_validator(mode="wrap")
    @classmethod
    def _remember_text(cls, value: Any, handler: ModelWrapValidatorHandler["Upstream"]) -> "Upstream":
        upstream = handler(value)
        upstream._is_text = isinstance(value, str)
        return upstream

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError(
                "must be one: for several take a Service, or an `upstream` block in `nginx.extraConfig.http`"
            )
        if not isinstance(value, str):
            return value
        split = _address_of_url(value) if re.match(r"https?://", value) else split_address(value)
        if split is None and is_host(value):
            message = f"{_UPSTREAM}: the port is missing. That of http://host is 80, and of https://host 443"
            raise NearMissError(message, f"http://{bracketed(value)}")
        if split is None and re.match(r"grpcs?://", value):
            raise ValueError(f"{_UPSTREAM}: gRPC has no key; write `grpc_pass` in the route's `extraConfig`")
        if split is None:
            raise ValueError(_UPSTREAM)
        scheme = re.match(r"https?://", value)
        return {"host": split[0], "port": split[1]} | ({"tls": scheme[0] == "https://"} if scheme else {})

    @model_validator(mode="after")
    def _one_of_two(self) -> "Upstream":
        if (self.host is None) == (self.service is None):
            raise ValueError(_UPSTREAM)
        if self.host is not None and self.namespace is not None:
            raise ValueError("must not have a `namespace` without a `service`")
        return self

    def name(self, namespace: str) -> str:
        """Returns its host as it is written in the configuration, a Service without the cluster's domain.

        Args:
            namespace: the namespace of Services that name none.
        """
        return self.host or f"{self.service}.{self.namespace or namespace}.svc"

    def address(self, namespace: str) -> tuple[str, int]:
        """Returns its host, as `name` does, and its port."""
        return self.name(namespace), self.port

    @property
    def has_name(self) -> bool:
        """Tells whether its addresses come from DNS."""
        # `localhost` is in the pod's own hosts file.
        return self.host is None or not (is_address(self.host) or self.host.lower() == "localhost")

    @property
    def is_probably_https(self) -> bool:
        """Tells whether its port is one of HTTPS, and neither a scheme nor `tls` says what NGINX speaks."""
        return self.port in HTTPS_PORTS and "tls" not in self.model_fields_set

    @property
    def is_ambiguous(self) -> bool:
        """Tells whether it may be a Service with its namespace (`shop.web`) as well as a public name (`shop.dev`)."""
        labels = (self.host or "").lower().split(".")
        return self.has_name and len(labels) == 2 and "" not in labels and labels[1] not in _DOMAINS


def service_of(host: str, namespace: str) -> tuple[str, str] | None:
    """Returns the name and namespace of the Service that a host may be; none if it cannot be one.

    Args:
        host: a name or an address, without brackets.
        namespace: the namespace of Services that name none.
    """
    labels = host.lower().split(".")
    if is_address(host) or labels == ["localhost"]:
        return None
    if len(labels) == 1:
        return labels[0], namespace
    # `api.eu.svc.example.com` is a public name; clusters' own domains seldom end so.
    is_service = labels[2:3] == ["svc"] or (len(labels) == 2 and "" not in labels)
    return (labels[0], labels[1]) if is_service and labels[-1] not in _DOMAINS else None


def full_name(host: str, namespace: str, domain: str) -> str:
    """Returns a complete name, as NGINX' resolver does not try the pod's search domains.

    Args:
        host: the name of a Service without the cluster's domain, or a complete name.
        namespace: the namespace of a Service that names none.
        domain: the cluster's domain.
    """
    labels = host.lower().split(".")
    if len(labels) == 1:
        return f"{labels[0]}.{namespace}.svc.{domain}"
    return f"{host.lower()}.{domain}" if labels[-1] == "svc" else host.lower().rstrip(".")


def _idle(duration: str) -> str:
    if seconds(duration) > 3600:
        raise ValueError("must be at most 1h")
    return duration


class UpstreamKeepalive(Model):
    """Connections to upstreams that NGINX keeps open between requests."""

    connections: Annotated[int, Field(ge=1, le=4096, strict=True)] = Field(
        default=32, description="Idle connections that each of two workers keeps to an upstream."
    )
    idle: Annotated[Duration, AfterValidator(_idle)] = Field(
        default="1s",
        description="Time after which NGINX closes an idle connection. It must be shorter than the upstream's own: a "
        "POST on a connection that the upstream is closing fails, since NGINX may not send it twice. Gunicorn closes "
        "after 2s, Node.js, Apache and Uvicorn after 5s.",
    )


def _address(text: str) -> str:
    if not is_address(text):
        raise ValueError("must be an IP address, without brackets")
    return text


Address = Annotated[str, AfterValidator(_address), TypeName("address")]
ClusterDomain = Annotated[
    str, matching(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a domain, such as cluster.local"), TypeName("host")
]


class Resolver(Model):
    """How NGINX looks up the names of upstreams."""

    follow: bool = Field(
        default=True,
        description="Whether NGINX looks names up again while it runs, so that it follows hosts that move, and pods "
        "behind a headless Service, within seconds. Needs NGINX 1.27.3. `false`: only once, when it starts.",
    )
    addresses: list[Address] = Field(
        default_factory=list[str],
        description="Nameservers. Unset: each pod uses those of its /etc/resolv.conf; the image needs /bin/sh to read "
        "it.",
        examples=[["10.96.0.10"]],
    )
    cluster_domain: ClusterDomain = Field(
        default=CLUSTER_DOMAIN,
        description="The cluster's domain, in which Services have their names; for `addresses`. Without `addresses`, "
        "each pod reads it from its /etc/resolv.conf.",
        examples=[CLUSTER_DOMAIN],
    )

    @property
    def follows_pods_file(self) -> bool:
        """Tells whether each pod reads its nameservers when it starts."""
        return self.follow and not self.addresses


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            "must be an IP address or a network, such as 10.0.0.0/8, without bits after the mask"
        ) from None
    if network.prefixlen == 0:
        raise ValueError("must not be every address: any client could then claim to be any other")
    return text


Network = Annotated[str, AfterValidator(_network), TypeName("network")]


class TrustedProxies(Model):
    """The load balancers or proxies before NGINX whose word about their clients it trusts."""

    addresses: list[Network] = Field(
        min_length=1,
        description="Their addresses or networks, as NGINX sees them. Behind a NodePort these may be the nodes'.",
        examples=[["10.0.0.0/8"]],
    )
    protocol: Literal["xForwardedFor", "proxyProtocol"] = Field(
        default="xForwardedFor",
        description="How the proxies pass on the client's address. `xForwardedFor`: in that header, and their "
        "X-Forwarded-Proto, -Port and -Host are kept as well. `proxyProtocol`: by the PROXY protocol, with which every "
        "connection must then begin.",
    )
