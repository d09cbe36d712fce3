"""Sends the load steps: to this program's stack and to the baseline, and through an upstream."""

from collections.abc import Callable

from lab.stack import chosen_versions
from settings.versions.sets import DEFAULT
from tools.lab_stack import Stack
from tools.measure.baseline import deploy
from tools.measure.faults import scenarios
from tools.measure.faults.inject import scale
from tools.measure.load_steps import BASELINE, PROGRAM, RATES, freshness, load_steps
from tools.measure.results import Result
from tools.measure.upstream import answering

STEP_SECONDS = 60
UPSTREAM_RATES = (2000, 5000)
"""Our choice: requests that are proxied make twice as many spans."""


def beside_baseline(stack: Stack, show: Callable[[str], None]) -> list[Result]:
    """Measures this program's stack and, with the default set of versions, the baseline after it."""
    outputs = stack.outputs()
    results = load_steps(PROGRAM, outputs, rates=RATES, seconds=STEP_SECONDS, has_target=True, show=show)
    results.append(freshness(PROGRAM, outputs))
    if chosen_versions() != DEFAULT:
        return results
    for workload in (scenarios.NGINX, scenarios.COLLECTOR, scenarios.TEMPO):
        # Both stacks share two cores: the baseline gets them alone.
        scale(stack.namespace, workload, 0)
    with deploy.deployed() as urls:
        results += load_steps(BASELINE, urls, rates=RATES, seconds=STEP_SECONDS, has_target=False, show=show)
        results.append(freshness(BASELINE, urls))
    for workload, replicas in ((scenarios.TEMPO, 1), (scenarios.COLLECTOR, 2), (scenarios.NGINX, 2)):
        scale(stack.namespace, workload, replicas)
    return results


def through_upstream(stack: Stack, show: Callable[[str], None]) -> list[Result]:
    """Sends each step's requests to an application behind NGINX, so that each of them makes two spans."""
    with answering() as address:
        stack.configure({"nginx.routes[0].path": "/", "nginx.routes[0].upstream": address})
        try:
            stack.up()
            name = f"{PROGRAM}, each request proxied"
            return load_steps(
                name, stack.outputs(), rates=UPSTREAM_RATES, seconds=STEP_SECONDS, has_target=True, show=show
            )
        finally:
            stack.must("config", "rm", "--path", "nginx.routes")
            stack.up()
