"""Renders nginx.conf with tracing, and the files that it includes.

Values are quoted by nginx.conf's own rules, so that no text can leave its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from components.documents.nginx_merge import merged
from components.documents.nginx_sampling import SamplingPlan, plan_sampling
from components.documents.nginx_upstreams import (
    FOLDER,
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    UpstreamBlock,
    UpstreamTls,
    told,
    upstream_block,
    upstream_tls,
    upstreams_conf,
    upstreams_text,
)
from components.documents.nginx_weights import WeightPlan, plan_weights
from components.documents.templates import render
from settings.limits import LARGEST_BATCH
from settings.nginx import WORKERS, Exporter, NginxSettings, Route
from settings.plus import PlusSettings
from settings.snippets.ours import (
    API_PORT,
    HEALTH_PORT,
    HTTP_PORT,
    KNOWN_METHODS,
    LOG_BUFFER,
    LOG_FILE,
    METHOD_VARIABLE,
    RATIO_VARIABLE,
    UPSTREAM_ATTRIBUTE,
    UPSTREAM_MARK,
    UPSTREAM_TOLD,
)

EXPORTER_FILE = "exporter.conf"
"""The exporter's block, if it holds secrets."""

CA_FILE = "exporter-ca.pem"
"""The authorities of the exporter's endpoint, if they are configured."""

LICENSE_FOLDER = "/etc/nginx/license"
LICENSE_FILE = "license.jwt"
STATE_FOLDER = "/var/lib/nginx/state"
"""NGINX Plus' own folder, which must be writable."""

REPORT_CA_FILE = "usage-report-ca.pem"
_OWN_WORDS = {"for": "$realip_remote_addr", "proto": "$scheme", "host": "$host_and_port", "port": "$client_port"}
"""The values of X-Forwarded-… that upstreams get if no trusted proxy has sent another one."""


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

    upstream: UpstreamBlock | None
    tls: UpstreamTls | None


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
        inline_upstreams=upstreams_text(settings, namespace, plus, in_pod=False),
        upstreams_file=f"{UPSTREAMS_FOLDER}/{UPSTREAMS_FILE}" if upstreams_conf(settings, namespace, plus) else None,
        proxies=any(route.upstream for route in settings.all_routes),
        proxy_protocol=proxies is not None and proxies.protocol == "proxyProtocol",
        believed=_OWN_WORDS if proxies and proxies.protocol == "xForwardedFor" else {},
        methods=KNOWN_METHODS if named else (),
        method_variable=METHOD_VARIABLE,
        upstream_told=UPSTREAM_TOLD,
        upstream_mark=UPSTREAM_MARK,
        upstream_names={
            upstream_block(upstream, namespace, settings.resolver).name: told(upstream, namespace)
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
            upstream=upstream_block(route.upstream, namespace, settings.resolver) if route.upstream else None,
            tls=upstream_tls(route.upstream) if route.upstream and route.upstream.tls else None,
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
