"""Tests the demo on loopback: three NGINX, the Collector and Tempo, with the program's documents."""

import contextlib
import hashlib
import secrets
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from components.documents.demo import PAUSE_PORT, demo_settings, expected_trace
from lab.build.targets import NGINX
from settings import Settings
from settings.demo import DEMO_PATH, DEMO_PORT, DEMO_SERVICES, FAILED_STATUS, SHOP, SLOW_MILLISECONDS, STOCK
from tests.module.nginx import Nginx
from tests.module.upstream import Dns, documented
from tests.otlp import free_port
from tests.readers.collectors import running
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS
from tools.probe.result import ExpectedTrace, Span
from tools.probe.trace import why_not_whole

SETTINGS = Settings.model_validate({"demo": {"enabled": True}})
EXPECTED = ExpectedTrace.model_validate(expected_trace(SETTINGS))
COUNT = 100
"""The requests of a round; our choice: a share of a tenth is then seen."""

SLOW = SLOW_MILLISECONDS / 1000
PATIENCE = 60
"""Seconds for an answer on a machine that builds something beside the tests; our choice."""

MILLISECOND = 0.001
"""NGINX counts in these."""


@dataclass
class Answered:
    """A request of a client, its answer, and its trace."""

    trace_id: str
    parent_id: str
    answer: httpx.Response
    spans: list[Span] = field(default_factory=list[Span])

    def seconds(self, service: str) -> float:
        """Returns the time of a service's request."""
        return next(span.duration_seconds for span in self.spans if (span.service, span.kind) == (service, "SERVER"))


@dataclass
class Stack:
    """The stack's NGINX, the demo behind it, and the Tempo that keeps their spans."""

    nginx: Nginx
    tempo: RunningTempo

    def get(self, trace_id: str, flags: str = "01") -> Answered:
        """Sends a request with a trace ID."""
        parent_id = secrets.token_hex(8)
        headers = {"traceparent": f"00-{trace_id}-{parent_id}-{flags}"}
        answer = httpx.get(self.nginx.url(DEMO_PATH), headers=headers, timeout=PATIENCE)
        return Answered(trace_id, parent_id, answer)

    def wait_for_trace(self, request: Answered) -> None:
        """Waits until Tempo has a request's whole trace."""

        def is_whole() -> bool:
            request.spans = self.tempo.spans(request.trace_id)
            return bool(request.spans) and why_not_whole(request.spans, EXPECTED, request.parent_id) is None

        wait_for(f"the whole trace of {request}", is_whole, seconds=PATIENCE)


@pytest.fixture(scope="module")
def stack(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Runs the stack."""
    folder = tmp_path_factory.mktemp("demo")
    services = {"nginx": SETTINGS.nginx} | demo_settings(SETTINGS)
    made = {name: Nginx(NGINX.folder, _made(folder / name), free_port()) for name in services}
    hosts = {name: f"{name}.tracing.svc.lab.test" for name in DEMO_SERVICES}
    moved = {f"{host}:{DEMO_PORT} ": f"{host}:{made[name].port} " for name, host in hosts.items()}
    moved[f":{PAUSE_PORT}"] = f":{free_port()}"
    dns = Dns({host: ["127.0.0.1"] for host in hosts.values()})
    with contextlib.ExitStack() as programs_to_end:
        programs_to_end.callback(dns.stop)
        run = programs_to_end.enter_context
        tempo = run(running_tempo(folder / "tempo"))
        collector = run(running(next(iter(LAB_COLLECTORS)), _made(folder / "collector"), backend=tempo.backend))
        endpoint = {"endpoint": f"127.0.0.1:{collector.grpc_port}"}
        for name, nginx in reversed(made.items()):
            exporter = services[name].exporter.model_copy(update=endpoint)
            run(documented(nginx, services[name].model_copy(update={"exporter": exporter}), dns=dns, moved=moved))
        stack = Stack(made["nginx"], tempo)
        wait_for("the demo", lambda: stack.get(secrets.token_hex(16)).answer.status_code in {200, FAILED_STATUS})
        yield stack


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def requests(stack: Stack) -> list[Answered]:
    """Sends requests, and returns them with their whole traces.

    The trace IDs are the same in each run of the tests, and so are the requests that wait and fail.
    """
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(COUNT)]
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(stack.get, ids))
    for request in made:
        stack.wait_for_trace(request)
    return made


def test_each_request_makes_a_whole_trace(requests: list[Answered]) -> None:
    assert {len(request.spans) for request in requests} == {EXPECTED.spans}
    assert {request.answer.status_code for request in requests} == {200, FAILED_STATUS}


def test_one_service_waits_for_some_requests_before_it_asks_the_next_one(requests: list[Answered]) -> None:
    waited = [each for each in requests if each.seconds(SHOP) - each.seconds(STOCK) >= SLOW - MILLISECOND]
    # A busy machine may make others slow too.
    assert 0.1 <= len(waited) / COUNT <= 0.4
    assert all(each.seconds("nginx") >= SLOW - MILLISECOND for each in waited)
    assert min(each.seconds("nginx") for each in requests) < SLOW / 4


def test_the_other_service_fails_some_requests_and_the_same_ones_again(stack: Stack, requests: list[Answered]) -> None:
    failed = [each for each in requests if each.answer.status_code == FAILED_STATUS]
    assert 0.05 <= len(failed) / COUNT <= 0.2
    assert {span.status for each in failed for span in each.spans} == {"ERROR"}
    assert {span.status for each in requests if each not in failed for span in each.spans} == {"UNSET"}
    assert failed[0].answer.text.startswith(f"{STOCK} fails 10 % of the requests")
    assert {stack.get(each.trace_id).answer.status_code for each in failed} == {FAILED_STATUS}


def test_a_request_that_the_client_does_not_sample_makes_no_span_anywhere(stack: Stack) -> None:
    unsampled = stack.get(secrets.token_hex(16), flags="00")
    assert unsampled.answer.status_code in {200, FAILED_STATUS}
    for _ in range(4):
        # Each of two workers of each NGINX exports its spans in their order.
        stack.wait_for_trace(stack.get(secrets.token_hex(16)))
    assert stack.tempo.spans(unsampled.trace_id) == []


def test_a_request_with_a_body_and_a_password_goes_through(stack: Stack) -> None:
    url, sent = stack.nginx.url(f"{DEMO_PATH}order?item=7"), "x" * 100_000
    answers = [httpx.post(url, content=sent, auth=("somebody", "secret"), timeout=PATIENCE) for _ in range(20)]
    assert {answer.status_code for answer in answers} <= {200, FAILED_STATUS}
    assert {answer.headers.get("www-authenticate") for answer in answers} == {None}
