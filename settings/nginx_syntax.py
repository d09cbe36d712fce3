"""Reads and quotes text in nginx.conf by NGINX's own rules (`ngx_conf_read_token` and NGINX's script compiler).

The checks of settings and the rendering of nginx.conf both use it: a text that passes the checks is written as it was
checked.
"""

import difflib
import re
from collections.abc import Iterable

MAXIMUM_BYTES = 4000
"""The longest parameter: NGINX reads its configuration through a buffer of 4096 bytes, which it must fit in."""

# The variables of every build of NGINX that this program runs, and those of the module.
VARIABLES = frozenset(
    """
    ancient_browser args binary_remote_addr body_bytes_sent bytes_sent connection connection_requests connection_time
    connections_active connections_reading connections_waiting connections_writing content_length content_type
    date_gmt date_local document_root document_uri fastcgi_path_info fastcgi_script_name gzip_ratio host hostname
    http2 http3 http_cookie http_host http_referer http_user_agent http_x_forwarded_for https invalid_referer
    is_args limit_conn_status limit_rate limit_req_status modern_browser msec msie nginx_version pid pipe
    proxy_add_x_forwarded_for
    proxy_host proxy_port proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr
    proxy_protocol_server_port query_string realip_remote_addr realip_remote_port realpath_root remote_addr
    remote_port remote_user request request_body request_body_file request_completion request_filename request_id
    request_length request_method request_time request_uri scheme secure_link secure_link_expires server_addr
    server_name server_port server_protocol slice_range ssl_alpn_protocol ssl_cipher ssl_ciphers ssl_client_cert
    ssl_client_escaped_cert ssl_client_fingerprint ssl_client_i_dn ssl_client_i_dn_legacy ssl_client_raw_cert
    ssl_client_s_dn ssl_client_s_dn_legacy ssl_client_serial
    ssl_client_v_end ssl_client_v_remain ssl_client_v_start ssl_client_verify ssl_curve ssl_curves ssl_early_data
    ssl_protocol ssl_server_name ssl_session_id ssl_session_reused status tcpinfo_rcv_space tcpinfo_rtt
    tcpinfo_rttvar tcpinfo_snd_cwnd time_iso8601 time_local uid_got uid_reset uid_set upstream_addr
    upstream_bytes_received upstream_bytes_sent upstream_cache_etag upstream_cache_last_modified
    upstream_cache_status upstream_connect_time upstream_header_time
    upstream_response_length upstream_response_time upstream_status uri
    otel_trace_id otel_span_id otel_parent_id otel_parent_sampled
    """.split()  # noqa: SIM905
)
# Prefixes of variables whose names the request completes.
FAMILIES = (
    "arg_",
    "cookie_",
    "http_",
    "proxy_protocol_tlv_",
    "sent_http_",
    "sent_trailer_",
    "upstream_cookie_",
    "upstream_http_",
    "upstream_trailer_",
)

# Variables that only NGINX Plus has.
PLUS_VARIABLES = frozenset({"session_log_id", "upstream_last_server_name", "upstream_queue_time"})
PLUS_FAMILIES = ("jwt_claim_", "jwt_header_")

# The tokens that NGINX reads (`ngx_conf_read_token`). Four characters are space. Within a word, quotes, `#`, `}` and
# the `{` of `${` have no meaning of their own.
TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<comment>\#[^\n]*)
    | (?P<mark>[{};])
    | (?P<quoted>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*')
    | (?P<word>(?:\\.|\$\{*|[^ \t\r\n{;\\])+ | \\)""",
    re.VERBOSE | re.DOTALL,
)

_REFERENCE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))?", re.ASCII)


def literal(text: str) -> str:
    """Checks text for a parameter in which NGINX looks for no variables.

    Raises:
        ValueError: NGINX cannot read it as one parameter.
    """
    quoted(text)
    return text


def template(text: str) -> str:
    """Checks text for a parameter in which NGINX replaces variables; `unknown_variable` checks which ones.

    Raises:
        ValueError: NGINX cannot read it as one parameter, or a `$` begins no variable.
    """
    if None in _names(text):
        raise ValueError("must not have a `$` that begins no variable: NGINX has no way to write one")
    quoted(text)
    return text


def unknown_variable(text: str, snippets: Iterable[str], *, plus: bool = False) -> str | None:
    """Returns the error about the first variable of a template that NGINX does not know; none if it knows all.

    Args:
        text: a valid template.
        snippets: directives that may make variables (`map`, `set`, `geo`): all variables that they name are known.
        plus: whether NGINX Plus reads it.
    """
    known = VARIABLES | PLUS_VARIABLES if plus else VARIABLES
    families = (*FAMILIES, *PLUS_FAMILIES) if plus else FAMILIES
    made = {name for directives in snippets for name in _names(uncommented(directives)) if name}
    for written in _names(text):
        # NGINX compares the names of variables without regard to case; its own are in lower case.
        name = written.lower() if written else None
        if name is None or name in known or name in made or _is_member(name, families):
            continue
        near = difflib.get_close_matches(name, sorted(made), n=1) or difflib.get_close_matches(name, sorted(known), n=1)
        meant = f"did you mean `${near[0]}`?" if near else "see nginx.org/en/docs/varindex.html"
        if name in PLUS_VARIABLES or _is_member(name, PLUS_FAMILIES):
            meant = "NGINX Plus alone has it"
        return f"must name variables that NGINX knows; `${written}` is none, {meant}"
    return None


def variables(text: str) -> list[str]:
    """Returns the variables of a template, in its order and as they are written there."""
    return [name for name in _names(text) if name]


def is_known_variable(name: str) -> bool:
    """Tells whether NGINX or NGINX Plus itself makes a variable, rather than a directive such as `map`."""
    lowered = name.lower()
    return lowered in VARIABLES | PLUS_VARIABLES or _is_member(lowered, (*FAMILIES, *PLUS_FAMILIES))


def _is_member(name: str, families: Iterable[str]) -> bool:
    return any(name.startswith(family) and name != family for family in families)


def uncommented(directives: str) -> str:
    """Returns directives without their comments."""
    return " ".join(token[0] for token in TOKEN.finditer(directives) if not token["comment"])


def _names(text: str) -> list[str | None]:
    """Returns the variables in a text; none for each `$` that begins no variable."""
    return [reference["braced"] or reference["plain"] for reference in _REFERENCE.finditer(text)]


def quoted(text: str) -> str:
    """Returns a text as one parameter of a directive.

    Raises:
        ValueError: it has characters that do not print, or is too long.
    """
    # NGINX takes line ends and tabs within quotes as they are.
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must be printable characters")
    # A backslash escapes itself and the quote; `{`, `}`, `;` and `#` have no meaning within quotes.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(escaped.encode()) > MAXIMUM_BYTES:
        raise ValueError(f"must be at most {MAXIMUM_BYTES} bytes, which NGINX can read as one parameter")
    return f'"{escaped}"'


def snippet(text: str) -> str:
    """Checks that directives which are written into a block as they are also end in that block.

    `settings.snippets` checks the directives themselves.

    Raises:
        ValueError: a quote, brace or directive is left open, or a brace closes the block around them.
    """
    depth, pending, quoted_before = 0, False, False
    for token in TOKEN.finditer(text):
        if not token["space"] and len(token[0].encode()) > MAXIMUM_BYTES:
            raise ValueError(f"must have no word and no comment of over {MAXIMUM_BYTES} bytes: NGINX cannot read it")
        if quoted_before and (token["quoted"] or (token["word"] and not token["word"].startswith(")"))):
            raise ValueError("must have a space after a word in quotes: NGINX takes nothing that follows at once")
        quoted_before = bool(token["quoted"])
        if token["word"]:
            if token["word"][0] in "\"'":
                raise ValueError(f"must close every quote: a {token['word'][0]} is left open")
            pending = True
        elif token["mark"] == "}":
            depth -= 1
            if depth < 0 or pending:
                raise ValueError("must not close a block that it did not open, nor one in the middle of a directive")
        elif token["mark"]:
            if not pending:
                raise ValueError(f"must have a directive before every `{token['mark']}`")
            depth += token["mark"] == "{"
            pending = False
        elif token["quoted"]:
            pending = True
    if depth:
        raise ValueError(
            "must close every block that it opens: a `}` is missing, or quotes around a pattern with a `{`"
        )
    if pending:
        raise ValueError("must be whole directives, each with its `;`")
    return text
