"""Counts errors in the pods' logs."""

from tools.measure.log_errors import count

NGINX = "[pod/nginx-6c9f-x2/nginx] 2026/11/24 10:00:0{} [error] 7#7: OTel export failure: transport error: refused\n"
SERVED = '[pod/nginx-6c9f-x2/nginx] {"request":"GET /?level=error HTTP/1.1","status":200}\n'
TEMPO = '[pod/tempo-0/tempo] level=warn ts=2026-11-24T10:00:00Z caller=flush.go:240 msg="Abandoning op" op=0\n'
TEMPO_INFORMS = '[pod/tempo-0/tempo] level=info ts=2026-11-24T10:00:00Z caller=app.go:1 msg="Tempo started"\n'
COLLECTOR = (
    "[pod/otel-collector-0/otel-collector] 2026-11-24T10:00:00.000Z\twarn\tinternal/retry_sender.go:126\t"
    'Exporting failed.\t{"interval": "1s"}\n'
)


def test_each_error_is_counted_by_its_component_and_message() -> None:
    lines = {NGINX.format(1), NGINX.format(2), SERVED, TEMPO, TEMPO_INFORMS, COLLECTOR}
    assert count(lines) == {
        "nginx: OTel export failure: transport error: refused": 2,
        "tempo: Abandoning op": 1,
        "collector: Exporting failed.": 1,
    }
