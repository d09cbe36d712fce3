"""Fills in the keys whose defaults depend on other keys."""

from settings.collector import CollectorSettings
from settings.limits import batch_size
from settings.nginx import NginxSettings
from settings.nginx_contexts import said
from settings.routes import Route
from settings.snippets.ours import METHOD_VARIABLE
from settings.stack import Settings
from settings.upstream_spans import are_made


def completed(settings: Settings) -> Settings:
    """Returns the settings with each such key set."""
    nginx, collector = settings.nginx, settings.collector
    exporter = nginx.exporter.model_copy(update={"batch_size": batch_size(settings)})
    changed: dict[str, object] = {"exporter": exporter, "upstream_spans": are_made(settings)}
    return settings.model_copy(update={"nginx": with_names(nginx.model_copy(update=changed), collector)})


def with_names(nginx: NginxSettings, collector: CollectorSettings) -> NginxSettings:
    """Returns an NGINX, the stack's or the demo's, whose spans have the names that the conventions want."""
    if not collector.enabled or collector.semantic_conventions != "stable":
        return nginx
    made = nginx.model_copy(update={"routes": [_named(route, nginx) for route in nginx.routes]})
    made.lead_to(*(_named(route, nginx) for route in nginx.all_routes[len(nginx.routes) :]))
    return made


def _named(route: Route, nginx: NginxSettings) -> Route:
    """Returns a route whose spans have a name as the stable conventions want it, unless a person named them."""
    is_named = route.span_name is not None or said(nginx.extra_config.server, nginx.extra_config.http, name=_NAME)
    # In a name NGINX looks for variables, and there is no way to write a `$`.
    if is_named or "$" in route.path:
        return route
    return route.model_copy(update={"span_name": f"{METHOD_VARIABLE} {route.path}"})


_NAME = "otel_span_name"
