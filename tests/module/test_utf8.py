"""Tests how the module sends text that is not UTF-8."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.module.conftest import Start
from tests.module.nginx import Nginx, exchange
from tests.otlp import Receiver
from tests.waiting import wait_for


@pytest.fixture
def raw_receiver() -> Generator[tuple[int, list[bytes]]]:
    """Runs a receiver that keeps exports as they came; returns its port, and the exports."""
    got: list[bytes] = []

    def export(message: bytes, _: grpc.ServicerContext) -> bytes:
        got.append(message)
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.trace.v1.TraceService",
        {"Export": grpc.unary_unary_rpc_method_handler(export)},
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, got
    server.stop(None).wait()


def test_text_that_is_not_utf_8_is_sent_as_it_is(stopped_nginx: Nginx, raw_receiver: tuple[int, list[bytes]]) -> None:
    port, got = raw_receiver
    stopped_nginx.write(
        f"otel_exporter {{ endpoint 127.0.0.1:{port}; interval 50ms; }} otel_trace on; otel_span_attr sent $http_sent;"
        f" server {{ listen 127.0.0.1:{stopped_nginx.port}; location / {{ return 200; }} }}"
    )
    stopped_nginx.start()
    head = b"GET /\xff HTTP/1.1\r\nHost: a\r\nUser-Agent: \xfe\r\nSent: \xfd\r\nConnection: close\r\n\r\n"
    assert exchange(stopped_nginx.port, head).startswith(b"HTTP/1.1 200")
    wait_for("an export", lambda: got)
    # A string's length goes before it.
    assert [text in got[0] for text in (b"\x02/\xff", b"\x01\xfe", b"\x01\xfd")] == [True] * 3


def test_a_strict_receiver_refuses_the_whole_batch_with_text_that_is_not_utf_8(
    start: Start, receiver: Receiver
) -> None:
    nginx = start(exporter="batch_size 2; batch_count 10;", interval="1h")
    nginx.get("/in-the-same-batch")
    assert exchange(nginx.port, b"GET /\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 200"
    )
    nginx.get("/in-the-next")
    nginx.stop()
    assert [span.attributes["http.target"] for span in receiver.spans] == ["/in-the-next"]
    assert nginx.log().count("OTel export failure") == 1
