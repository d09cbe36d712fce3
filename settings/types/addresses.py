"""Types of network addresses: hosts, endpoints, URLs, proxies and origins."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from settings.types.model import NearMissError, TypeName

HOST_NAME_LENGTH = 253
"""DNS: RFC 1035's 255 bytes, without the first length and the root."""

# Host names have no underscores, but names that resolvers know do. A dot at the end stops a resolver's search list.
_NAME_PART = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = rf"{_NAME_PART}(\.{_NAME_PART})*\.?"

_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        *("100.64.0.0/10", "198.18.0.0/15", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"),
    )
)
"""Addresses that no public host has: RFC 1918 and RFC 4193, then those of RFC 6890 for providers' own networks (clouds
give 100.64.0.0/10 to pods too), for tests, for a host itself and for its link.
"""


def is_address(text: str) -> bool:
    """Tells whether a text is an IP address without brackets.

    An address with a scope (`fe80::1%eth0`) is refused, because it means something on one machine alone.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_private(host: str) -> bool:
    """Tells whether a host is an address of a private network, or a name of a cluster or a local network.

    Kubernetes' names end in `.svc` without the cluster's domain, and in `.local` with the usual one, as names of local
    networks do (RFC 6762). `.internal` is for private use (ICANN's board, resolution 2024.07.29.06).
    """
    if not is_address(host):
        return host.rstrip(".").lower().endswith((".svc", ".local", ".internal"))
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _PRIVATE if network.version == address.version)


def is_host(text: str) -> bool:
    """Tells whether a text is a host name, or an IP address without brackets."""
    # Digits and dots alone are a mistyped address.
    is_name = re.fullmatch(HOST_NAME, text) is not None and re.fullmatch(r"[\d.]+", text) is None
    return (is_name and len(text) <= HOST_NAME_LENGTH) or is_address(text)


def is_service(host: str, domain: str = "cluster.local") -> bool:
    """Tells whether a host can only be a Service of the cluster, or a pod of one: `shop`, `shop.web.svc` and longer.

    Args:
        host: a name or an address, without brackets.
        domain: the cluster's domain. In others, `api.eu.svc.example.com` may be a public name.
    """
    name = host.rstrip(".").lower()
    return not is_address(host) and ("." not in name or name.endswith((".svc", f".svc.{domain}")))


def is_of_namespace(host: str) -> bool:
    """Tells whether a host looks like a Service of another namespace (`tempo.monitoring`), not like `shop.example`."""
    labels = host.rstrip(".").lower().split(".")
    # Most public top-level domains have few letters; documentation uses `example`.
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
    """Returns a valid host as it is written before a port: an IPv6 address gets brackets."""
    return f"[{host}]" if ":" in host else host


def _host(address: str) -> str:
    if not is_host(address):
        raise ValueError("must be an IP address, without brackets, or a host name")
    return address


Host = Annotated[str, AfterValidator(_host), TypeName("host")]


def split_address(text: str) -> tuple[str, int] | None:
    """Splits `host:port`, and takes the brackets off an IPv6 address; returns None if the text is not one."""
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


OTLP_PORT = 4317
"""The port of OTLP over gRPC, by its specification."""


def _without_port(text: str, expected: str) -> ValueError:
    """Returns the error of an endpoint, which offers OTLP's own port if nothing but a port is missing."""
    host = re.sub(r"^https?://", "", text)
    if not is_host(host):
        return ValueError(expected)
    scheme = text.removesuffix(host)
    return NearMissError(f"{expected}: the port is missing", f"{scheme}{bracketed(host)}:{OTLP_PORT}")


def _endpoint(text: str) -> str:
    if split_address(re.sub(r"^https?://", "", text)) is None:
        raise _without_port(text, "must be host:port, http://host:port or https://host:port")
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint), TypeName("endpoint")]


def _otlp_endpoint(text: str) -> str:
    matched = re.fullmatch(r"https?://([^/]+)(/[\w./~:@%+-]*)?", text, re.ASCII)
    if split_address(text) is None and (
        matched is None or (split_address(matched[1]) is None and not is_host(matched[1]))
    ):
        raise _without_port(text, "must be host:port, or http://host[:port][/path] or https://host[:port][/path]")
    if re.search(r"/v1/traces/?$", text):
        message = "must be without /v1/traces, which the Collector adds"
        if "@" in text:
            raise ValueError(message)
        raise NearMissError(message, re.sub(r"/v1/traces/?$", "", text))
    return text


OtlpEndpoint = Annotated[str, AfterValidator(_otlp_endpoint), TypeName("endpoint, or URL")]


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Returns the host and the port of a valid endpoint. Without a port it is the scheme's: 80 or 443."""
    scheme, _, rest = endpoint.rpartition("://")
    authority = rest.split("/")[0]
    return split_address(authority) or (authority, 80 if scheme == "http" else 443)


def _proxy(text: str) -> str:
    if "@" in text:
        raise ValueError("must be http://host:port, without a login: that is `username` and `password`")
    if not text.startswith("http://") or split_address(text.removeprefix("http://")) is None:
        raise ValueError("must be http://host:port: gRPC supports no other kind of proxy and has no default port")
    return text


Proxy = Annotated[str, AfterValidator(_proxy), TypeName("URL")]


def _not_proxied(text: str) -> str:
    # As Go reads an entry of NO_PROXY: an address, a range, or a domain (`.corp.example` means its subdomains alone).
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
    # Pages inside applications have schemes of their own, such as `capacitor://localhost`.
    matched = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://([^/\s]+)", text)
    host = matched[1].replace("*", "any") if matched and text.count("*") <= 1 else ""
    if text != "*" and split_address(host) is None and not is_host(host):
        raise ValueError("must be `*`, or https://host[:port] with one `*` at most, without a path")
    # Browsers send it in lower case.
    return text.lower()


Origin = Annotated[str, AfterValidator(_origin), TypeName("origin")]
