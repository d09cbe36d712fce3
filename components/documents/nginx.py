"""nginx.conf with tracing, from templates.

Values are quoted by nginx.conf's own rules, so that no text can leave its place.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import cast

import jinja2

from components.documents.nginx_merge import merged
from settings.limits import LARGEST_BATCH
from settings.nginx import WORKERS, Exporter, NginxSettings, Route, Sampling
from settings.nginx_contexts import context_of, said
from settings.nginx_syntax import quoted
from settings.plus import PlusSettings
from settings.types import bracketed
from settings.upstreams import Resolver, Upstream, full_name

HTTP_PORT = 8080
HEALTH_PORT = 8081

FOLDER = "/etc/nginx"
EXPORTER_FILE = "exporter.conf"
"""The exporter's block, where it holds secrets."""

CA_FILE = "exporter-ca.pem"
"""The authorities of the exporter's endpoint, where they are given."""

LICENSE_FOLDER = "/etc/nginx/license"
LICENSE_FILE = "license.jwt"
STATE_FOLDER = "/var/lib/nginx/state"
"""NGINX Plus' own folder, which must be writable."""

UPSTREAMS_FOLDER = "/etc/nginx/upstreams"
UPSTREAMS_FILE = "upstreams.conf"
"""The upstreams with names: a template in the config object, in `UPSTREAMS_FOLDER` what the pod makes of it."""

RESOLVE_FILE = "resolve.sh"
"""What makes it."""

REPORT_CA_FILE = "usage-report-ca.pem"
API_PORT = 8082
"""NGINX Plus' API; on the pod's loopback address, where `kubectl port-forward` gets."""


IMAGE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class _Upstream:
    """An `upstream` block, and what a route says of it."""

    name: str
    address: str
    host: str
    followed: str | None
    """The address with the whole name, where NGINX follows it."""


@dataclass(frozen=True)
class _Log:
    """A format of the access log."""

    name: str
    rule: str | None = None
    """The variable, or word, that tells whether a request is traced, where the request's header does not."""

    @property
    def is_word(self) -> bool:
        """Whether the rule is a word, or one variable, as the program's own are."""
        return re.fullmatch(r"\$?\w+", self.rule or "", re.ASCII) is not None

    @property
    def variable(self) -> str | None:
        """The variable with what the log says."""
        return f"$makes_span_{self.name.removeprefix('traced_')}" if self.rule else None


def nginx_conf(settings: NginxSettings, *, exporter: str, namespace: str, plus: PlusSettings | None = None) -> str:
    """The whole nginx.conf; without secrets, which are in `exporter_conf` and included.

    Args:
        settings: what can be configured.
        exporter: the OTLP/gRPC receiver that spans are sent to.
        namespace: the namespace of Services that name none.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.
    """
    fixed = [route.sampling for route in settings.routes if route.sampling]
    switchable = plus.sampling_ratios if plus else []
    if not switchable:
        fixed.append(settings.sampling)
    ratios = {settings.sampling.ratio, *(sampling.ratio for sampling in fixed), *switchable}
    inline = _upstreams_text(settings, namespace, in_pod=False)
    of_server = _server_rule(settings, is_switchable=bool(switchable))

    def log_of(route: Route | None) -> _Log:
        return _log(settings, route, of_server)

    logs = {log_of(route): None for route in (None, *settings.routes)}
    proxies = settings.trusted_proxies
    document = _templates.get_template("nginx.conf.j2").render(
        settings=settings,
        namespace=namespace,
        folder=FOLDER,
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
        switchable_ratios=switchable,
        server_rule=of_server,
        split_ratios=sorted(ratio for ratio in ratios if 0 < ratio < 1),
        parent_ratios=sorted({sampling.ratio for sampling in fixed if sampling.parent_based}),
        inline_upstreams=inline,
        upstreams_file=f"{UPSTREAMS_FOLDER}/{UPSTREAMS_FILE}" if upstreams_conf(settings, namespace) else None,
        proxies=any(route.upstream for route in settings.routes),
        proxy_protocol=proxies is not None and proxies.protocol == "proxyProtocol",
        believed=_OWN_WORDS if proxies and proxies.protocol == "xForwardedFor" else {},
        logs=list(logs),
        server_log=log_of(None),
        log_of=log_of,
    )
    return merged(document, settings)


_OWN_WORDS = {"for": "$realip_remote_addr", "proto": "$scheme", "host": "$host_and_port", "port": "$client_port"}
"""What upstreams get in X-Forwarded-… where no trusted proxy has said something else."""


def upstreams_conf(settings: NginxSettings, namespace: str) -> str:
    """The upstreams whose nameservers each pod knows: a template for `resolve.sh`. Empty where there are none.

    Args:
        settings: what can be configured.
        namespace: the namespace of Services that name none.
    """
    text = _upstreams_text(settings, namespace, in_pod=True)
    return f"{text}\n" if text else ""


def resolve_script() -> str:
    """The program that makes NGINX' file of the template."""
    return (Path(__file__).parent / RESOLVE_FILE).read_text()


def upstream_files(settings: NginxSettings) -> dict[str, str]:
    """The certificates for upstreams, by their files' names."""
    files: dict[str, str] = {}
    for upstream in _tls_upstreams(settings):
        if upstream.ca_bundle:
            files[_file_of(upstream.ca_bundle, "ca.pem")] = upstream.ca_bundle
        if upstream.client_certificate:
            files[_file_of(upstream.client_certificate, "crt")] = upstream.client_certificate
    return files


def upstream_keys(settings: NginxSettings) -> dict[str, str]:
    """The private keys for upstreams, by their files' names: secrets."""
    return {
        _file_of(upstream.client_certificate, "key"): upstream.client_key.get_secret_value()
        for upstream in _tls_upstreams(settings)
        if upstream.client_certificate and upstream.client_key
    }


def _tls_upstreams(settings: NginxSettings) -> list[Upstream]:
    return [route.upstream for route in settings.routes if route.upstream and route.upstream.tls]


def _file_of(certificate: str, kind: str) -> str:
    """A file's name, by what is in it: another route does not rename it. A key has that of its certificate."""
    return f"upstream-{hashlib.sha256(certificate.encode()).hexdigest()[:12]}.{kind}"


def exporter_conf(exporter: Exporter, *, endpoint: str) -> str:
    """The block of the exporter, with its secret headers in plain text."""
    template = _templates.get_template("exporter.conf.j2")
    certificate = f"{FOLDER}/{CA_FILE}" if exporter.ca_bundle else None
    # `load()` has filled in what is not set.
    batch_size = exporter.batch_size or LARGEST_BATCH
    return template.render(exporter=exporter, batch_size=batch_size, endpoint=endpoint, trusted_certificate=certificate)


def _authorities(upstream: Upstream) -> str:
    return f"{FOLDER}/{_file_of(upstream.ca_bundle, 'ca.pem')}" if upstream.ca_bundle else IMAGE_AUTHORITIES


def _upstreams_text(settings: NginxSettings, namespace: str, *, in_pod: bool) -> str:
    """The `upstream` blocks of those that each pod, or not, has a part in."""
    resolver = settings.resolver
    blocks = {
        _named(route.upstream, namespace, resolver): None
        for route in settings.routes
        if route.upstream and settings.resolves_in_pod(route.upstream) == in_pod
    }
    return (
        _templates.get_template("upstreams.conf.j2")
        .render(upstreams=list(blocks), keepalive=settings.upstream_keepalive, nameservers=_nameservers(resolver))
        .rstrip("\n")
    )


def _nameservers(resolver: Resolver) -> str:
    if not resolver.addresses:
        return "NAMESERVERS"
    # An address of a family that the pods have not would be tried, and fail; they have that of their nameservers.
    families = {":" in address for address in resolver.addresses}
    closed = {frozenset({True}): " ipv4=off", frozenset({False}): " ipv6=off"}.get(frozenset(families), "")
    return " ".join(map(bracketed, resolver.addresses)) + closed


def _named(upstream: Upstream, namespace: str, resolver: Resolver) -> _Upstream:
    """The `upstream` block of an address. Named by it, so that a new route does not rename those of others."""
    # In lower case, as NGINX compares the names of upstreams.
    host = upstream.name(namespace).lower()
    # Lower-case hexadecimal for what a name cannot have keeps different addresses apart.
    name = re.sub(r"[^a-z0-9.-]", lambda character: f"_{ord(character[0]):x}", f"{host}:{upstream.port}")
    followed = None
    if resolver.follow and upstream.has_name:
        domain = resolver.cluster_domain if resolver.addresses else "CLUSTER_DOMAIN"
        followed = f"{full_name(host, namespace, domain)}:{upstream.port}"
    return _Upstream(f"to_{name}", f"{bracketed(host)}:{upstream.port}", bracketed(host.rstrip(".")), followed)


def _server_rule(settings: NginxSettings, *, is_switchable: bool) -> str:
    """What decides whether a request is traced where its route does not."""
    if not is_switchable:
        return _trace_value(settings.sampling)
    return "$traced_by_parent_or_at_run_time" if settings.sampling.parent_based else "$traced_at_run_time"


def _log(settings: NginxSettings, route: Route | None, of_server: str) -> _Log:
    """The format of the log in a route, or outside of any."""
    if context_of(settings, route) in {"inject", "propagate"} or (route is not None and not route.traced):
        return _Log("traced")
    own = said(route.extra_config, name="otel_trace") if route else None
    key = _trace_value(route.sampling) if route and route.sampling else None
    outer = (settings.extra_config.server, settings.extra_config.http)
    rule = own or key or said(*outer, name="otel_trace") or of_server
    name = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}", rule.removeprefix("$").removeprefix("traced_"))
    return _Log(f"traced_{name}", rule)


def _variable(kind: str, ratio: Decimal) -> str:
    return f"${kind}_{_plain(ratio).replace('.', '_')}"


def _plain(number: Decimal) -> str:
    """A number without an exponent or closing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _percent(ratio: Decimal) -> str:
    return f"{_plain(ratio * 100)}%"


def _ratio_value(ratio: Decimal) -> str:
    return {Decimal(0): "off", Decimal(1): "on"}.get(ratio) or _variable("traced_at", ratio)


def _trace_value(sampling: Sampling) -> str:
    if sampling.parent_based:
        return _variable("traced_by_parent_or_at", sampling.ratio)
    return _ratio_value(sampling.ratio)


def _combined(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    return {**first, **second}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - nginx.conf, not HTML: the `quoted` filter escapes
    )
    filters: dict[str, Callable[..., object]] = {
        "quoted": quoted,
        "combined": _combined,
        "percent": _percent,
        "plain": _plain,
        "ratio_variable": partial(_variable, "traced_at"),
        "parent_variable": partial(_variable, "traced_by_parent_or_at"),
        "ratio_value": _ratio_value,
        "trace_value": _trace_value,
        "named": _named,
        "authorities": _authorities,
        "file_of": _file_of,
    }
    # Its type lists the built-in filters.
    cast("dict[str, object]", environment.filters).update(filters)
    return environment


_templates = _environment()
