"""A disk that is full: what is lost then, what is said of it, and what happens when somebody has enlarged it."""

import json
import time

from lab.cluster.volumes import SMALL_STORAGE_CLASS
from tools.lab_stack import Stack
from tools.measure.reliability.faults import enlarge, must, pods, scale
from tools.measure.reliability.faulty import RECONNECTED_SECONDS, TEMPO
from tools.measure.reliability.figures import Figure, Number
from tools.measure.reliability.logs import Complaints
from tools.measure.reliability.traces import missing
from tools.measure.reliability.traffic import send_for
from tools.probe.metrics import parse_metrics, total
from tools.probe.names import FULL_TEXT, REFUSED

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
    refused = _refused(stack)
    scale(stack.namespace, TEMPO, 1)
    lost = len(missing(outputs["tempoUrl"], sent, patience_seconds=RECONNECTED_SECONDS))
    details: dict[str, Number] = {
        "requests": sent.count,
        "failed": len(sent.failed),
        "traces lost": lost,
        "spans that the Collectors refused": refused,
    }
    # Where nothing was lost the disk was not full, and nothing was measured.
    met = bool(lost) and lost == refused and not sent.failed
    value = f"{lost} of {sent.count} lost; {refused} counted as refused"
    return [
        Figure("queue's disk full", "each counted", value, met, details),
        _recovered(stack, "queue's disk full, Tempo back"),
    ]


def tempo(stack: Stack) -> list[Figure]:
    """Tempo's volume is full; then it is enlarged."""
    outputs = stack.outputs()
    sent = send_for(FILL_SECONDS, outputs["nginxUrl"], RATE)
    time.sleep(5)
    (pod,) = pods(stack.namespace, "tempo")
    lines = must("logs", pod["metadata"]["name"], f"--namespace={stack.namespace}", "--tail=-1").splitlines()
    said = sum(FULL_TEXT in line for line in lines)
    lost = len(missing(outputs["tempoUrl"], sent, patience_seconds=30))
    details: dict[str, Number] = {"requests": sent.count, "traces lost": lost, "lines in Tempo's log": said}
    value = f"{lost} of {sent.count} lost, which Tempo counts nowhere; {said} lines in its log"
    enlarge(stack.namespace, "data-tempo-0")
    return [
        # Shown by the watch and an alert, but never counted.
        Figure("Tempo's disk full", "counted and shown", value, met=False, details=details),
        _recovered(stack, "Tempo's disk full, then enlarged"),
    ]


def _recovered(stack: Stack, name: str) -> Figure:
    outputs = stack.outputs()
    with Complaints(stack.namespace) as complaints:
        sent = send_for(5, outputs["nginxUrl"], 200)
        lost = missing(outputs["tempoUrl"], sent, patience_seconds=30)
    value = f"{sent.count - len(lost)} of {sent.count} found"
    details: dict[str, Number] = {"traces lost": len(lost), "pods said": json.dumps(complaints.counts)}
    return Figure(f"{name}: afterwards", "all found", value, not lost and not sent.failed, details)


def _refused(stack: Stack) -> int:
    """Spans that the Collectors did not take."""
    refused = 0.0
    for pod in pods(stack.namespace, "otel-collector"):
        path = f"/api/v1/namespaces/{stack.namespace}/pods/{pod['metadata']['name']}:8888/proxy/metrics"
        refused += total(parse_metrics(must("get", f"--raw={path}"), [REFUSED]), REFUSED)
    return int(refused)
