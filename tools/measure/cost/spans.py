"""Measures what spans cost: CPU time and memory of each component and the time until a trace is found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.stack import chosen_versions
from settings.versions.sets import DEFAULT
from tools.lab_stack import ephemeral
from tools.measure.baseline import deploy
from tools.measure.cost.processes import COMPONENTS, IDLE_CORES, usage, wait_until_idle
from tools.measure.load_steps import BASELINE, PROGRAM, RATES, freshness
from tools.measure.results import Number, Result
from tools.measure.traces import missing
from tools.measure.traffic import send_for

NAMESPACE = "tracing-bench"
STEADY_RATE = float(RATES[0])
"""Requests a second: the lowest load step, at which neither stack loses a span."""

STEADY_SECONDS = 60
"""Our choice."""

WARM_SECONDS = 5
"""Seconds of traffic before the measured one. Our choice."""


@dataclass(frozen=True)
class SpanCost:
    """Holds what a million requests cost on one stack, and how soon a trace is found."""

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
    with ephemeral(scratch / "spans", NAMESPACE) as stack:
        stack.up()
        program = measured(PROGRAM, stack.outputs(), NAMESPACE, show)
    if chosen_versions() != DEFAULT:
        return compared(program, None)
    with deploy.deployed() as urls:
        baseline = measured(BASELINE, urls, deploy.NAMESPACE, show)
    return compared(program, baseline)


def measured(
    name: str,
    urls: Mapping[str, str],
    namespace: str,
    show: Callable[[str], None],
    *,
    path: str = "/",
    rate: float = STEADY_RATE,
    parts: Sequence[str] = COMPONENTS,
    idle_cores: float = IDLE_CORES,
) -> SpanCost:
    """Sends to a stack at a constant rate, and reads what its components used until they were idle again.

    Args:
        name: the stack, for the lines of progress.
        urls: its `nginxUrl` and `tempoUrl`.
        namespace: the stack's.
        show: is given lines of progress.
        path: is requested.
        rate: requests a second.
        parts: the components, or parts of Tempo.
        idle_cores: an idle stack uses less than that.

    Raises:
        LabError: the pods did not become idle, or the traces could not be looked up.
    """
    show(f"{name}: {rate:.0f} requests a second")
    send_for(WARM_SECONDS, urls["nginxUrl"] + path, rate)
    wait_until_idle(namespace, idle_cores)
    before = {part: usage(namespace, part).cpu_seconds for part in parts}
    sent = send_for(STEADY_SECONDS, urls["nginxUrl"] + path, rate)
    wait_until_idle(namespace, idle_cores)
    # Read before the look-ups, which take Tempo's time as well.
    after = {part: usage(namespace, part) for part in parts}
    lost = len(missing(urls["tempoUrl"], sent))
    return SpanCost(
        {part: (after[part].cpu_seconds - before[part]) / sent.count * 1e6 for part in parts},
        {part: after[part].peak_bytes for part in parts},
        sent.count,
        lost,
        freshness(name, urls).value,
    )


def compared(
    cost: SpanCost,
    other: SpanCost | None,
    base: str = "the baseline",
    *,
    work: str = "a million spans",
    load: str = f"at {STEADY_RATE:.0f}/s for {STEADY_SECONDS} s",
) -> list[Result]:
    """Returns the results of a stack, each beside those of another one if that was measured.

    Args:
        cost: the stack's.
        other: those of the other one.
        base: what the other one is called.
        work: a million of what the CPU time is for.
        load: the requests that were sent.
    """
    results: list[Result] = []
    for part, used in cost.cpu_per_million.items():
        results.append(beside(f"{part}: CPU time of {work}", "s", used, base, other and other.cpu_per_million[part]))
    for part, peak in cost.peak_bytes.items():
        others = other and other.peak_bytes[part] / 2**20
        results.append(beside(f"{part}: highest memory", "MiB", peak / 2**20, base, others))
    details: dict[str, Number] = {"traces lost": cost.lost}
    lost, fresh = f"{cost.lost} of {cost.sent}", cost.fresh
    if other:
        lost += f"; {base} {other.lost} of {other.sent}"
        fresh += f"; {base} {other.fresh}"
        details[f"{base}: traces lost"] = other.lost
    return [
        *results,
        Result(f"traces lost {load}", "0", lost, not cost.lost, details),
        Result("request to searchable", None, fresh),
    ]


def beside(name: str, unit: str, used: float, base: str, other: float | None) -> Result:
    """Returns a result as a ratio to that of something else, if that was measured and uses any."""
    details: dict[str, Number] = {unit: round(used, 1)}
    if not other:
        return Result(name, None, f"{used:.0f} {unit}", details=details)
    value = f"{used:.0f} {unit}, {used / other:.2f} times the {other:.0f} {unit} of {base}"
    return Result(name, None, value, details=details | {base: round(other, 1), "ratio": round(used / other, 2)})
