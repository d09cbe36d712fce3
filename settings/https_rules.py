"""Refuses plain text that NGINX would speak to ports of HTTPS, and HTTPS whose certificate it could not check."""

import json
import re
from collections.abc import Callable, Iterator

from settings.errors import ConfigError, Place, RuleViolation, path, remove_command, set_command, violation
from settings.exporter_rules import exporters
from settings.proxying_rules import placed_upstreams
from settings.stack import Settings
from settings.types import bracketed, is_address, is_service, split_endpoint
from settings.upstreams import HTTPS_PORTS
from settings.versions.nginx import has_module


def _plain_to_https(settings: Settings) -> Iterator[RuleViolation]:
    """Refuses plain HTTP by default alone, to a port on which servers speak HTTPS: each request would get an error."""
    for place, upstream in placed_upstreams(settings):
        of_tls = (upstream.ca_bundle, upstream.client_certificate, upstream.client_key)
        # Keys of TLS without `tls` are an error already.
        if not upstream.is_probably_https or any(of_tls):
            continue
        what = f"the port {upstream.port}, on which servers speak HTTPS, and NGINX speaks plain HTTP to it by default"
        # NGINX checks a certificate against a name.
        has_name = upstream.host is None or not is_address(upstream.host)
        if upstream.host is None or not upstream.is_text:
            # A command for the whole would drop the object's other keys.
            tls: Place = (*place, "tls")
            plain = f"If plain HTTP is right: {set_command(tls, value=False)}"
            message = f"must be set for {what}. "
            message += plain if has_name else "HTTPS needs a `host` that is the name in the certificate"
            yield violation(tls, message, set_to=has_name)
            continue
        address = f"{bracketed(upstream.host)}:{upstream.port}"
        choice, scheme = ("https:// or http://", "https") if has_name else ("http://", "http")
        message = f"has {what}: write {choice} before it"
        shown, at = json.dumps(address), set_command(place, f"{scheme}://{address}")
        yield RuleViolation(ConfigError(place, message, at, shown, (address,)))


def _plain_to_tls(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects plain text by default alone, to a port on which receivers speak TLS: no span would arrive."""
    endpoint = settings.nginx.exporter.endpoint
    if endpoint and "://" not in endpoint and split_endpoint(endpoint)[1] in HTTPS_PORTS:
        message = (
            f"has the port {split_endpoint(endpoint)[1]}, on which receivers speak TLS, and the module speaks plain "
            "text to it by default: write https:// or http:// before it"
        )
        yield violation("nginx.exporter.endpoint", message, set_to=f"https://{endpoint}", echoed=[endpoint])


def _without_authority(settings: Settings) -> Iterator[RuleViolation]:
    """Refuses Services in HTTPS whose certificate no authority of the image can have signed.

    Public authorities sign no names of clusters. An image of somebody's own may have another authority, and a snippet
    may say what NGINX checks.
    """
    nginx = settings.nginx
    if settings.edition != "oss" or not has_module(nginx.pulled_image):
        return
    domain = nginx.resolver.cluster_domain
    for place, upstream in placed_upstreams(settings):
        name = upstream.name(settings.namespace)
        snippets = (nginx.extra_config.http, nginx.extra_config.server, nginx.routes[int(place[2])].extra_config)
        is_checked = upstream.tls and upstream.ca_bundle is None and is_service(name, domain) and upstream.has_name
        if is_checked and not any(re.search(r"\b(proxy_ssl_\w+|include)\s", text) for text in snippets):
            bundle: Place = (*place, "caBundle")
            message = (
                f"is required: NGINX checks the certificate of `{name}`, and no authority of the official image signs "
                "names of a cluster. It is the certificate of the authority that does"
            )
            fix = set_command(bundle, from_file=True)
            if upstream.is_text:
                message += "; for it, `upstream` must be an object with `host`, `port` and `tls`"
                keys = {"host": name, "port": upstream.port, "tls": True}
                steps = [remove_command(place), *(set_command((*place, key), value) for key, value in keys.items())]
                fix = " && ".join([*steps, fix])
            yield violation(bundle, message, fix=fix, depends_on=[("nginx", "image"), place], echoed=[name])


def https_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of receivers in TLS whose certificate no authority of the official images can have signed.

    An image of somebody's own may have another authority.
    """
    own, domain = settings.nginx.exporter, settings.nginx.resolver.cluster_domain
    found: list[tuple[Place, str]] = []
    is_official = settings.edition == "oss" and has_module(settings.nginx.pulled_image)
    if own.endpoint and own.has_tls and own.ca_bundle is None and is_official:
        found.append((("nginx", "exporter", "caBundle"), split_endpoint(own.endpoint)[0]))
    for place, exporter in exporters(settings):
        tls = exporter.tls
        if tls.enabled and tls.ca_bundle is None and tls.server_name is None and settings.collector.image is None:
            found.append(((*place, "tls", "caBundle"), exporter.address[0]))
    for bundle, host in found:
        if is_service(host, domain):
            yield (
                f"{path(bundle)} is not set: the receiver's certificate is checked, and no authority of the official "
                f"image signs names of a cluster: {set_command(bundle, from_file=True)}"
            )


HTTPS_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _plain_to_https,
    _plain_to_tls,
    _without_authority,
)
