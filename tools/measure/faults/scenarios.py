"""Measures what is lost while parts of the stack are replaced, killed, away or unreachable, under constant traffic."""

import json
import time
from collections.abc import Sequence

from lab.cluster import lifecycle
from lab.progress import Progress
from tools.lab_stack import Stack
from tools.measure.faults import full_queues
from tools.measure.faults.backoff import longest_after
from tools.measure.faults.inject import kill, must, pods, roll, scale, unreachable, wait_ready
from tools.measure.faults.outcome import AROUND_SECONDS, RATE, bounded, during, lossless
from tools.measure.results import Number, Result
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic, send_for
from tools.probe.names import FAILURE_TEXT
from tools.probe.result import percentile

EXPORT_SECONDS = 0.5
"""NGINX's workers export that often, and never repeat an export."""

NOTICED_SECONDS = 1.0
"""From a process's end until the nodes send its pod no more connections."""

ENDED_SECONDS = 5.0
"""The kubelet and `kubectl delete` take up to that long after a pod's grace period. Our choice."""

RECONNECTED_SECONDS = 150.0
"""The Collector exports with gRPC, which waits up to 120 s, plus or minus a fifth, before it dials again.

All users of grpc-go share that limit (`MaxDelay` of `backoff.DefaultConfig`); the Collector has no setting for it.
"""

FLUSH_SECONDS = 1.0
"""Tempo writes a span to its disk within that time: `tempo.flush.traceIdlePeriod` and `checkPeriod`."""

CONFIGURATION = {
    "nginx.replicas": "2",
    "collector.distribution": "contrib",
    "collector.replicas": "2",
    "collector.queue.storage": "persistent",
    # Both Collectors are replaced while Tempo is away, within `LIMIT_SECONDS`.
    "collector.queue.drain.timeout": "40s",
    "tempo.persistence.size": "10Gi",
}
"""Configures a stack that loses nothing. Of contrib's parts the lab's Collector has those that this program uses."""

NAMESPACE = "tracing-reliability"
NGINX, COLLECTOR, TEMPO = "deployment/nginx", "statefulset/otel-collector", "statefulset/tempo"


def nginx_rollout(stack: Stack) -> list[Result]:
    """Replaces every NGINX pod, once under clients that keep their connections and once under clients that do not."""
    kept = during(stack, lambda: roll(stack.namespace, NGINX))
    new = during(stack, lambda: roll(stack.namespace, NGINX), keepalive=False)
    return [lossless("NGINX rollout", kept), lossless("NGINX rollout, a connection a request", new)]


def nginx_scale_down(stack: Stack) -> Result:
    """Scales NGINX from two pods to one, and back."""

    def there_and_back() -> None:
        scale(stack.namespace, NGINX, 1)
        scale(stack.namespace, NGINX, 2)

    return lossless("NGINX scaled down and up", during(stack, there_and_back))


def collector_rollout(stack: Stack) -> Result:
    """Replaces both Collectors, one after the other."""
    return lossless("Collector rollout, two replicas", during(stack, lambda: roll(stack.namespace, COLLECTOR)))


def collector_scale_down(stack: Stack) -> Result:
    """Fills the queues of three Collectors, scales them to two under traffic, and looks every trace up.

    The last pod sends what its volume holds before it ends: no other pod takes the volume.
    """
    outputs = stack.outputs()
    scale(stack.namespace, COLLECTOR, 3)
    scale(stack.namespace, TEMPO, 0)
    filled = full_queues.fill(stack.namespace)
    with Traffic(outputs["nginxUrl"], RATE) as traffic:
        time.sleep(AROUND_SECONDS)
        shares = [full_queues.share(stack.namespace, f"otel-collector-{number}") for number in range(3)]
        must("scale", COLLECTOR, f"--namespace={stack.namespace}", "--replicas=2")
        scale(stack.namespace, TEMPO, 1)
        # It waits for the end of the third one.
        scale(stack.namespace, COLLECTOR, 2)
        time.sleep(AROUND_SECONDS)
    lost = [
        len(missing(outputs["tempoUrl"], each, patience_seconds=RECONNECTED_SECONDS)) for each in (filled, traffic.sent)
    ]
    return scaled_down(filled, traffic.sent, lost, min(shares))


def scaled_down(filled: Sent, sent: Sent, lost: Sequence[int], full: float) -> Result:
    """Returns the result of fewer Collectors with full queues.

    Args:
        filled: what filled the queues.
        sent: the requests.
        lost: the traces that Tempo lacks of each of these.
        full: how full the emptiest queue was when the Collectors became fewer; 1 is full.
    """
    count = filled.count + len(sent.answered)
    details: dict[str, Number] = {
        "requests": sent.count,
        "traces lost of them": lost[1],
        "traces in the queues": filled.count,
        "traces lost of these": lost[0],
        "share of the emptiest queue": round(full, 3),
    }
    value = f"{len(sent.failed)} of {sent.count} failed; {(count - sum(lost)) / count:.2%} found"
    # With emptier queues, nothing was measured.
    met = not sent.failed and not any(lost) and full > full_queues.FULL
    name = f"Collectors 3 → 2, each queue more than {full_queues.FULL:.0%} full, {RATE:.0f}/s"
    return Result(name, "0 failed; 100 % found", value, met, details)


def collector_kill(stack: Stack) -> Result:
    """Kills each of two Collectors in turn. Its volume holds every export that it had answered.

    NGINX loses the export that was under way. The next connection of a worker may go to the dead pod again before
    kube-proxy removes its endpoint; then that worker loses what comes until gRPC connects again.
    """
    outcomes = [during(stack, lambda pod=pod: kill(pod)) for pod in pods(stack.namespace, "otel-collector")]
    worst = max(outcomes, key=lambda outcome: len(outcome.lost))
    most = int(RATE * (EXPORT_SECONDS + NOTICED_SECONDS + longest_after(NOTICED_SECONDS)))
    reason = "one export of NGINX's, the second until nodes leave out the dead pod, and gRPC's wait after it"
    return bounded("Collector SIGKILL, persistent queue", worst, most, reason)


def collectors_away(stack: Stack, seconds: float) -> Result:
    """Removes both Collectors for some time: NGINX loses what comes meanwhile, and until gRPC connects again.

    No counter of NGINX holds these spans. NGINX logs a line for each failed export, and the probe shows these lines.
    """
    gone = 0.0

    def away() -> None:
        nonlocal gone
        start = time.monotonic()
        scale(stack.namespace, COLLECTOR, 0)
        time.sleep(seconds)
        scale(stack.namespace, COLLECTOR, 2)
        gone = time.monotonic() - start
        # Exports fail for that long in the worst case. Spans that are sent later must be found.
        time.sleep(longest_after(gone))

    outcome = during(stack, away)
    failed, lost = len(outcome.sent.failed), len(outcome.lost)
    longest = longest_after(gone)
    most = int(RATE * (EXPORT_SECONDS + NOTICED_SECONDS + gone + longest))
    lines = sum(count for error, count in outcome.log_errors.items() if FAILURE_TEXT in error)
    value = f"{failed} failed; {lost} spans lost, those of {lost / RATE:.1f} s; {lines} lines in NGINX's log"
    met = not failed and 0 < lost <= most and lines > 0
    reason = f"{gone:.0f} s away and {longest:.0f} s of gRPC's wait"
    return Result(
        f"no Collector for {gone:.0f} s, {RATE:.0f}/s",
        f"0 failed; ≤ {most} lost ({reason}), told by NGINX's log",
        value,
        met,
        outcome.details(),
    )


def collectors_with_full_queues(stack: Stack, seconds: float) -> Result:
    """Kills each Collector and then replaces both, while Tempo is away and only their queues hold the spans.

    No request comes meanwhile, so every lost span is one that a queue lost.
    """
    outputs = stack.outputs()
    scale(stack.namespace, TEMPO, 0)
    sent = send_for(seconds, outputs["nginxUrl"], RATE)
    time.sleep(EXPORT_SECONDS + NOTICED_SECONDS)
    for pod in pods(stack.namespace, "otel-collector"):
        kill(pod)
    roll(stack.namespace, COLLECTOR)
    scale(stack.namespace, TEMPO, 1)
    lost = len(missing(outputs["tempoUrl"], sent, patience_seconds=RECONNECTED_SECONDS))
    name = f"Collectors SIGKILLed, then replaced, {seconds:.0f} s of spans in their queues"
    value = f"{len(sent.failed)} of {sent.count} failed; {(sent.count - lost) / sent.count:.2%} found"
    details: dict[str, Number] = {"requests": sent.count, "traces lost": lost}
    return Result(name, "0 failed; 100 % found", value, not lost and not sent.failed, details)


def tempo_down(stack: Stack, seconds: float) -> Result:
    """Removes Tempo for some time."""

    def away() -> None:
        scale(stack.namespace, TEMPO, 0)
        time.sleep(seconds)
        scale(stack.namespace, TEMPO, 1)

    return lossless(f"Tempo away for {seconds:.0f} s", during(stack, away, patience_seconds=RECONNECTED_SECONDS))


def tempo_stop(stack: Stack) -> Result:
    """Sends Tempo SIGTERM, as a rollout does."""
    return lossless("Tempo SIGTERM", during(stack, lambda: roll(stack.namespace, TEMPO)))


def tempo_kill(stack: Stack) -> Result:
    """Kills Tempo, which loses the spans that it had not written yet."""
    (pod,) = pods(stack.namespace, "tempo")
    return bounded("Tempo SIGKILL", during(stack, lambda: kill(pod)), int(RATE * FLUSH_SECONDS), "one flush period")


def collector_unreachable(stack: Stack, seconds: float, turns: int) -> list[Result]:
    """Drops packets to the Collectors, and measures the requests' latency and how long NGINX takes to terminate.

    Turns with reachable and unreachable Collectors alternate, and all turns of a kind are compared together: the p99
    of single turns differs by more than the target.
    """
    url = stack.outputs()["nginxUrl"]
    collectors = pods(stack.namespace, "otel-collector")
    reachable: list[Sent] = []
    dropped: list[Sent] = []
    for _ in range(turns):
        reachable.append(send_for(seconds, url, RATE))
        with unreachable(collectors, 4317):
            dropped.append(send_for(seconds, url, RATE))
    with unreachable(collectors, 4317):
        # The pod has spans to export when it terminates.
        send_for(AROUND_SECONDS, url, RATE)
        grace, ended = _end_of_nginx(stack)
    usual, meanwhile = (
        percentile([latency for sent in turns_of for latency in sent.latencies], 99) or 0.0
        for turns_of in (reachable, dropped)
    )
    ratio = meanwhile / usual
    details: dict[str, Number] = {
        "p99 while reachable, ms": round(usual * 1000, 2),
        "p99 while not, ms": round(meanwhile * 1000, 2),
        "of each turn while reachable, ms": json.dumps([round(sent.latency(99) * 1000, 2) for sent in reachable]),
        "of each turn while not, ms": json.dumps([round(sent.latency(99) * 1000, 2) for sent in dropped]),
        "failed": sum(len(sent.failed) for sent in dropped),
    }
    change = f"{meanwhile * 1000:.2f} ms instead of {usual * 1000:.2f}: {ratio - 1:+.0%}, of {turns} turns each"
    return [
        Result("Collector unreachable: p99 of requests", "at most 5 % more", change, ratio <= 1.05, details),
        # The module waits for answers without a limit of its own, and for a connection for 20 s.
        Result(
            "Collector unreachable: NGINX ends",
            f"≤ {grace} s, its grace period",
            f"{ended:.0f} s",
            ended <= grace + ENDED_SECONDS,
        ),
    ]


def _end_of_nginx(stack: Stack) -> tuple[int, float]:
    """Deletes a pod of NGINX, and returns its grace period and the time that it took to terminate, in seconds."""
    pod = pods(stack.namespace, "nginx")[0]
    grace = int(pod["spec"]["terminationGracePeriodSeconds"])
    start = time.monotonic()
    must("delete", "pod", pod["metadata"]["name"], f"--namespace={stack.namespace}", f"--timeout={grace + 30}s")
    return grace, time.monotonic() - start


def node_restart(stack: Stack, seconds: float) -> Result:
    """Kills the node, which is the whole lab, and starts it again. Traces found before must be found after."""
    outputs = stack.outputs()
    sent = send_for(seconds, outputs["nginxUrl"], RATE)
    before = missing(outputs["tempoUrl"], sent)
    lifecycle.kill()
    lifecycle.start(Progress())
    for workload in (TEMPO, COLLECTOR, NGINX):
        wait_ready(stack.namespace, workload)
    lost = set(missing(outputs["tempoUrl"], sent, patience_seconds=60)) - set(before)
    found = sent.count - len(before)
    value = f"{(found - len(lost)) / found:.2%} of {found}"
    return Result("node killed and started: traces found", "100 %", value, not lost, {"traces lost": len(lost)})
