"""Refuses locations in snippets that NGINX does not take where they are, and names of locations that are missing."""

import re
from collections.abc import Iterator

from settings.errors import RuleViolation, path
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippets, flat

PATTERNS = frozenset({"~", "~*"})
"""Modifiers of locations that are patterns."""


def location_of(directive: Directive) -> tuple[str, str]:
    """Returns the modifier and the path of a `location`, which may be written as one word."""
    if len(directive.arguments) > 1:
        return directive.arguments[0], directive.arguments[1]
    found = re.match(r"(=|\^~|~\*|~)?(.*)", directive.arguments[0] if directive.arguments else "", re.S)
    return (found[1] or "", found[2]) if found else ("", "")


def location_key(directive: Directive) -> tuple[str, ...]:
    """Returns what NGINX compares locations by.

    `location /a` and `location ^~ /a` are the same, `= /a` is another one; those with patterns, whose key ends in `~`,
    are never the same.
    """
    modifier, written = location_of(directive)
    return ("location", "=" if modifier == "=" else "", written, "~" if modifier in PATTERNS else "")


def has_uri(directive: Directive) -> bool:
    """Tells whether a `proxy_pass` has more than a host and a port."""
    url = directive.arguments[0] if directive.arguments else ""
    return "$" not in url and re.fullmatch(r"https?://[^/?#]*", url, re.I) is None


def inside_of(block: Directive, inner: str) -> Iterator[Finding]:
    """Refuses directives that a block's name or path makes impossible inside it.

    Args:
        block: the block.
        inner: the letter of the context inside it.
    """
    modifier, outer = location_of(block) if block.name == "location" else ("", "")
    is_bare = inner in "jx" or modifier in PATTERNS or outer[:1] == "@"
    for each in block.inside:
        if each.name == "proxy_pass" and has_uri(each) and is_bare:
            where = {"j": "an `if`", "x": "`limit_except`"}.get(inner, "a `location` with a pattern or a name")
            yield Finding(each, f"must not have a path in {where}: NGINX takes host and port alone there")
        if each.name == "alias" and outer[:1] == "@":
            yield Finding(each, f"must not be in a location with a name: `root` may be in `{outer}`")
        if each.name == "location" and block.name == "location":
            message = _why_not_inside(modifier, outer, *location_of(each))
            if message:
                yield Finding(each, message)


def _why_not_inside(modifier: str, outer: str, inner_modifier: str, inner: str) -> str | None:
    """Returns why one location cannot be inside another one; none if it can."""
    if modifier == "=":
        return f"must not be inside the exact location `{outer}`"
    if outer.startswith("@"):
        return f"must not be inside the named location `{outer}`"
    if inner.startswith("@"):
        return "has a name, and NGINX takes named locations in `server` only"
    if modifier not in PATTERNS and inner_modifier not in PATTERNS and not inner.startswith(outer):
        return f"must begin with `{outer}`, the path of the location around it"
    return None


def beside_routes(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses locations with the path of a route, and those that cannot be inside their route."""
    routes = {
        (route.match == "exact", route.path): number for number, route in enumerate(written.settings.nginx.routes)
    }
    for snippet in written.snippets:
        for directive in snippet.directives:
            if directive.name != "location" or not directive.arguments:
                continue
            modifier, inner = location_of(directive)
            number = routes.get((modifier == "=", inner))
            if snippet.context == "s" and modifier not in PATTERNS and number is not None:
                there = path(("nginx", "routes", number))
                message = f"has the path of {there}, and NGINX takes one: move its directives into `extraConfig` there"
                yield snippet.violation(Finding(directive, message))
            if snippet.route:
                outer = "=" if snippet.route.match == "exact" else ""
                message = _why_not_inside(outer, snippet.route.path, modifier, inner)
                if message:
                    yield snippet.violation(Finding(directive, message))


def missing_names(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses named locations that no snippet makes: NGINX answers 500 to what is sent there."""
    if written.has_unknown_files:
        return
    made = {location_of(each)[1] for each in written.everything if each.name == "location" and each.arguments}
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            target = directive.arguments[-1] if directive.name in {"try_files", "error_page"} else ""
            if re.fullmatch(r"@[\w.-]+", target) and target not in made:
                message = f"needs the location `{target}`, which has to be in `nginx.extraConfig.server`"
                yield snippet.violation(Finding(directive, message))


def index_of_exact_routes(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses `index` in an exact route with a folder: NGINX would look for the file's path in other locations."""
    message = (
        "leads NGINX from the exact route to another location, by the path of the file: name the file in `try_files`"
    )
    for snippet in written.snippets:
        route = snippet.route
        if route is None or route.match != "exact" or not route.root or not route.path.endswith("/"):
            continue
        for directive in snippet.directives:
            if directive.name == "index":
                file = directive.arguments[0] if directive.arguments else "index.html"
                yield snippet.violation(Finding(directive, message, f"try_files {route.path}{file} =404;"))
