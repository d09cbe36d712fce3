"""Tests what an unreachable Collector costs requests, and how long NGINX takes to end then.

This measures time, so nothing else runs meanwhile.
"""

import pytest

from tests.lab.measure.test_faults import durable as durable  # noqa: PLC0414 - a fixture
from tools.lab_stack import Stack
from tools.measure.faults import scenarios

NAMESPACE = "tracing-latency"


@pytest.mark.deep  # tests/module/test_outages.py: requests succeed without a receiver, at the same speed.
@pytest.mark.alone
def test_requests_do_not_notice_a_collector_that_cannot_be_reached_and_a_pod_ends_with_its_grace_period(
    durable: Stack,
) -> None:
    latency, end = scenarios.collector_unreachable(durable, seconds=5, turns=1)
    # A percentile of five seconds is noise: that it is no other order is what they can tell.
    assert latency.details["failed"] == 0
    assert float(latency.details["p99 while not, ms"]) < 10 * float(latency.details["p99 while reachable, ms"])
    assert end.met, f"{end.name}: {end.value}, the target is {end.target}"
