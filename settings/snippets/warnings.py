"""Warns of directives in snippets that may be errors and that NGINX takes."""

import re
from collections.abc import Iterator

from settings.errors import path
from settings.nginx_directives import ANSWERS, directives, listen_address
from settings.nginx_tree import Directive
from settings.routes import Route
from settings.snippets.model import Snippet, Snippets, flat, snippets_of
from settings.snippets.ours import HTTP_PORT
from settings.stack import Settings
from settings.upstreams import HTTPS_PORTS

_ANSWER_TOO = {"root", "alias", "try_files", "rewrite", "include", "deny", "dav_methods", "autoindex"}
"""Directives that may answer a request, besides those that answer all."""


def snippet_warnings(settings: Settings) -> Iterator[str]:
    """Returns a line for each directive that may be an error; whether it is one cannot be known here."""
    written = snippets_of(settings)
    yield from _untraced(written.snippets)
    yield from _unresolved(written)
    yield from _unanswered(written.snippets)
    yield from _led_elsewhere(written)
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name == "listen" and _is_out_of_reach(directive):
                yield (
                    f"{_at(snippet, directive)} has a port that neither NGINX's Service nor the network policies open: "
                    f"clients reach {HTTP_PORT} alone"
                )
            if directive.name in {"proxy_pass", "grpc_pass"} and (port := _plain_to_https(directive.arguments[0])):
                yield f"{_at(snippet, directive)} speaks plain text to the port {port}, on which servers speak HTTPS"
            if not written.reader.is_known and directive.name not in directives():
                yield (
                    f"{_at(snippet, directive)} is not known to this program; if the image's NGINX does not know it "
                    "either, its pods do not start"
                )


def _at(snippet: Snippet, directive: Directive) -> str:
    return f"{path(snippet.place)}: `{directive.name}` in line {directive.line}"


def _untraced(snippets: list[Snippet]) -> Iterator[str]:
    """Warns of paths that the server changes.

    NGINX redirects such requests internally, and the module looks at none that was redirected (`onRequestStart`).
    """
    for snippet in snippets:
        for each in snippet.directives if snippet.context == "s" else ():
            for rewrite in (each, *(each.inside if each.name == "if" else ())):
                is_sent = re.match(r"https?://|\$scheme", " ".join(rewrite.arguments[1:2]))
                if rewrite.name == "rewrite" and not is_sent and rewrite.arguments[-1] not in {"redirect", "permanent"}:
                    yield (
                        f"{_at(snippet, rewrite)}: requests whose path it changes make no span, as NGINX carries it "
                        "out before it chooses their route; in a route's `extraConfig`, they keep their spans"
                    )


def _unresolved(written: Snippets) -> Iterator[str]:
    """Warns of `proxy_pass` with a variable if NGINX has nothing to look names up with."""
    if {"resolver", "upstream", "include"} & {each.name for each in written.everything}:
        return
    for snippet in written.snippets:
        for each in flat(snippet.directives):
            url = re.sub(r"\$(request_uri|uri)\b.*", "", each.arguments[0]) if each.name == "proxy_pass" else ""
            if re.match(r"(https?|\$scheme)://[^/]*\$|\$(?!scheme)", url):
                yield (
                    f"{_at(snippet, each)} has a variable, and no `resolver` is there: NGINX answers 502 if the "
                    "variable holds a name rather than an address"
                )


def _unanswered(snippets: list[Snippet]) -> Iterator[str]:
    """Warns of locations in a route without an answer: they inherit neither `proxy_pass` nor `return`."""
    for snippet in snippets:
        if not snippet.route or snippet.route.root:
            continue
        inherited = {each.name for each in snippet.directives} & {"root", "alias"}
        for each in flat(snippet.directives):
            names = {inner.name for inner in flat(each.inside)}
            if each.name == "location" and not inherited and not names & (ANSWERS | _ANSWER_TOO):
                yield (
                    f"{_at(snippet, each)} has no answer of its own, such as `proxy_pass`, and inherits none from its "
                    "route: NGINX answers 404"
                )


def _led_elsewhere(written: Snippets) -> Iterator[str]:
    """Warns of paths that lead from a traced route to one that is not, or back: the first route decides.

    The module looks at no request that NGINX redirected internally (`onRequestStart`).
    """
    routes = written.settings.nginx.routes
    for snippet in written.snippets:
        for each in flat(snippet.directives) if snippet.route else ():
            uri = _led_to(each)
            target = _route_of(uri, routes) if uri else None
            if target and snippet.route and target.traced != snippet.route.traced:
                makes = "make spans" if snippet.route.traced else "make no span"
                yield (
                    f"{_at(snippet, each)} leads to {uri}, whose route has another `traced`: these requests {makes}, "
                    "as the module decides by their first route"
                )


def _led_to(each: Directive) -> str | None:
    """Returns the path to which a directive redirects internally; None if only a request tells it."""
    last = ""
    if each.name == "try_files":
        last = each.arguments[-1]
    elif each.name == "rewrite" and each.arguments[2:] in {(), ("last",)}:
        last = each.arguments[1]
    return last.split("?")[0] if last.startswith("/") and "$" not in last else None


def _route_of(uri: str, routes: list[Route]) -> Route | None:
    """Returns the route that NGINX chooses for a path, if a snippet has no location for it."""
    exact = (route for route in routes if route.match == "exact" and route.path == uri)
    around = [route for route in routes if route.match == "prefix" and uri.startswith(route.path)]
    return next(exact, max(around, key=lambda route: len(route.path), default=None))


def _plain_to_https(url: str) -> int | None:
    """Returns the port of a URL without TLS that is one of HTTPS; None for any other."""
    found = re.match(r"(?:http|grpc)://[^/]*:(\d{1,5})(?:/|$)", url, re.I)
    return int(found[1]) if found and int(found[1]) in HTTPS_PORTS else None


def _is_out_of_reach(listen: Directive) -> bool:
    address = listen_address(listen.arguments[0])
    return not re.match(r"127\.|\[::1\]|localhost|unix:", address) and not address.endswith(f":{HTTP_PORT}")
