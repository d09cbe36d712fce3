"""What NGINX refuses in directives by themselves, whatever stands around them.

Each check yields findings; `settings.snippet_rules` gives them their place and the command that fixes them.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from settings.nginx_directives import (
    ANSWERS,
    CONTEXTS,
    FREE_BLOCKS,
    Known,
    directives,
    inner_context,
    slot,
)
from settings.nginx_tree import Directive
from settings.snippet_tables import geo_lines, map_lines, split_lines
from settings.snippet_values import bad_pattern, bad_value


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a directive."""

    directive: Directive
    message: str
    """What is wrong, as the rest of a sentence that begins with the directive's name."""

    instead: str = ""
    """What to write in the place of the whole directive; nothing where it is to go."""


@dataclass(frozen=True)
class Reader:
    """The NGINX that is to read them."""

    plus: bool
    version: tuple[int, ...] | None
    """Its version; none where the image's name does not tell."""

    modules: frozenset[str] | None
    """Origins of the table, besides NGINX itself, that the image has; none where its name does not tell."""

    @property
    def is_known(self) -> bool:
        """Whether the image has no directives but those of the table."""
        return self.modules is not None and self.version is not None and self.version < _AFTER_THE_TABLE

    def lacks(self, name: str, known: Known) -> str | None:
        """Why it does not have a directive of the table; none if it has it, or might."""
        if known.origin == "plus" and not self.plus:
            return "is a directive of NGINX Plus, and `edition` is oss"
        first = (1, 29, 0) if known.origin == "later" else _FIRST.get(name)
        if first and self.version and self.version < first:
            return f"needs NGINX {'.'.join(map(str, first))}, and the image has {'.'.join(map(str, self.version))}"
        if known.origin in _MODULE_NAMES and self.modules is not None and known.origin not in self.modules:
            return f"needs the module {_MODULE_NAMES[known.origin]}, which the image does not have"
        return None


_AFTER_THE_TABLE = (1, 30)
"""F5's table of later directives ends before it."""

# From nginx.org's change log: what came after 1.25.3, the first version with the OpenTelemetry module.
_FIRST = {
    "keepalive_min_timeout": (1, 27, 4),
    "proxy_pass_trailers": (1, 27, 2),
    "ssl_object_cache_inheritable": (1, 27, 4),
    "ssl_certificate_cache": (1, 27, 4),
    "proxy_ssl_certificate_cache": (1, 27, 4),
    "grpc_ssl_certificate_cache": (1, 27, 4),
    "uwsgi_ssl_certificate_cache": (1, 27, 4),
    "proxy_limit_rate": (1, 7, 7),
}
_MODULE_NAMES = {
    "njs": "njs",
    "geoip": "geoip",
    "image_filter": "image-filter",
    "xslt": "xslt",
    "perl": "perl",
}


def check(inside: tuple[Directive, ...], context: str, reader: Reader) -> Iterator[Finding]:
    """Everything that NGINX refuses in directives, and in the blocks in them.

    Args:
        inside: the directives.
        context: the letter of the context that they stand in.
        reader: the NGINX that reads them.
    """
    for directive in inside:
        yield from _directive(directive, context, reader)
    yield from _repeated(inside)


def _directive(directive: Directive, context: str, reader: Reader) -> Iterator[Finding]:
    known = directives().get(directive.name)
    if known is None:
        if reader.is_known:
            yield _unknown(directive, context)
        return
    lacks = reader.lacks(directive.name, known)
    if lacks:
        yield Finding(directive, lacks)
        return
    forms = known.forms_in(context)
    if not forms:
        yield Finding(directive, f"is not allowed in `{CONTEXTS[context]}`{_allowed(known)}")
        return
    if not any(form.block == (directive.body is not None) for form in forms):
        has = "must have a block: { … }" if forms[0].block else "must end in `;`, and have no block"
        yield Finding(directive, has)
        return
    if not any(form.takes(len(directive.arguments)) for form in forms):
        yield Finding(directive, f"takes {forms[0].wanted}, and has {len(directive.arguments)}")
        return
    message = (
        _value(directive, known)
        or bad_value(directive)
        or _dollar(directive, known)
        or next((said for own in _CHECKS.get(directive.name, ()) if (said := own(directive))), None)
    )
    if message:
        yield Finding(directive, message)
    if directive.body is not None and directive.name not in FREE_BLOCKS:
        inner = inner_context(directive, context)
        if inner:
            yield from check(directive.inside, inner, reader)
            yield from _within(directive, inner)


def _unknown(directive: Directive, context: str) -> Finding:
    here = [name for name, known in directives().items() if known.forms_in(context)]
    near = difflib.get_close_matches(directive.name, here, n=1, cutoff=0.8)
    message = "is no directive that the image's NGINX knows"
    if near and directive.body is None:
        arguments = " ".join(_word(argument) for argument in directive.arguments)
        return Finding(directive, f"{message}; did you mean `{near[0]}`?", f"{near[0]} {arguments}".rstrip() + ";")
    return Finding(directive, message)


def _word(text: str) -> str:
    return (
        text if re.fullmatch(r"[^\s;{}\"'\\#]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _allowed(known: Known) -> str:
    if any(letter in form.contexts for form in known.forms for letter in "hslujix"):
        return f", but in {known.contexts}"
    if known.contexts:
        return f", but in {known.contexts}, which the program writes"
    return ""


# The values that NGINX's own types of values take (`ngx_conf_set_…_slot`).
_TIME = (
    r"(?=\d)(\d+y *)?(\d+M *)?(\d+w *)?(\d+d *)?(\d+h *)?(\d+m(?!s) *)?(\d+s *)?(\d+{last})?",
    "a time, such as 30s or 1h30m",
)
_VALUES: dict[str, tuple[str, str]] = {
    "flag": ("(?i:on|off)", "on or off"),
    "number": (r"\d{1,15}", "a whole number"),
    "size": (r"\d+[kKmM]?", "a size, such as 16k or 1m"),
    "offset": (r"\d+[kKmMgG]?", "a size, such as 16k, 10m or 1g"),
    "time": (_TIME[0].replace("{last}", "(ms)?"), _TIME[1]),
    "seconds": (_TIME[0].replace("{last}", ""), _TIME[1]),
}


def _value(directive: Directive, known: Known) -> str | None:
    arguments = directive.arguments
    if known.kind in _VALUES and arguments:
        pattern, wanted = _VALUES[known.kind]
        if not re.fullmatch(pattern, arguments[0]):
            return f"must be {wanted}, not `{arguments[0]}`"
        if known.kind == "number" and known.words:
            least, most = (int(word) for word in known.words)
            if not least <= int(arguments[0]) <= (most if most >= 0 else int(arguments[0])):
                return f"must be from {least} to {most}, not {arguments[0]}"
        return None
    if known.kind == "buffers":
        valid = re.fullmatch(r"0*[1-9]\d*", arguments[0]) and re.fullmatch(r"0*[1-9]\d*[kKmM]?", arguments[1])
        return None if valid else "must be a number and a size, such as 8 16k"
    if known.kind in {"enum", "mask"} and known.words:
        # NGINX compares those of an `enum` and of a `mask` alike, without regard to case.
        for argument in arguments:
            if argument.lower() not in {word.lower() for word in known.words}:
                return f"takes {', '.join(known.words)}, not `{argument}`"
    return None


_PATTERNS_FIRST = frozenset(
    {"rewrite", "if", "location", "server_name", "map", "valid_referers", "proxy_redirect", "proxy_cookie_path"}
    | {"proxy_cookie_domain", "proxy_cookie_flags", "fastcgi_split_path_info"}
    | {"otel_resource_attr", "otel_service_name", "otel_exporter"}
)


_COMPILED_LATER = frozenset(
    {"proxy_set_header", "grpc_set_header", "fastcgi_param", "scgi_param", "uwsgi_param", "log_format"}
)
"""Directives in which NGINX looks for variables when it has read all."""


def _dollar(directive: Directive, known: Known) -> str | None:
    has_variables = known.kind == "variables" or known.origin == "otel" or directive.name in _COMPILED_LATER
    if not has_variables or directive.name in _PATTERNS_FIRST:
        return None
    for argument in directive.arguments:
        if re.search(r"\$(?!\w|\{\w+\})", argument, re.ASCII):
            return f"must not have a `$` that begins no variable, as in `{argument}`: NGINX has no way to write one"
    return None


def _repeated(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], Directive] = {}
    for directive in inside:
        known = directives().get(directive.name)
        if known is None or (known.repeated and directive.name not in _UNIQUE):
            continue
        key = _location_key(directive) if directive.name == "location" else slot(directive)
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
    yield from _alone(inside)
    yield from _answers(inside)


def _alone(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    """`off`, beside which NGINX takes no other of the same name."""
    for directive in inside:
        others = [each for each in inside if each.name == directive.name and each is not directive]
        if directive.name in _OFF_ALONE and directive.arguments == ("off",) and others:
            yield Finding(directive, f"must not be off beside another `{directive.name}`, in line {others[0].line}")


_OFF_ALONE = frozenset({"proxy_redirect", "proxy_cookie_path", "proxy_cookie_domain", "proxy_cookie_flags"})


_UNIQUE = frozenset({"log_format", "upstream", "limit_req", "limit_conn", "location", "listen"})
"""Directives that NGINX takes several times, but once for each first argument."""


def _location_key(directive: Directive) -> tuple[str, ...]:
    """`location /a` and `location ^~ /a` are one to NGINX, `= /a` another; those with patterns are all their own."""
    modifier, path = location_of(directive)
    return ("location", "=" if modifier == "=" else "", path, "~" if modifier in {"~", "~*"} else "")


def location_of(directive: Directive) -> tuple[str, str]:
    """The modifier and the path of a `location`, which may be one word."""
    if len(directive.arguments) > 1:
        return directive.arguments[0], directive.arguments[1]
    found = re.match(r"(=|\^~|~\*|~)?(.*)", directive.arguments[0] if directive.arguments else "", re.S)
    return (found[1] or "", found[2]) if found else ("", "")


def _answers(inside: tuple[Directive, ...]) -> Iterator[Finding]:
    names = {directive.name for directive in inside}
    # A `rewrite … break` or a `break` in an `if` ends what NGINX carries out before it comes to a `return`.
    if names & {"rewrite", "if", "break"}:
        return
    answering = [directive for directive in inside if directive.name in ANSWERS]
    for directive in answering[1:]:
        if directive.name != answering[0].name or directive.name == "return":
            message = (
                f"must not stand beside `{answering[0].name}` in line {answering[0].line}: a location has one answer"
            )
            yield Finding(directive, message)


def _within(block: Directive, inner: str) -> Iterator[Finding]:
    """What a block makes impossible inside of it."""
    if block.name == "upstream" and not {each.name for each in block.inside} & {"server", "include", "state"}:
        yield Finding(block, "must have a `server`")
    modifier, path = location_of(block) if block.name == "location" else ("", "")
    for each in block.inside:
        if (
            each.name == "proxy_pass"
            and has_uri(each)
            and (inner in "jx" or modifier in {"~", "~*"} or path[:1] == "@")
        ):
            where = {"j": "an `if`", "x": "`limit_except`"}.get(inner, "a `location` with a pattern or a name")
            yield Finding(each, f"must not have a path in {where}: NGINX takes host and port alone there")
        if each.name == "alias" and path[:1] == "@":
            yield Finding(each, f"must not be in a location with a name: `root` may be in `{path}`")
        if each.name == "location" and block.name == "location":
            yield from _nested(block, each)


def _nested(outer: Directive, inner: Directive) -> Iterator[Finding]:
    modifier, path = location_of(outer)
    inner_modifier, inner_path = location_of(inner)
    message = outside_of(modifier, path, inner_modifier, inner_path)
    if message:
        yield Finding(inner, message)


def outside_of(modifier: str, path: str, inner_modifier: str, inner_path: str) -> str | None:
    """Why a location cannot be inside of another one; none if it can."""
    if modifier == "=":
        return f"must not be inside the exact location `{path}`"
    if path.startswith("@"):
        return f"must not be inside the named location `{path}`"
    if inner_path.startswith("@"):
        return "has a name, and NGINX takes it in `server` alone"
    if modifier not in {"~", "~*"} and inner_modifier not in {"~", "~*"} and not inner_path.startswith(path):
        return f"must begin with `{path}`, the location that it is in"
    return None


def has_uri(directive: Directive) -> bool:
    """Whether a `proxy_pass` has more than a host and a port."""
    url = directive.arguments[0] if directive.arguments else ""
    return "$" not in url and re.fullmatch(r"https?://[^/?#]*", url, re.I) is None


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
        return f"takes `always` as its third argument, not `{directive.arguments[2]}`: is a value without quotes?"
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


def _named(number: int, what: str) -> Callable[[Directive], str | None]:
    """The check that an argument is the name of a variable."""

    def check_name(directive: Directive) -> str | None:
        name = directive.arguments[number if number < len(directive.arguments) else -1]
        if re.fullmatch(r"\$\w+", name, re.ASCII):
            return None
        return f"must have the name of a variable, {what}, not `{name}`"

    return check_name


def _if(directive: Directive) -> str | None:
    words = list(directive.arguments)
    condition = " ".join(words)
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


def _zone(pattern: str, example: str) -> Callable[[Directive], str | None]:
    def check_zone(directive: Directive) -> str | None:
        if any(re.fullmatch(pattern, argument) for argument in directive.arguments):
            return None
        return f"must have {example}"

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


_CHECKS: dict[str, tuple[Callable[[Directive], str | None], ...]] = {
    "proxy_pass": (_proxy_pass,),
    "return": (_return,),
    "rewrite": (_rewrite,),
    "add_header": (_always,),
    "add_trailer": (_always,),
    "error_page": (_error_page,),
    "try_files": (_try_files,),
    "set": (_named(0, "such as $name"),),
    "auth_request_set": (_named(0, "such as $name"),),
    "map": (_named(1, "such as $name"), map_lines),
    "geo": (geo_lines,),
    "split_clients": (_named(1, "such as $name"), split_lines),
    "log_format": (_log_format,),
    "js_set": (_named(0, "such as $name"),),
    "if": (_if,),
    "location": (_location,),
    "listen": (_listen,),
    "server_name": (_server_name,),
    "limit_req_zone": (_zone(r"zone=[^:]+:\d+[kKmM]?", "a zone with its size, such as zone=name:10m"), _limit_req_zone),
    "limit_conn_zone": (_zone(r"zone=[^:]+:\d+[kKmM]?", "a zone with its size, such as zone=name:10m"),),
    "proxy_cache_path": (_zone(r"keys_zone=[^:]+:\d+[kKmM]?", "a zone with its size, such as keys_zone=name:10m"),),
    "fastcgi_cache_path": (_zone(r"keys_zone=[^:]+:\d+[kKmM]?", "a zone with its size, such as keys_zone=name:10m"),),
}


def flat(inside: Iterable[Directive]) -> Iterator[Directive]:
    """All directives, those in blocks too, but not the lines of tables such as `map`."""
    for directive in inside:
        yield directive
        if directive.name not in FREE_BLOCKS:
            yield from flat(directive.inside)
