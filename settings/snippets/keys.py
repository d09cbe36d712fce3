"""Refuses directives in snippets for which the configuration has a key."""

from collections.abc import Iterator

from settings.errors import RuleViolation
from settings.nginx import Route
from settings.proxying_rules import OF_THE_MODULE, OF_THE_PROGRAM
from settings.snippets.model import Finding, Snippet, Snippets, flat
from settings.snippets.ours import UPSTREAM_MARK
from settings.stack import Settings

_KEYS = {"otel_exporter": "nginx.exporter", "otel_service_name": "nginx.serviceName"}
"""Directives that the program writes and NGINX takes once."""

_OF_SPANS = frozenset({"otel_trace", "otel_span_name", "otel_span_attr"})


def configured_by_keys(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses what a key sets, and directives about spans in routes that are not traced."""
    for snippet in written.snippets:
        yield from map(snippet.violation, _written_by_the_program(snippet))
        yield from map(snippet.violation, _attributes(snippet))
        yield from map(snippet.violation, _of_untraced(snippet))
        yield from map(snippet.violation, _said_twice(snippet, written.settings))


def _written_by_the_program(snippet: Snippet) -> Iterator[Finding]:
    for directive in snippet.directives:
        key = _KEYS.get(directive.name)
        if key and snippet.context == "h":
            yield Finding(directive, f"is what the program writes: set `{key}` instead")


def _said_twice(snippet: Snippet, settings: Settings) -> Iterator[Finding]:
    """Refuses directives that would leave a key without effect that says something else.

    A ratio is no condition, and a second name is one more name to NGINX.
    """
    for directive in snippet.directives:
        sampled = _sampled_by(snippet, settings)
        if directive.name == "otel_trace" and sampled:
            message = (
                f"takes the place of `{sampled}`, which is set: NGINX would not sample. Leave one of them: "
                "`traced: false` is for routes, and `split_clients` with a `map` samples by conditions"
            )
            yield Finding(directive, message)
        if snippet.route and (key := _route_key(directive.name, snippet.route)):
            yield Finding(directive, f"takes the place of `{key}`, which is set: leave one of them")
        if directive.name == "server_name" and snippet.context == "s" and settings.nginx.server_name:
            yield Finding(directive, "takes the place of `nginx.serverName`, which is set: name all hosts there")


def _route_key(name: str, route: Route) -> str | None:
    """Returns the key of a route that a directive would leave without effect; None if it is not set."""
    if name == "otel_span_name" and route.span_name is not None:
        return "spanName"
    return "traceContext" if name == "otel_trace_context" and route.trace_context is not None else None


def _sampled_by(snippet: Snippet, settings: Settings) -> str | None:
    """Returns the key that sets the sampling of a snippet's block; None if none is set."""
    if snippet.route:
        return "sampling" if snippet.route.sampling else None
    if settings.edition == "plus" and settings.plus.sampling_ratios:
        return "plus.samplingRatios"
    return "nginx.sampling" if settings.nginx.sampling.model_fields_set else None


def _attributes(snippet: Snippet) -> Iterator[Finding]:
    for directive in flat(snippet.directives):
        name = directive.arguments[0] if directive.arguments else ""
        if directive.name == "otel_span_attr" and name in OF_THE_MODULE:
            message = f"sets `{name}`, which the module sets itself, on every span: {OF_THE_MODULE[name]}"
            yield Finding(directive, message)
        if directive.name == "otel_span_attr" and name in OF_THE_PROGRAM:
            yield Finding(directive, f"sets `{name}`, which is the program's own: {OF_THE_PROGRAM[name]}")
        if directive.name == "proxy_set_header" and name.lower() == UPSTREAM_MARK.lower():
            message = f"sets `{name}`, by which NGINX notes when it turns to an upstream (`nginx.upstreamSpans`)"
            yield Finding(directive, message)
        if directive.name == "otel_resource_attr" and name == "service.name":
            yield Finding(directive, "sets `service.name`: set `nginx.serviceName` instead")


def _of_untraced(snippet: Snippet) -> Iterator[Finding]:
    for directive in snippet.directives:
        if snippet.route and not snippet.route.traced and directive.name in _OF_SPANS:
            yield Finding(directive, "is for requests that are traced, and `traced` is false")
