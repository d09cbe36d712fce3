"""What is lost while parts of the stack are replaced, killed, away or unreachable, under constant traffic."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.cluster import lifecycle
from lab.progress import Progress
from tools.lab_stack import Stack
from tools.measure.reliability.backoff import longest_after
from tools.measure.reliability.balance import Balance, Counting
from tools.measure.reliability.faults import kill, must, pods, roll, scale, unreachable, wait_ready
from tools.measure.reliability.figures import Figure, Number
from tools.measure.reliability.logs import Complaints
from tools.measure.reliability.traces import missing
from tools.measure.reliability.traffic import Sent, Traffic, send_for
from tools.probe.names import FAILURE_TEXT
from tools.probe.result import percentile

RATE = 200.0
"""Requests a second."""

AROUND_SECONDS = 3.0
"""Of requests before a fault and after its end."""

EXPORT_SECONDS = 0.5
"""NGINX's workers export that often, and never a second time."""

NOTICED_SECONDS = 1.0
"""From a process's end to nodes sending its pod no more connections."""

ENDED_SECONDS = 5.0
"""From the end of a pod's grace period to its being gone, for kubelet and for `kubectl delete`."""

RECONNECTED_SECONDS = 150.0
"""gRPC, which the Collector exports with, waits up to 120 s, give or take a fifth, before it dials again.

It is the same for all of its users (`MaxDelay` of grpc-go's `backoff.DefaultConfig`), and no setting of the Collector.
"""

FLUSH_SECONDS = 1.0
"""From a span's arrival in Tempo to its disk: `tempo.flush.traceIdlePeriod` and `checkPeriod`."""

CONFIGURATION = {
    "nginx.replicas": "2",
    "collector.distribution": "contrib",
    "collector.replicas": "2",
    "collector.queue.storage": "persistent",
    "tempo.persistence.size": "10Gi",
}
"""A stack that is to lose nothing. The lab's Collector has what the distribution contrib has of what is used here."""

NGINX, COLLECTOR, TEMPO = "deployment/nginx", "statefulset/otel-collector", "statefulset/tempo"


@dataclass
class Outcome:
    """What became of the requests around a fault."""

    sent: Sent
    lost: list[str]
    """The traces of answered requests that Tempo does not have."""

    complaints: dict[str, int]
    """What the pods said meanwhile, to find where a lost span went."""

    balance: Balance
    """What the hops counted."""

    def details(self) -> dict[str, Number]:
        """For a figure."""
        return {
            "requests": self.sent.count,
            "failed": len(self.sent.failed),
            "traces lost": len(self.lost),
            "reasons": json.dumps(self.sent.reasons()),
            "pods said": json.dumps(self.complaints),
            **self.balance.details,
        }


def during(
    stack: Stack, fault: Callable[[], object], *, keepalive: bool = True, patience_seconds: float = 15
) -> Outcome:
    """Sends while a fault is made, and a little before and after."""
    outputs = stack.outputs()
    with Counting(stack.namespace) as counting, Complaints(stack.namespace) as complaints:
        with Traffic(outputs["nginxUrl"], RATE, keepalive=keepalive) as traffic:
            time.sleep(AROUND_SECONDS)
            fault()
            time.sleep(AROUND_SECONDS)
        lost = missing(outputs["tempoUrl"], traffic.sent, patience_seconds=patience_seconds)
        balance = counting.balance(traffic.sent, len(lost))
    return Outcome(traffic.sent, lost, complaints.counts, balance)


def nginx_rollout(stack: Stack) -> list[Figure]:
    """Every NGINX pod is replaced; clients that keep their connections, and clients that do not."""
    kept = during(stack, lambda: roll(stack.namespace, NGINX))
    new = during(stack, lambda: roll(stack.namespace, NGINX), keepalive=False)
    return [lossless("NGINX rollout", kept), lossless("NGINX rollout, a connection a request", new)]


def nginx_scale_down(stack: Stack) -> Figure:
    """NGINX goes from two pods to one, and back."""

    def there_and_back() -> None:
        scale(stack.namespace, NGINX, 1)
        scale(stack.namespace, NGINX, 2)

    return lossless("NGINX scaled down and up", during(stack, there_and_back))


def collector_rollout(stack: Stack) -> Figure:
    """Both Collectors are replaced, one after the other."""
    return lossless("Collector rollout, two replicas", during(stack, lambda: roll(stack.namespace, COLLECTOR)))


def collector_kill(stack: Stack) -> Figure:
    """Each of two Collectors is killed in turn; what it had answered for is in its volume.

    NGINX loses the export that was under way. A worker whose next connection goes to the dead one again, before the
    nodes leave it out, loses what comes until gRPC connects again.
    """
    outcomes = [during(stack, lambda pod=pod: kill(pod)) for pod in pods(stack.namespace, "otel-collector")]
    worst = max(outcomes, key=lambda outcome: len(outcome.lost))
    bar = int(RATE * (EXPORT_SECONDS + NOTICED_SECONDS + longest_after(NOTICED_SECONDS)))
    what = "one export of NGINX's, the second until nodes leave out the dead pod, and gRPC's wait after it"
    return _bounded("Collector SIGKILL, persistent queue", worst, bar, what)


def collectors_away(stack: Stack, seconds: float) -> Figure:
    """No Collector is there for some time: NGINX loses what comes meanwhile, and until gRPC connects again.

    NGINX has no counter of it. Its log has a line for each export that failed, which the probe shows.
    """
    gone = 0.0

    def away() -> None:
        nonlocal gone
        start = time.monotonic()
        scale(stack.namespace, COLLECTOR, 0)
        time.sleep(seconds)
        scale(stack.namespace, COLLECTOR, 2)
        gone = time.monotonic() - start
        # Exports fail for that long in the worst case, and what is sent after that is to be found.
        time.sleep(longest_after(gone))

    outcome = during(stack, away)
    failed, lost = len(outcome.sent.failed), len(outcome.lost)
    longest = longest_after(gone)
    bar = int(RATE * (EXPORT_SECONDS + NOTICED_SECONDS + gone + longest))
    lines = sum(count for said, count in outcome.complaints.items() if FAILURE_TEXT in said)
    value = f"{failed} failed; {lost} spans lost, those of {lost / RATE:.1f} s; {lines} lines in NGINX's log"
    met = not failed and 0 < lost <= bar and lines > 0
    what = f"{gone:.0f} s away and {longest:.0f} s of gRPC's wait"
    return Figure(
        f"no Collector for {gone:.0f} s, {RATE:.0f}/s",
        f"0 failed; ≤ {bar} lost ({what}), told by NGINX's log",
        value,
        met,
        outcome.details(),
    )


def collectors_with_full_queues(stack: Stack, seconds: float) -> Figure:
    """Tempo is away, and nothing else holds the spans, while each Collector is killed and both are replaced.

    No request comes meanwhile: what is lost is lost by the queues.
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
    return Figure(name, "0 failed; 100 % found", value, not lost and not sent.failed, details)


def tempo_down(stack: Stack, seconds: float) -> Figure:
    """Tempo is away for some time."""

    def away() -> None:
        scale(stack.namespace, TEMPO, 0)
        time.sleep(seconds)
        scale(stack.namespace, TEMPO, 1)

    return lossless(f"Tempo away for {seconds:.0f} s", during(stack, away, patience_seconds=RECONNECTED_SECONDS))


def tempo_stop(stack: Stack) -> Figure:
    """Tempo is told to end, as by a rollout."""
    return lossless("Tempo SIGTERM", during(stack, lambda: roll(stack.namespace, TEMPO)))


def tempo_kill(stack: Stack) -> Figure:
    """Tempo is killed; what it had not written yet is lost."""
    (pod,) = pods(stack.namespace, "tempo")
    return _bounded("Tempo SIGKILL", during(stack, lambda: kill(pod)), int(RATE * FLUSH_SECONDS), "one flush period")


def collector_unreachable(stack: Stack, seconds: float, turns: int) -> list[Figure]:
    """Packets to the Collectors are dropped: what requests notice, and how long NGINX takes to end.

    Reachable and not take turns, since one turn's p99 differs from the next by more than the bar; compared are those of
    all turns together.
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
        # There are spans to export when the pod ends.
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
    change = f"{ratio - 1:+.0%}, of {turns} turns each"
    return [
        Figure("Collector unreachable: p99 of requests", "at most 5 % more", change, ratio <= 1.05, details),
        # The module waits for answers for as long as it is let, and for a connection for 20 s.
        Figure(
            "Collector unreachable: NGINX ends",
            f"≤ {grace} s, its grace period",
            f"{ended:.0f} s",
            ended <= grace + ENDED_SECONDS,
        ),
    ]


def _end_of_nginx(stack: Stack) -> tuple[int, float]:
    """The grace period of a pod, and the time that it takes to end, in seconds."""
    pod = pods(stack.namespace, "nginx")[0]
    grace = int(pod["spec"]["terminationGracePeriodSeconds"])
    start = time.monotonic()
    must("delete", "pod", pod["metadata"]["name"], f"--namespace={stack.namespace}", f"--timeout={grace + 30}s")
    return grace, time.monotonic() - start


def node_restart(stack: Stack, seconds: float) -> Figure:
    """The node, which is the whole lab, is killed and started again: what was found before is found after."""
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
    return Figure("node killed and started: traces found", "100 %", value, not lost, {"traces lost": len(lost)})


def lossless(name: str, outcome: Outcome) -> Figure:
    """The figure of what is to fail no request and to lose no span."""
    count, failed, lost = outcome.sent.count, len(outcome.sent.failed), len(outcome.lost)
    found = (count - failed - lost) / (count - failed) if count > failed else 0.0
    value = f"{failed} of {count} failed; {found:.2%} found"
    met = not failed and not lost and outcome.balance.holds
    return Figure(f"{name}, {RATE:.0f}/s", "0 failed; 100 % found", value, met, outcome.details())


def _bounded(name: str, outcome: Outcome, bar: int, what: str) -> Figure:
    failed, lost = len(outcome.sent.failed), len(outcome.lost)
    value = f"{failed} failed; {lost} spans lost of {outcome.sent.count}"
    met = not failed and lost <= bar and outcome.balance.holds
    return Figure(f"{name}, {RATE:.0f}/s", f"0 failed; ≤ {bar} lost ({what})", value, met, outcome.details())
