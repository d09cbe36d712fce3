"""Causes faults in the real processes under 200 requests a second. `make reliability` does it for longer.

NGINX's module is the lab's stand-in, which connects, fails and waits as the official one does.
"""

from collections.abc import Generator
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.progress import Progress
from lab.stack import Stack
from tests.lab.conftest import answers
from tests.waiting import wait_for
from tools.measure.faults import edited, scenarios
from tools.measure.results import Result
from tools.measure.traffic import send_for


@pytest.fixture(scope="module")
def durable(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack that loses nothing, and sends traffic before anything is measured."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build([VEGETA], Progress())
    stack = Stack.lay_out(tmp_path_factory.mktemp("durable") / "program", "durable", "tracing-durable")
    stack.configure(scenarios.CONFIGURATION)
    try:
        stack.up()
        outputs = stack.outputs()
        for url in (outputs["nginxUrl"], f"{outputs['tempoUrl']}/ready"):
            wait_for(url, lambda url=url: answers(url), seconds=30)
        send_for(1, outputs["nginxUrl"], 20)
        yield stack
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")


def check(result: Result) -> None:
    assert result.met, f"{result.name}: {result.value}, the target is {result.target}; {result.details}"


def test_a_rollout_of_nginx_fails_no_request_and_loses_no_span(durable: Stack) -> None:
    for result in scenarios.nginx_rollout(durable):
        check(result)


def test_an_edit_of_an_upstream_fails_no_request_and_loses_no_span(durable: Stack) -> None:
    check(edited.upstream_edited(durable))


def test_a_drain_of_nginx_fails_no_request_and_loses_no_span(durable: Stack) -> None:
    check(edited.evicted(durable))


def test_fewer_pods_of_nginx_fail_no_request_and_lose_no_span(durable: Stack) -> None:
    check(scenarios.nginx_scale_down(durable))


def test_a_rollout_of_the_collector_loses_no_span(durable: Stack) -> None:
    check(scenarios.collector_rollout(durable))


def test_a_collector_that_is_killed_loses_what_it_was_not_given(durable: Stack) -> None:
    check(scenarios.collector_kill(durable))


def test_without_a_collector_nginx_tells_each_failure_and_finds_one_again_within_grpc_s_waits(durable: Stack) -> None:
    check(scenarios.collectors_away(durable, seconds=3))


def test_what_waits_for_tempo_outlives_the_collectors(durable: Stack) -> None:
    check(scenarios.collectors_with_full_queues(durable, seconds=5))


def test_a_tempo_that_is_away_loses_no_span(durable: Stack) -> None:
    check(scenarios.tempo_down(durable, seconds=5))


def test_a_tempo_that_is_told_to_end_loses_no_span(durable: Stack) -> None:
    check(scenarios.tempo_stop(durable))


def test_a_tempo_that_is_killed_loses_what_was_not_on_its_disk(durable: Stack) -> None:
    check(scenarios.tempo_kill(durable))


def test_requests_do_not_notice_a_collector_that_cannot_be_reached_and_a_pod_ends_with_its_grace_period(
    durable: Stack,
) -> None:
    latency, end = scenarios.collector_unreachable(durable, seconds=5, turns=1)
    # A percentile of five seconds is noise. It shows the order of magnitude only.
    assert latency.details["failed"] == 0
    assert float(latency.details["p99 while not, ms"]) < 10 * float(latency.details["p99 while reachable, ms"])
    check(end)
