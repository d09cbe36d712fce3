"""Rules of NGINX's routes: what answers each, and the variables that its texts name."""

import re
from collections.abc import Iterator

from settings.errors import Place, RuleViolation, path, remove_command, repeated, set_command, violation
from settings.nginx_syntax import unknown_variable
from settings.routes import Return, Route
from settings.stack import Settings
from settings.types import is_address

_ROUTES: Place = ("nginx", "routes")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECT_WORDS = "301, 302, 303, 307 or 308"
_EXAMPLE = "https://shop.example/"


def _routes(settings: Settings) -> Iterator[tuple[Place, Route]]:
    for number, route in enumerate(settings.nginx.routes):
        yield (*_ROUTES, number), route


def _paths(settings: Settings) -> Iterator[RuleViolation]:
    for number, first in repeated((route.path, route.match) for route in settings.nginx.routes):
        message = f"is the path of {path((*_ROUTES, first))} too: a path has one route"
        yield violation((*_ROUTES, number, "path"), message, fix=remove_command((*_ROUTES, number)))


def _answers(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a route with no answer, or with several."""
    for place, route in _routes(settings):
        answers = {"upstream": route.upstream, "root": route.root, "return": route.return_}
        given = [name for name, value in answers.items() if value is not None]
        if not given and not route.extra_config:
            message = "is required, or `upstream` or `return`: nothing answers the route's requests"
            yield violation((*place, "root"), message, set_to="/usr/share/nginx/html")
        for name in given[1:]:
            yield violation((*place, name), f"must not be set beside `{given[0]}`: a route has one answer")


def _untraced(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys of spans on a route that makes none."""
    for place, route in _routes(settings):
        of_spans = {
            "spanName": route.span_name,
            "spanAttributes": route.span_attributes,
            "sampling": route.sampling,
        }
        for name in (name for name, value in of_spans.items() if value and not route.traced):
            yield violation((*place, name), "is for requests that NGINX traces, and `traced` is false")


def _redirects(settings: Settings) -> Iterator[RuleViolation]:
    for place, route in _routes(settings):
        if route.return_:
            yield from _redirect((*place, "return"), route.return_)


def _redirect(place: Place, answer: Return) -> Iterator[RuleViolation]:
    location, is_redirect = (*place, "location"), answer.status in _REDIRECTS
    if is_redirect and answer.location is None:
        yield violation(location, f"is required with the status {_REDIRECT_WORDS}", set_to=_EXAMPLE)
    if not is_redirect and answer.location is not None:
        yield violation(location, f"is for the status {_REDIRECT_WORDS}")
    if is_redirect and answer.body is not None:
        message = f"must not be set with the status {_REDIRECT_WORDS}: NGINX sends its own text"
        yield violation((*place, "body"), message)


def _https_by_address(settings: Settings) -> Iterator[RuleViolation]:
    for place, route in _routes(settings):
        upstream = route.upstream
        if upstream and upstream.tls and upstream.host and is_address(upstream.host):
            message = "must have a host name with https://, against which NGINX checks the certificate"
            # Which name is in the certificate only a person can tell.
            yield violation((*place, "upstream"), message, fix="")


def _variables(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects variables that neither NGINX nor a snippet makes."""
    nginx, is_plus = settings.nginx, settings.edition == "plus"
    snippets = [nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)]
    if is_plus and settings.plus.sampling_ratios:
        # The program's own nginx.conf makes it then.
        snippets.append("$sampling_ratio")
    for place, text in _templates(settings):
        message = unknown_variable(text, snippets, plus=is_plus)
        if message:
            yield violation(
                place,
                message,
                fix=set_command(place, _EXAMPLE) if place[-1] == "location" else None,
                depends_on=["nginx.extraConfig", "nginx.routes", "edition", "plus.samplingRatios"],
                echoed=re.findall(r"`(\$\w+)`", message),
            )


def _templates(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Yields every text in which NGINX replaces variables."""
    for name, value in settings.nginx.span_attributes.items():
        yield ("nginx", "spanAttributes", name), value
    for place, route in _routes(settings):
        for name, value in route.span_attributes.items():
            yield (*place, "spanAttributes", name), value
        answer = route.return_
        texts = {
            ("spanName",): route.span_name,
            ("return", "body"): answer and answer.body,
            ("return", "location"): answer and answer.location,
        }
        yield from (((*place, *keys), text) for keys, text in texts.items() if text is not None)


ROUTE_RULES = (
    _paths,
    _answers,
    _untraced,
    _redirects,
    _https_by_address,
    _variables,
)
