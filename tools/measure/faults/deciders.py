"""Measures two tiers of Collectors: each trace is decided whole, but for those that a change of deciders splits."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.plan.labels import COLLECTOR, DECIDER
from lab.errors import LabError
from lab.waiting import wait_until
from settings.collector_tiers import DNS_SECONDS, LOOKUP_SECONDS
from settings.demo import DEMO_PATH, FAILED_STATUS
from tools.lab_stack import Stack
from tools.measure.faults.counted import counter
from tools.measure.faults.inject import LIMIT_SECONDS, all_pods, must, pods, wait_ready
from tools.measure.faults.outcome import AROUND_SECONDS
from tools.measure.results import Result
from tools.measure.traffic import PARENT_ID, Sent, Traffic
from tools.probe.names import COLLECTOR_METRICS_PORT
from tools.probe.result import ExpectedTrace
from tools.probe.trace import spans_of, why_not_whole
from tools.tempo import LookUpError, Tempo

RATE = 30.0
"""Requests a second through the demo's three NGINX, which send three spans of each. Our choice."""

STEADY_SECONDS = 60
"""Our choice."""

WAIT_SECONDS = 5
CONFIGURATION = {
    "demo.enabled": "true",
    # Every trace is kept, whatever a decider knows of it: then all spans arrive, and none is missing by a decision.
    "collector.sampling.tail.errors": "false",
    "collector.sampling.tail.ratio": "1",
    "collector.sampling.tail.decisionWait": f"{WAIT_SECONDS}s",
    "collector.sampling.tail.replicas": "3",
}
"""Set beside `scenarios.CONFIGURATION`."""

MOST_SPLIT = round(2 * RATE * (WAIT_SECONDS + LOOKUP_SECONDS + DNS_SECONDS) / 3)
"""The largest number of split traces that docs/how-to/sample.md allows for two changes, each of which moves a third."""

_WORKLOAD = f"statefulset/{DECIDER}"
_BEGUN = "otelcol_processor_tail_sampling_new_trace_id_received"
_KNOWN = "otelcol_loadbalancer_num_backends"
_LOOKS, _PAUSE_SECONDS = 3, 15
"""How often a trace is looked up that is not whole, and the seconds before each time. Our choice: the first tier sends
again to a decider that was away after 10 s."""


@dataclass
class BegunTraces:
    """Counts the traces that deciders began. One that is split begins at two of them."""

    namespace: str

    def __post_init__(self) -> None:
        """Prepares it."""
        self._begun: dict[str, int] = {}

    def read(self) -> int:
        """Reads the counter of each decider, and returns how many deciders there are. One that ends counts to its end.

        Raises:
            LabError: a decider that goes on does not answer.
        """
        found = all_pods(self.namespace, DECIDER)
        for pod in found:
            try:
                self._begun[pod["metadata"]["uid"]] = counter(pod, COLLECTOR_METRICS_PORT, _BEGUN)
            except LabError:
                if "deletionTimestamp" not in pod["metadata"]:
                    raise
        return len(found)

    @property
    def count(self) -> int:
        """The traces that all deciders began, those that are gone among them."""
        return sum(self._begun.values())


def deciders(stack: Stack) -> list[Result]:
    """Sends requests to three deciders, and then while they become two and three again."""
    _wait_known(stack, 3)

    def unchanged(_: BegunTraces) -> None:
        time.sleep(STEADY_SECONDS)

    def fewer_and_more(begun: BegunTraces) -> None:
        must("scale", _WORKLOAD, f"--namespace={stack.namespace}", "--replicas=2")
        late = f"There were three deciders after {LIMIT_SECONDS} s."
        wait_until(lambda: begun.read() == 2, late, seconds=LIMIT_SECONDS, pause=1)
        _wait_known(stack, 2)
        must("scale", _WORKLOAD, f"--namespace={stack.namespace}", "--replicas=3")
        wait_ready(stack.namespace, _WORKLOAD)
        _wait_known(stack, 3)

    return [_run(stack, "three deciders", unchanged, 0), _run(stack, "deciders 3 → 2 → 3", fewer_and_more, MOST_SPLIT)]


def _wait_known(stack: Stack, count: int) -> None:
    """Waits until every pod of the first tier sends to that number of deciders."""

    def is_known() -> bool:
        return {counter(pod, COLLECTOR_METRICS_PORT, _KNOWN) for pod in pods(stack.namespace, COLLECTOR)} == {count}

    wait_until(is_known, f"The first tier did not know {count} deciders.", seconds=LIMIT_SECONDS, pause=1)


def _run(stack: Stack, name: str, change: Callable[[BegunTraces], None], most_split: int) -> Result:
    outputs, begun = stack.outputs(), BegunTraces(stack.namespace)
    begun.read()
    before = begun.count
    with Traffic(outputs["nginxUrl"] + DEMO_PATH, RATE) as traffic:
        time.sleep(AROUND_SECONDS)
        change(begun)
        time.sleep(AROUND_SECONDS)
    sent = as_meant(traffic.sent)
    reasons: dict[str, str] = dict.fromkeys(sent.answered, "not looked up")
    for _ in range(_LOOKS):
        time.sleep(_PAUSE_SECONDS)
        reasons = asyncio.run(_not_whole(outputs["tempoUrl"], [*reasons], outputs["demo"]))
    begun.read()
    return decided(name, sent, reasons, begun.count - before, most_split)


async def _not_whole(tempo_url: str, trace_ids: Sequence[str], demo: Mapping[str, Any]) -> dict[str, str]:
    """Returns why traces are not whole, by their IDs. Whole ones are left out.

    Raises:
        LabError: Tempo does not answer.
    """
    expected = ExpectedTrace.model_validate(demo)
    try:
        async with Tempo(tempo_url, timeout_seconds=30) as tempo:
            looked_up = {trace_id: spans_of(await tempo.trace(trace_id)) for trace_id in trace_ids}
    except LookUpError as error:
        raise LabError(f"Traces could not be looked up: {error}") from error
    reasons = {trace_id: why_not_whole(spans, expected, PARENT_ID) for trace_id, spans in looked_up.items()}
    return {trace_id: reason for trace_id, reason in reasons.items() if reason}


def as_meant(sent: Sent) -> Sent:
    """Counts the requests as answered that the demo fails on purpose."""
    meant = {trace_id for trace_id, reason in sent.failed.items() if reason.startswith(f"{FAILED_STATUS} ")}
    failed = {trace_id: reason for trace_id, reason in sent.failed.items() if trace_id not in meant}
    return replace(sent, answered=[*sent.answered, *meant], failed=failed)


def decided(name: str, sent: Sent, not_whole: Mapping[str, str], begun: int, most_split: int) -> Result:
    """Returns the result of traffic to two tiers.

    Args:
        name: what happened.
        sent: the requests, of which each is a trace.
        not_whole: why traces are not whole in Tempo, by their IDs.
        begun: the traces that deciders began; more than the requests if some were split.
        most_split: the traces that may be split.
    """
    count, failed, lost, split = sent.count, len(sent.failed), len(not_whole), begun - sent.count
    # A request that failed may have no span. Fewer traces than others prove that a decider was not read.
    met = not failed and not lost and 0 <= split <= most_split
    return Result(
        f"two tiers, {name}, {sent.rate:.0f}/s",
        f"0 failed; 100 % found whole; {f'≤ {most_split}' if most_split else 0} split",
        f"{failed} of {count} failed; {(count - failed - lost) / (count - failed):.2%} found whole; {split} split",
        met,
        {
            "requests": count,
            "failed": failed,
            "traces not whole": lost,
            "why": json.dumps(Counter(not_whole.values())),
            "traces that deciders began": begun,
        },
    )
