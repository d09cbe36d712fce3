"""Tests what is lost under 200 requests a second while real processes fail. `make reliability` does it for longer.

The module of NGINX is the lab's stand-in, which connects, fails and waits as the official one does.
"""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.progress import Progress
from tests.lab.conftest import deploy, laid_out
from tests.processes import Shared
from tools.lab_stack import Stack
from tools.measure.faults import edited, scenarios
from tools.measure.results import Result
from tools.measure.traffic import send_for

NAMESPACE = "tracing-durable"


@pytest.fixture(scope="module")
def durable(
    lab: None, namespace: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Stack]:
    """Deploys a stack that is to lose nothing, and sends some requests before anything is measured."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build([VEGETA], Progress())
    # It has a larger share of the CPU than the stacks beside it, so that only the fault loses spans.
    with laid_out(tmp_path_factory.mktemp("durable") / "program", "durable", namespace, cpu="50m") as stack:
        stack.configure(scenarios.CONFIGURATION)
        outputs = deploy(stack)
        send_for(1, outputs["nginxUrl"], 20)
        yield stack


Measure = Callable[[], Result | list[Result]]
Check = Callable[[Measure], None]


@pytest.fixture
def check(shared: Shared) -> Check:
    """Returns a function that measures results and checks them."""

    def checked(measure: Measure) -> None:
        assert shared.what_goes_wrong(lambda: _missed(measure())) == ""

    return checked


def _missed(measured: Result | list[Result]) -> str:
    """Returns the results that miss their targets."""
    return "; ".join(
        f"{result.name}: {result.value}, the target is {result.target}; {result.details}"
        for result in (measured if isinstance(measured, list) else [measured])
        if not result.met
    )


@pytest.mark.deep  # The test below replaces NGINX's pods under requests, too.
def test_a_rollout_of_nginx_fails_no_request_and_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.nginx_rollout(durable))


def test_an_edit_of_an_upstream_fails_no_request_and_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: edited.upstream_edited(durable))


@pytest.mark.deep  # Pods of NGINX end under requests in the test above.
def test_a_drain_of_nginx_fails_no_request_and_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: edited.evicted(durable))


@pytest.mark.deep  # The same.
def test_fewer_pods_of_nginx_fail_no_request_and_lose_no_span(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.nginx_scale_down(durable))


@pytest.mark.deep  # tests/lab/test_versions.py replaces Collectors with full queues.
def test_a_rollout_of_the_collector_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.collector_rollout(durable))


@pytest.mark.deep  # tests/readers/test_collectors.py: what a killed Collector had answered for is on its volume.
def test_a_collector_that_is_killed_loses_what_it_was_not_given(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.collector_kill(durable))


@pytest.mark.deep  # tests/module/test_outages.py: the same messages, and the same waits of gRPC.
def test_without_a_collector_nginx_tells_each_failure_and_finds_one_again_within_grpc_s_waits(
    durable: Stack, check: Check
) -> None:
    check(lambda: scenarios.collectors_away(durable, seconds=3))


@pytest.mark.deep  # tests/lab/test_versions.py replaces Collectors with full queues.
def test_what_waits_for_tempo_outlives_the_collectors(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.collectors_with_full_queues(durable, seconds=5))


@pytest.mark.deep  # tests/lab/test_tempo_edge.py: Tempo is away for longer, and each span is found.
def test_a_tempo_that_is_away_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.tempo_down(durable, seconds=5))


@pytest.mark.deep  # In the test above Tempo is told to end, too.
def test_a_tempo_that_is_told_to_end_loses_no_span(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.tempo_stop(durable))


def test_a_tempo_that_is_killed_loses_what_was_not_on_its_disk(durable: Stack, check: Check) -> None:
    check(lambda: scenarios.tempo_kill(durable))
