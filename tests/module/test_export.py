"""Tests how the module exports: in batches, without delay for a request, and with a log line about lost spans."""

import contextlib
import re
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import httpx
import pytest

from settings import NginxSettings
from tests.module.conftest import Nginx, Start
from tests.otlp import Receiver, free_port
from tests.waiting import wait_for


def requests(nginx: Nginx, count: int) -> list[float]:
    """Sends requests over one connection; returns the seconds of each."""
    seconds: list[float] = []
    with httpx.Client() as client:
        for _ in range(count):
            began = time.monotonic()
            assert client.get(nginx.url()).status_code == 200
            seconds.append(time.monotonic() - began)
    return seconds


def dropped(nginx: Nginx) -> int:
    """Returns the last count of dropped spans in the log."""
    counts = re.findall(r"\[notice\].* OTel dropped records: (\d+)", nginx.log())
    return int(counts[-1]) if counts else 0


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


def test_a_receiver_that_is_down_costs_the_spans_but_no_request_and_is_found_again(
    start: Start, receiver: Receiver
) -> None:
    nginx = start()
    up = statistics.median(requests(nginx, 200))
    receiver.many(200)
    receiver.stop()
    down = statistics.median(requests(nginx, 200))
    wait_for("the failure", lambda: re.search(r"\[error\].*OTel export failure: .*Connection refused", nginx.log()))
    assert down < 3 * up + 0.001

    receiver.start()

    def arrives() -> bool:
        nginx.get("/again")
        return any(span.attributes["http.target"] == "/again" for span in receiver.spans)

    wait_for("a span after the outage", arrives)


@dataclass
class Stream:
    """Sends twenty requests a second, each with its number, from one client."""

    nginx: Nginx
    receiver: Receiver
    sent: dict[str, float] = field(default_factory=dict[str, float])
    """The time of each target's request."""

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with httpx.Client() as client:
            while not self._end.wait(0.05):
                target = f"/{len(self.sent)}"
                self.sent[target] = time.monotonic()
                assert client.get(self.nginx.url(target)).status_code == 200

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def found(self) -> set[str]:
        """Returns the targets of the spans that have arrived."""
        return {span.attributes["http.target"] for span in self.receiver.spans}

    def arrives_after(self, moment: float) -> bool:
        """Tells whether a span of a request after a time has arrived."""
        return any(self.sent[target] > moment for target in self.found())

    def lost(self) -> list[float]:
        """Returns the times of the requests whose spans never arrived."""
        found = self.found()
        return [moment for target, moment in self.sent.items() if target not in found]


@pytest.mark.parametrize(
    ("seconds", "earliest", "latest"),
    [(2, 0.1, 1.0), (12, 0.5, 6.9)],
    ids=["away for 2 s", "away for 12 s"],
)
def test_after_a_receiver_s_return_exports_fail_until_grpc_dials_again(
    start: Start, receiver: Receiver, seconds: float, earliest: float, latest: float
) -> None:
    # gRPC dials at 1, 2.6 ± 0.3, 5.2 ± 0.8, 9.3 ± 1.6 and 15.8 ± 3 s. With the official module, exports failed until
    # 0.6 s and 5 s after the return (measured).
    slack = 1.0
    nginx = start()
    with Stream(nginx, receiver) as stream:
        receiver.many(10)
        gone = time.monotonic()
        receiver.stop()
        time.sleep(seconds)  # The test is about the length of the absence.
        receiver.start()
        back = time.monotonic()
        wait_for("a span of a request after the return", lambda: stream.arrives_after(back), seconds=20)
        again = time.monotonic()
    nginx.stop()
    lost = stream.lost()
    assert earliest < lost[-1] - back < latest + slack
    # The module holds no span for a receiver that refuses connections: lost are those from its end to the last failure.
    meanwhile = [moment for moment in stream.sent.values() if gone + 0.1 < moment < lost[-1]]
    assert set(meanwhile) <= set(lost)
    assert not [moment for moment in lost if moment < gone - 0.2 or moment > again]
    failures = re.findall(r"\[error\].*OTel export failure: (.*)", nginx.log())
    assert any("failed to connect to all addresses" in each and "Connection refused" in each for each in failures)
    assert dropped(nginx) == 0


def test_an_nginx_that_starts_before_its_receiver_loses_its_first_spans(start: Start, receiver: Receiver) -> None:
    receiver.stop()
    nginx = start()
    with Stream(nginx, receiver) as stream:
        wait_for("the failure", lambda: "OTel export failure" in nginx.log())
        receiver.start()
        wait_for("a span", lambda: receiver.spans)
    nginx.stop()
    lost, began = stream.lost(), min(stream.sent.values())
    assert lost[0] == began
    # gRPC dials at 0, 1 and 2.6 ± 0.3 s, and the receiver started before the third.
    assert lost[-1] - began < 4


def test_a_port_that_accepts_and_closes_is_a_failure_that_is_waited_after(stopped_nginx: Nginx) -> None:
    # As a load balancer without a receiver: a connection counts only once its HTTP/2 settings have come.
    accepted: list[float] = []
    with socket.create_server(("127.0.0.1", free_port())) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()
                    accepted.append(time.monotonic())

        thread = threading.Thread(target=accept)
        thread.start()
        stopped_nginx.write(
            f"otel_exporter {{ endpoint 127.0.0.1:{server.getsockname()[1]}; interval 50ms; }} otel_trace on;"
            f" server {{ listen 127.0.0.1:{stopped_nginx.port}; location / {{ return 200; }} }}"
        )
        stopped_nginx.start()

        def dialled() -> bool:
            stopped_nginx.get()
            return len(accepted) >= 3

        wait_for("three connections", dialled)
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert accepted[1] - accepted[0] > 0.9
    assert accepted[2] - accepted[1] > 1.2


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
    receiver.connection_age = 50
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
