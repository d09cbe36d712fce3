"""Rules of the demo: the Collector that takes its spans, and NGINX's path to it."""

import re
from collections.abc import Iterator

from settings.demo import DEMO_PATH
from settings.errors import Place, RuleViolation, path, set_command, violation
from settings.nginx_tree import Directive
from settings.snippets.locations import PATTERNS, location_of
from settings.snippets.model import Finding, Snippet, snippets_of
from settings.stack import Settings
from settings.tempo_rules import is_plus_image

_ENABLED: Place = ("demo", "enabled")
_OFF = set_command(_ENABLED, value=False)
_NARROW = "narrow it, or turn the demo off"
_TAKEN = f"is the demo's: NGINX leads `{DEMO_PATH}` to it. Take another path, or turn the demo off"


def _collector(settings: Settings) -> Iterator[RuleViolation]:
    if settings.demo.enabled and not settings.collector.enabled:
        message = "needs the stack's own Collector, which takes the demo's spans, and `collector.enabled` is false"
        yield violation(_ENABLED, message, set_to=False, depends_on=["collector.enabled"])


def _image(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects NGINX Plus for the services, whose image is `nginx.image` with the edition plus too."""
    if settings.demo.enabled and settings.edition == "plus" and is_plus_image(settings.nginx.pulled_image):
        message = (
            "must be open-source NGINX with the demo: its services get no license, without which NGINX Plus does not "
            "start. `plus.image` is the image of NGINX Plus"
        )
        yield violation("nginx.image", message, depends_on=[_ENABLED, "edition"])


def _path(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects what takes the demo's requests: routes and locations at its path, and directives before all locations."""
    if not settings.demo.enabled:
        return
    for number, route in enumerate(settings.nginx.routes):
        if _is_demos(route.path):
            yield violation(("nginx", "routes", number, "path"), _TAKEN, fix=_OFF, depends_on=[_ENABLED])
    for snippet, directive in _beside_routes(settings):
        why = _why_not(directive)
        if why:
            found = snippet.violation(Finding(directive, why))
            yield RuleViolation(found.error, (*found.others, _ENABLED))


def _beside_routes(settings: Settings) -> Iterator[tuple[Snippet, Directive]]:
    """Yields the directives of the server."""
    for snippet in snippets_of(settings).snippets:
        for directive in snippet.directives if snippet.context == "s" else ():
            yield snippet, directive


def _why_not(directive: Directive) -> str | None:
    """Returns why a directive beside the routes takes the demo's requests; none if it does not, or perhaps."""
    if directive.name == "return":
        return "answers every request, so that none reaches the demo: put it into a `location`, or turn the demo off"
    if directive.name == "rewrite" and _rewrites(directive):
        return f"has a pattern that matches `{DEMO_PATH}`, so that no request reaches the demo: {_NARROW}"
    if directive.name == "if" and _takes(directive) and _holds(directive):
        return f"has a condition that `{DEMO_PATH}` meets, so that no request reaches the demo: {_NARROW}"
    if directive.name != "location" or not directive.arguments:
        return None
    modifier, written = location_of(directive)
    if modifier in PATTERNS:
        message = f"has a pattern that matches `{DEMO_PATH}`, and NGINX prefers it: {_NARROW}"
        return message if _matches(written, ignores_case=modifier == "~*") else None
    return f"has a path that {_TAKEN}" if _is_demos(written) else None


def _rewrites(directive: Directive) -> bool:
    return bool(directive.arguments) and _matches(directive.arguments[0], ignores_case=False)


def _takes(condition: Directive) -> bool:
    """Tells whether an `if` answers a request whose condition holds, or leads it elsewhere."""
    return any(each.name == "return" or (each.name == "rewrite" and _rewrites(each)) for each in condition.inside)


def _holds(condition: Directive) -> bool | None:
    """Tells whether the demo's path meets a condition; None if it is about something else."""
    read = re.fullmatch(r"\(\s*\$(?:request_|document_)?uri\s+(!?)(=|~\*?)\s+(.*?)\s*\)", " ".join(condition.arguments))
    if read is None:
        return None
    negated, compared, text = read.groups()
    met = text == DEMO_PATH if compared == "=" else _matches(text, ignores_case=compared == "~*")
    return met != bool(negated)


def _matches(pattern: str, *, ignores_case: bool) -> bool:
    try:
        return re.search(pattern, DEMO_PATH, re.I if ignores_case else 0) is not None
    except re.error:
        # What PCRE alone reads: `make probe` then tells that the demo's trace is not whole.
        return False


def _is_demos(written: str) -> bool:
    return f"{written}/".startswith(DEMO_PATH)


_LEAVE = frozenset({"auth_basic", "auth_jwt", "auth_oidc", "auth_request", "deny"})
"""Directives of the server that every location inherits, and by which NGINX refuses requests."""


def demo_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning of each directive beside the routes that may keep requests from the demo."""
    for snippet, directive in _beside_routes(settings) if settings.demo.enabled else ():
        at = f"{path(snippet.place)}: `{directive.name}` in line {directive.line}"
        if directive.name == "if" and _takes(directive) and _holds(directive) is None:
            yield f"{at} keeps requests from the demo that meet its condition, and `make probe` then misses their spans"
        if directive.name in _LEAVE and directive.arguments != ("off",):
            yield (
                f"{at} holds for the demo too: the probe's requests, which have no login, may get an answer of NGINX "
                f"alone. To turn the demo off: {_OFF}"
            )


def _name(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects the name of one of the demo's services for NGINX: their spans would count as one service's."""
    name = settings.nginx.service_name
    if name in settings.demo.services:
        message = "is the name of one of the demo's services. Take another one, or turn the demo off"
        yield violation("nginx.serviceName", message, depends_on=[_ENABLED])


DEMO_RULES = (_collector, _image, _path, _name)
