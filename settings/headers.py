"""Types of headers that exporters send with each export."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from settings.nginx_syntax import quoted
from settings.types import TypeName, matching

SET_BY_GRPC = {
    "te": "gRPC sets it to `trailers` itself",
    "content-type": "gRPC sets it to `application/grpc` itself",
    "user-agent": "gRPC sets it itself",
    # Of one connection: RFC 9113, section 8.2.2, forbids them in HTTP/2.
    **dict.fromkeys(
        ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"),
        "HTTP/2, which gRPC uses, forbids headers of a single connection",
    ),
    # RFC 9113, section 8.3.1: a server should refuse a `Host` that differs from `:authority`.
    "host": "gRPC names the host itself, as `:authority`",
}
"""Headers that an export over gRPC cannot have, and why.

The first three are gRPC's own: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md, "Requests".
"""


def _not_of_http2(name: str) -> str:
    if name.startswith(":"):
        # RFC 9113, section 8.3.
        raise ValueError("must not be a pseudo-header of HTTP/2: the exporter sets those itself")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must not begin or end with white space: is there a line end in the file?")
    if not text.isascii() or not text.isprintable() or not text:
        raise ValueError("must be one line of printable ASCII characters")
    return value


def _nginx_header_value(value: SecretStr) -> SecretStr:
    quoted(value.get_secret_value())
    return value


def _header_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


HeaderName = Annotated[
    str,
    # Our choice: a Secret's key is the exporter's name and this one, and Kubernetes allows it 253 characters.
    Field(max_length=128),
    AfterValidator(_not_of_http2),
    # The user's own spelling is kept, because places and commands need it; `in_lower_case` gives what is sent.
    # gRPC keeps `grpc-` for itself and reads the value of `…-bin` as base64.
    matching(r"(?i:(?!grpc-)(?!.*-bin$)[a-z0-9][a-z0-9_.-]*)", "a header's name, not grpc-… and not …-bin"),
    TypeName("header"),
]
HeaderValue = Annotated[SecretStr, BeforeValidator(_header_text), AfterValidator(_header_value), TypeName("secret")]
NginxHeaderValue = Annotated[HeaderValue, AfterValidator(_nginx_header_value), TypeName("secret")]


def in_lower_case(headers: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    """Returns headers as they are sent: HTTP/2 demands names in lower case, however a vendor spells them."""
    return {name.lower(): value for name, value in headers.items()}
