"""Tests how `nginx -t` answers to errors in the module's directives."""

from pathlib import Path

import pytest

from tests.module.nginx import Nginx

EXPORTER = "otel_exporter { endpoint 127.0.0.1:4317; }"


@pytest.mark.parametrize(
    ("http", "message"),
    [
        ("otel_exporter { }", '"otel_exporter" requires "endpoint"'),
        ("otel_exporter { interval 1s; }", '"otel_exporter" requires "endpoint"'),
        (f"{EXPORTER} {EXPORTER}", '"otel_exporter" directive is duplicate'),
        ("otel_exporter { endpoint a:1; endpoint b:1; }", '"endpoint" directive of "otel_exporter" is duplicate'),
        ("otel_exporter { endpoint a:1; interval soon; }", '"interval" directive of "otel_exporter" invalid value'),
        ("otel_exporter { endpoint a:1; batch_size x; }", '"batch_size" directive of "otel_exporter" invalid value'),
        (
            "otel_exporter { endpoint; }",
            'invalid number of arguments in "endpoint" directive of "otel_exporter"',
        ),
        (
            "otel_exporter { endpoint a:1; header name; }",
            'invalid number of arguments in "header" directive of "otel_exporter"',
        ),
        ("otel_exporter { endpoint a:1; compression on; }", 'unknown directive "compression" in "otel_exporter"'),
        (
            'otel_exporter { endpoint a:1; header "a b" c; }',
            '"header" directive of "otel_exporter" has invalid header name',
        ),
        (
            "otel_exporter { endpoint a:1; header x-token-bin c; }",
            '"header" directive of "otel_exporter" has invalid header name',
        ),
        (
            'otel_exporter { endpoint a:1; header name "tab\\there"; }',
            '"header" directive of "otel_exporter" has invalid header value',
        ),
        ("otel_exporter { endpoint collector; }", 'invalid endpoint "collector" in "otel_exporter", not host:port'),
        (
            "otel_exporter { endpoint unix:/run/collector; }",
            'invalid endpoint "unix:/run/collector" in "otel_exporter", not host:port',
        ),
        ("server { otel_trace on; }", '"otel_exporter" block is missing'),
        (f"{EXPORTER} otel_trace on; otel_trace off;", '"otel_trace" directive is duplicate'),
        (f"{EXPORTER} otel_trace_context both;", 'invalid value "both"'),
        (f"{EXPORTER} otel_trace_context;", 'invalid number of arguments in "otel_trace_context" directive'),
        (f"server {{ {EXPORTER} }}", '"otel_exporter" directive is not allowed here'),
        ("server { otel_service_name x; }", '"otel_service_name" directive is not allowed here'),
        ("server { otel_resource_attr a b; }", '"otel_resource_attr" directive is not allowed here'),
        (f"{EXPORTER} otel_span_attr a;", 'invalid number of arguments in "otel_span_attr" directive'),
        (f"{EXPORTER} otel_span_attr a $missing;", 'unknown "missing" variable'),
    ],
)
def test_an_error_is_refused(stopped_nginx: Nginx, http: str, message: str) -> None:
    stopped_nginx.write(http)
    assert stopped_nginx.test() == message


@pytest.mark.parametrize(
    "http",
    [
        "",
        EXPORTER,
        "otel_exporter { endpoint http://collector.tracing.svc:4317; interval 500ms; batch_size 1; batch_count 1; }",
        'otel_exporter { endpoint HTTPS://collector:4317; header Authorization "Bearer x"; header authorization y; }',
        f"{EXPORTER} server {{ otel_trace $x; set $x 1; location / {{ otel_trace_context inject; }} }}",
        f"{EXPORTER} server {{ location / {{ otel_span_name $uri; otel_span_attr a b; otel_span_attr a $uri; }} }}",
    ],
)
def test_what_the_official_module_takes_is_taken(stopped_nginx: Nginx, http: str) -> None:
    stopped_nginx.write(http)
    assert stopped_nginx.test() == "ok"


def test_a_trusted_certificate_must_be_there_and_be_one(stopped_nginx: Nginx, tmp_path: Path) -> None:
    def refusal(name: str) -> str:
        stopped_nginx.write(f"otel_exporter {{ endpoint https://a:1; trusted_certificate {name}; }}")
        return stopped_nginx.test()

    assert refusal("missing.pem").startswith(f'failed to open "{tmp_path}/missing.pem": No such file or directory')
    (tmp_path / "empty.pem").write_text("no certificate")
    assert refusal("empty.pem") == f'failed to read "{tmp_path}/empty.pem": no certificate in it'
