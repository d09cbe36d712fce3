"""Rules of the Collector's exporters: their endpoints, headers, TLS and proxy; and where their secrets are."""

import datetime
from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from settings.errors import Place, RuleViolation, path, remove_command, repeated, set_command, violation
from settings.exporters import ExporterTls, OtlpExporter
from settings.headers import SET_BY_GRPC
from settings.license import SOON, belong_together, certificate_end
from settings.receivers import OTLP_HTTP_PORT
from settings.stack import Settings
from settings.types import OTLP_PORT, is_of_namespace, split_address, split_endpoint
from settings.upstreams import service_of

_EXPORTERS: Place = ("collector", "exporters")
_PROXY: Place = ("collector", "proxy")


def exporters(settings: Settings) -> Iterator[tuple[Place, OtlpExporter]]:
    """Yields every exporter of the Collector, with its place."""
    for name, exporter in settings.collector.exporters.items():
        yield (*_EXPORTERS, name), exporter


def header_places(settings: Settings) -> Iterator[tuple[Place, Mapping[str, SecretStr]]]:
    """Yields every group of headers, with its place."""
    yield ("nginx", "exporter", "headers"), settings.nginx.exporter.headers
    for place, exporter in exporters(settings):
        yield (*place, "headers"), exporter.headers


def exporter_secrets(settings: Settings) -> list[Place]:
    """Returns the places of all secrets of exporters, without the headers that another rule tells to remove."""
    # A command that sets one of those as a secret would bring it back.
    removed = {place for place, _ in _doubled_headers(settings)} | {place for place, _ in _headers_of_grpc(settings)}
    headers: list[Place] = [(*place, header) for place, headers in header_places(settings) for header in headers]
    places = [place for place in headers if place not in removed]
    places += [(*place, "tls", "clientKey") for place, exporter in exporters(settings) if exporter.tls.client_key]
    proxy = settings.collector.proxy
    return [*places, *([(*_PROXY, "password")] if proxy and proxy.password else [])]


def _doubled_headers(settings: Settings) -> Iterator[tuple[Place, Place]]:
    """Yields headers that exist in another spelling as well, each with the place of the one that stays."""
    for place, headers in header_places(settings):
        # Capital letters sort before small ones, so the spelling in lower case stays if there is one. Earlier versions
        # offered to set the secret under that.
        spellings = sorted(headers, reverse=True)
        for number, kept in repeated(name.lower() for name in spellings):
            yield (*place, spellings[number]), (*place, spellings[kept])


def _header_spellings(settings: Settings) -> Iterator[RuleViolation]:
    for doubled, kept in _doubled_headers(settings):
        yield violation(doubled, f"is {path(kept)} too: capital and small letters make no difference in a header")


def _headers_of_grpc(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Yields headers that an export over gRPC cannot have, each with the reason."""
    over_http = {(*place, "headers") for place, exporter in exporters(settings) if exporter.protocol == "http"}
    for place, headers in header_places(settings):
        for header in headers:
            if header.lower() in SET_BY_GRPC and place not in over_http:
                yield (*place, header), SET_BY_GRPC[header.lower()]


def _header_names(settings: Settings) -> Iterator[RuleViolation]:
    for place, reason in _headers_of_grpc(settings):
        yield violation(place, f"must not be a header of an export over gRPC: {reason}")


def _endpoints(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects endpoints that the protocol cannot use."""
    for place, exporter in exporters(settings):
        endpoint, protocol = (*place, "endpoint"), (*place, "protocol")
        if exporter.protocol == "http" and not exporter.scheme:
            example = f"{'https' if exporter.tls.enabled else 'http'}://otlp.vendor.example:4318"
            yield violation(endpoint, "must be a URL for OTLP over HTTP", set_to=example)
        if exporter.protocol == "grpc" and split_address(exporter.endpoint.removeprefix(exporter.scheme)) is None:
            message = "must be host:port for OTLP over gRPC, which has no path and no default port"
            yield violation(endpoint, message, fix=set_command(protocol, "http"), depends_on=[protocol])


def _own_names(settings: Settings) -> Iterator[RuleViolation]:
    if "tempo" in settings.collector.exporters:
        message = "must have another name: the probe and the alerts know the stack's own Tempo by `tempo`"
        yield violation((*_EXPORTERS, "tempo"), message)


def _need_the_collector(settings: Settings) -> Iterator[RuleViolation]:
    if settings.collector.exporters and not settings.collector.enabled:
        message = "are for the stack's Collector, and `collector.enabled` is false: nothing would send to them"
        yield violation(_EXPORTERS, message, depends_on=["collector.enabled"])


def _own_services(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects exporters that lead to the stack itself."""
    if not settings.collector.enabled:
        return
    own = {"otel-collector": "is the stack's own Collector: each span would loop for ever"}
    if settings.collector.has_tiers:
        own["otel-collector-decider"] = "is the stack's own second tier of Collectors: each span would loop for ever"
    if settings.tempo.enabled:
        own["tempo-otlp"] = "is the stack's own Tempo, which gets every span without it"
    for place, exporter in exporters(settings):
        service, namespace = service_of(exporter.address[0], settings.namespace) or ("", "")
        if service in own and namespace == settings.namespace:
            fix = remove_command(place)
            yield violation((*place, "endpoint"), own[service], fix=fix, depends_on=["namespace"])


def _schemes(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a scheme and a `tls.enabled` that contradict each other."""
    for place, exporter in exporters(settings):
        enabled = (*place, "tls", "enabled")
        if exporter.scheme == "http://" and exporter.tls.enabled:
            message = "must be false for an endpoint with http://"
            if exporter.headers or exporter.tls.model_fields_set:
                # A command would send in plain text what TLS may have been there for.
                yield violation(enabled, f"{message}; or write https:// there", fix="")
            else:
                yield violation(enabled, message, set_to=False)
        if exporter.scheme == "https://" and not exporter.tls.enabled:
            yield violation(enabled, "must be true for an endpoint with https://", set_to=True)


def _tls(settings: Settings) -> Iterator[RuleViolation]:
    for place, exporter in exporters(settings):
        tls = exporter.tls
        if tls.enabled:
            yield from _client_certificate((*place, "tls"), tls)
            continue
        of_tls = {
            "caBundle": tls.ca_bundle,
            "clientCertificate": tls.client_certificate,
            "clientKey": tls.client_key,
            "serverName": tls.server_name,
        }
        for name in (name for name, value in of_tls.items() if value):
            yield violation((*place, "tls", name), "is for a connection with TLS, which is off")


def _tls_by_default(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects TLS that is on by default alone, to where receivers usually have none: no span would arrive.

    It is what people report most of exporters: "first record does not look like a TLS handshake"
    (open-telemetry/opentelemetry-helm-charts#87).
    """
    for place, exporter in exporters(settings):
        if exporter.is_probably_plain:
            tls = (*place, "tls", "enabled")
            # Headers are often logins, which the offered command must not send in plain text.
            has_tls = bool(exporter.headers)
            other = "If it speaks plain text, which anyone in between can read" if has_tls else "If it has TLS"
            message = (
                "is in a cluster or a private network, where receivers usually speak plain text, and exporters use TLS "
                f"by default: say which. {other}: {set_command(tls, value=not has_tls)}"
            )
            yield violation((*place, "endpoint"), message, fix=set_command(tls, value=has_tls), depends_on=[tls])


def _client_certificate(place: Place, tls: ExporterTls) -> Iterator[RuleViolation]:
    """Rejects a certificate without its key, a key without its certificate, and a pair that does not match."""
    certificate, key = (*place, "clientCertificate"), (*place, "clientKey")
    new_key = set_command(key, secret=True)
    if tls.client_certificate and not tls.client_key:
        yield violation(key, "is required beside `clientCertificate`", fix=new_key)
    if tls.client_key and not tls.client_certificate:
        yield violation(certificate, "is required beside `clientKey`", fix=set_command(certificate, from_file=True))
    if (
        tls.client_certificate
        and tls.client_key
        and not belong_together(tls.client_certificate, tls.client_key.get_secret_value())
    ):
        yield violation(key, "must be the key of the first certificate in `clientCertificate`", fix=new_key)


def _proxy(settings: Settings) -> Iterator[RuleViolation]:
    proxy = settings.collector.proxy
    if proxy is None:
        return
    if not settings.collector.exporters:
        message = "is on the way to `collector.exporters`, and there is none: the stack's Tempo is in the cluster"
        yield violation(_PROXY, message, depends_on=[_EXPORTERS])
    username, password = (*_PROXY, "username"), (*_PROXY, "password")
    if proxy.password and not proxy.username:
        yield violation(username, "is required beside `password`", set_to="collector")
    if proxy.username and not proxy.password:
        yield violation(password, "is required beside `username`", fix=set_command(password, secret=True))


def exporter_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of exporters that are accepted and probably not meant."""
    yield from _other_protocol(settings)
    for place, exporter in exporters(settings):
        yield from _short_name(settings, place, exporter)
        if exporter.may_be_plain:
            yield (
                f"{path((*place, 'endpoint'))} gets TLS by default, and may be a Service of the cluster, which usually "
                f"speaks plain text. Say which with `{path((*place, 'tls', 'enabled'))}`, true or false"
            )
        if exporter.tls.client_certificate:
            yield from _ends_soon(place, certificate_end(exporter.tls.client_certificate))


_OTHERS_PORTS = {
    3200: "Tempo's API",
    9411: "Zipkin's own protocol",
    14250: "Jaeger's own protocol",
    14268: "Jaeger's own protocol",
}
"""Ports of receivers that speak no OTLP there, by their documentation."""


def _other_protocol(settings: Settings) -> Iterator[str]:
    """Yields warnings of ports that OTLP's specification gives to the other protocol."""
    sent = [((*place, "endpoint"), exporter.protocol, exporter.address[1]) for place, exporter in exporters(settings)]
    if endpoint := settings.nginx.exporter.endpoint:
        sent.append((("nginx", "exporter", "endpoint"), "grpc", split_endpoint(endpoint)[1]))
    for place, protocol, port in sent:
        if port in _OTHERS_PORTS:
            yield f"{path(place)} gets OTLP at the port {port}, which is that of {_OTHERS_PORTS[port]}"
        if port == {"grpc": OTLP_HTTP_PORT, "http": OTLP_PORT}[protocol]:
            ours, theirs = ("gRPC", "HTTP") if protocol == "grpc" else ("HTTP", "gRPC")
            yield f"{path(place)} gets OTLP over {ours} at the port {port}, which is OTLP's own for {theirs}"


def _short_name(settings: Settings, place: Place, exporter: OtlpExporter) -> Iterator[str]:
    host, port = exporter.address
    proxy = settings.collector.proxy
    if proxy and is_of_namespace(host) and host not in proxy.exclude:
        yield (
            f"{path(place)} sends to {host} through the proxy. If that is a Service of the cluster, write its full "
            f"name: {set_command((*place, 'endpoint'), f'{host}.svc:{port}')}"
        )


def _ends_soon(place: Place, end: datetime.date) -> Iterator[str]:
    today = datetime.datetime.now(datetime.UTC).date()
    certificate = f"{path(place)}.tls.clientCertificate"
    if end < today:
        yield f"{certificate} expired on {end}: receivers refuse it"
    elif end < today + SOON:
        yield f"{certificate} expires on {end}: receivers refuse it then"


EXPORTER_RULES = (
    _header_spellings,
    _header_names,
    _endpoints,
    _own_names,
    _need_the_collector,
    _own_services,
    _schemes,
    _tls_by_default,
    _tls,
    _proxy,
)
