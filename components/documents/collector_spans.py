"""Builds the Collector's pipelines for NGINX's spans, with a span for the upstream's time."""

from components.documents import Document
from components.documents.collector_names import KNOWN_METHOD, OTHER_METHOD, names_processors
from settings.collector import CollectorSettings, SemanticConventions
from settings.limits import Exports
from settings.sampling import RATIO, WEIGHT
from settings.snippets.ours import UPSTREAM_ATTRIBUTE, UPSTREAM_PREFIX

FORK = "forward/upstreams"
"""The connector that passes every span to two pipelines: one keeps the SERVER span, the other makes the CLIENT span."""

SERVER, PROXIED, CLIENT = "transform/server", "filter/proxied", "transform/client"


def pipelines_of(
    settings: CollectorSettings, exports: Exports, common: Document, exporters: Document
) -> tuple[Document, Document]:
    """Returns the pipelines and all of their processors.

    The fork is behind sampling, which so decides for both spans of a pair at once, and behind the memory limiter, which
    so refuses both or none.

    Args:
        settings: what can be configured.
        exports: the exports that NGINX sends.
        common: the processors of all spans.
        exporters: the exporters.
    """
    renamed = names_processors(settings.semantic_conventions)
    if not exports.upstream_spans:
        processors = common | renamed
        whole = {"receivers": ["otlp"], "processors": list(processors), "exporters": list(exporters)}
        return {"traces": whole}, processors
    server, client = _server_processor() | renamed, _client_processors(settings.semantic_conventions)
    return {
        "traces": {"receivers": ["otlp"], "processors": list(common), "exporters": [FORK]},
        **{
            f"traces/{name}": {"receivers": [FORK], "processors": list(own), "exporters": list(exporters)}
            for name, own in {"server": server, "client": client}.items()
        },
    }, common | server | client


def _server_processor() -> Document:
    """Returns the processor of the SERVER span."""
    statements = [
        f'set(span.span_id.string, {_NEW_ID}) where {_TOLD} != ""',
        f'delete_key(span.attributes, "{UPSTREAM_ATTRIBUTE}")',
    ]
    return {SERVER: _transform((f"{_TOLD} != nil", statements))}


def _client_processors(conventions: SemanticConventions) -> Document:
    """Returns the processors that make the CLIENT span of a request that an upstream got, and drop all other spans.

    What NGINX tells is in `UPSTREAM_ATTRIBUTE`, whose parts `nginx.conf.j2` writes.
    """
    told = f'attributes["{UPSTREAM_ATTRIBUTE}"]'
    return {
        PROXIED: {"error_mode": "ignore", "traces": {"span": [f'{told} == nil or {told} == ""']}},
        CLIENT: _transform(
            (f'IsMatch({_TOLD}, ", | : ")', _last_try()),
            (f"{_TOLD} != nil", [*_identity(), *_times(), *_attributes(), *_outcome(conventions)]),
        ),
    }


_TOLD = f'span.attributes["{UPSTREAM_ATTRIBUTE}"]'
_NEW_ID = "Hex(FNV(span.span_id.string))"
"""The ID of the SERVER span, a function of the old one: a batch that is sent again makes no second pair.

The CLIENT span keeps the old one, which the upstream got in `traceparent`.
"""

_METHOD, _HOST, _PORT, _SERVICE, _AFTER, _PEER, _STATUS, _ANSWERED, _TOOK = (
    f'span.cache["told"][{number}]' for number in range(9)
)
"""The parts of `UPSTREAM_TOLD`."""

_SPLIT = f'set(span.cache["told"], Split({_TOLD}, "|"))'
_TRIES = 4
"""The tries whose times are added up; more last until the request's end. Our choice: OTTL has no loop."""

_HAS_MORE = f'span.attributes["http.request.resend_count"] >= {_TRIES}'
_CLOCKS = 2_000_000
"""The nanoseconds by which a time in milliseconds may differ from one that another clock measured."""


def _transform(*groups: tuple[str, list[str]]) -> Document:
    statements = [{"conditions": [condition], "statements": statements} for condition, statements in groups]
    # Not `ignore`, which writes a line for each statement: any application can send a span with the attribute.
    return {"error_mode": "silent", "trace_statements": statements}


def _last_try() -> list[str]:
    """Returns the statements that leave of several tries the last one, with the time of all of them."""
    times, took = 'span.cache["times"]', 'span.cache["took"]'
    lists = {"addresses": _PEER, "statuses": _STATUS, "times": _TOOK}
    last = {"peer": _PEER, "status": _STATUS, "answered": _ANSWERED}
    parts = ", ".join([_METHOD, _HOST, _PORT, _SERVICE, _AFTER, *(f'span.cache["{name}"]' for name in last), took])
    return [
        # NGINX writes ` : ` between the upstreams before and after an internal redirect.
        f'replace_pattern({_TOLD}, " : ", ", ")',
        _SPLIT,
        *(f'set(span.attributes["{UPSTREAM_ATTRIBUTE}.{name}"], {part})' for name, part in lists.items()),
        *(f'set(span.cache["{name}"], {part})' for name, part in last.items()),
        *(f'replace_pattern(span.cache["{name}"], "^.*, ", "")' for name in last),
        f'set({times}, Split({_TOOK}, ", "))',
        f'set(span.attributes["http.request.resend_count"], Len({times}) - 1)',
        f"set({took}, 0.0)",
        *(
            f"set({took}, {took} + Double({times}[{number}])) "
            f'where Len({times}) > {number} and {times}[{number}] != "-"'
            for number in range(_TRIES)
        ),
        f'set({_TOLD}, Concat([{parts}], "|"))',
    ]


def _identity() -> list[str]:
    return [
        _SPLIT,
        f"set(span.parent_span_id.string, {_NEW_ID})",
        "set(span.kind, SPAN_KIND_CLIENT)",
        # A name that `nginx.routes` tells, and so few different ones; none for an upstream of a snippet.
        f'set(span.name, Trim(Concat([{_METHOD}, {_HOST}], " ")))',
    ]


def _times() -> list[str]:
    """Returns the statements that set start and end within those of the SERVER span."""
    took, after = 'span.cache["took"]', 'span.cache["after"]'
    whole = "span.end_time_unix_nano - span.start_time_unix_nano"
    return [
        f"set({took}, 0)",
        f'set({took}, {_nanoseconds(_TOOK)}) where {_TOOK} != "-"',
        f"set({after}, {_nanoseconds(_AFTER)})",
        # Without a mark of its start, the whole request.
        f"set({after}, 0) where {_HAS_MORE} and {after} + {_CLOCKS} > {whole}",
        f"set({took}, {whole} - {after}) where {_HAS_MORE}",
        # NGINX measures the two times by different clocks, in milliseconds.
        f"set({took}, {whole}) where {took} > {whole}",
        # A snippet's upstream has no mark of its start: NGINX tells the time of the request's end.
        f"set({after}, {whole} - {took}) where {after} + {took} > {whole}",
        f"set(span.start_time_unix_nano, span.start_time_unix_nano + {after})",
        f"set(span.end_time_unix_nano, span.start_time_unix_nano + {took})",
    ]


def _nanoseconds(seconds: str) -> str:
    # Rounded: 0.029 times a thousand million is a little less than 29 million.
    return f"Int(Double({seconds}) * 1000000000.0 + 0.5)"


def _attributes() -> list[str]:
    kept = ["http.method", "http.status_code", "http.request.resend_count"]
    kept += [f"{UPSTREAM_ATTRIBUTE}.{name}" for name in ("addresses", "statuses", "times")]
    # Of the upstream's calls, too, only a share is known where requests are sampled.
    kept += [RATIO, WEIGHT]
    names = ", ".join(f'"{name}"' for name in kept)
    is_named = f'where {_HOST} != ""'
    method = 'span.attributes["http.method"]'
    is_other = f'{method} != nil and not IsMatch({method}, "{KNOWN_METHOD}")'
    return [
        f"keep_keys(span.attributes, [{names}])",
        # 0.165 sets an empty value for a missing one.
        f"{_set('http.request.method')} {method}) where {method} != nil",
        f"{_set('http.request.method_original')} {method}) where {is_other}",
        f'{_set("http.request.method")} "{OTHER_METHOD}") where {is_other}',
        f"{_set('server.address')} {_HOST}) {is_named}",
        f"{_set('server.port')} Int({_PORT})) {is_named}",
        # By this name Tempo's service graph has an upstream that sends no spans.
        f"{_set('peer.service')} {_SERVICE}) {is_named}",
        *_peer(),
    ]


def _peer() -> list[str]:
    address, bracketed = 'span.cache["address"]', 'span.cache["bracketed"]'
    # Without an address that it may ask NGINX tells the name of the `upstream` block.
    is_plain = f'where Len({address}) == 2 and {address}[0] != "unix" and not HasPrefix({_PEER}, "{UPSTREAM_PREFIX}")'
    is_socket = f'where HasPrefix({_PEER}, "unix:")'
    pattern = r"^\\[(?P<host>.+)\\]:(?P<port>[0-9]+)$"
    is_other = f'where {_HOST} == "" and span.attributes["network.peer.address"] != nil'
    return [
        f'set({address}, Split({_PEER}, ":"))',
        f"{_set('network.peer.address')} {address}[0]) {is_plain}",
        f"{_set('network.peer.port')} Int({address}[1])) {is_plain}",
        f"{_set('network.peer.address')} {_PEER}) {is_socket}",
        f'replace_pattern(span.attributes["network.peer.address"], "^unix:", "") {is_socket}',
        f'set({bracketed}, ExtractPatterns({_PEER}, "{pattern}")) where HasPrefix({_PEER}, "[")',
        f'{_set("network.peer.address")} {bracketed}["host"]) where {bracketed} != nil',
        f'{_set("network.peer.port")} Int({bracketed}["port"])) where {bracketed} != nil',
        *(
            f'{_set(f"server.{part}")} span.attributes["network.peer.{part}"]) {is_other}'
            for part in ("address", "port")
        ),
    ]


def _outcome(conventions: SemanticConventions) -> list[str]:
    """Returns the statements about the answer.

    `$upstream_status` has 502 or 504 of NGINX itself for an upstream that did not answer, but no time of an answer.
    """
    error, status = 'span.attributes["error.type"]', 'span.attributes["http.response.status_code"]'
    has_answered, final = f'{_ANSWERED} != "-"', 'span.attributes["http.status_code"]'
    # 499 is NGINX's status for a client that went away: NGINX then waits for no answer.
    is_unanswered = f'where {_ANSWERED} == "-" and {final} != 499'
    return [
        f"set({status}, Int({_STATUS})) where {has_answered}",
        f"set({error}, {_STATUS}) where {status} >= 400",
        f'set({error}, "no_answer") {is_unanswered}',
        f'set({error}, "timeout") {is_unanswered} and {_STATUS} == "504"',
        "set(span.status.code, STATUS_CODE_UNSET)",
        f"set(span.status.code, STATUS_CODE_ERROR) where {error} != nil",
        *_old_names(conventions, status, final),
    ]


def _old_names(conventions: SemanticConventions, status: str, final: str) -> list[str]:
    if conventions == "stable":
        return ['delete_key(span.attributes, "http.method")', 'delete_key(span.attributes, "http.status_code")']
    return [
        f"set({final}, {status}) where {status} != nil",
        f'delete_key(span.attributes, "http.status_code") where {status} == nil',
    ]


def _set(attribute: str) -> str:
    return f'set(span.attributes["{attribute}"],'
