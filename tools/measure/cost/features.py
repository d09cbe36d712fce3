"""Measures what all that people look at costs: spans of upstreams, both names, TraceQL metrics and a Prometheus."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lab.build import images
from lab.build.builder import build
from lab.build.targets import PROMETHEUS
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.progress import Progress
from tools.lab_stack import Stack
from tools.measure.cost.processes import COMPONENTS, usage, wait_until_idle
from tools.measure.cost.spans import SpanCost
from tools.measure.load_steps import KEPT_UP, freshness
from tools.measure.results import Result
from tools.measure.traces import missing
from tools.measure.traffic import send_for

NAMESPACE = "tracing-bench"
RATE, SECONDS = 200.0, 60
HIGH_RATE = 1000.0
"""Requests a second, each of which makes three spans, and five with those of upstreams. Our choice: the higher rate
makes as many spans as the highest load step."""

_OFF = {"nginx.upstreamSpans": "false", "collector.semanticConventions": "old", "tempo.traceqlMetrics": "false"}
_PARTS = (*COMPONENTS, "prometheus")


def features(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends requests through the demo's three services, once without everything and once with it.

    Raises:
        LabError: the stack could not be deployed or measured.
    """
    costs = {name: _cost(scratch / name, name, configured, show) for name, configured in _cases().items()}
    return compared(costs["off"], costs["on"])


def compared(off: SpanCost, on: SpanCost) -> list[Result]:
    """Returns the results with everything, each beside that without it."""
    found: list[Result] = []
    for part in _PARTS:
        used, without = on.cpu_per_million[part], off.cpu_per_million[part]
        found.append(_beside(f"{part}: CPU time of a million requests through three services", "s", used, without))
    for part in _PARTS:
        used, without = on.peak_bytes[part] / 2**20, off.peak_bytes[part] / 2**20
        found.append(_beside(f"{part}: highest memory", "MiB", used, without))
    name = f"traces lost at {RATE:.0f}/s and {HIGH_RATE:.0f}/s through three services, {SECONDS} s each"
    lost = f"{on.lost} of {on.sent}; off {off.lost} of {off.sent}"
    return [
        *found,
        Result(name, "0", lost, not on.lost, {"traces lost": on.lost, "off: traces lost": off.lost}),
        Result("request to searchable", None, f"{on.fresh}; off {off.fresh}"),
    ]


def _beside(name: str, unit: str, used: float, without: float) -> Result:
    ratio = f"{used / without:.2f} times the {without:.0f} {unit} of off" if without else "none if off"
    return Result(name, None, f"{used:.0f} {unit}, {ratio}", details={unit: round(used, 1), "off": round(without, 1)})


def _cases() -> dict[str, Mapping[str, str]]:
    build([PROMETHEUS], Progress())
    image = images.prometheus_image()
    images.push([image], Progress())
    lifecycle.pull([image], Progress())
    return {"off": _OFF, "on": {"prometheus.enabled": "true", "prometheus.image": image.reference}}


def _cost(folder: Path, name: str, configured: Mapping[str, str], show: Callable[[str], None]) -> SpanCost:
    stack = Stack.lay_out(folder, "bench", NAMESPACE)
    stack.configure({"demo.enabled": "true", **configured})
    try:
        stack.up()
        return _measured(name, stack.outputs(), show)
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")


def _measured(name: str, outputs: Mapping[str, str], show: Callable[[str], None]) -> SpanCost:
    show(f"features: {name}, {RATE:.0f} requests a second")
    address = f"{outputs['nginxUrl']}/demo/"
    send_for(5, address, RATE)
    wait_until_idle(NAMESPACE)
    before = {part: usage(NAMESPACE, part).cpu_seconds for part in _PARTS}
    steady = send_for(SECONDS, address, RATE)
    wait_until_idle(NAMESPACE)
    # Read before the look-ups, which take Tempo's time as well.
    after = {part: usage(NAMESPACE, part) for part in _PARTS}
    fresh = freshness(name, outputs).value
    show(f"features: {name}, {HIGH_RATE:.0f} requests a second")
    high = send_for(SECONDS, address, HIGH_RATE)
    lost = sum(len(missing(outputs["tempoUrl"], sent)) for sent in (steady, high))
    if high.achieved_rate < KEPT_UP * HIGH_RATE:
        raise LabError(f"The sender kept up {high.achieved_rate:.0f} requests a second of {HIGH_RATE:.0f} alone.")
    return SpanCost(
        {part: (after[part].cpu_seconds - before[part]) / steady.count * 1e6 for part in _PARTS},
        {part: after[part].peak_bytes for part in _PARTS},
        steady.count + high.count,
        lost,
        fresh,
    )
