"""Refuses access logs in snippets whose format or buffer does not go together with the other logs."""

from collections.abc import Iterator

from settings.errors import RuleViolation
from settings.nginx_contexts import header_shows_trace
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippets, flat
from settings.snippets.ours import HEADER_LOG_FORMAT, LOG_BUFFER, LOG_FILE
from settings.stack import Settings

_BUFFER_DEFAULTS = {"buffer": "64k", "flush": "", "gzip": ""}
"""NGINX's own buffer of `gzip` (`ngx_http_log_set_log`), and the names of all options of a buffer."""


def unknown_formats(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses access logs whose format neither the program nor a snippet makes."""
    if written.has_unknown_files:
        return
    formats = {each.arguments[0] for each in written.everything if each.name == "log_format" and each.arguments}
    formats.add("combined")
    if _has_header_format(written.settings):
        formats.add(HEADER_LOG_FORMAT)
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name != "access_log" or len(directive.arguments) < 2:
                continue
            name = directive.arguments[1]
            if name not in formats:
                message = f"needs the format `{name}`, which `log_format` has to make in `nginx.extraConfig.http`"
                yield snippet.violation(Finding(directive, message))


def _has_header_format(settings: Settings) -> bool:
    """Tells whether the program writes its format of this name; where the header shows nothing, it writes others."""
    nginx = settings.nginx
    return nginx.access_log and any(header_shows_trace(nginx, route) for route in (None, *nginx.routes))


def buffers(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses two buffers for one file: NGINX has one a file, whichever `access_log` sets it."""
    seen = {LOG_FILE: _BUFFER_DEFAULTS | LOG_BUFFER} if _has_own_log(written) else dict[str, dict[str, str]]()
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name == "access_log" and directive.arguments:
                yield from map(snippet.violation, _buffer(directive, seen))


def _has_own_log(written: Snippets) -> bool:
    """Tells whether the program's own log stays: a log of http takes its place, one of the server leaves it."""
    is_replaced = any(
        each.name == "access_log"
        for snippet in written.snippets
        if snippet.context == "h"
        for each in snippet.directives
    )
    return written.settings.nginx.access_log and not is_replaced


def _buffer(log: Directive, seen: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Compares a log's buffer with that of the same file, and notes it.

    Args:
        log: an `access_log` with arguments.
        seen: the options of each file's buffer.
    """
    file, *words = log.arguments
    halves = [word.partition("=") for word in words]
    told = {name: value for name, _, value in halves if name in _BUFFER_DEFAULTS}
    if not told:
        return
    rest = [word for word in words if word.partition("=")[0] not in _BUFFER_DEFAULTS]
    instead = f"access_log {' '.join([file, *rest])};"
    buffer = _BUFFER_DEFAULTS | told
    if "$" in file:
        yield Finding(log, "must have no buffer: the file's name has a variable", instead)
    elif not {"buffer", "gzip"} & told.keys():
        yield Finding(log, "must have `buffer=…` beside `flush=…`", instead)
    elif seen.setdefault(file, buffer) != buffer:
        message = f"must have the buffer that `{file}` has elsewhere, or set none and use that one"
        yield Finding(log, message, instead)
