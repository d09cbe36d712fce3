"""Measures NGINX's CPU time by the rate of requests, each of which an upstream outside of the lab answers.

`python -m tools size` computes with these figures.
"""

from collections.abc import Callable
from pathlib import Path

from settings.sizes import WORKERS
from tools.lab_stack import Stack
from tools.measure.cost.processes import usage, wait_until_idle
from tools.measure.results import Result
from tools.measure.traffic import send_for
from tools.measure.upstream import answering

NAMESPACE = "tracing-bench"
REPLICAS = 2
RATES = (250, 500, 1000, 2000, 4000)
"""Requests a second, of which two cores carry the highest beside the sender and all others. Our choice."""

SECONDS = 15
"""Our choice."""


def proxied(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends at constant rates to a stack whose requests are all proxied and all traced.

    Raises:
        LabError: the stack could not be deployed, or its pods did not become idle between two rates.
    """
    stack = Stack.lay_out(scratch / "proxied", "bench", NAMESPACE)
    with answering() as address:
        route = {"nginx.routes[0].path": "/", "nginx.routes[0].upstream": address}
        stack.configure(route | {"nginx.replicas": str(REPLICAS)})
        try:
            stack.up()
            url = stack.outputs()["nginxUrl"]
            send_for(2, url, RATES[0])
            return [_at(rate, url, show) for rate in RATES]
        finally:
            stack.pulumi("destroy", "--yes", "--skip-preview")


def _at(rate: int, url: str, show: Callable[[str], None]) -> Result:
    wait_until_idle(NAMESPACE)
    show(f"{rate} proxied requests a second")
    before = usage(NAMESPACE, "nginx").cpu_seconds
    sent = send_for(SECONDS, url, rate)
    return result(rate, sent.achieved_rate, (usage(NAMESPACE, "nginx").cpu_seconds - before) / sent.count)


def result(rate: int, achieved: float, cpu: float) -> Result:
    """Returns the result of a rate, whose details are what `python -m tools size` reads.

    Args:
        rate: requests a second, as they were ordered.
        achieved: requests a second that were sent.
        cpu: CPU seconds of NGINX for each.
    """
    return Result(
        f"NGINX's CPU time of a million proxied requests, {rate} a second",
        None,
        f"{cpu * 1e6:.1f} s",
        details={
            "requests/s": round(achieved, 1),
            "workers": REPLICAS * WORKERS,
            "CPU, s": round(cpu * 1e6, 1),
        },
    )
