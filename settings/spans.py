"""The largest span that a client can make NGINX send, computed from the configuration.

All sizes are bytes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from settings.nginx import NginxSettings
from settings.nginx_syntax import is_known_variable, uncommented, variables
from settings.nginx_tree import parse
from settings.sizes import (
    ANSWER_BUFFER,
    BODY_BUFFER,
    FIRST_HEAD_BUFFER,
    HEAD_BUFFER,
    HEAD_BUFFERS,
    KIB,
    MIB,
    SPAN_FRAME,
    STABLE_NAMES,
)
from settings.snippets.ours import METHOD_VARIABLE, UPSTREAM_ATTRIBUTE, UPSTREAM_TOLD
from settings.upstream_spans import has_upstreams

# Which text of the request a variable holds; each header is a text of its own.
_REQUEST_LINE = frozenset(
    {"request", "request_uri", "uri", "document_uri", "args", "query_string", "request_filename", "fastcgi_script_name"}
)
_OF_HEADERS = {
    "host": "http_host",
    "content_type": "http_content_type",
    "remote_user": "http_authorization",
    "proxy_add_x_forwarded_for": "http_x_forwarded_for",
}
_ANSWER_FAMILIES = ("sent_http_", "sent_trailer_", "upstream_http_", "upstream_cookie_", "upstream_trailer_")
_CERTIFICATE = 64 * KIB
"""The most that a client's certificate holds. Our choice."""

_SHORT = 256
"""The most that other variables hold: numbers, times, addresses, IDs. Our choice, above the longest of them."""

_OWN_TEXTS = ("request line", "http_user_agent")
"""Texts that the module itself writes into each span as `http.target` and `http.user_agent`.

It also writes `net.host.name`, which is the request's host unless `nginx.serverName` is set: see `largest_span`.
"""


@dataclass(frozen=True)
class Head:
    """How large the head of a request may be, in bytes."""

    line: int
    """The request line, or one header."""

    whole: int
    """The request line and all headers together."""


def head(nginx: NginxSettings) -> Head:
    """Returns the largest head that NGINX takes: its default, unless `extraConfig` sets another."""
    text = uncommented(f"{nginx.extra_config.http}\n{nginx.extra_config.server}").replace('"', "").replace("'", "")
    sizes = [
        (int(number), _nginx_size(size))
        for number, size in re.findall(r"\blarge_client_header_buffers\s+(\d+)\s+(\w+)\s*;", text)
    ] or [(HEAD_BUFFERS, HEAD_BUFFER)]
    first = max(map(_nginx_size, re.findall(r"\bclient_header_buffer_size\s+(\w+)\s*;", text)), default=0)
    first = first or FIRST_HEAD_BUFFER
    return Head(
        line=max(first, *(size for _, size in sizes)), whole=first + max(number * size for number, size in sizes)
    )


def _nginx_size(written: str) -> int:
    matched = re.fullmatch(r"(\d{1,9})([kKmM]?)", written)
    return int(matched[1]) * {"": 1, "k": KIB, "m": MIB}[matched[2].lower()] if matched else 0


def renamed_span(nginx: NginxSettings) -> int:
    """Returns the bytes of the largest span of NGINX that leaves the Collector with old names and stable ones."""
    own, of_request = _own_texts(nginx), head(nginx)
    return largest_span(nginx) + STABLE_NAMES + min(of_request.whole, len(own) * of_request.line)


def _own_texts(nginx: NginxSettings) -> list[str]:
    return [*_OWN_TEXTS] if nginx.server_name else [*_OWN_TEXTS, "http_host"]


def largest_span(nginx: NginxSettings) -> int:
    """Returns the bytes of the largest span that a client can make NGINX send."""
    of_all = nginx.span_attributes
    if nginx.upstream_spans is not False and has_upstreams(nginx):
        of_all = of_all | {UPSTREAM_ATTRIBUTE: UPSTREAM_TOLD}
    templates = [list(of_all.items())]
    for route in nginx.routes:
        attributes = of_all | route.span_attributes
        templates.append([*attributes.items(), ("", route.span_name or route.path)])
    written = uncommented(
        "\n".join((nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)))
    )
    # In a block they replace those of the block around it, so a span has at most all of them.
    snippets = re.findall(r"\botel_span_(?:attr\s+\S+|name)\s+([^;]+);", written)
    own = _own_texts(nginx)
    written = written.replace('"', "").replace("'", "")
    made = _Made(
        _texts_made(nginx), _buffer("client_body", written, BODY_BUFFER), _buffer(_PROXY, written, ANSWER_BUFFER)
    )
    return max(_span(head(nginx), own, [*texts, *(("", snippet) for snippet in snippets)], made) for texts in templates)


_PROXY = "(?:proxy|fastcgi|uwsgi|scgi|grpc|memcached)"


@dataclass(frozen=True)
class _Made:
    """The variables that snippets make, and the buffers that snippets set."""

    texts: Mapping[str, Sequence[str]]
    """The values that `set` and `map` give, by the variable."""

    body: int
    """`client_body_buffer_size`."""

    answer: int
    """The largest of `proxy_buffer_size` and its kin."""

    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """The sizes computed so far, by the variable."""


def _texts_made(nginx: NginxSettings) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for text in (nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)):
        for each in (inner for top in parse(text) for inner in (top, *top.all_inside())):
            values = [each.arguments[1]] if each.name == "set" and len(each.arguments) == 2 else []
            if each.name == "map" and len(each.arguments) == 2:
                values += [line.arguments[0] for line in each.inside if line.arguments]
            if values:
                name = each.arguments[0 if each.name == "set" else 1].removeprefix("$").lower()
                texts.setdefault(name, []).extend(values)
    return texts


def _buffer(kind: str, written: str, default: int) -> int:
    return max([default, *map(_nginx_size, re.findall(rf"\b{kind}_buffer_size\s+(\w+)\s*;", written))])


def _span(of_request: Head, own: Iterable[str], texts: Iterable[tuple[str, str]], made: _Made) -> int:
    literal, answers = 0, 0
    uses = Counter(own)
    for name, value in texts:
        literal += len(name.encode()) + len(value.encode())
        for variable in variables(value):
            source = _text_of_request(variable)
            if source:
                uses[source] += 1
            else:
                answers += _size_of(variable, of_request, made)
    # All texts, each used once, are no more than the whole head. A text that is used again comes on top.
    once = min(of_request.whole, sum(_of_request(source, of_request) for source in uses))
    again = sum(_of_request(source, of_request) * (times - 1) for source, times in uses.items())
    return SPAN_FRAME + literal + once + again + answers


def _text_of_request(variable: str) -> str | None:
    name = variable.lower()
    if name in _REQUEST_LINE or name.startswith("arg_"):
        return "request line"
    if name.startswith("cookie_"):
        return "http_cookie"
    return _OF_HEADERS.get(name) or (name if name.startswith("http_") else None)


def _of_request(source: str, of_request: Head) -> int:
    # NGINX joins several headers of one name; of these three it takes one alone.
    return of_request.line if source in {*_OWN_TEXTS, "http_host"} else of_request.whole


def _size_of(variable: str, of_request: Head, made: _Made) -> int:
    name = variable.lower()
    if name == "request_body":
        return made.body
    if name.startswith(_ANSWER_FAMILIES):
        return made.answer
    if name.startswith("ssl_client_") and "cert" in name:
        return _CERTIFICATE
    source = _text_of_request(variable)
    if source:
        return _of_request(source, of_request)
    is_short = is_known_variable(name) and not name.startswith("jwt_")
    if is_short or f"${name}" in {METHOD_VARIABLE, "$upstream_last", "$upstream_after"}:
        return _SHORT
    if name not in made.sizes:
        # A variable of a pattern, of another directive or of itself may hold any text of the request.
        made.sizes[name] = of_request.line
        texts = (
            len(text.encode()) + sum(_size_of(inner, of_request, made) for inner in variables(text))
            for text in made.texts.get(name, ())
        )
        made.sizes[name] = max([of_request.line, *texts])
    return made.sizes[name]
