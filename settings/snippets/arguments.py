"""Checks the arguments of directives whose setters in NGINX's source have rules of their own."""

import re
from collections.abc import Callable

from settings.nginx_tree import Directive
from settings.snippets.locations import location_of
from settings.snippets.tables import geo_lines, map_lines, split_lines
from settings.snippets.values import bad_pattern

_Check = Callable[[Directive], str | None]
"""Returns what is wrong with a directive, as the rest of a sentence that begins with its name; none if nothing is."""


def bad_arguments(directive: Directive) -> str | None:
    """Returns the first error in a directive's arguments or lines; none if there is none, or no check for it here."""
    return next((message for check in _CHECKS.get(directive.name, ()) if (message := check(directive))), None)


def _proxy_pass(directive: Directive) -> str | None:
    url = directive.arguments[0]
    if re.match(r"https?://.|\$", url, re.I) is None:
        return "must have a URL with http:// or https://"
    return None


def _return(directive: Directive) -> str | None:
    first, *rest = directive.arguments
    if re.fullmatch(r"\d{1,3}", first):
        return None
    if not rest and re.match(r"https?://|\$scheme", first):
        return None
    return f"must have a status code, not `{first}`" if rest or first.isalnum() else "must have a status code or a URL"


def _rewrite(directive: Directive) -> str | None:
    message = bad_pattern(directive.arguments[0])
    if message:
        return message
    flags = ("last", "break", "redirect", "permanent")
    if len(directive.arguments) == 3 and directive.arguments[2] not in flags:
        return f"takes {', '.join(flags)} as its last argument, not `{directive.arguments[2]}`"
    return None


def _always(directive: Directive) -> str | None:
    if len(directive.arguments) == 3 and directive.arguments[2] != "always":
        return f"takes `always` as its third argument, not `{directive.arguments[2]}`: does a value lack its quotes?"
    return None


def _error_page(directive: Directive) -> str | None:
    for code in directive.arguments[:-1]:
        if not re.fullmatch(r"[345]\d\d", code) and not code.startswith("="):
            return f"must have status codes from 300 to 599, not `{code}`"
        if code == "499":
            return "must not have the status code 499, with which NGINX notes that a client went away"
    return None


def _try_files(directive: Directive) -> str | None:
    last = directive.arguments[-1]
    if last.startswith("=") and not re.fullmatch(r"=\d{1,3}", last):
        return f"must end in a path, a name or a status code such as =404, not `{last}`"
    return None


def _variable(number: int) -> _Check:
    """Makes the check that an argument is the name of a variable."""

    def check_name(directive: Directive) -> str | None:
        name = directive.arguments[number if number < len(directive.arguments) else -1]
        if re.fullmatch(r"\$\w+", name, re.ASCII):
            return None
        return f"must have the name of a variable, such as $name, not `{name}`"

    return check_name


def _if(directive: Directive) -> str | None:
    condition = " ".join(directive.arguments)
    if not condition.startswith("(") or not condition.endswith(")"):
        return "must have its condition in brackets: if ($request_method = POST) { … }"
    inner = condition[1:-1].strip()
    file_test = re.match(r"!?-[fdex]\s+\S", inner)
    if not file_test and not re.match(r"\$\w+", inner):
        return "must test a variable, or a file with -f, -d, -e or -x"
    operator = re.match(r"\$\w+\s+(\S+)", inner)
    if operator and not re.match(r"(=|!=|~\*?|!~\*?)", operator[1]):
        return f"knows =, !=, ~, ~*, !~ and !~*, not `{operator[1]}`"
    pattern = re.match(r"\$\w+\s+!?~\*?\s+(.*)", inner, re.S)
    return bad_pattern(pattern[1]) if pattern else None


def _location(directive: Directive) -> str | None:
    modifier, path = location_of(directive)
    if modifier not in {"", "=", "~", "~*", "^~"}:
        return f"knows =, ~, ~* and ^~, not `{modifier}`"
    if modifier in {"~", "~*"}:
        return bad_pattern(path)
    return None


def _server_name(directive: Directive) -> str | None:
    patterns = (name[1:] for name in directive.arguments if name.startswith("~"))
    return next((message for pattern in patterns if (message := bad_pattern(pattern))), None)


_LISTEN = re.compile(
    r"default_server|default|ssl|http2|quic|proxy_protocol|deferred|bind|reuseport|multipath|"
    r"(backlog|fastopen|setfib)=-?\d+|(rcvbuf|sndbuf)=\d+[kKmM]?|accept_filter=\w+|ipv6only=(on|off)|so_keepalive=\S+"
)


def _listen(directive: Directive) -> str | None:
    for parameter in directive.arguments[1:]:
        if not _LISTEN.fullmatch(parameter):
            return f"knows no parameter `{parameter}`"
    port = re.search(r"(?:^|:)(\d+)$", directive.arguments[0])
    if port and not 1 <= int(port[1]) <= 65535:
        return f"must have a port from 1 to 65535, not {port[1]}"
    return None


def _zone(parameter: str) -> _Check:
    """Makes the check that a directive has a zone with its size, in the parameter of this name."""

    def check_zone(directive: Directive) -> str | None:
        if any(re.fullmatch(rf"{parameter}=[^:]+:\d+[kKmM]?", argument) for argument in directive.arguments):
            return None
        return f"must have a zone with its size, such as {parameter}=name:10m"

    return check_zone


def _limit_req_zone(directive: Directive) -> str | None:
    if not any(re.fullmatch(r"rate=\d+r/[sm]", argument) for argument in directive.arguments):
        return "must have a rate, such as rate=10r/s"
    return None


def _log_format(directive: Directive) -> str | None:
    escape = directive.arguments[1]
    if escape.startswith("escape=") and escape not in {"escape=default", "escape=json", "escape=none"}:
        return f"knows escape=default, json and none, not `{escape}`"
    return None


_CHECKS: dict[str, tuple[_Check, ...]] = {
    "proxy_pass": (_proxy_pass,),
    "return": (_return,),
    "rewrite": (_rewrite,),
    "add_header": (_always,),
    "add_trailer": (_always,),
    "error_page": (_error_page,),
    "try_files": (_try_files,),
    "set": (_variable(0),),
    "auth_request_set": (_variable(0),),
    "map": (_variable(1), map_lines),
    "geo": (geo_lines,),
    "split_clients": (_variable(1), split_lines),
    "log_format": (_log_format,),
    "js_set": (_variable(0),),
    "if": (_if,),
    "location": (_location,),
    "listen": (_listen,),
    "server_name": (_server_name,),
    "limit_req_zone": (_zone("zone"), _limit_req_zone),
    "limit_conn_zone": (_zone("zone"),),
    "proxy_cache_path": (_zone("keys_zone"),),
    "fastcgi_cache_path": (_zone("keys_zone"),),
}
