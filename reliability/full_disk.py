"""A disk that is full: what is lost then, what is said of it, and what happens when there is room again."""

import time

from lab.stack import Stack
from lab.volumes import SMALL_STORAGE_CLASS
from probe.counters import ENQUEUE_FAILED, REFUSED, parse_metrics
from reliability.faults import must, pods, scale
from reliability.faulty import TEMPO, dropped_lines
from reliability.figures import Figure, Number
from reliability.traces import missing
from reliability.traffic import send_for

RATE = 2000.0
FILL_SECONDS = 180
"""A minute of it is kept whole by two volumes (measured)."""

QUEUE_CONFIGURATION = {"collector.queue.storageClass": SMALL_STORAGE_CLASS}
TEMPO_CONFIGURATION = {"tempo.persistence.storageClass": SMALL_STORAGE_CLASS}
"""Beside `faulty.CONFIGURATION`."""


def queue(stack: Stack) -> list[Figure]:
    """The Collectors' volumes are full while Tempo is away; then Tempo comes back."""
    outputs = stack.outputs()
    scale(stack.namespace, TEMPO, 0)
    sent = send_for(FILL_SECONDS, outputs["nginxUrl"], RATE)
    counted = _counters(stack)
    failures = dropped_lines(stack)
    scale(stack.namespace, TEMPO, 1)
    lost = missing(outputs["tempoUrl"], sent, patience_seconds=60)
    details: dict[str, Number] = {
        "requests": sent.count,
        "failed": len(sent.failed),
        "traces lost": len(lost),
        "export failures in NGINX's log": failures,
        **counted,
    }
    # Where nothing was lost the disk was not full, and nothing was measured.
    said = bool(lost) and failures > 0 and sum(counted.values()) > 0
    value = f"{len(lost)} of {sent.count} lost; {sum(counted.values()):.0f} refusals counted, {failures} lines in logs"
    full = Figure("queue's disk full", "counted and shown", value, said and not sent.failed, details)
    return [full, _recovered(stack, "queue's disk full")]


def tempo(stack: Stack) -> list[Figure]:
    """Tempo's volume is full; then its pod gets an empty one, as after somebody made room."""
    outputs = stack.outputs()
    sent = send_for(FILL_SECONDS, outputs["nginxUrl"], RATE)
    time.sleep(5)
    (pod,) = pods(stack.namespace, "tempo")
    lines = must("logs", pod["metadata"]["name"], f"--namespace={stack.namespace}", "--tail=-1").splitlines()
    said = sum("no space left on device" in line for line in lines)
    lost = missing(outputs["tempoUrl"], sent, patience_seconds=30)
    details: dict[str, Number] = {"requests": sent.count, "traces lost": len(lost), "lines in Tempo's log": said}
    value = f"{len(lost)} of {sent.count} lost; {said} lines in Tempo's log"
    return [Figure("Tempo's disk full", "counted and shown", value, bool(lost) and said > 0, details)]


def _recovered(stack: Stack, name: str) -> Figure:
    outputs = stack.outputs()
    sent = send_for(5, outputs["nginxUrl"], 200)
    lost = missing(outputs["tempoUrl"], sent)
    value = f"{sent.count - len(lost)} of {sent.count} found"
    return Figure(f"{name}: afterwards", "automatic", value, not lost and not sent.failed)


def _counters(stack: Stack) -> dict[str, float]:
    """What the Collectors refused, and could not keep."""
    total = {REFUSED: 0.0, ENQUEUE_FAILED: 0.0}
    for pod in pods(stack.namespace, "otel-collector"):
        path = f"/api/v1/namespaces/{stack.namespace}/pods/{pod['metadata']['name']}:8888/proxy/metrics"
        samples = parse_metrics(must("get", f"--raw={path}"), total)
        total = {name: value + samples.get(name, 0.0) for name, value in total.items()}
    return total
