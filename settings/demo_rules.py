"""Rules of the demo: the Collector that takes its spans, and NGINX's path to it."""

from collections.abc import Iterator

from settings.demo import DEMO_PATH
from settings.errors import Place, RuleViolation, set_command, violation
from settings.snippets.locations import location_of
from settings.snippets.model import Finding, snippets_of
from settings.stack import Settings
from settings.tempo_rules import is_plus_image

_ENABLED: Place = ("demo", "enabled")
_OFF = set_command(_ENABLED, value=False)


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
    message = f"is the demo's: NGINX leads `{DEMO_PATH}` to it. Take another path, or turn the demo off"
    for number, route in enumerate(settings.nginx.routes):
        if _is_demos(route.path):
            yield violation(("nginx", "routes", number, "path"), message, fix=_OFF, depends_on=[_ENABLED])
    for snippet in snippets_of(settings).snippets:
        for directive in snippet.directives if snippet.context == "s" else ():
            if directive.name == "location" and directive.arguments and _is_demos(location_of(directive)[1]):
                found = snippet.violation(Finding(directive, f"has a path that {message}"))
                yield RuleViolation(found.error, (*found.others, _ENABLED))


def _is_demos(path: str) -> bool:
    return f"{path}/".startswith(DEMO_PATH)


DEMO_RULES = (_collector, _image, _path)
