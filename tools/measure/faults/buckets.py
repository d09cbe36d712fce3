"""Measures what is lost while a stack's bucket is away, and while each part of a distributed Tempo ends."""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from components.plan.labels import part_labels, part_name
from settings.tempo_parts import INGESTER, METRICS_GENERATOR, PART_KEYS
from tools.lab_bucket import KEYS, Bucket
from tools.lab_stack import Stack, ephemeral
from tools.measure.faults.counted import counter_of
from tools.measure.faults.inject import kill, pods, roll, scale
from tools.measure.faults.outcome import Outcome, during, each_lossless, lossless
from tools.measure.faults.scenarios import CONFIGURATION, NAMESPACE
from tools.measure.results import Result
from tools.probe.names import TEMPO_METRICS_PORT

PARTS_RATE = 500.0
"""Requests a second while a part of Tempo ends. Our choice."""

STORED_SECONDS = 150.0
"""Tempo repeats a block that the bucket did not take after 30 s to 2 min."""

SHORT_BLOCKS = {"tempo.flush.maxBlockDuration": "10s"}
"""Has Tempo write blocks to the bucket within a short run. The default is 30 min."""

DISTRIBUTED = {
    "tempo.mode": "distributed",
    # Eleven pods and the rest of the stack share two cores.
    **{f"tempo.{key}.resources.cpu": "50m" for key in PART_KEYS.values()},
}
"""Configures Tempo in parts, beside a bucket's configuration."""

_NOT_STORED = "tempo_ingester_failed_flushes_total"


def workload(part: str) -> str:
    """Returns the workload of a part of Tempo, for kubectl."""
    return f"{'statefulset' if part in {INGESTER, METRICS_GENERATOR} else 'deployment'}/{part_name(part)}"


def bucket_away(scratch: Path, seconds: float) -> Result:
    """Stops the S3 server for some time, in which Tempo has blocks to write."""
    bucket = Bucket(scratch / "s3")

    def away() -> None:
        with bucket.away():
            time.sleep(seconds)

    with _stored(scratch, bucket, SHORT_BLOCKS) as stack:
        outcome = during(stack, away, patience_seconds=STORED_SECONDS)
        refused = counter_of(stack, "tempo", TEMPO_METRICS_PORT, _NOT_STORED)
    return noticed(lossless(f"bucket away for {seconds:.0f} s", outcome), refused)


def noticed(result: Result, refused: int) -> Result:
    """Returns the result of a bucket that was away. If Tempo failed to write no block, nothing was measured."""
    details = result.details | {"writes of blocks that failed": refused}
    return replace(result, met=result.met and refused > 0, details=details)


def tempo_parts(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Kills a process of each part of Tempo, replaces each part's pods, and takes one of its pods away."""
    outcomes: dict[str, dict[str, Outcome]] = {"a process SIGKILLed": {}, "rollout": {}, "one pod fewer": {}}
    killed, rolled, fewer = outcomes.values()
    with _stored(scratch, Bucket(scratch / "s3"), DISTRIBUTED) as stack:
        cause = partial(during, stack, rate=PARTS_RATE, patience_seconds=60)
        for part in PART_KEYS:
            show(part)
            own = pods(stack.namespace, part_labels(part))
            killed[part] = cause(partial(kill, own[0]))
            rolled[part] = cause(partial(roll, stack.namespace, workload(part)))
            resize = partial(scale, stack.namespace, workload(part), component=part_labels(part))
            resize(len(own) + 1)
            fewer[part] = cause(partial(resize, len(own)))
    return [each_lossless(f"each part of Tempo: {fault}", by_part) for fault, by_part in outcomes.items()]


@contextlib.contextmanager
def _stored(scratch: Path, bucket: Bucket, changed: Mapping[str, str]) -> Generator[Stack]:
    """Deploys a stack that loses nothing, whose Tempo keeps its blocks in a bucket."""
    configuration = CONFIGURATION | bucket.configuration | dict(changed)
    with bucket.served(), ephemeral(scratch / "program", NAMESPACE, configuration, KEYS, name="reliability") as stack:
        stack.up()
        yield stack
