"""Measures what the forms of Tempo cost: one process, one process with its blocks in a bucket, and parts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from components.plan.labels import TEMPO, part_labels
from settings.tempo_parts import PART_KEYS
from tools.lab_bucket import KEYS, Bucket
from tools.lab_stack import ephemeral
from tools.measure.cost.spans import NAMESPACE, STEADY_SECONDS, SpanCost, beside, measured
from tools.measure.faults.buckets import DISTRIBUTED, SHORT_BLOCKS
from tools.measure.results import Result

RATE = 1000.0
"""Requests a second, each with one span. Our choice."""

_FORMS = ONE, STORED, PARTS = "one process", "one process with a bucket", "in parts with a bucket"
_IDLE_CORES = 0.4
"""Eleven processes of Tempo watch each other and look for blocks. Our choice."""


def forms(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Sends the same load to a stack with each form of Tempo. All of them write blocks meanwhile.

    Raises:
        LabError: a form could not be deployed or measured.
    """
    return compared({form: _cost(scratch / f"form-{number}", form, show) for number, form in enumerate(_FORMS)})


def _cost(scratch: Path, form: str, show: Callable[[str], None]) -> SpanCost:
    scratch.mkdir()
    bucket = Bucket(scratch / "s3")
    configuration = {"tempo.persistence.size": "1Gi"} if form == ONE else bucket.configuration
    configuration |= SHORT_BLOCKS | (DISTRIBUTED if form == PARTS else {})
    parts = [TEMPO, *(part_labels(part) for part in PART_KEYS if form == PARTS)]
    secrets = None if form == ONE else KEYS
    with bucket.served(), ephemeral(scratch / "program", NAMESPACE, configuration, secrets) as stack:
        stack.up()
        return measured(form, stack.outputs(), NAMESPACE, show, rate=RATE, parts=parts, idle_cores=_IDLE_CORES)


def compared(costs: Mapping[str, SpanCost]) -> list[Result]:
    """Returns the results of each form, beside those of one process. Details hold each part of a distributed Tempo."""
    base, results = costs[ONE], list[Result]()
    for form, cost in costs.items():
        other = None if cost is base else base
        cpu, theirs = cost.cpu_per_million, other and other.cpu_per_million[TEMPO]
        results.append(
            _with_parts(beside(f"Tempo, {form}: CPU time of a million spans", "s", cpu[TEMPO], ONE, theirs), cpu)
        )
    for form, cost in costs.items():
        peaks = {part: peak / 2**20 for part, peak in cost.peak_bytes.items()}
        theirs = None if cost is base else base.peak_bytes[TEMPO] / 2**20
        results.append(_with_parts(beside(f"Tempo, {form}: highest memory", "MiB", peaks[TEMPO], ONE, theirs), peaks))
    lost, sent = sum(cost.lost for cost in costs.values()), sum(cost.sent for cost in costs.values())
    name = f"traces lost by all forms at {RATE:.0f}/s, {STEADY_SECONDS} s each"
    return [*results, Result(name, "0", f"{lost} of {sent}", not lost)]


def _with_parts(result: Result, used: Mapping[str, float]) -> Result:
    parts = {part: round(amount, 1) for part, amount in used.items() if part != TEMPO}
    return replace(result, details=result.details | parts)
