"""Fills a disk: what is lost then, which counters and logs show it, and what happens once the disk is enlarged."""

import json
import time
from collections.abc import Mapping

from lab.cluster.volumes import SMALL_STORAGE_CLASS
from tools.lab_stack import Stack
from tools.measure.faults.counted import counter_of
from tools.measure.faults.inject import enlarge, must, pods, scale
from tools.measure.faults.scenarios import RECONNECTED_SECONDS, TEMPO
from tools.measure.log_errors import LogErrors
from tools.measure.results import Number, Result
from tools.measure.traces import missing
from tools.measure.traffic import Sent, send_for
from tools.probe.names import COLLECTOR_METRICS_PORT, DISCARDED, FULL_TEXT, REFUSED, TEMPO_METRICS_PORT

RATE = 2000.0
FILL_SECONDS = 180
"""Two volumes hold all spans of one minute at this rate (measured). Three minutes are our choice."""

AFTERWARDS_RATE = 200.0
"""Requests a second after a recovery. Our choice."""

QUEUE_CONFIGURATION = {"collector.queue.storageClass": SMALL_STORAGE_CLASS}
TEMPO_CONFIGURATION = {"tempo.persistence.storageClass": SMALL_STORAGE_CLASS}
"""Set beside `scenarios.CONFIGURATION`."""

NOT_COUNTED = (
    "Tempo counts no span that it has taken and cannot write. `python -m tools probe --watch` shows the lines of its "
    "log, and the alert `VolumeIsNearlyFull` tells before the volume is full."
)
FIRST_WRITE_PANICS = (
    "Tempo's first write after the disk has room again panics in its parquet writer (`index out of range`, "
    "`vparquet4/wal_block.go`) and ends Tempo. The spans that came within that second are lost. No setting avoids it."
)


def queue(stack: Stack) -> list[Result]:
    """Fills the Collectors' volumes while Tempo is away, and then brings Tempo back."""
    outputs = stack.outputs()
    scale(stack.namespace, TEMPO, 0)
    sent = send_for(FILL_SECONDS, outputs["nginxUrl"], RATE)
    refused = counter_of(stack, "otel-collector", COLLECTOR_METRICS_PORT, REFUSED)
    scale(stack.namespace, TEMPO, 1)
    lost = len(missing(outputs["tempoUrl"], sent, patience_seconds=RECONNECTED_SECONDS))
    details: dict[str, Number] = {
        "requests": sent.count,
        "failed": len(sent.failed),
        "traces lost": lost,
        "spans that the Collectors refused": refused,
    }
    # Without a loss the disk was not full, and nothing was measured.
    met = bool(lost) and lost == refused and not sent.failed
    value = f"{lost} of {sent.count} lost; {refused} counted as refused"
    return [
        Result("queue's disk full", "each counted", value, met, details),
        _recovered(stack, "queue's disk full, Tempo back"),
    ]


def tempo(stack: Stack) -> list[Result]:
    """Fills Tempo's volume, and then enlarges it."""
    outputs = stack.outputs()
    sent = send_for(FILL_SECONDS, outputs["nginxUrl"], RATE)
    time.sleep(5)
    (pod,) = pods(stack.namespace, "tempo")
    lines = must("logs", pod["metadata"]["name"], f"--namespace={stack.namespace}", "--tail=-1").splitlines()
    shown = sum(FULL_TEXT in line for line in lines)
    lost = len(missing(outputs["tempoUrl"], sent, patience_seconds=30))
    counted = counter_of(stack, "tempo", TEMPO_METRICS_PORT, DISCARDED)
    enlarge(stack.namespace, "data-tempo-0")
    return [
        full_tempo(sent.count, lost, counted, shown),
        _recovered(stack, "Tempo's disk full, then enlarged", known_gap=FIRST_WRITE_PANICS),
    ]


def full_tempo(requests: int, lost: int, counted: int, shown: int) -> Result:
    """Returns the result of Tempo's full volume.

    Args:
        requests: sent in total.
        lost: the traces that Tempo does not have.
        counted: the spans that Tempo counts as discarded.
        shown: the lines in its log that name the full disk.
    """
    details: dict[str, Number] = {
        "requests": requests,
        "traces lost": lost,
        "spans that Tempo discarded": counted,
        "lines in Tempo's log": shown,
    }
    value = f"{lost} of {requests} lost; Tempo counts {counted}; {shown} lines in its log"
    # Without a loss the disk was not full: nothing was measured, which is no known gap.
    gap = NOT_COUNTED if lost and shown else None
    return Result("Tempo's disk full", "counted and shown", value, bool(shown) and 0 < lost <= counted, details, gap)


def _recovered(stack: Stack, name: str, known_gap: str | None = None) -> Result:
    outputs = stack.outputs()
    with LogErrors(stack.namespace) as log_errors:
        sent = send_for(5, outputs["nginxUrl"], AFTERWARDS_RATE)
        lost = missing(outputs["tempoUrl"], sent, patience_seconds=30)
    return afterwards(name, sent, len(lost), log_errors.counts, known_gap)


def afterwards(name: str, sent: Sent, lost: int, log_errors: Mapping[str, int], known_gap: str | None = None) -> Result:
    """Returns the result of the traffic after a recovery.

    Args:
        name: the disk.
        sent: the requests.
        lost: the traces that Tempo does not have.
        log_errors: what the pods logged meanwhile.
        known_gap: why the spans of one second may be lost. A greater loss, or a failed request, is none of it.
    """
    value = f"{sent.count - lost} of {sent.count} found"
    details: dict[str, Number] = {"traces lost": lost, "log errors": json.dumps(log_errors)}
    gap = known_gap if not sent.failed and lost <= AFTERWARDS_RATE else None
    return Result(f"{name}: afterwards", "all found", value, not lost and not sent.failed, details, gap)
