"""nginx.conf with tracing, from templates.

Values are quoted by nginx.conf's own rules, so that no text can leave its place.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import cast

import jinja2

from components.documents.nginx_merge import merged
from settings.nginx import WORKERS, Exporter, NginxSettings, Sampling, Upstream
from settings.nginx_text import quoted
from settings.plus import PlusSettings
from settings.values import bracketed

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

REPORT_CA_FILE = "usage-report-ca.pem"
API_PORT = 8082
"""NGINX Plus' API; on the pod's loopback address, where `kubectl port-forward` gets."""


@dataclass(frozen=True)
class _Upstream:
    name: str
    address: str
    host: str


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
    upstreams = {_named(route.upstream, namespace): None for route in settings.routes if route.upstream}
    document = _templates.get_template("nginx.conf.j2").render(
        settings=settings,
        namespace=namespace,
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
        split_ratios=sorted(ratio for ratio in ratios if 0 < ratio < 1),
        parent_ratios=sorted({sampling.ratio for sampling in fixed if sampling.parent_based}),
        upstreams=list(upstreams),
    )
    return merged(document, settings)


def exporter_conf(exporter: Exporter, *, endpoint: str) -> str:
    """The block of the exporter, with its secret headers in plain text."""
    template = _templates.get_template("exporter.conf.j2")
    certificate = f"{FOLDER}/{CA_FILE}" if exporter.ca_bundle else None
    return template.render(exporter=exporter, endpoint=endpoint, trusted_certificate=certificate)


def _named(upstream: Upstream, namespace: str) -> _Upstream:
    """The `upstream` block of an address. Named by it, so that a new route does not rename those of others."""
    # In lower case, as NGINX compares the names of upstreams.
    host = (upstream.host or f"{upstream.service}.{upstream.namespace or namespace}.svc").lower()
    # Lower-case hexadecimal for what a name cannot have keeps different addresses apart.
    name = re.sub(r"[^a-z0-9.-]", lambda character: f"_{ord(character[0]):x}", f"{host}:{upstream.port}")
    return _Upstream(f"to_{name}", f"{bracketed(host)}:{upstream.port}", bracketed(host.rstrip(".")))


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
    }
    # Its type lists the built-in filters.
    cast("dict[str, object]", environment.filters).update(filters)
    return environment


_templates = _environment()
