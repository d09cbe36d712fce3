"""Checks the values of directives whose setters in NGINX's source have rules of their own.

`settings.snippets.kinds` checks values of the plain types, `settings.snippets.arguments` what arguments mean together.
"""

import re
import warnings
from collections.abc import Callable

from settings.nginx_tree import Directive
from settings.snippets.kinds import SECONDS, SIZE, TIME
from settings.types import is_address, is_host

PROXIES = ("proxy", "fastcgi", "uwsgi", "scgi")
"""The modules that have the same directives, each with its name before them."""

_UPSTREAMS = (*PROXIES, "grpc", "memcached")

_OF_EACH: dict[str, tuple[str, str]] = {
    "limit_rate": (rf"{SIZE}|.*\$.*", "a size, such as 500k, or a variable"),
    "limit_rate_after": (rf"{SIZE}|.*\$.*", "a size, such as 1m, or a variable"),
    "open_file_cache": (rf"off|max=\d+|inactive={SECONDS}", "off, or max=… and inactive=…"),
    "open_log_file_cache": (
        rf"off|max=\d+|inactive={SECONDS}|min_uses=\d+|valid={SECONDS}",
        "off, or max=…, inactive=… and so on",
    ),
    "ssl_session_cache": (r"off|none|builtin(:\d+)?|shared:[^:]+:\d+[kKmM]?", "off, none, builtin or shared:name:size"),
    "ssl_ocsp_cache": (r"off|shared:[^:]+:\d+[kKmM]?", "off or shared:name:size"),
    "ssl_certificate_cache": (
        rf"off|max=[1-9]\d*|inactive={SECONDS}|valid={SECONDS}",
        "off, or max=…, inactive=… and valid=…",
    ),
    "dav_access": ("(user|group|all):(r|w|rw)", "access rights, such as user:rw"),
    "aio": (r"on|off|threads(=.+)?", "on, off or threads"),
    "directio": (rf"off|{SIZE}", "off or a size"),
    "disable_symlinks": (r"off|on|if_not_owner|from=.+", "off, on or if_not_owner"),
    "expires": (rf"modified|epoch|max|off|@?-?({SECONDS})|.*\$.*", "a time, epoch, max or off"),
    "userid_expires": (rf"max|off|{SECONDS}", "a time, max or off"),
    # The module takes any other text, and makes no trace then.
    "otel_trace": (r"on|off|0|1|.*\$.*", "on, off or a variable"),
    "otel_trace_context": ("propagate|extract|inject|ignore", "propagate, extract, inject or ignore"),
    "limit_except": (
        "GET|HEAD|POST|PUT|DELETE|MKCOL|COPY|MOVE|OPTIONS|PROPFIND|PROPPATCH|LOCK|UNLOCK|PATCH",
        "methods, such as GET POST",
    ),
    "gzip_hash": ("512|(1|2|4|8|16|32|64|128)k", "512 or from 1k to 128k"),
    "gzip_window": ("512|(1|2|4|8|16|32)k", "512 or from 1k to 32k"),
    "valid_referers": (".+", "names, or none, blocked and server_names"),
    "keepalive_disable": ("none|msie6|safari", "none, msie6 or safari"),
    "limit_req": (r"zone=.+|burst=[1-9]\d*|nodelay|delay=\d+", "zone=…, burst=…, nodelay or delay=…"),
    "keepalive_timeout": (TIME, "times, such as 65s"),
    "userid_mark": ("off|[A-Za-z0-9=]", "off, a letter, a digit or `=`"),
    "http2_streams_index_size": ("1|2|4|8|16|32|64|128|256|512", "a power of two"),
}
_EACH = (
    _OF_EACH
    | {f"{proxy}_limit_rate": _OF_EACH["limit_rate"] for proxy in PROXIES}
    | {f"{proxy}_store_access": _OF_EACH["dav_access"] for proxy in PROXIES}
    | {f"{proxy}_ssl_certificate_cache": _OF_EACH["ssl_certificate_cache"] for proxy in ("proxy", "grpc", "uwsgi")}
)
"""The pattern of every argument of a directive, and what it takes in words."""

_OF_REST: dict[str, tuple[str, str]] = {
    "error_log": (
        "debug|info|notice|warn|error|crit|alert|emerg",
        "debug, info, notice, warn, error, crit, alert or emerg",
    ),
    "resolver": (
        rf"(ipv4|ipv6)=(on|off)|valid={SECONDS}|status_zone=.+|[\w.\[\]:-]+",
        "addresses, valid=…, ipv4=… or ipv6=…",
    ),
    "limit_conn": (r"[1-9]\d*", "a number of connections"),
    # The time in the header `Keep-Alive`, which has no smaller unit.
    "keepalive_timeout": (SECONDS, "a time in seconds or more for the header, such as 65s 60s"),
    "limit_req_zone": (r"zone=.+|rate=.+|sync", "zone=… and rate=…"),
    # The one in an `upstream`: that in `http` has no arguments.
    "server": (
        rf"(weight|max_conns|max_fails)=\d+|fail_timeout={SECONDS}|backup|down|resolve|service=.+|slow_start={TIME}|route=.+|drain",
        "weight=…, max_conns=…, max_fails=…, fail_timeout=…, backup, down, resolve and so on",
    ),
    "client_body_temp_path": ("[1-3]", "lengths of folders' names, from 1 to 3"),
    "proxy_cookie_flags": (
        r"(no)?(secure|httponly)|nosamesite|samesite(=(strict|lax|none))?|.*\$.*",
        "secure, httponly, samesite=… and so on",
    ),
    "proxy_cache_path": (
        r"(levels|keys_zone|inactive|max_size|min_free|manager_\w+|loader_\w+|purger\w*|use_temp_path)=.+",
        "levels=…, keys_zone=…, inactive=… and so on",
    ),
}
_REST = (
    _OF_REST
    | {f"{proxy}_temp_path": _OF_REST["client_body_temp_path"] for proxy in PROXIES}
    | {f"{proxy}_cache_path": _OF_REST["proxy_cache_path"] for proxy in PROXIES}
)
"""The pattern of every argument of a directive but the first, and what it takes in words."""


def bad_value(directive: Directive) -> str | None:
    """Returns the first error in a directive's values; none if there is none, or no check for it here."""
    arguments = directive.arguments
    for pattern, wanted, values in _patterns(directive):
        for value in values:
            if not re.fullmatch(pattern, value):
                return f"must have {wanted}, not `{value}`"
    own = _OWN.get(directive.name)
    return own(arguments) if own and arguments else None


def _patterns(directive: Directive) -> list[tuple[str, str, tuple[str, ...]]]:
    found: list[tuple[str, str, tuple[str, ...]]] = []
    if directive.name in _EACH:
        found.append((*_EACH[directive.name], directive.arguments))
    if directive.name in _REST:
        found.append((*_REST[directive.name], directive.arguments[1:]))
    return found


_PATTERN_FAULTS = (
    "missing ), unterminated",
    "unbalanced parenthesis",
    "unterminated character set",
    "nothing to repeat",
)


def bad_pattern(pattern: str) -> str | None:
    """Returns what is wrong with a pattern, if it is an error to Python and to PCRE alike; otherwise none."""
    try:
        with warnings.catch_warnings():
            # Python warns of what a later version may read in another way.
            warnings.simplefilter("ignore")
            re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern))
    except (re.error, OverflowError, RecursionError) as error:
        if any(fault in str(error) for fault in _PATTERN_FAULTS):
            return f"has an invalid pattern: {error} in `{pattern}`"
    return None


def _cache_valid(arguments: tuple[str, ...]) -> str | None:
    *codes, time = arguments
    if not re.fullmatch(SECONDS, time):
        return f"must end in a time, such as 10m, not in `{time}`"
    for code in codes:
        if not re.fullmatch(r"any|[1-5]\d\d", code):
            return f"must have status codes or `any` before its time, not `{code}`"
    return None


def is_network(written: str) -> bool:
    """Tells whether a text is an address, or a network with a number of bits or a mask."""
    address, slash, bits = written.partition("/")
    if not is_address(address) or (slash and not re.fullmatch(r"\d{1,3}|[\d.]+", bits)):
        return False
    return not bits.isdigit() or int(bits) <= (128 if ":" in address else 32)


def _network(arguments: tuple[str, ...]) -> str | None:
    is_valid = is_network(arguments[0]) or arguments[0] in {"all", "unix:"}
    return None if is_valid else f"must have an address or a network, not `{arguments[0]}`"


def _trusted(arguments: tuple[str, ...]) -> str | None:
    return None if is_host(arguments[0]) else _network(arguments)


def _resolver(arguments: tuple[str, ...]) -> str | None:
    host = re.sub(r":\d+$", "", arguments[0]) if not arguments[0].startswith("[") else "::1"
    return None if is_host(host) or "=" in arguments[0] else f"must have an address or a name, not `{arguments[0]}`"


def _bind(arguments: tuple[str, ...]) -> str | None:
    first, *rest = arguments
    if rest and rest != ["transparent"]:
        return f"takes `transparent` as its second argument, not `{rest[0]}`"
    if "$" in first or (first == "off" and not rest):
        return None
    is_bound = is_address(re.sub(r":\d+$", "", first).strip("[]")) or is_address(first)
    return None if is_bound else f"must have an address, not `{first}`"


def _one_is_off(*words: str) -> Callable[[tuple[str, ...]], str | None]:
    def check(arguments: tuple[str, ...]) -> str | None:
        if len(arguments) == 1 and arguments[0] not in words:
            return f"must have two arguments, or {' or '.join(words)} alone"
        return None

    return check


def stray_dollar(argument: str) -> str | None:
    """Returns an error if a text in which NGINX looks for variables has a `$` that begins none; otherwise none."""
    if re.search(r"\$(?!\w|\{\w+\})", argument, re.ASCII):
        return f"must not have a `$` that begins no variable, as in `{argument}`: NGINX has no way to write one"
    return None


def _expires(arguments: tuple[str, ...]) -> str | None:
    if len(arguments) == 2 and arguments[0] != "modified":
        return f"takes `modified` before a time, not `{arguments[0]}`"
    return None


def _referers(arguments: tuple[str, ...]) -> str | None:
    if set(arguments) <= {"none", "blocked"}:
        return "must have a name besides none and blocked"
    if len(set(arguments)) < len(arguments):
        return "has a name twice"
    return next((message for name in arguments if name.startswith("~") and (message := bad_pattern(name[1:]))), None)


def _sub_filter(arguments: tuple[str, ...]) -> str | None:
    return None if arguments[0] else "must have a text to look for"


def _limit(arguments: tuple[str, ...]) -> str | None:
    return None if any(each.startswith("zone=") for each in arguments) else "must have a zone, such as zone=name"


def _levels(arguments: tuple[str, ...]) -> str | None:
    for levels in (each.removeprefix("levels=") for each in arguments if each.startswith("levels=")):
        if not re.fullmatch(r"[12](:[12]){0,2}", levels):
            return f"must have one to three levels of 1 or 2 characters, such as levels=1:2, not `{levels}`"
    return None


def _pool(arguments: tuple[str, ...]) -> str | None:
    size = int(arguments[0].rstrip("kKmM")) * (1 if arguments[0].isdigit() else 1024)
    # `NGX_MIN_POOL_SIZE` on 64 bits, and `NGX_POOL_ALIGNMENT`.
    return None if size >= 112 and size % 16 == 0 else "must be at least 112, and a multiple of 16"


def _geo(arguments: tuple[str, ...]) -> str | None:
    message = next((name for name in arguments if not re.fullmatch(r"\$\w+", name, re.ASCII)), None)
    return f"must have names of variables, such as $name, not `{message}`" if message else None


def _modern(arguments: tuple[str, ...]) -> str | None:
    written = " ".join(arguments)
    is_one = re.fullmatch(r"unlisted|(msie|gecko|opera|safari|konqueror) \d+(\.\d+)*", written)
    return None if is_one else "must have a browser and its version, such as `gecko 1.0`, or unlisted"


def _split_path(arguments: tuple[str, ...]) -> str | None:
    captures = len(re.findall(r"(?<!\\)\((?!\?)", arguments[0]))
    return None if captures == 2 else "must have a pattern with two captures"


def _param(arguments: tuple[str, ...]) -> str | None:
    if len(arguments) == 3 and arguments[2] != "if_not_empty":
        return f"takes `if_not_empty` as its third argument, not `{arguments[2]}`"
    return None


_OF_OWN: dict[str, Callable[[tuple[str, ...]], str | None]] = {
    "limit_req": _limit,
    "allow": _network,
    "deny": _network,
    "set_real_ip_from": _trusted,
    "resolver": _resolver,
    "proxy_redirect": _one_is_off("off", "default"),
    "proxy_cookie_domain": _one_is_off("off"),
    "proxy_cookie_path": _one_is_off("off"),
    "expires": _expires,
    "sub_filter": _sub_filter,
    "modern_browser": _modern,
    "connection_pool_size": _pool,
    "request_pool_size": _pool,
    "valid_referers": _referers,
    "geo": _geo,
    "proxy_cookie_flags": _one_is_off("off"),
    "fastcgi_split_path_info": _split_path,
}
_OWN = (
    _OF_OWN
    | {f"{proxy}_cache_valid": _cache_valid for proxy in PROXIES}
    | {f"{proxy}_cache_path": _levels for proxy in PROXIES}
    | {f"{proxy}_bind": _bind for proxy in _UPSTREAMS}
    | {f"{proxy}_param": _param for proxy in PROXIES[1:]}
)
