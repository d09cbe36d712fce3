"""Renders the `upstream` blocks of nginx.conf, and names what routes and pods need of them."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from components.documents.templates import render
from settings.nginx import NginxSettings
from settings.plus import PlusSettings
from settings.snippets.ours import UPSTREAM_PREFIX
from settings.types import bracketed
from settings.upstreams import Resolver, Upstream, full_name, service_of

FOLDER = "/etc/nginx"
UPSTREAMS_FOLDER = "/etc/nginx/upstreams"
UPSTREAMS_FILE = "upstreams.conf"
"""The upstreams with names: the config object holds the template, `UPSTREAMS_FOLDER` what the pod makes of it."""

RESOLVE_FILE = "resolve.sh"
"""The script that makes it."""

IMAGE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

_LONGEST_NAME = 43
"""The longest name of an `upstream` block without `UPSTREAM_PREFIX`, so that a `map` can have it as a key.

A bucket of a map's hash has 64 bytes by default, and holds a pointer, the key with two bytes and a pointer at its end
(`NGX_HASH_ELT_SIZE`): a key of 46.
"""


@dataclass(frozen=True)
class UpstreamBlock:
    """An `upstream` block, and what a route writes about it."""

    name: str
    address: str
    host: str
    followed: str | None
    """The address with the whole name, if NGINX follows it."""


@dataclass(frozen=True)
class UpstreamTls:
    """The files of a connection to an upstream in HTTPS."""

    authorities: str
    certificate: str | None
    key: str | None


def upstreams_conf(settings: NginxSettings, namespace: str, plus: PlusSettings | None = None) -> str:
    """Renders the upstreams that each pod completes with its nameservers: a template for `resolve.sh`.

    Args:
        settings: what can be configured.
        namespace: the namespace of Services that name none.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.

    Returns:
        The template; empty if there are no such upstreams.
    """
    text = upstreams_text(settings, namespace, plus, in_pod=True)
    return f"{text}\n" if text else ""


def resolve_script() -> str:
    """Returns the script that makes NGINX' file of the template."""
    return (Path(__file__).parent / RESOLVE_FILE).read_text()


def upstream_files(settings: NginxSettings) -> dict[str, str]:
    """Returns the certificates for upstreams, by their files' names."""
    files: dict[str, str] = {}
    for upstream in _tls_upstreams(settings):
        if upstream.ca_bundle:
            files[_file_of(upstream.ca_bundle, "ca.pem")] = upstream.ca_bundle
        if upstream.client_certificate:
            files[_file_of(upstream.client_certificate, "crt")] = upstream.client_certificate
    return files


def upstream_keys(settings: NginxSettings) -> dict[str, str]:
    """Returns the private keys for upstreams, by their files' names: secrets."""
    return {
        _file_of(upstream.client_certificate, "key"): upstream.client_key.get_secret_value()
        for upstream in _tls_upstreams(settings)
        if upstream.client_certificate and upstream.client_key
    }


def _tls_upstreams(settings: NginxSettings) -> list[Upstream]:
    return [route.upstream for route in settings.routes if route.upstream and route.upstream.tls]


def upstream_tls(upstream: Upstream) -> UpstreamTls:
    """Returns the files of a connection to an upstream in HTTPS."""
    certificate = upstream.client_certificate
    return UpstreamTls(
        authorities=f"{FOLDER}/{_file_of(upstream.ca_bundle, 'ca.pem')}" if upstream.ca_bundle else IMAGE_AUTHORITIES,
        certificate=f"{FOLDER}/{_file_of(certificate, 'crt')}" if certificate else None,
        key=f"{FOLDER}/{_file_of(certificate, 'key')}" if certificate else None,
    )


def _file_of(certificate: str, kind: str) -> str:
    """Returns a file's name, made from its content: another route does not rename it.

    A private key is named by its certificate.
    """
    return f"upstream-{hashlib.sha256(certificate.encode()).hexdigest()[:12]}.{kind}"


def upstreams_text(settings: NginxSettings, namespace: str, plus: PlusSettings | None, *, in_pod: bool) -> str:
    """Renders the `upstream` blocks that each pod completes, or those that it does not."""
    resolver = settings.resolver
    blocks = {
        upstream_block(route.upstream, namespace, resolver): None
        for route in settings.all_routes
        if route.upstream and settings.resolves_in_pod(route.upstream) == in_pod
    }
    return render(
        "upstreams.conf.j2",
        upstreams=list(blocks),
        keepalive=settings.upstream_keepalive,
        nameservers=_nameservers(resolver),
        # NGINX Plus keeps 1 KiB more of each address from R37 on: F5's release notes of PLS.37.0.4.1.
        zone="768k" if plus else "256k",
    ).rstrip("\n")


def _nameservers(resolver: Resolver) -> str:
    if not resolver.addresses:
        return "NAMESERVERS"
    # NGINX would try addresses of a family that the pods lack, and fail. The pods have that of their nameservers.
    families = {":" in address for address in resolver.addresses}
    closed = {frozenset({True}): " ipv4=off", frozenset({False}): " ipv6=off"}.get(frozenset(families), "")
    return " ".join(map(bracketed, resolver.addresses)) + closed


def upstream_block(upstream: Upstream, namespace: str, resolver: Resolver) -> UpstreamBlock:
    """Returns the `upstream` block of an address, named by it, so that a new route does not rename those of others."""
    # In lower case, as NGINX compares the names of upstreams.
    host = upstream.name(namespace).lower()
    # Lower-case hexadecimal for what a name cannot have keeps different addresses apart.
    name = re.sub(r"[^a-z0-9.-]", lambda character: f"_{ord(character[0]):x}", f"{host}:{upstream.port}")
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 17]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    followed = None
    if resolver.follow and upstream.has_name:
        domain = resolver.cluster_domain if resolver.addresses else "CLUSTER_DOMAIN"
        followed = f"{full_name(host, namespace, domain)}:{upstream.port}"
    return UpstreamBlock(
        name=f"{UPSTREAM_PREFIX}{name}",
        address=f"{bracketed(host)}:{upstream.port}",
        host=bracketed(host.rstrip(".")),
        followed=followed,
    )


def told(upstream: Upstream, namespace: str) -> str:
    """Returns the upstream's part of `UPSTREAM_TOLD`: its host, port and Service."""
    name = upstream.name(namespace).rstrip(".").lower()
    service = service_of(name, namespace)
    return f"{name}|{upstream.port}|{service[0] if service else name}"
