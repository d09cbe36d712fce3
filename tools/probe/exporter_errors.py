"""Explains the errors of exporters in the Collector's log, with what to do about them.

A receiver's answer may repeat what it was sent, such as a token. So the probe shows only the texts of this table, which
Go's and the Collector's own code write, and the names of codes: never the rest of a line.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_NAMES = ("otelcol.component.id", "name")
"""The fields of a line that name the exporter: since version 0.126, and before."""

_FAILED = "Exporting failed"
_OWN = "tempo"
"""The exporter to the stack's own Tempo; no other exporter may have its name."""

_FOLLOWS = "sending queue is full|interrupted due to shutdown"
"""Texts of lines that follow from the error of another line."""


@dataclass(frozen=True)
class _Known:
    text: str
    """Regular expression of the part of the line that is shown."""

    meaning: str
    """The error and what to do; `{at}` is the exporter's place in the configuration."""


# The texts are those of Collector 0.126 with gRPC 1.72 and of Collector 0.160 with gRPC 1.83. Each was caused once on
# purpose: see the test. More specific texts come first.
_PLAIN = "the receiver speaks plain text, and the Collector TLS: `pulumi config set --path {at}.tls.enabled false`"
_WRONG_PROTOCOL = "gRPC is sent to a port for HTTP, or to a proxy: use the port for OTLP/gRPC, usually 4317, or " + (
    "`protocol: http` with a URL"
)
_TABLE = (
    _Known(r"tls: first record does not look like a TLS handshake", _PLAIN),
    _Known(r"http: server gave HTTP response to HTTPS client", f"{_PLAIN}, and an endpoint with http://"),
    _Known(
        r"remote error: tls: (certificate required|bad certificate|unknown certificate authority|unknown certificate)",
        "the receiver asks for another client certificate: see `{at}.tls.clientCertificate`",
    ),
    _Known(r"remote error: tls: [a-z ]+", "the receiver refuses the TLS connection: its own log says why"),
    _Known(
        r"error reading server preface: EOF|connection reset by peer|broken pipe",
        "the receiver closes the connection at once: it speaks TLS (`pulumi config set --path {at}.tls.enabled "
        "true`) or, with TLS, asks for a client certificate (`{at}.tls.clientCertificate`)",
    ),
    _Known(r"error reading server preface: (http2: frame too large)", _WRONG_PROTOCOL),
    _Known(r"note that the frame header looked like an HTTP/1.1 header", _WRONG_PROTOCOL),
    _Known(r"unexpected HTTP status code received from server: \d{3}", _WRONG_PROTOCOL),
    _Known(
        r"malformed HTTP response|readfrom tcp \S+ write tcp \S+ use of closed network connection",
        "HTTP is sent to a port for gRPC: use the port for OTLP/HTTP, usually 4318, or `protocol: grpc`",
    ),
    _Known(
        r"x509: certificate signed by unknown authority",
        "set the authority of the receiver's certificate as `{at}.tls.caBundle`",
    ),
    _Known(
        r"x509: certificate is (valid for|not valid for any names)",
        "the receiver's certificate is for another host: set that host as `{at}.tls.serverName`",
    ),
    _Known(
        r"x509: cannot validate certificate for \S+ because it doesn't contain any IP SANs",
        "the receiver's certificate has no IP address: set the host that it is for as `{at}.tls.serverName`",
    ),
    _Known(r"x509: certificate has expired or is not yet valid", "the receiver needs a new certificate"),
    _Known(
        r"connect: connection refused",
        "nothing listens there: is it the host and the port? OTLP/gRPC is usually 4317, OTLP/HTTP 4318",
    ),
    _Known(
        r"no such host|server misbehaving|produced zero addresses|no children to pick from",
        "the name is unknown: a Service of another namespace is <name>.<namespace>.svc",
    ),
    _Known(r"connect: (no route to host|network is unreachable)", "the cluster has no route to it"),
    _Known(
        r"message larger than max|HTTP Status Code 413",
        "the receiver rejects messages of this size, and their spans are lost: lower `collector.batch.size`, or raise "
        "the receiver's limit",
    ),
    _Known(
        r"proxyconnect|failed to do connect handshake|Proxy Authentication Required",
        "the proxy of `collector.proxy` does not let the Collector through",
    ),
    _Known(
        r"code = Unauthenticated|HTTP Status Code 401",
        "the receiver does not know the sender: is the secret in `{at}.headers` the right one?",
    ),
    _Known(
        r"code = PermissionDenied|HTTP Status Code 403",
        "the receiver does not accept spans from this sender: is the secret in `{at}.headers` the right one?",
    ),
    _Known(
        r"HTTP Status Code (404|405)",
        "there is no receiver at the path of `{at}.endpoint`, to which the Collector adds /v1/traces",
    ),
    _Known(r"code = Unimplemented", "the server there does not accept OTLP/gRPC"),
    _Known(r"HTTP Status Code 400", "the receiver does not understand the request: does it speak TLS?"),
    _Known(r"code = ResourceExhausted|HTTP Status Code 429", "the receiver asks to send less"),
    _Known(r"HTTP Status Code \d{3}", "the receiver rejects the request"),
    _Known(
        r"context deadline exceeded|i/o timeout|Client\.Timeout exceeded",
        "no answer: does a firewall or a NetworkPolicy block it? If a proxy is needed, set `collector.proxy`; a proxy "
        "that is set has to answer, too",
    ),
    _Known(r"code = \w+", "the receiver rejects the request"),
)


def told_by(line: str) -> tuple[str, str] | None:
    """Returns the exporter that a line of the Collector's log is about, and its error explained; None for others."""
    if _FAILED not in line:
        return None
    fields = re.search(r"\{.*\}\s*$", line)
    try:
        told: dict[str, Any] = json.loads(fields[0]) if fields else {}
    except ValueError:
        return None
    exporter = next((told[name] for name in _NAMES if isinstance(told.get(name), str)), None)
    error = told.get("error")
    if not exporter or not isinstance(error, str) or re.search(_FOLLOWS, error):
        return None
    return exporter, explained(exporter, error)


def explained(exporter: str, error: str) -> str:
    """Returns the known part of an error's text and its meaning; none of the text where no part is known."""
    name = exporter.rpartition("/")[2]
    # An exporter of another type than OTLP is the one to the second tier of Collectors.
    is_own = name == _OWN or not exporter.startswith("otlp")
    for known in _TABLE:
        if found := re.search(known.text, error):
            shown = f"“{found[0]}”"
            # The program wires the stack's own parts: there is nothing to configure, and it may just be restarting.
            return shown if is_own else f"{shown}: {known.meaning.format(at=f'collector.exporters.{name}')}"
    return "its log says why"
