"""Refuses variables in snippets that NGINX does not know or does not let a directive make."""

import re
from collections.abc import Iterable, Iterator

from settings.errors import RuleViolation
from settings.nginx_syntax import VARIABLES, unknown_variable
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippets, flat
from settings.snippets.ours import RATIO_VARIABLE, UPSTREAM_VARIABLES

_MAKES = {"set": 0, "map": 1, "geo": -1, "split_clients": 1, "auth_request_set": 0, "js_set": 0, "js_var": 0} | {
    "keyval": 1,
    "perl_set": 0,
    "auth_jwt_claim_set": 0,
    "auth_jwt_header_set": 0,
    "num_map": 1,
}
"""The number of the argument that names the variable which a directive makes."""

_CHANGEABLE = frozenset({"args", "limit_rate"})
"""NGINX's own variables that `set` may set (NGX_HTTP_VAR_CHANGEABLE)."""

_KEYED = frozenset({"map", "geo", "geoip2", "split_clients", "num_map", "types", "charset_map", "match"})
_WITHOUT_VARIABLES = frozenset({"otel_resource_attr", "otel_service_name", "location", "server_name", "types"})
_PATTERN_FIRST = frozenset({"rewrite", "valid_referers"})
"""Directives whose first argument is a pattern."""


def own_names(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses a directive that makes a variable with the name of one of NGINX's own, or of the program's."""
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            number = _MAKES.get(directive.name)
            if number is None or number >= len(directive.arguments):
                continue
            name = directive.arguments[number].lstrip("$").lower()
            if name in UPSTREAM_VARIABLES or (name in VARIABLES and name not in _CHANGEABLE):
                owner = "the program" if name in UPSTREAM_VARIABLES else "NGINX"
                message = f"must use another name: `${name}` is {owner}'s own variable"
                yield snippet.violation(Finding(directive, message))


def unknown(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses variables that neither NGINX nor a snippet makes.

    Nothing is refused if the image may have further modules, or files that a snippet includes: they may make any
    variable.
    """
    if not written.reader.is_known or written.has_unknown_files:
        return
    is_plus = written.settings.edition == "plus"
    made = [f"${{{name}}}" for name in _made(written.everything)]
    if is_plus and written.settings.plus.sampling_ratios:
        made.append(RATIO_VARIABLE)
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            messages = (unknown_variable(text, made, plus=is_plus) for text in _texts(directive))
            message = next((message for message in messages if message), None)
            if message:
                yield snippet.violation(Finding(directive, message))


def _made(everything: Iterable[Directive]) -> Iterator[str]:
    for directive in everything:
        number = _MAKES.get(directive.name)
        if number is not None and directive.arguments and number < len(directive.arguments):
            yield directive.arguments[number].lstrip("$")
        if directive.name == "geoip2":
            yield from (each.name.lstrip("$") for each in directive.inside)
        for text in (*directive.arguments, *(each.name for each in directive.inside)):
            yield from re.findall(r"\(\?P?['<](\w+)['>]", text)


def _texts(directive: Directive) -> Iterator[str]:
    """Returns the arguments in which NGINX looks for variables; a `$` in a pattern marks the pattern's end."""
    if directive.name in _WITHOUT_VARIABLES:
        return
    if directive.name in _KEYED:
        if directive.name == "map":
            yield directive.arguments[0]
            yield from (text for each in directive.inside for text in each.arguments)
        return
    for number, argument in enumerate(directive.arguments):
        if directive.name in _PATTERN_FIRST and number == 0:
            continue
        if directive.name == "if" and number >= 2:
            # After `~` comes a pattern, after `=` a text without variables.
            return
        if not argument.startswith("~"):
            # Digits name captures.
            yield re.sub(r"\$(\d|$|(?=\W)(?!\{))", "", argument)
