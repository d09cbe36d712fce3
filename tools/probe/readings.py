"""Compares two readings of a hop's counters."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tools.probe.metrics import Samples, Series, total
from tools.probe.names import DISCARDED, GAUGES
from tools.probe.result import Hop, HopCounters


@dataclass
class Reading:
    """The counters of a hop at one time, pod by pod; or why they could not be read."""

    pods: dict[str, Samples] = field(default_factory=dict[str, Samples])
    unreadable_pods: dict[str, str] = field(default_factory=dict[str, str])
    """Pods that could not be read, and why."""

    unreadable: str | None = None


def difference(hop: Hop, names: Collection[str], before: Reading, after: Reading) -> HopCounters:
    """Returns what a hop counted between two readings, over all pods; gauges have their value of the end."""
    if unreadable := before.unreadable or after.unreadable:
        return HopCounters(hop=hop, counters={}, unreadable=unreadable)
    changes: Samples = defaultdict(float)
    unreadable_pods = before.unreadable_pods | after.unreadable_pods
    gaps, lost_queue = unread(unreadable_pods), False
    for pod, earlier in before.pods.items():
        if pod not in after.pods and pod not in unreadable_pods:
            gaps.append(f"{pod} ended during the run; what it counted {_with_queue(earlier)}is not included")
            lost_queue = lost_queue or _waiting(earlier) > 0
    for pod, samples in after.pods.items():
        if pod in unreadable_pods:
            continue
        earlier = before.pods.get(pod, {})
        if _has_restarted(earlier, samples):
            gaps.append(f"{pod} restarted during the run; what it counted before {_with_queue(earlier)}is not included")
            lost_queue = lost_queue or _waiting(earlier) > 0
            earlier = {}
        for series, value in samples.items():
            changes[series] += value if series.name in GAUGES else value - earlier.get(series, 0)
    return HopCounters(
        hop=hop,
        # A counter that has not counted yet is not on the page.
        counters={name: total(changes, name) for name in names},
        exporters=_by_exporter(changes),
        discarded_by_reason=_by_reason(changes),
        gaps=gaps,
        incomplete=bool(unreadable_pods) or lost_queue,
    )


def _has_restarted(earlier: Samples, later: Samples) -> bool:
    """Whether a counter is lower than before; a counter that is missing has started from 0 and not counted yet."""
    return any(later.get(series, 0.0) < value for series, value in earlier.items() if series.name not in GAUGES)


def _by_exporter(changes: Mapping[Series, float]) -> dict[str, dict[str, float]]:
    """Returns the counts of the exporters beside the one to Tempo, without zeros."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for series, change in sorted(changes.items(), key=lambda item: str(item[0].other_exporter)):
        if change and (exporter := series.other_exporter):
            found[exporter][series.name] = found[exporter].get(series.name, 0.0) + change
    return dict(found)


def _by_reason(changes: Mapping[Series, float]) -> dict[str, float]:
    """Returns the spans that Tempo discarded, by its reason, without zeros."""
    return {
        reason: change
        for series, change in changes.items()
        if change and series.name == DISCARDED and (reason := series.label("reason"))
    }


def unread(unreadable_pods: Mapping[str, str]) -> list[str]:
    """Returns a gap for each pod that could not be read."""
    return [f"{pod} could not be read, and is not included: {why}" for pod, why in unreadable_pods.items()]


def reasons(unreadable_pods: Mapping[str, str]) -> str:
    """Returns why no pod of a hop could be read."""
    return "; ".join(f"{pod}: {why}" for pod, why in unreadable_pods.items())


def _waiting(samples: Samples) -> float:
    return sum(value for series, value in samples.items() if series.name in GAUGES)


def _with_queue(samples: Samples) -> str:
    """Names the queue of a pod that ended: exports that were in memory, and not sent yet, were lost with it."""
    waiting = _waiting(samples)
    return f"and what became of its queue of size {waiting:.0f} " if waiting else ""
