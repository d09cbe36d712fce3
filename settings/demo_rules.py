"""Rules of the demo: the Collector that takes its spans, and NGINX's path to it."""

import re
from collections.abc import Iterator

from settings.demo import DEMO_PATH
from settings.errors import Place, RuleViolation, set_command, violation
from settings.nginx_tree import Directive
from settings.snippets.locations import PATTERNS, location_of
from settings.snippets.model import Finding, snippets_of
from settings.stack import Settings
from settings.tempo_rules import is_plus_image

_ENABLED: Place = ("demo", "enabled")
_OFF = set_command(_ENABLED, value=False)
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
    """Rejects routes and locations at the demo's path: NGINX takes a path once, and the longer one wins."""
    if not settings.demo.enabled:
        return
    for number, route in enumerate(settings.nginx.routes):
        if _is_demos(route.path):
            yield violation(("nginx", "routes", number, "path"), _TAKEN, fix=_OFF, depends_on=[_ENABLED])
    for snippet in snippets_of(settings).snippets:
        for directive in snippet.directives if snippet.context == "s" else ():
            why = _why_not(directive)
            if why:
                found = snippet.violation(Finding(directive, why))
                yield RuleViolation(found.error, (*found.others, _ENABLED))


def _why_not(directive: Directive) -> str | None:
    """Returns why a directive beside the routes takes the demo's requests; none if it does not."""
    if directive.name == "return":
        return "answers every request, so that none reaches the demo: put it into a `location`, or turn the demo off"
    if directive.name != "location" or not directive.arguments:
        return None
    modifier, written = location_of(directive)
    if modifier in PATTERNS:
        message = f"has a pattern that matches `{DEMO_PATH}`, and NGINX prefers it: narrow it, or turn the demo off"
        return message if _matches(written, ignores_case=modifier == "~*") else None
    return f"has a path that {_TAKEN}" if _is_demos(written) else None


def _matches(pattern: str, *, ignores_case: bool) -> bool:
    try:
        return re.search(pattern, DEMO_PATH, re.I if ignores_case else 0) is not None
    except re.error:
        # What PCRE alone reads: `make probe` then tells that the demo's trace is not whole.
        return False


def _is_demos(path: str) -> bool:
    return f"{path}/".startswith(DEMO_PATH)


def _name(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects the name of one of the demo's services for NGINX: their spans would count as one service's."""
    name = settings.nginx.service_name
    if name in settings.demo.services:
        message = "is the name of one of the demo's services. Take another one, or turn the demo off"
        yield violation("nginx.serviceName", message, depends_on=[_ENABLED])


DEMO_RULES = (_collector, _image, _path, _name)
