"""Describes NGINX's directives: where each is allowed, with how many arguments, how often, with which values.

The table is `nginx_directives.txt`, which `python -m lab.build.directives` writes. This module adds what the table
lacks: which of two directives in the same block replaces the other.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from settings.nginx_tree import Directive

CONTEXTS = {
    "M": "main",
    "E": "events",
    "h": "http",
    "s": "server",
    "l": "location",
    "u": "upstream",
    "i": "if in server",
    "j": "if in location",
    "x": "limit_except",
}
"""The names of the letters in the table; `O` stands for all others."""

FREE_BLOCKS = frozenset(
    {"map", "num_map", "geo", "geoip2", "split_clients", "types", "match", "charset_map", "otel_exporter"}
    | {"oidc_provider", "mgmt"}
)
"""Blocks whose lines are not directives of the table."""

_INNER_CONTEXT = {"http": "h", "server": "s", "location": "l", "upstream": "u", "limit_except": "x"}


@dataclass(frozen=True)
class Form:
    """One meaning of a directive's name."""

    contexts: str
    arguments: str
    """The possible numbers of arguments, in the table's letters."""

    block: bool

    def takes(self, count: int) -> bool:
        """Tells whether it may have this number of arguments."""
        if self.arguments in {"*", "+", "++", "?"}:
            return count >= {"*": 0, "+": 1, "?": 1, "++": 2}[self.arguments]
        return str(count) in self.arguments or ("+" in self.arguments and count >= 1)

    @property
    def wanted(self) -> str:
        """Returns in words how many arguments it has."""
        words = {"*": "any number of arguments", "+": "one argument or more", "++": "two arguments or more"}
        if self.arguments in words:
            return words[self.arguments]
        numbers = sorted(set(self.arguments) - {"+"})
        if numbers == ["0"]:
            return "no argument"
        *first, last = numbers
        return f"{', '.join(first)}{' or ' if first else ''}{last} argument{'s' if last != '1' else ''}"


@dataclass(frozen=True)
class Known:
    """A directive of the table."""

    origin: str
    """`oss`, `later`, `plus`, `otel`, or the name of its module."""

    repeated: bool
    """Whether NGINX takes it more than once in a block."""

    kind: str
    """The type of its values: `flag`, `size`, …; `-` if it has rules of its own."""

    words: tuple[str, ...]
    """The values of an `enum` or `mask`."""

    forms: tuple[Form, ...]

    def forms_in(self, context: str) -> tuple[Form, ...]:
        """Returns its meanings in a context."""
        return tuple(form for form in self.forms if context in form.contexts)

    @property
    def contexts(self) -> str:
        """Returns the names of the contexts that it is allowed in."""
        letters = {letter for form in self.forms for letter in form.contexts}
        return ", ".join(f"`{name}`" for letter, name in CONTEXTS.items() if letter in letters)


@cache
def directives() -> dict[str, Known]:
    """Returns the table, by name."""
    lines = (Path(__file__).parent / "nginx_directives.txt").read_text().splitlines()
    return {line.split()[0]: _known(line) for line in lines if not line.startswith("#")}


def _known(line: str) -> Known:
    _, origin, often, kind, *forms = line.split()
    kind, _, words = kind.partition("=")
    return Known(origin, often == "many", kind, tuple(words.split(",")) if words else (), tuple(map(_form, forms)))


def _form(written: str) -> Form:
    contexts, arguments = written.split(":")
    return Form(contexts, arguments.removesuffix("{"), arguments.endswith("{"))


def inner_context(directive: Directive, around: str) -> str | None:
    """Returns the context inside a directive's block; none if its lines are not directives of the table."""
    if directive.name == "if":
        return "i" if around == "s" else "j"
    return _INNER_CONTEXT.get(directive.name)


# Directives that NGINX takes several times, each of which is complete by itself: one of theirs replaces all of ours.
_WHOLE = frozenset({"access_log", "error_log", "index", "server_name", "return", "ssl_session_cache"})

# The number of the argument that names what a directive sets, without regard to case: a header, an attribute, a format
# or a variable.
_KEYS = dict.fromkeys(
    ("proxy_set_header", "grpc_set_header", "add_header", "add_trailer", "fastcgi_param", "scgi_param", "uwsgi_param")
    + ("otel_span_attr", "otel_resource_attr", "log_format", "upstream", "limit_req", "limit_conn", "auth_request_set")
    + ("proxy_cookie_path", "proxy_cookie_domain", "proxy_cookie_flags", "proxy_redirect", "proxy_ssl_conf_command")
    + ("ssl_conf_command", "keyval_zone"),
    0,
) | {"map": 1, "split_clients": 1, "keyval": 1, "geo": -1}

_ALL_STAND = frozenset({"server", "location", "if", "types"})
"""Blocks that NGINX takes beside one another, even if they are alike."""

ANSWERS = frozenset(
    {"proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass", "tunnel_pass", "return"}
    | {"js_content", "perl", "stub_status", "empty_gif", "flv", "mp4", "hls", "f4f", "api", "status", "upstream_conf"}
)
"""Directives that answer all requests of a location: two of them in one location contradict each other."""

REWRITES = frozenset({"set", "if", "rewrite", "return", "break"})
"""Directives that NGINX carries out in the order in which they are written; inner blocks do not inherit them."""


def slot(directive: Directive) -> tuple[str, ...]:
    """Returns what a directive sets in its block: of two with the same slot, one replaces the other."""
    name, arguments = directive.name, directive.arguments
    known = directives().get(name)
    if name in {"root", "alias"}:
        return ("root",)
    if name in _WHOLE or (known and (not known.repeated or known.kind == "mask")):
        return (name,)
    if name == "listen" and arguments:
        return (name, listen_address(arguments[0]))
    number = _KEYS.get(name)
    if number is not None and -len(arguments) <= number < len(arguments):
        return (name, arguments[number].lower())
    return (name, *arguments)


def displaces(theirs: Directive, ours: Directive) -> bool:
    """Tells whether one of their directives leaves no use for one of ours in the same block."""
    if theirs.name in _ALL_STAND:
        return False
    if slot(theirs) == slot(ours):
        return True
    if theirs.name in ANSWERS and ours.name in ANSWERS | {"try_files"}:
        return True
    # NGINX carries out `return` before it looks for a file.
    return theirs.name == "try_files" and ours.name == "return"


def listen_address(written: str) -> str:
    """Returns an address of `listen` in one spelling, so that equal addresses compare equal."""
    if re.fullmatch(r"\d+", written):
        return f"*:{written}"
    if re.fullmatch(r"unix:.*", written):
        return written
    if not re.search(r":\d+$", written) or re.fullmatch(r"\[[^\]]*\]", written):
        # NGINX listens on port 80 if there is none.
        written = f"{written}:80"
    host, _, port = written.rpartition(":")
    return f"{'*' if host in {'*', '0.0.0.0'} else host.lower()}:{port}"  # noqa: S104 - compared, not listened on


def is_inherited_list(name: str) -> bool:
    """Tells whether a block inherits all directives of a name from around it, if it has none of them itself."""
    known = directives().get(name)
    if known is None or not known.repeated or known.kind == "mask" or name in _WHOLE | REWRITES:
        return False
    outside = any("h" in form.contexts or "s" in form.contexts for form in known.forms)
    return outside and any("l" in form.contexts and not form.block for form in known.forms) and name != "include"
