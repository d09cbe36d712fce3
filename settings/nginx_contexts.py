"""What holds of tracing in a route, by its keys and by what snippets say: as the document merges them."""

from settings.nginx import NginxSettings, Route
from settings.nginx_tree import parse


def said(*snippets: str, name: str) -> str | None:
    """What the first of the snippets that has a directive says by it."""
    return next((each.arguments[0] for text in snippets for each in parse(text) if each.name == name), None)


def context_of(nginx: NginxSettings, route: Route | None) -> str:
    """What is done with `traceparent` in a route that is traced, or outside of any.

    A route's snippet goes before its key, and that before the snippets around it.
    """
    own = (said(route.extra_config, name="otel_trace_context") or route.trace_context) if route else None
    outer = (nginx.extra_config.server, nginx.extra_config.http)
    return own or said(*outer, name="otel_trace_context") or nginx.trace_context
