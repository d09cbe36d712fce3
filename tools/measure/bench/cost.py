"""What tracing costs: NGINX's requests, and the CPU time and memory of what takes the spans."""

import json
import statistics
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.build.targets import VEGETA
from lab.errors import LabError
from tools.lab_stack import Stack
from tools.measure.bench.processes import COMPONENTS, usage, wait_until_idle
from tools.measure.reliability import baseline
from tools.measure.reliability.ladder import freshness
from tools.measure.reliability.traces import missing
from tools.measure.reliability.traffic import send_for, without_proxies

NAMESPACE = "tracing-bench"
ROUNDS = 3
LOAD_SECONDS = 10
CONNECTIONS = 32
STEADY_RATE = 500.0
"""The lowest of `make reliability`'s ladder."""
STEADY_SECONDS = 60


@dataclass(frozen=True)
class Cost:
    """What a share of traced requests costs, the medians of all rounds."""

    name: str
    requests_per_second: float
    cpu_per_million: float
    """CPU seconds of NGINX per million requests."""


def of_tracing(scratch: Path, show: Callable[[str], None]) -> list[Cost]:
    """As many requests as there can be, with no request traced, all of them, and a tenth of them.

    The generator, NGINX and what takes the spans share the machine: a rate tells of all of them.
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
    return [
        Cost(name, statistics.median(rate for rate, _ in found), statistics.median(cpu for _, cpu in found))
        for name, found in costs.items()
    ]


def _load(url: str) -> tuple[float, float]:
    """Requests a second, and NGINX's CPU seconds per million."""
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


@dataclass(frozen=True)
class SpanCost:
    """What a million spans cost, and how soon they are found."""

    stack: str
    cpu_per_million: dict[str, float]
    """CPU seconds by component."""
    peak_bytes: dict[str, int]
    lost: int
    fresh: str


def of_spans(scratch: Path, show: Callable[[str], None]) -> list[SpanCost]:
    """At a rate at which neither loses any: this program's stack, and the tutorial's."""
    found: list[SpanCost] = []
    stack = Stack.lay_out(scratch / "spans", "bench", NAMESPACE)
    with ExitStack() as ends:
        ends.callback(stack.pulumi, "destroy", "--yes", "--skip-preview")
        stack.up()
        found.append(_span_cost("this program", NAMESPACE, stack.outputs(), show))
    with baseline.deployed() as urls:
        found.append(_span_cost("the tutorial's", baseline.NAMESPACE, urls, show))
    return found


def _span_cost(name: str, namespace: str, urls: dict[str, str], show: Callable[[str], None]) -> SpanCost:
    show(f"spans: {name}")
    send_for(5, urls["nginxUrl"], STEADY_RATE)
    wait_until_idle(namespace)
    before = {component: usage(namespace, component).cpu_seconds for component in COMPONENTS}
    sent = send_for(STEADY_SECONDS, urls["nginxUrl"], STEADY_RATE)
    # Before anything is looked up, which is Tempo's time too.
    after = {component: usage(namespace, component) for component in COMPONENTS}
    lost = len(missing(urls["tempoUrl"], sent))
    return SpanCost(
        name,
        {component: (after[component].cpu_seconds - before[component]) / sent.count * 1e6 for component in COMPONENTS},
        {component: after[component].peak_bytes for component in COMPONENTS},
        lost,
        freshness(name, urls).value,
    )
