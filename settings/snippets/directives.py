"""Checks directives by themselves: whether NGINX knows them, where they are, and what they have.

Each check returns findings. `settings.snippets.rules` gives them their place and the command that fixes them, and
checks what depends on the rest of the configuration.
"""

import difflib
import re
from collections.abc import Iterator

from settings.nginx_directives import CONTEXTS, FREE_BLOCKS, Known, directives, inner_context
from settings.nginx_tree import Directive
from settings.snippets.arguments import bad_arguments
from settings.snippets.kinds import value_of_kind
from settings.snippets.locations import inside_of
from settings.snippets.model import Finding
from settings.snippets.reader import Reader
from settings.snippets.repeats import repeated
from settings.snippets.values import bad_value, stray_dollar

_CLOSE_ENOUGH = 0.8
"""The share of equal letters (`difflib`) from which a directive is suggested: our choice."""

_ANY_DOLLAR = frozenset(
    {"if", "location", "server_name", "map", "valid_referers", "fastcgi_split_path_info"}
    | {"otel_resource_attr", "otel_service_name", "otel_exporter"}
)
"""Directives in which a `$` may begin no variable: it ends a pattern, or NGINX looks for none."""

_PATTERN_FIRST = frozenset(
    {"rewrite", "proxy_redirect", "proxy_cookie_path", "proxy_cookie_domain", "proxy_cookie_flags"}
)
"""Directives whose first argument may be a pattern, which a `$` may end. But for `rewrite`, it then begins with `~`."""

_COMPILED_LATER = frozenset(
    {"proxy_set_header", "grpc_set_header", "fastcgi_param", "scgi_param", "uwsgi_param", "log_format"}
)
"""Directives in which NGINX looks for variables after it has read the whole file."""


def check(inside: tuple[Directive, ...], context: str, reader: Reader) -> Iterator[Finding]:
    """Returns everything that NGINX refuses in directives, and in the blocks in them.

    Args:
        inside: the directives.
        context: the letter of the context that they are in.
        reader: the NGINX that reads them.
    """
    for directive in inside:
        yield from _directive(directive, context, reader)
    yield from repeated(inside)


def _directive(directive: Directive, context: str, reader: Reader) -> Iterator[Finding]:
    known = directives().get(directive.name)
    if known is None:
        if reader.is_known:
            yield _unknown(directive, context)
        return
    message = reader.lacks(directive.name, known) or _form(directive, context, known)
    if message:
        yield Finding(directive, message)
        return
    message = (
        value_of_kind(directive, known) or bad_value(directive) or _dollar(directive, known) or bad_arguments(directive)
    )
    if message:
        yield Finding(directive, message)
    if directive.body is not None and directive.name not in FREE_BLOCKS:
        inner = inner_context(directive, context)
        if inner:
            yield from check(directive.inside, inner, reader)
            if directive.name == "upstream" and not {each.name for each in directive.inside} & _OF_AN_UPSTREAM:
                yield Finding(directive, "must have a `server`")
            yield from inside_of(directive, inner)


_OF_AN_UPSTREAM = frozenset({"server", "include", "state"})
"""Directives that give an `upstream` its servers."""


def _form(directive: Directive, context: str, known: Known) -> str | None:
    """Returns why a directive cannot be in its context, or cannot have its block or its number of arguments."""
    forms = known.forms_in(context)
    if not forms:
        return f"is not allowed in `{CONTEXTS[context]}`{_allowed(known)}"
    if not any(form.block == (directive.body is not None) for form in forms):
        return "must have a block: { … }" if forms[0].block else "must end in `;`, and have no block"
    if not any(form.takes(len(directive.arguments)) for form in forms):
        return f"takes {forms[0].wanted}, and has {len(directive.arguments)}"
    return None


def _allowed(known: Known) -> str:
    if any(letter in form.contexts for form in known.forms for letter in "hslujix"):
        return f", but in {known.contexts}"
    if known.contexts:
        return f", but in {known.contexts}, which the program writes"
    return ""


def _unknown(directive: Directive, context: str) -> Finding:
    here = [name for name, known in directives().items() if known.forms_in(context)]
    near = difflib.get_close_matches(directive.name, here, n=1, cutoff=_CLOSE_ENOUGH)
    message = "is not a directive that the image's NGINX knows"
    if near and directive.body is None:
        arguments = " ".join(_word(argument) for argument in directive.arguments)
        return Finding(directive, f"{message}; did you mean `{near[0]}`?", f"{near[0]} {arguments}".rstrip() + ";")
    return Finding(directive, message)


def _word(text: str) -> str:
    return (
        text if re.fullmatch(r"[^\s;{}\"'\\#]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _dollar(directive: Directive, known: Known) -> str | None:
    return next((message for text in _with_variables(directive, known) if (message := stray_dollar(text))), None)


def _with_variables(directive: Directive, known: Known) -> tuple[str, ...]:
    """Returns the arguments in which NGINX looks for variables."""
    name, arguments = directive.name, directive.arguments
    if name in _PATTERN_FIRST:
        is_pattern = name == "rewrite" or arguments[0].startswith("~")
        return arguments[1:] if is_pattern else arguments
    has_variables = known.kind == "variables" or known.origin == "otel" or name in _COMPILED_LATER
    return arguments if has_variables and name not in _ANY_DOLLAR else ()
