"""Refuses directives of a block that NGINX does not take beside one another."""

from collections.abc import Iterator

from settings.nginx_directives import ANSWERS, directives, slot
from settings.nginx_tree import Directive
from settings.snippets.locations import location_key
from settings.snippets.model import Finding

_OFF_ALONE = frozenset({"proxy_redirect", "proxy_cookie_path", "proxy_cookie_domain", "proxy_cookie_flags"})
"""Directives that NGINX takes several times, but once if it is `off`."""

_UNIQUE = frozenset({"log_format", "upstream", "limit_req", "limit_conn", "location", "listen"})
"""Directives that NGINX takes several times, but once for each first argument."""


def repeated(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    """Refuses directives of a block that are there twice, or that contradict each other."""
    yield from _twice(inside)
    yield from _beside_off(inside)
    yield from _answers(inside)


def _twice(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], Directive] = {}
    for directive in inside:
        known = directives().get(directive.name)
        if known is None or (known.repeated and directive.name not in _UNIQUE):
            continue
        key = location_key(directive) if directive.name == "location" else slot(directive)
        first = seen.setdefault(key, directive)
        if first is directive or key[-1] == "~":
            continue
        named = directive.arguments[: 2 if directive.name == "location" else 1]
        what = " ".join((directive.name, *named)) if directive.name in _UNIQUE else directive.name
        if first.name != directive.name:
            message = f"must not stand beside `{first.name}` in line {first.line}: NGINX takes one of them"
        else:
            message = f"stands in line {first.line} too, and NGINX takes one `{what}` in a block"
        yield Finding(directive, message)


def _beside_off(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    for directive in inside:
        others = [each for each in inside if each.name == directive.name and each is not directive]
        if directive.name in _OFF_ALONE and directive.arguments == ("off",) and others:
            yield Finding(directive, f"must not be off beside another `{directive.name}`, in line {others[0].line}")


def _answers(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    names = {directive.name for directive in inside}
    # A `rewrite … break`, or a `break` in an `if`, ends what NGINX carries out before it reaches a `return`.
    if names & {"rewrite", "if", "break"}:
        return
    answering = [directive for directive in inside if directive.name in ANSWERS]
    for directive in answering[1:]:
        if directive.name != answering[0].name or directive.name == "return":
            message = (
                f"must not stand beside `{answering[0].name}` in line {answering[0].line}: a location has one answer"
            )
            yield Finding(directive, message)
