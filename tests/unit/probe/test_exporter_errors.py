"""Lines of the Collector's log, and their explanations."""

import json
from typing import Any

import pytest

from tools.probe.exporter_errors import told_by

_UNAVAILABLE = 'rpc error: code = Unavailable desc = connection error: desc = "{}"'
PLAIN_TEXT = _UNAVAILABLE.format(
    "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"
)
_HANDSHAKE = "transport: authentication handshake failed: tls: failed to verify certificate: x509: {}"
_POSTED = 'failed to make an HTTP request: Post "https://vendor.example:4318/v1/traces": {}'
_ANSWERED = (
    "not retryable error: Permanent error: rpc error: code = {} desc = error exporting items, request to "
    "http://vendor.example:4318/v1/traces responded with HTTP Status Code {}"
)


def line_of(exporter: str, error: str, how: str = "Exporting failed. Will retry the request after interval.") -> str:
    """A line as Collector 0.126 writes it."""
    fields: dict[str, Any] = {
        "resource": {},
        "otelcol.component.id": exporter,
        "otelcol.component.kind": "exporter",
        "otelcol.signal": "traces",
        "error": error,
        "interval": "1.006832326s",
    }
    return f"2026-11-26T04:01:46.131Z\tinfo\tinternal/retry_sender.go:133\t{how}\t{json.dumps(fields)}"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PLAIN_TEXT, "pulumi config set --path collector.exporters.vendor.tls.enabled false"),
        (_POSTED.format("http: server gave HTTP response to HTTPS client"), "plain text"),
        (_UNAVAILABLE.format("error reading server preface: EOF"), "tls.enabled true"),
        (
            _UNAVAILABLE.format("error reading server preface: remote error: tls: certificate required"),
            "collector.exporters.vendor.tls.clientCertificate",
        ),
        (_UNAVAILABLE.format("error reading server preface: http2: frame too large"), "`protocol: http`"),
        (
            _UNAVAILABLE.format(
                "error reading server preface: http2: failed reading the frame payload: %!w(<nil>), note that the "
                "frame header looked like an HTTP/1.1 header"
            ),
            "`protocol: http`",
        ),
        (
            _POSTED.format(
                "readfrom tcp 127.0.0.1:5->127.0.0.1:4317: write tcp 127.0.0.1:5->127.0.0.1:4317: use of closed "
                "network connection"
            ),
            "`protocol: grpc`",
        ),
        (
            _POSTED.format('net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x00\\x00"'),
            "`protocol: grpc`",
        ),
        (_UNAVAILABLE.format(_HANDSHAKE.format("certificate signed by unknown authority")), "tls.caBundle"),
        (
            _UNAVAILABLE.format(_HANDSHAKE.format("certificate is valid for otlp.example, not localhost")),
            "tls.serverName",
        ),
        (
            _POSTED.format(
                "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't "
                "contain any IP SANs"
            ),
            "tls.serverName",
        ),
        (
            _UNAVAILABLE.format(_HANDSHAKE.format("certificate has expired or is not yet valid: current time 2026")),
            "new certificate",
        ),
        (
            _UNAVAILABLE.format("transport: Error while dialing: dial tcp 10.0.0.1:4317: connect: connection refused"),
            "nothing listens there",
        ),
        (
            _UNAVAILABLE.format("transport: Error while dialing: dial tcp: lookup tempo on 10.0.0.10:53: no such host"),
            "<name>.<namespace>.svc",
        ),
        (
            _UNAVAILABLE.format(
                "transport: Error while dialing: dial tcp: lookup a.b on 10.0.0.10:53: server misbehaving"
            ),
            "the name is unknown",
        ),
        ("rpc error: code = Unavailable desc = write tcp 1->2: write: broken pipe", "clientCertificate"),
        ("rpc error: code = Unavailable desc = name resolver error: produced zero addresses", "the name is unknown"),
        # Of Collector 0.160, whose gRPC picks among the addresses of a name.
        ("rpc error: code = Unavailable desc = no children to pick from", "the name is unknown"),
        (
            _UNAVAILABLE.format(
                "transport: authentication handshake failed: remote error: tls: protocol version not supported"
            ),
            "“remote error: tls: protocol version not supported”",
        ),
        (
            _UNAVAILABLE.format("error reading server preface: read tcp 1->2: read: connection reset by peer"),
            "clientCert",
        ),
        (
            "not retryable error: Permanent error: rpc error: code = ResourceExhausted desc = grpc: received message "
            "larger than max (5144072 vs. 4194304)",
            "collector.batch.size",
        ),
        (_ANSWERED.format("Unauthenticated", 401), "collector.exporters.vendor.headers"),
        (_ANSWERED.format("PermissionDenied", 403), "collector.exporters.vendor.headers"),
        (_ANSWERED.format("Unimplemented", 404), "/v1/traces"),
        (_ANSWERED.format("Unknown", 405), "/v1/traces"),
        (_ANSWERED.format("Unknown", 413), "collector.batch.size"),
        (_ANSWERED.format("ResourceExhausted", 429), "send less"),
        (_ANSWERED.format("InvalidArgument", 400), "does it speak TLS?"),
        (_ANSWERED.format("Unknown", 500), "“HTTP Status Code 500”"),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded while waiting for connections to "
            "become ready",
            "`collector.proxy`",
        ),
        (
            _UNAVAILABLE.format("transport: failed to do connect handshake, response: HTTP/1.1 407"),
            "`collector.proxy`",
        ),
        ("rpc error: code = Unknown desc = something new", "“code = Unknown”"),
        ("something new", "its log says why"),
    ],
)
def test_an_error_is_told_with_what_to_do_about_it(error: str, told: str) -> None:
    told_of = told_by(line_of("otlp/vendor", error))
    assert told_of is not None
    exporter, said = told_of
    assert exporter == "otlp/vendor"
    assert told in said


@pytest.mark.parametrize("code", ["Unauthenticated", "PermissionDenied", "InvalidArgument", "Unavailable", "Internal"])
def test_what_a_receiver_answers_is_never_shown_because_it_may_repeat_a_secret(code: str) -> None:
    told = told_by(line_of("otlp/vendor", f"rpc error: code = {code} desc = token canary-header is unknown"))
    assert told is not None
    assert code in told[1]
    assert "canary" not in told[1]


@pytest.mark.parametrize("error", ["error reading server preface: EOF", "dial tcp 1: connect: connection refused"])
def test_of_the_stack_s_own_tempo_no_key_is_named_because_it_has_none(error: str) -> None:
    for exporter in ("otlp/tempo", "otlp_grpc/tempo"):
        told = told_by(line_of(exporter, _UNAVAILABLE.format(error)))
        assert told == (exporter, f"“{error.rpartition('1: ')[2]}”")


def test_of_what_spans_were_dropped_for_is_told_as_well() -> None:
    told = told_by(line_of("otlphttp/vendor", "no route to host", "Exporting failed. Dropping data."))
    assert told == ("otlphttp/vendor", "its log says why")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-26T04:01:46Z\tinfo\tservice.go:289\tEverything is ready. Begin running and processing data.\t{}",
        "Exporting failed.",
        "Exporting failed. {",
        'Exporting failed. {"otelcol.component.id": 1, "error": "x"}',
        line_of("otlp/vendor", "sending queue is full", "Exporting failed. Rejecting data."),
        'Exporting failed. {"otelcol.component.id": "otlp/a", "error": {"x": 1}}',
    ],
)
def test_other_lines_tell_nothing(line: str) -> None:
    assert told_by(line) is None
