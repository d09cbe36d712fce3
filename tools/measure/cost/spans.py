"""Measures what spans cost: CPU time and memory of each component and the time until a trace is found."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.stack import chosen_versions
from settings.versions.sets import DEFAULT
from tools.lab_stack import Stack
from tools.measure.baseline import deploy
from tools.measure.cost.processes import COMPONENTS, usage, wait_until_idle
from tools.measure.load_steps import BASELINE, PROGRAM, RATES, freshness
from tools.measure.results import Number, Result
from tools.measure.traces import missing
from tools.measure.traffic import send_for

NAMESPACE = "tracing-bench"
STEADY_RATE = float(RATES[0])
"""Requests a second: the lowest load step, at which neither stack loses a span."""

STEADY_SECONDS = 60
"""Our choice."""


@dataclass(frozen=True)
class SpanCost:
    """Holds what a million spans cost on one stack, and how soon a trace is found."""

    cpu_per_million: dict[str, float]
    """CPU seconds by component."""

    peak_bytes: dict[str, int]
    sent: int
    lost: int
    fresh: str


def spans(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends at a constant rate to this program's stack and, with the default set of versions, to the baseline.

    Raises:
        LabError: one of them could not be deployed or measured.
    """
    stack = Stack.lay_out(scratch / "spans", "bench", NAMESPACE)
    with ExitStack() as ends:
        ends.callback(stack.pulumi, "destroy", "--yes", "--skip-preview")
        stack.up()
        program = _span_cost(PROGRAM, NAMESPACE, stack.outputs(), show)
    if chosen_versions() != DEFAULT:
        return compared(program, None)
    with deploy.deployed() as urls:
        baseline = _span_cost(BASELINE, deploy.NAMESPACE, urls, show)
    return compared(program, baseline)


def compared(program: SpanCost, baseline: SpanCost | None) -> list[Result]:
    """Returns the results of this program, each beside the baseline's if that was measured."""
    results: list[Result] = []
    for component in COMPONENTS:
        used, theirs = (cost and cost.cpu_per_million[component] for cost in (program, baseline))
        results.append(_ratio(f"{component}: CPU time of a million spans", "s", used or 0, theirs))
    for component in COMPONENTS:
        used, theirs = (cost and cost.peak_bytes[component] / 2**20 for cost in (program, baseline))
        results.append(_ratio(f"{component}: highest memory", "MiB", used or 0, theirs))
    details: dict[str, Number] = {"traces lost": program.lost}
    lost, fresh = f"{program.lost} of {program.sent}", program.fresh
    if baseline:
        lost += f"; the baseline {baseline.lost} of {baseline.sent}"
        fresh += f"; the baseline {baseline.fresh}"
        details["baseline: traces lost"] = baseline.lost
    return [
        *results,
        Result(f"traces lost at {STEADY_RATE:.0f}/s for {STEADY_SECONDS} s", "0", lost, not program.lost, details),
        Result("request to searchable", None, fresh),
    ]


def _ratio(name: str, unit: str, used: float, theirs: float | None) -> Result:
    if theirs is None:
        return Result(name, None, f"{used:.0f} {unit}", details={unit: round(used, 1)})
    ratio = used / theirs
    value = f"{used:.0f} {unit}, {ratio:.2f} times the baseline's {theirs:.0f} {unit}"
    return Result(
        name, None, value, details={unit: round(used, 1), "baseline": round(theirs, 1), "ratio": round(ratio, 2)}
    )


def _span_cost(name: str, namespace: str, urls: dict[str, str], show: Callable[[str], None]) -> SpanCost:
    show(f"spans: {name}")
    send_for(5, urls["nginxUrl"], STEADY_RATE)
    wait_until_idle(namespace)
    before = {component: usage(namespace, component).cpu_seconds for component in COMPONENTS}
    sent = send_for(STEADY_SECONDS, urls["nginxUrl"], STEADY_RATE)
    # Read before the look-ups, which take Tempo's time as well.
    after = {component: usage(namespace, component) for component in COMPONENTS}
    lost = len(missing(urls["tempoUrl"], sent))
    return SpanCost(
        {component: (after[component].cpu_seconds - before[component]) / sent.count * 1e6 for component in COMPONENTS},
        {component: after[component].peak_bytes for component in COMPONENTS},
        sent.count,
        lost,
        freshness(name, urls).value,
    )
