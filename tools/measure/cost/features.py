"""Measures what all that people look at costs: spans of upstreams, both names, TraceQL metrics and a Prometheus."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lab.build import images
from lab.build.builder import build
from lab.build.targets import PROMETHEUS
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.progress import Progress
from settings.demo import DEMO_PATH
from tools.lab_stack import ephemeral
from tools.measure.cost.processes import COMPONENTS
from tools.measure.cost.spans import NAMESPACE, STEADY_SECONDS, SpanCost, compared, measured
from tools.measure.load_steps import KEPT_UP
from tools.measure.results import Result
from tools.measure.traces import missing
from tools.measure.traffic import send_for

RATE = 200.0
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
    load = f"at {RATE:.0f}/s and {HIGH_RATE:.0f}/s through three services, {STEADY_SECONDS} s each"
    return compared(costs["on"], costs["off"], "off", work="a million requests through three services", load=load)


def _cases() -> dict[str, Mapping[str, str]]:
    build([PROMETHEUS], Progress())
    image = images.prometheus_image()
    images.push([image], Progress())
    lifecycle.pull([image], Progress())
    return {"off": _OFF, "on": {"prometheus.enabled": "true", "prometheus.image": image.reference}}


def _cost(folder: Path, name: str, configured: Mapping[str, str], show: Callable[[str], None]) -> SpanCost:
    with ephemeral(folder, NAMESPACE, {"demo.enabled": "true", **configured}) as stack:
        stack.up()
        outputs = stack.outputs()
        steady = measured(name, outputs, NAMESPACE, show, path=DEMO_PATH, rate=RATE, parts=_PARTS)
        show(f"{name}: {HIGH_RATE:.0f} requests a second")
        high = send_for(STEADY_SECONDS, outputs["nginxUrl"] + DEMO_PATH, HIGH_RATE)
        lost = len(missing(outputs["tempoUrl"], high))
    if high.achieved_rate < KEPT_UP * HIGH_RATE:
        raise LabError(f"The sender kept up {high.achieved_rate:.0f} requests a second of {HIGH_RATE:.0f} alone.")
    return replace(steady, sent=steady.sent + high.count, lost=steady.lost + lost)
