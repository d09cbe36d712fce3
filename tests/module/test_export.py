"""Tests how the module exports: in batches, without delay for a request, and with a log line about lost spans."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest

from settings import NginxSettings
from tests.module.conftest import Start
from tests.module.nginx import Nginx, dropped, requests
from tests.otlp import Receiver
from tests.waiting import wait_for


def test_a_full_batch_goes_with_the_span_after_it_and_the_rest_at_the_end(start: Start, receiver: Receiver) -> None:
    nginx = start(exporter="batch_size 10; batch_count 1000;", interval="1h")
    requests(nginx, 20)
    receiver.many(10)
    assert receiver.batches == [10]
    requests(nginx, 5)
    receiver.many(20)
    nginx.stop()
    assert receiver.batches == [10, 10, 5]


def test_headers_go_with_each_batch(start: Start, receiver: Receiver) -> None:
    start(exporter='header X-Scope-OrgID "a tenant"; header Authorization "Bearer x";').get()
    receiver.one()
    assert (receiver.metadata[0]["x-scope-orgid"], receiver.metadata[0]["authorization"]) == ("a tenant", "Bearer x")


def test_without_settings_a_batch_goes_after_five_seconds(stopped_nginx: Nginx, receiver: Receiver) -> None:
    stopped_nginx.write(
        f"otel_exporter {{ endpoint 127.0.0.1:{receiver.port}; }}"
        f" server {{ listen 127.0.0.1:{stopped_nginx.port}; otel_trace on; location / {{ return 200; }} }}"
    )
    before = time.monotonic()
    stopped_nginx.start()
    stopped_nginx.get()
    receiver.one()
    assert 4.9 < time.monotonic() - before < 8


def test_without_settings_four_batches_of_512_are_kept(start: Start, receiver: Receiver) -> None:
    nginx = start(exporter="", interval="1h")
    receiver.go_on.clear()
    requests(nginx, 4 * 512 + 1)
    wait_for("the drop", lambda: dropped(nginx) == 1)
    receiver.go_on.set()
    receiver.many(4 * 512)
    assert receiver.batches == [512] * 4


def test_a_batch_that_is_refused_is_not_sent_again(start: Start, receiver: Receiver) -> None:
    receiver.refusal = "short of memory"
    nginx = start()
    nginx.get("/refused")
    wait_for("the failure", lambda: re.search(r"\[error\].* OTel export failure: short of memory\n", nginx.log()))
    receiver.refusal = ""
    nginx.get("/taken")
    assert receiver.one().attributes["http.target"] == "/taken"
    assert receiver.refused == 1


def test_a_reload_brings_new_settings(start: Start, receiver: Receiver) -> None:
    nginx = start(http="otel_service_name before;")
    nginx.get()
    receiver.many(1)
    file = nginx.folder / "nginx.conf"
    file.write_text(file.read_text().replace("before", "after"))
    nginx.tell(signal.SIGHUP)
    wait_for("the reload", lambda: " exited with code 0" in nginx.log())
    nginx.get()
    assert [span.resource["service.name"] for span in receiver.many(2)] == ["before", "after"]


@pytest.fixture
def tls_receiver(certificates: Path) -> Generator[Receiver]:
    """Runs a receiver at localhost whose authority is in `ca.crt`."""
    pair = ((certificates / "localhost.key").read_bytes(), (certificates / "localhost.crt").read_bytes())
    made = Receiver(credentials=grpc.ssl_server_credentials([pair]))
    yield made
    made.stop()


@pytest.mark.parametrize(("trust", "found"), [("trusted_certificate ca.crt;", True), ("", False)])
def test_tls_demands_a_trusted_certificate(
    stopped_nginx: Nginx, tls_receiver: Receiver, trust: str, found: bool
) -> None:
    stopped_nginx.write(
        f"otel_exporter {{ endpoint https://localhost:{tls_receiver.port}; interval 50ms; {trust} }}"
        f" server {{ listen 127.0.0.1:{stopped_nginx.port}; otel_trace on; location / {{ return 200; }} }}"
    )
    stopped_nginx.start()
    stopped_nginx.get()
    if found:
        assert tls_receiver.one().name == "/"
    else:
        wait_for(
            "the failure", lambda: re.search(r"OTel export failure: .*certificate verify failed", stopped_nginx.log())
        )
        assert tls_receiver.spans == []


def test_each_interval_s_batch_takes_a_slot_full_or_not(start: Start, receiver: Receiver) -> None:
    nginx = start(exporter="batch_size 512; batch_count 4;", interval="100ms")
    receiver.go_on.clear()

    def drops() -> bool:
        requests(nginx, 1)
        return dropped(nginx) > 0

    # 2048 spans would fit if they came at once.
    wait_for("a drop", drops)
    receiver.go_on.set()
    nginx.stop()
    assert len(receiver.batches) <= 5
    assert len(receiver.spans) < 1000


def test_a_receiver_that_hangs_fills_the_buffer_and_every_drop_is_counted(start: Start, receiver: Receiver) -> None:
    nginx = start(exporter="batch_size 5; batch_count 4;", interval="1h")
    receiver.go_on.clear()
    sent = len(requests(nginx, 60))
    kept = 5 * 4

    def all_counted() -> bool:
        # The notice comes with a dropped span, and at most once a second.
        nonlocal sent
        if dropped(nginx) == sent - kept:
            return True
        time.sleep(0.3)
        sent += len(requests(nginx, 1))
        return dropped(nginx) == sent - kept

    wait_for("the count of dropped spans", all_counted)
    receiver.go_on.set()
    assert len(receiver.many(kept)) == kept


@pytest.mark.parametrize(("slots", "are_enough"), [(4, False), (NginxSettings().exporter.batch_count, True)])
def test_each_interval_takes_a_slot_of_the_buffer_however_few_spans_it_has(
    start: Start, receiver: Receiver, slots: int, are_enough: bool
) -> None:
    nginx = start(exporter=f"batch_size 512; batch_count {slots};", interval="20ms")
    receiver.go_on.clear()
    for _ in range(30):
        nginx.get()
        # Two intervals, so that the next span is in another batch.
        time.sleep(0.04)
    if are_enough:
        receiver.go_on.set()
        assert len(receiver.many(30)) == 30
    else:
        assert dropped(nginx) > 0
    receiver.go_on.set()


def test_a_collector_that_closes_idle_connections_loses_no_span(start: Start, receiver: Receiver) -> None:
    nginx = start(exporter="batch_size 1;")
    for number in range(5):
        nginx.get(f"/{number}")
        receiver.many(number + 1)
        receiver.stop()
        receiver.start()
    nginx.get("/last")
    wait_for("the last span", lambda: receiver.spans[-1].attributes["http.target"] == "/last" or None)


def test_a_collector_that_renews_its_connections_loses_no_span(start: Start, receiver: Receiver) -> None:
    receiver.stop()
    # Several connections in the time of the requests, and each long enough to open on a busy machine.
    receiver.connection_age = 300
    receiver.start()
    nginx = start(exporter="batch_size 1; batch_count 1000;")
    requests(nginx, 1000)
    nginx.stop()
    assert len(receiver.spans) == 1000, nginx.log()


@pytest.mark.parametrize("ending", [signal.SIGQUIT, signal.SIGTERM])
def test_an_exit_sends_what_is_left(start: Start, receiver: Receiver, ending: signal.Signals) -> None:
    nginx = start(interval="1h")
    requests(nginx, 30)
    assert receiver.spans == []
    nginx.stop(ending)
    assert len(receiver.spans) == 30


def test_an_exit_waits_for_a_receiver_that_hangs_until_it_answers(start: Start, receiver: Receiver) -> None:
    # In a pod, until the end of its grace period.
    nginx = start()
    receiver.go_on.clear()
    nginx.get()
    nginx.tell(signal.SIGQUIT)
    assert nginx.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        nginx.process.wait(3)
    receiver.go_on.set()
    nginx.process.wait(10)
    assert len(receiver.spans) == 1


def test_reloads_under_load_lose_no_span(start: Start, receiver: Receiver) -> None:
    nginx = start(workers=2)
    answered = 0
    stop = threading.Event()
    lock = threading.Lock()

    def load() -> None:
        nonlocal answered
        while not stop.is_set():
            # One connection for each: the worker that ends may close one that is kept.
            if httpx.get(nginx.url()).status_code == 200:
                with lock:
                    answered += 1

    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(load) for _ in range(2)]
        try:
            for number in range(1, 6):
                before = answered
                nginx.tell(signal.SIGHUP)
                wait_for("the reload", lambda n=number: nginx.log().count("gracefully shutting down") >= 2 * n)
                wait_for("requests after it", lambda before=before: answered > before + 20)
        finally:
            stop.set()
        for each in running:
            each.result()
    nginx.stop()
    assert len(receiver.spans) == answered
    assert dropped(nginx) == 0
    assert len({span.span_id for span in receiver.spans}) == answered
