"""Rules of NGINX: its image, its exporter, its host names and its attributes."""

from collections.abc import Iterator

from settings.errors import Place, RuleViolation, needs, path, repeated, violation
from settings.stack import Settings
from settings.versions import SETS
from settings.versions.nginx import has_module, module_of
from settings.versions.sets import DEFAULT

_IMAGE: Place = ("nginx", "image")
_WITH_ALL = SETS[DEFAULT].nginx_image
"""An image whose module has every feature."""

_ENDPOINT: Place = ("nginx", "exporter", "endpoint")


def _module(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects an image without the module, and keys that the module of the image does not support.

    With NGINX Plus, the image is that of the demo's services alone.
    """
    is_plus = settings.edition == "plus"
    if is_plus and not settings.demo.enabled:
        return
    if has_module(settings.nginx.pulled_image) is False:
        message = "has no OpenTelemetry module: take the official image with the tag <version>-otel, 1.25.3 or later"
        yield violation(_IMAGE, message, set_to=_WITH_ALL)
        return
    if is_plus:
        return
    module, exporter = module_of(settings.nginx.pulled_image), settings.nginx.exporter
    if module is None:
        return
    unsupported = "which the OpenTelemetry module of `nginx.image` does not support"
    if exporter.headers and not module.headers:
        yield needs("nginx.exporter.headers", f"needs `header`, {unsupported}", _IMAGE, _WITH_ALL)
    if settings.nginx.resource_attributes and not module.resource_attributes:
        yield needs("nginx.resourceAttributes", f"needs `otel_resource_attr`, {unsupported}", _IMAGE, _WITH_ALL)
    if exporter.has_tls and not module.tls:
        yield needs(_ENDPOINT, f"needs TLS, {unsupported}", _IMAGE, _WITH_ALL)


def _endpoint_is_set(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys that are for `nginx.exporter.endpoint` if it is not set."""
    exporter = settings.nginx.exporter
    if exporter.endpoint is not None:
        return
    message = "is for `nginx.exporter.endpoint`, which is not set: the stack's own Collector ignores it"
    for name, is_set in (("headers", exporter.headers), ("caBundle", exporter.ca_bundle)):
        if is_set:
            yield needs(f"nginx.exporter.{name}", message, _ENDPOINT, "https://collector.example:4317")


def _one_receiver(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects spans that have no receiver, or that pass the stack's Collector by."""
    endpoint, collector = settings.nginx.exporter.endpoint, "collector.enabled"
    if endpoint is None and not settings.collector.enabled:
        message = "must be true, or `nginx.exporter.endpoint` set: spans have no receiver"
        yield violation(collector, message, set_to=True, depends_on=[_ENDPOINT])
    if endpoint is not None and settings.collector.enabled:
        message = "sends the spans past the stack's Collector, which would get none: turn the Collector off"
        yield needs(_ENDPOINT, message, collector, value=False)


def _authorities_need_tls(settings: Settings) -> Iterator[RuleViolation]:
    exporter = settings.nginx.exporter
    if exporter.endpoint and exporter.ca_bundle and not exporter.has_tls:
        message = "is for an endpoint with TLS: https://host:port"
        yield violation("nginx.exporter.caBundle", message, depends_on=[_ENDPOINT])


def _autoscaling(settings: Settings) -> Iterator[RuleViolation]:
    nginx = settings.nginx
    if nginx.autoscaling and nginx.autoscaling.max_replicas < nginx.replicas:
        message = f"must not be below `nginx.replicas`, which is {nginx.replicas}"
        yield violation("nginx.autoscaling.maxReplicas", message, set_to=nginx.replicas, depends_on=["nginx.replicas"])


def _service_name(settings: Settings) -> Iterator[RuleViolation]:
    if "service.name" in settings.nginx.resource_attributes:
        place: Place = ("nginx", "resourceAttributes", "service.name")
        yield violation(place, "is set by `nginx.serviceName`, which overrides it: set that key")


def _server_names(settings: Settings) -> Iterator[RuleViolation]:
    for number, first in repeated(name.lower() for name in settings.nginx.server_name):
        other = path(("nginx", "serverName", first))
        message = f"is {other} too: capital and small letters make no difference in a host name"
        yield violation(("nginx", "serverName", number), message)


NGINX_RULES = (
    _module,
    _endpoint_is_set,
    _one_receiver,
    _authorities_need_tls,
    _autoscaling,
    _service_name,
    _server_names,
)
