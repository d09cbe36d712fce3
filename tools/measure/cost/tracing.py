"""Measures what tracing costs NGINX: requests a second and CPU time, with none, all or a tenth of them traced."""

import json
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.build.targets import VEGETA
from lab.errors import LabError
from tools.lab_stack import Stack
from tools.measure.cost.processes import usage, wait_until_idle
from tools.measure.results import Result
from tools.measure.traffic import without_proxies

NAMESPACE = "tracing-bench"
ROUNDS = 3
LOAD_SECONDS = 10
CONNECTIONS = 32
"""The numbers of the load are our choice."""


@dataclass(frozen=True)
class Cost:
    """Holds what a share of traced requests costs: the medians of all rounds."""

    name: str
    requests_per_second: float
    cpu_per_million: float
    """CPU seconds of NGINX per million requests."""


def tracing(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends as many requests as NGINX takes, with none of them traced, all of them, and a tenth of them.

    The sender, NGINX, the Collector and Tempo share the machine, so a rate depends on all of them.

    Raises:
        LabError: a request failed, or the pods did not become idle between two rounds.
    """
    stack = Stack.lay_out(scratch / "tracing", "bench", NAMESPACE)
    for number, (path, traced) in enumerate((("/", "true"), ("/untraced/", "false"))):
        route = f"nginx.routes[{number}]"
        answer = {f"{route}.return.status": "200", f"{route}.return.body": "hello"}
        stack.configure({f"{route}.path": path, f"{route}.traced": traced} | answer)
    costs: dict[str, list[tuple[float, float]]] = {}
    try:
        for _ in range(ROUNDS):
            for ratio, measured in (("1", {"untraced": "untraced/", "100 %": ""}), ("0.1", {"10 %": ""})):
                stack.configure({"nginx.sampling.ratio": ratio})
                stack.up()
                for name, path in measured.items():
                    wait_until_idle(NAMESPACE)
                    show(f"requests: {name}")
                    costs.setdefault(name, []).append(_load(f"{stack.outputs()['nginxUrl']}/{path}"))
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")
    return compared(
        [
            Cost(name, statistics.median(rate for rate, _ in found), statistics.median(cpu for _, cpu in found))
            for name, found in costs.items()
        ]
    )


def compared(costs: list[Cost]) -> list[Result]:
    """Returns the results of all shares. The first one is the base: no request is traced."""
    base, results = costs[0], list[Result]()
    for cost in costs:
        name = cost.name if cost is base else f"{cost.name} traced"
        rate, cpu = cost.requests_per_second, cost.cpu_per_million
        by_rate, by_cpu = rate / base.requests_per_second, cpu / base.cpu_per_million
        results += [
            Result(
                f"requests a second, {name}",
                None,
                f"{rate:.0f}, {by_rate:.2f} times untraced",
                details={"requests/s": round(rate), "ratio": round(by_rate, 2), "rounds": ROUNDS},
            ),
            Result(
                f"NGINX's CPU time of a million requests, {name}",
                None,
                f"{cpu:.1f} s, {by_cpu:.2f} times untraced",
                details={"CPU, s": round(cpu, 1), "ratio": round(by_cpu, 2), "rounds": ROUNDS},
            ),
        ]
    return results


def _load(url: str) -> tuple[float, float]:
    """Returns requests a second, and NGINX's CPU seconds per million requests."""
    before = usage(NAMESPACE, "nginx").cpu_seconds
    vegeta = str(VEGETA.folder / "vegeta")
    attack = [vegeta, "attack", "-rate=0", f"-max-workers={CONNECTIONS}", f"-duration={LOAD_SECONDS}s", "-max-body=0"]
    sent = subprocess.run(
        attack, input=f"GET {url}\n".encode(), capture_output=True, check=True, env=without_proxies()
    ).stdout
    report = subprocess.run([vegeta, "report", "-type=json"], input=sent, capture_output=True, check=True).stdout
    result = json.loads(report)
    if result["success"] != 1:
        raise LabError(f"Requests to {url} failed: {result['errors']}")
    used = usage(NAMESPACE, "nginx").cpu_seconds - before
    return result["throughput"], used / result["requests"] * 1e6
