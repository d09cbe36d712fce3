"""Decides how a route is traced, from its keys and from snippets, in the order in which the document merges them."""

from settings.nginx import NginxSettings, Route
from settings.nginx_tree import parse


def said(*snippets: str, name: str) -> str | None:
    """Returns the first argument of a directive in the first of the snippets that has it."""
    return next((each.arguments[0] for text in snippets for each in parse(text) if each.name == name), None)


def context_of(nginx: NginxSettings, route: Route | None) -> str:
    """Returns what is done with `traceparent` in a route that is traced, or outside of any.

    A route's snippet goes before its key, and that before the snippets around it.
    """
    own = (said(route.extra_config, name="otel_trace_context") or route.trace_context) if route else None
    outer = (nginx.extra_config.server, nginx.extra_config.http)
    return own or said(*outer, name="otel_trace_context") or nginx.trace_context


def header_shows_trace(nginx: NginxSettings, route: Route | None) -> bool:
    """Tells whether a request's `traceparent` header shows if it is traced, in a route or outside of any.

    The module writes the header with `inject` and `propagate`. In a route that is not traced it never matches.
    """
    return context_of(nginx, route) in {"inject", "propagate"} or (route is not None and not route.traced)
