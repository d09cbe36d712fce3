"""Renders nginx.conf with tracing, and the files that it includes.

Values are quoted by nginx.conf's own rules, so that no text can leave its place.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from components.documents.nginx_merge import merged
from components.documents.nginx_sampling import SamplingPlan, plan_sampling
from components.documents.nginx_weights import WeightPlan, plan_weights
from components.documents.templates import render
from settings.limits import LARGEST_BATCH
from settings.nginx import WORKERS, Exporter, NginxSettings, Route
from settings.plus import PlusSettings
from settings.snippets.ours import (
    API_PORT,
    HEALTH_PORT,
    HTTP_PORT,
    LOG_BUFFER,
    LOG_FILE,
    METHOD_VARIABLE,
    RATIO_VARIABLE,
    UPSTREAM_ATTRIBUTE,
    UPSTREAM_MARK,
    UPSTREAM_PREFIX,
    UPSTREAM_TOLD,
)
from settings.types import bracketed
from settings.upstreams import Resolver, Upstream, full_name, service_of

FOLDER = "/etc/nginx"
EXPORTER_FILE = "exporter.conf"
"""The exporter's block, if it holds secrets."""

CA_FILE = "exporter-ca.pem"
"""The authorities of the exporter's endpoint, if they are configured."""

LICENSE_FOLDER = "/etc/nginx/license"
LICENSE_FILE = "license.jwt"
STATE_FOLDER = "/var/lib/nginx/state"
"""NGINX Plus' own folder, which must be writable."""

UPSTREAMS_FOLDER = "/etc/nginx/upstreams"
UPSTREAMS_FILE = "upstreams.conf"
"""The upstreams with names: the config object holds the template, `UPSTREAMS_FOLDER` what the pod makes of it."""

RESOLVE_FILE = "resolve.sh"
"""The script that makes it."""

REPORT_CA_FILE = "usage-report-ca.pem"
IMAGE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

_OWN_WORDS = {"for": "$realip_remote_addr", "proto": "$scheme", "host": "$host_and_port", "port": "$client_port"}
"""The values of X-Forwarded-… that upstreams get if no trusted proxy has sent another one."""


@dataclass(frozen=True)
class _Upstream:
    """An `upstream` block, and what a route writes about it."""

    name: str
    address: str
    host: str
    followed: str | None
    """The address with the whole name, if NGINX follows it."""


@dataclass(frozen=True)
class _Tls:
    """The files of a connection to an upstream in HTTPS."""

    authorities: str
    certificate: str | None
    key: str | None


@dataclass(frozen=True)
class _Location:
    """A route, with what the template prints besides its own values."""

    route: Route
    trace: str | None
    """The value of `otel_trace`; none for that of the server."""

    log: str | None
    """The format of its access log; none for that of the server."""

    span_attributes: dict[str, str]
    """All of them; empty for those of the server."""

    upstream: _Upstream | None
    tls: _Tls | None


_LONGEST_NAME = 43
"""The longest name of an `upstream` block without `UPSTREAM_PREFIX`, so that a `map` can have it as a key.

A bucket of a map's hash has 64 bytes by default, and holds a pointer, the key with two bytes and a pointer at its end
(`NGX_HASH_ELT_SIZE`): a key of 46.
"""

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""Those of RFC 9110 and RFC 5789, as OpenTelemetry's conventions have them."""


def nginx_conf(
    settings: NginxSettings,
    *,
    exporter: str,
    namespace: str,
    plus: PlusSettings | None = None,
    kept: Decimal = Decimal(1),
) -> str:
    """Renders the whole nginx.conf; it has no secrets, which are in `exporter_conf` and included.

    Args:
        settings: what can be configured.
        exporter: the OTLP/gRPC receiver that spans are sent to.
        namespace: the namespace of Services that name none.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.
        kept: the share of its spans that the Collector sends on.
    """
    sampling = plan_sampling(settings, plus)
    weights = plan_weights(settings, plus, kept)
    proxies = settings.trusted_proxies
    named = settings.upstream_spans or any(METHOD_VARIABLE in (route.span_name or "") for route in settings.all_routes)
    document = render(
        "nginx.conf.j2",
        settings=settings,
        workers=WORKERS,
        http_port=HTTP_PORT,
        health_port=HEALTH_PORT,
        exporter="" if settings.exporter.headers else exporter_conf(settings.exporter, endpoint=exporter).strip(),
        exporter_file=f"{FOLDER}/{EXPORTER_FILE}" if settings.exporter.headers else None,
        plus=plus,
        license_file=f"{LICENSE_FOLDER}/{LICENSE_FILE}",
        state_folder=STATE_FOLDER,
        report_ca_file=f"{FOLDER}/{REPORT_CA_FILE}",
        api_port=API_PORT,
        sampling=sampling,
        weights=weights,
        span_attributes=_of_server(settings, weights.server),
        ratio_variable=RATIO_VARIABLE,
        log_file=LOG_FILE,
        log_buffer=" ".join(f"{name}={value}" for name, value in LOG_BUFFER.items()),
        inline_upstreams=_upstreams_text(settings, namespace, plus, in_pod=False),
        upstreams_file=f"{UPSTREAMS_FOLDER}/{UPSTREAMS_FILE}" if upstreams_conf(settings, namespace, plus) else None,
        proxies=any(route.upstream for route in settings.all_routes),
        proxy_protocol=proxies is not None and proxies.protocol == "proxyProtocol",
        believed=_OWN_WORDS if proxies and proxies.protocol == "xForwardedFor" else {},
        methods=_METHODS if named else (),
        method_variable=METHOD_VARIABLE,
        upstream_told=UPSTREAM_TOLD,
        upstream_mark=UPSTREAM_MARK,
        upstream_names={
            _named(upstream, namespace, settings.resolver).name: _told(upstream, namespace)
            for upstream in settings.upstreams
        },
        locations=_locations(settings, namespace, sampling, weights),
    )
    return merged(document, settings)


def _locations(settings: NginxSettings, namespace: str, sampling: SamplingPlan, weights: WeightPlan) -> list[_Location]:
    server_log = sampling.server_log.name
    return [
        _Location(
            route=route,
            trace=trace,
            log=log.name if settings.access_log and log.name != server_log else None,
            span_attributes=_span_attributes(settings, route, weights.server, own),
            upstream=_named(route.upstream, namespace, settings.resolver) if route.upstream else None,
            tls=_tls(route.upstream) if route.upstream and route.upstream.tls else None,
        )
        for route, trace, log, own in zip(
            settings.all_routes, sampling.routes, sampling.route_logs, weights.routes, strict=True
        )
    ]


def _of_server(settings: NginxSettings, weights: Mapping[str, str]) -> dict[str, str]:
    """Returns the attributes of all spans besides the module's."""
    told = {UPSTREAM_ATTRIBUTE: "$upstream_told"} if settings.upstream_spans else {}
    return {**weights, **settings.span_attributes, **told}


def _span_attributes(
    settings: NginxSettings, route: Route, of_server: Mapping[str, str], own: Mapping[str, str] | None
) -> dict[str, str]:
    """Returns all attributes of a route's spans; nothing if they are those of the server."""
    if not route.span_attributes and own is None:
        return {}
    return _of_server(settings, of_server if own is None else own) | route.span_attributes


def _told(upstream: Upstream, namespace: str) -> str:
    """Returns the upstream's part of `UPSTREAM_TOLD`: its host, port and Service."""
    name = upstream.name(namespace).rstrip(".").lower()
    service = service_of(name, namespace)
    return f"{name}|{upstream.port}|{service[0] if service else name}"


def exporter_conf(exporter: Exporter, *, endpoint: str) -> str:
    """Renders the exporter's block, with its secret headers in plain text."""
    return render(
        "exporter.conf.j2",
        exporter=exporter,
        # `load()` has filled in what is not set.
        batch_size=exporter.batch_size or LARGEST_BATCH,
        endpoint=endpoint,
        trusted_certificate=f"{FOLDER}/{CA_FILE}" if exporter.ca_bundle else None,
    )


def upstreams_conf(settings: NginxSettings, namespace: str, plus: PlusSettings | None = None) -> str:
    """Renders the upstreams that each pod completes with its nameservers: a template for `resolve.sh`.

    Args:
        settings: what can be configured.
        namespace: the namespace of Services that name none.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.

    Returns:
        The template; empty if there are no such upstreams.
    """
    text = _upstreams_text(settings, namespace, plus, in_pod=True)
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


def _tls(upstream: Upstream) -> _Tls:
    certificate = upstream.client_certificate
    return _Tls(
        authorities=f"{FOLDER}/{_file_of(upstream.ca_bundle, 'ca.pem')}" if upstream.ca_bundle else IMAGE_AUTHORITIES,
        certificate=f"{FOLDER}/{_file_of(certificate, 'crt')}" if certificate else None,
        key=f"{FOLDER}/{_file_of(certificate, 'key')}" if certificate else None,
    )


def _file_of(certificate: str, kind: str) -> str:
    """Returns a file's name, made from its content: another route does not rename it.

    A private key is named by its certificate.
    """
    return f"upstream-{hashlib.sha256(certificate.encode()).hexdigest()[:12]}.{kind}"


def _upstreams_text(settings: NginxSettings, namespace: str, plus: PlusSettings | None, *, in_pod: bool) -> str:
    """Renders the `upstream` blocks that each pod completes, or those that it does not."""
    resolver = settings.resolver
    blocks = {
        _named(route.upstream, namespace, resolver): None
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


def _named(upstream: Upstream, namespace: str, resolver: Resolver) -> _Upstream:
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
    return _Upstream(
        name=f"{UPSTREAM_PREFIX}{name}",
        address=f"{bracketed(host)}:{upstream.port}",
        host=bracketed(host.rstrip(".")),
        followed=followed,
    )
