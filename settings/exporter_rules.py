"""Rules of what spans leave by: headers, client certificates, the proxy, and who may send over HTTP."""

import datetime
from collections.abc import Callable, Iterator, Mapping

from pydantic import SecretStr

from settings.errors import ConfigError, Place, RuleViolation, needs, path, remove_command, repeated, set_command
from settings.license import belong_together, certificate_end
from settings.stack import Settings
from settings.types import is_of_namespace, is_service, split_endpoint
from settings.upstreams import service_of

_EXPORTERS: Place = ("collector", "exporters")
_PROXY: Place = ("collector", "proxy")
_SOON = datetime.timedelta(days=30)


def header_places(settings: Settings) -> Iterator[tuple[Place, Mapping[str, SecretStr]]]:
    """Every group of headers, with its place."""
    yield ("nginx", "exporter", "headers"), settings.nginx.exporter.headers
    for name, exporter in settings.collector.exporters.items():
        yield (*_EXPORTERS, name, "headers"), exporter.headers


def exporter_secrets(settings: Settings) -> list[Place]:
    """The places of all secrets that exporters have, without headers that are to be removed for their spelling."""
    # A command that sets one of those as a secret would bring it back.
    doubled = {place for place, _ in _doubled_headers(settings)}
    headers: list[Place] = [(*place, header) for place, headers in header_places(settings) for header in headers]
    places = [place for place in headers if place not in doubled]
    places += [
        (*_EXPORTERS, name, "tls", "clientKey")
        for name, exporter in settings.collector.exporters.items()
        if exporter.tls.client_key
    ]
    proxy = settings.collector.proxy
    return [*places, *([(*_PROXY, "password")] if proxy and proxy.password else [])]


def _doubled_headers(settings: Settings) -> Iterator[tuple[Place, Place]]:
    """Headers that are there in another spelling as well, each with the place of the one that stays."""
    for place, headers in header_places(settings):
        # Capital letters sort before small ones, so the spelling that stays is the one in lower case, if there is one.
        # Versions before this one had offered to set the secret under that.
        spellings = sorted(headers, reverse=True)
        for number, kept in repeated(name.lower() for name in spellings):
            yield (*place, spellings[number]), (*place, spellings[kept])


def _header_spellings(settings: Settings) -> Iterator[RuleViolation]:
    for doubled, kept in _doubled_headers(settings):
        message = f"is {path(kept)} too: a header's name is the same in capital and small letters"
        yield RuleViolation(ConfigError(doubled, message, remove_command(doubled)))


def _client_certificates(settings: Settings) -> Iterator[RuleViolation]:
    for name, exporter in settings.collector.exporters.items():
        tls, place = exporter.tls, (*_EXPORTERS, name, "tls")
        certificate: Place = (*place, "clientCertificate")
        key: Place = (*place, "clientKey")
        if not tls.enabled:
            for field, is_set in (
                (certificate, tls.client_certificate),
                (key, tls.client_key),
                ((*place, "serverName"), tls.server_name),
            ):
                if is_set:
                    yield RuleViolation(
                        ConfigError(field, "is for a connection with TLS, which is off", remove_command(field))
                    )
            continue
        if tls.client_certificate and not tls.client_key:
            message = "is required beside `clientCertificate`"
            yield RuleViolation(ConfigError(key, message, set_command(key, "", secret=True)))
        if tls.client_key and not tls.client_certificate:
            message = "is required beside `clientKey`"
            yield RuleViolation(ConfigError(certificate, message, set_command(certificate, "", from_file=True)))
        if (
            tls.client_certificate
            and tls.client_key
            and not belong_together(tls.client_certificate, tls.client_key.get_secret_value())
        ):
            message = "is not the key of `clientCertificate`, of which the first certificate counts"
            yield RuleViolation(ConfigError(key, message, set_command(key, "", secret=True), "[secret]"))


def _proxy(settings: Settings) -> Iterator[RuleViolation]:
    proxy = settings.collector.proxy
    if proxy is None:
        return
    if not settings.collector.exporters:
        message = "is on the way to `collector.exporters`, and there is none: the stack's Tempo is in the cluster"
        yield RuleViolation(ConfigError(_PROXY, message, remove_command(_PROXY)), (_EXPORTERS,))
    username: Place = (*_PROXY, "username")
    password: Place = (*_PROXY, "password")
    if proxy.password and not proxy.username:
        yield RuleViolation(ConfigError(username, "is required beside `password`", set_command(username, "collector")))
    if proxy.username and not proxy.password:
        yield RuleViolation(
            ConfigError(password, "is required beside `username`", set_command(password, "", secret=True))
        )


def _destinations(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    if collector.exporters and not collector.enabled:
        message = "are for the stack's Collector, and `collector.enabled` is false: nothing would send to them"
        yield RuleViolation(ConfigError(_EXPORTERS, message, remove_command(_EXPORTERS)), (("collector", "enabled"),))
        return
    own = {
        "otel-collector": "is the stack's own Collector: each span would go round for ever",
        "tempo-otlp": "is the stack's own Tempo, which gets every span without it",
    }
    for name, exporter in collector.exporters.items():
        service, namespace = service_of(split_endpoint(exporter.endpoint)[0], settings.namespace) or ("", "")
        is_there = settings.tempo.enabled or service != "tempo-otlp"
        if service in own and namespace == settings.namespace and is_there:
            place: Place = (*_EXPORTERS, name)
            shown = f'"{exporter.endpoint}"'
            yield RuleViolation(
                ConfigError((*place, "endpoint"), own[service], remove_command(place), shown), (("namespace",),)
            )


def _cors(settings: Settings) -> Iterator[RuleViolation]:
    receivers = settings.collector.receivers
    if receivers.cors and not receivers.http:
        place: Place = ("collector", "receivers", "cors")
        yield needs(place, "is for OTLP over HTTP, which is off", ("collector", "receivers", "http"), "true")


def _server_names(settings: Settings) -> Iterator[RuleViolation]:
    names = settings.nginx.server_name
    for number, first in repeated(name.lower() for name in names):
        place: Place = ("nginx", "serverName", number)
        message = f"is {path(('nginx', 'serverName', first))} too: a host name is the same in capital and small letters"
        yield RuleViolation(ConfigError(place, message, remove_command(place), f'"{names[number]}"'))


def exporter_warnings(settings: Settings) -> Iterator[str]:
    """What is accepted and probably not meant."""
    for name, exporter in settings.collector.exporters.items():
        place = path((*_EXPORTERS, name))
        host, port = split_endpoint(exporter.endpoint)
        maybe_service = is_service(host) or (is_of_namespace(host) and port != 443)
        secured = exporter.tls.model_fields_set
        if maybe_service and exporter.tls.enabled and not secured and not exporter.endpoint.startswith("https://"):
            tls = (*_EXPORTERS, name, "tls", "enabled")
            yield (
                f"{place} is sent to {host} with TLS, which is the default, and receivers inside a cluster usually "
                f"speak plain text: then nothing arrives. Plain text: {set_command(tls, 'false')}. If it does have "
                f"TLS: {set_command(tls, 'true')}"
            )
        if settings.collector.proxy and is_of_namespace(host) and host not in settings.collector.proxy.exclude:
            yield (
                f"{place} is sent to {host} through the proxy. If that is a Service of the cluster, write its full "
                f"name: {set_command((*_EXPORTERS, name, 'endpoint'), f'{host}.svc:{port}')}"
            )
        if exporter.tls.client_certificate:
            end = certificate_end(exporter.tls.client_certificate)
            today = datetime.datetime.now(datetime.UTC).date()
            if end < today:
                yield f"{place}.tls.clientCertificate expired on {end}: receivers refuse it"
            elif end < today + _SOON:
                yield f"{place}.tls.clientCertificate expires on {end}: receivers refuse it then"


EXPORTER_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _header_spellings,
    _client_certificates,
    _proxy,
    _destinations,
    _cors,
    _server_names,
)
