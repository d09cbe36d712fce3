"""Names the hop that lost the missing traces, from the counters of all hops. Reads nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tools.probe import names
from tools.probe.counters import Measured
from tools.probe.exporters import log_of, other_exporters, to_deciders
from tools.probe.result import Finding, Hop, HopCounters, Verdict
from tools.probe.words import listed, many, spans


@dataclass(frozen=True)
class Missing:
    """The requests whose traces the look-ups did not find, and the errors of the look-ups."""

    unanswered: int
    last_error: str | None
    by_id: frozenset[str]
    """Answered requests whose trace was not found by ID."""
    by_search: frozenset[str]
    """Answered requests whose trace was not found by search."""
    look_up_errors: int
    last_look_up_error: str | None
    not_whole: Mapping[str, str] = field(default_factory=dict[str, str])
    """The missing parts of traces that were found, but not whole, by their IDs."""


def diagnose(missing: Missing, measured: Measured) -> Verdict:
    """Returns the findings in the order of a span's way; the first names the hop.

    A hop's counters include all traffic: where other traffic makes up for a loss, the verdict says `unknown`.
    """
    findings: list[Finding] = []
    if missing.unanswered:
        findings.append(
            Finding(
                hop=Hop.PROBE_TO_NGINX,
                why=f"{many(missing.unanswered, 'request')} got no answer; last: {missing.last_error}.",
            )
        )
    if missing.by_id:
        nginx, collector, tempo = measured.hops
        findings += _nginx(missing, measured)
        findings += _unsent(nginx, collector)
        findings += _collector(measured)
        findings += to_deciders(measured)
        findings += _waiting(measured)
        findings += _elsewhere(measured)
        findings += _tempo(tempo)
        if missing.look_up_errors:
            findings.append(_failed_look_ups(missing))
        if not findings:
            findings.append(_held_back(collector) or _not_whole(missing) or _nothing_found(measured))
    elif missing.by_search:
        findings.append(_failed_look_ups(missing) if missing.look_up_errors else _not_searchable(missing))
    return Verdict(hop=findings[0].hop, findings=findings)


def losses(measured: Measured) -> list[Finding]:
    """Returns the losses of all traffic in an interval of a watch, by the hops' counters, in the order of a span's way.

    Two pairs of counters are not compared, since a difference proves nothing:

    - NGINX's log with the spans that the Collector accepted. NGINX logs a trace ID also for a request that is not
      sampled and so has no span; the Collector accepts spans of other services; and the log may be off.
    - The spans that the Collector accepted with those that it sent. Sampling drops spans by design, and the queue's
      size is in bytes or exports, not in spans. A span that the Collector itself loses is counted as refused,
      send_failed or enqueue_failed.
    """
    nginx, collector, tempo = measured.hops
    exports = [] if nginx.unreadable else _exports(nginx)
    # At any reading an export may be under way. It is stalled if nothing else was sent for the whole interval.
    is_stalled = not collector.unreadable and measured.waiting_at_start and not collector.counters[names.SENT]
    waiting = _waiting(measured) if is_stalled else []
    return [
        *exports,
        *_collector(measured),
        *to_deciders(measured),
        *waiting,
        *_elsewhere(measured),
        *_tempo(tempo),
        *other_exporters(measured),
    ]


def incomplete_readings(measured: Measured) -> list[str]:
    """Returns what an interval of a watch could not read: a loss there is in no counter."""
    unread = [
        f"{hop.hop.display_name} could not be read: {hop.unreadable}"
        for hop in measured.hops
        if hop.unreadable and hop.unreadable != names.NO_TEMPO
    ]
    return unread + [f"{hop.hop.display_name}: {gap}" for hop in measured.hops if hop.incomplete for gap in hop.gaps]


def _nginx(missing: Missing, measured: Measured) -> list[Finding]:
    nginx, logged = measured.hops[0], measured.logged
    if logged is None:
        return []
    findings: list[Finding] = []
    # A missing line proves nothing when the log has no line of this time at all, or when a part of it is gone.
    unlogged = frozenset[str]() if measured.log_is_off or nginx.gaps else missing.by_id - logged
    if unlogged:
        why = (
            f"the access log has no line with the trace IDs of {many(len(unlogged), 'missing trace')}. Either "
            "something else than this NGINX answers at nginxUrl, or NGINX does not adopt the trace ID of a "
            "`traceparent`: otel_trace_context must be `propagate` or `extract`."
        )
        findings.append(Finding(hop=Hop.NGINX, why=why))
    return findings + _exports(nginx)


def _exports(nginx: HopCounters) -> list[Finding]:
    findings: list[Finding] = []
    if nginx.counters[names.DROPPED_LINES]:
        why = (
            f"its export buffer was full: {_last(nginx, names.DROPPED_TEXT)}. The Collector hangs, or answers too "
            "slowly: each batch, full or not, takes one of the `nginx.exporter.batchCount` places of a worker until it "
            "is answered. Raise `nginx.exporter.batchCount`, or `batchSize` if batches are full."
        )
        findings.append(Finding(hop=Hop.NGINX, why=why))
    if nginx.counters[names.FAILURE_LINES]:
        why = (
            f"exports failed, and NGINX does not retry them: {_last(nginx, names.FAILURE_TEXT)}. After a refused "
            "connection, exports go on failing until gRPC connects again: after 1 s, then 1.6 times longer each time, "
            "up to 2 min. So they can fail for about as long again as the Collector was away."
        )
        findings.append(Finding(hop=Hop.NGINX_TO_COLLECTOR, why=why))
    return findings


def _unsent(nginx: HopCounters, collector: HopCounters) -> list[Finding]:
    """Compares NGINX's log with the Collector. Only for the probe's own requests, each of which is sampled."""
    if nginx.unreadable or collector.unreadable or collector.gaps:
        return []
    logged = nginx.counters[names.LOGGED]
    reached = collector.counters[names.ACCEPTED] + collector.counters[names.REFUSED]
    if reached >= logged:
        return []
    why = (
        f"NGINX logged {logged:.0f} of the requests, but only {spans(reached)} "
        "reached the Collector. Is otel_trace on for this path, and otel_exporter's endpoint this Collector?"
    )
    return [Finding(hop=Hop.NGINX_TO_COLLECTOR, why=why)]


def _collector(measured: Measured) -> list[Finding]:
    _, collector, _ = measured.hops
    if collector.unreadable:
        return []
    count = collector.counters
    findings: list[Finding] = []
    if refused := count[names.REFUSED]:
        limited = min(count[names.LIMITED], refused)
        because = [
            f"{many(limited, 'span')} because its memory limit is reached (memory_limiter)" if limited else "",
            f"{many(refused - limited, 'span')} because a queue or its volume is full" if refused > limited else "",
        ]
        why = f"it refused {spans(refused)}, which NGINX does not send again: {' and '.join(filter(None, because))}."
        findings.append(Finding(hop=Hop.COLLECTOR, why=why))
    if failed := count[names.SEND_FAILED] + count[names.ENQUEUE_FAILED]:
        why = f"the Collector dropped {spans(failed)} that it could not send to Tempo; {log_of(measured)}."
        findings.append(Finding(hop=Hop.COLLECTOR_TO_TEMPO, why=why))
    return findings


def _waiting(measured: Measured) -> list[Finding]:
    _, collector, _ = measured.hops
    if collector.unreadable or not (queue := collector.counters[names.QUEUE_SIZE]):
        return []
    why = (
        "the Collector still holds spans that it could not send to Tempo "
        f"(otelcol_exporter_queue_size {queue:.0f}); it retries; {log_of(measured)}."
    )
    return [Finding(hop=Hop.COLLECTOR_TO_TEMPO, why=why)]


def _elsewhere(measured: Measured) -> list[Finding]:
    """Compares the spans that the Collector sent to Tempo with those that this Tempo received.

    Tempo counts an export when it arrives, the Collector when it is answered. An export under way at the first reading
    may thus be in the Collector's difference alone. The queue holds it until then, so only runs that began with empty
    queues are compared.
    """
    _, collector, tempo = measured.hops
    # A Tempo that restarted has forgotten what it received.
    if collector.unreadable or tempo.unreadable or measured.tempo_forgot or measured.waiting_at_start:
        return []
    sent, received = collector.counters[names.SENT], tempo.counters[names.RECEIVED]
    if received >= sent:
        return []
    why = (
        f"the Collector sent {spans(sent)}, this Tempo received {received:.0f}. "
        "Does the Collector's exporter send to the Tempo of tempoUrl?"
    )
    return [Finding(hop=Hop.COLLECTOR_TO_TEMPO, why=why)]


def _held_back(collector: HopCounters) -> Finding | None:
    """Compares the Collector's receiver with its exporter: weak evidence, as some spans are between under traffic."""
    count = collector.counters
    if collector.unreadable or count[names.SENT] >= count[names.ACCEPTED] + count[names.MADE]:
        return None
    made = f", made {count[names.MADE]:.0f} more of upstreams" if count[names.MADE] else ""
    why = (
        f"it accepted {spans(count[names.ACCEPTED])}{made} and sent {count[names.SENT]:.0f}: the others wait in a "
        "batch, or a processor dropped them."
    )
    return Finding(hop=Hop.COLLECTOR, why=why)


def _tempo(tempo: HopCounters) -> list[Finding]:
    findings: list[Finding] = []
    if discarded := tempo.counters.get(names.DISCARDED):
        reasons = (
            ", ".join(f"{reason}: {count:.0f}" for reason, count in tempo.discarded_by_reason.items())
            or "no reason given"
        )
        why = f"it discarded {spans(discarded)} ({reasons}); its limits are set under `overrides`."
        findings.append(Finding(hop=Hop.TEMPO, why=why))
    if tempo.counters.get(names.FULL_LINES):
        why = (
            "its disk is full, and no counter has the spans that it took and could not write: "
            f"{_last(tempo, names.FULL_TEXT)}. Raise `tempo.persistence.size`, or lower `tempo.retention`."
        )
        findings.append(Finding(hop=Hop.TEMPO, why=why))
    return findings


def _failed_look_ups(missing: Missing) -> Finding:
    why = f"{many(missing.look_up_errors, 'look-up')} failed; last: {missing.last_look_up_error}."
    return Finding(hop=Hop.TEMPO, why=why)


def _not_searchable(missing: Missing) -> Finding:
    why = (
        f"all traces are found by ID, but {len(missing.by_search)} not by search yet: search sees a trace once the "
        "ingester has cut it (trace_idle_period, flush_check_period). Try a longer --timeout."
    )
    return Finding(hop=Hop.TEMPO, why=why)


def _not_whole(missing: Missing) -> Finding | None:
    if not missing.not_whole:
        return None
    why = (
        f"{many(len(missing.not_whole), 'trace')} came without a part, and no counter shows a loss. Tempo may not have "
        "all of it yet (try a longer --timeout), or a service of the demo sends none, or passes no `traceparent` on."
    )
    return Finding(hop=Hop.UNKNOWN, why=why)


def _nothing_found(measured: Measured) -> Finding:
    if unreadable := [hop.hop.display_name for hop in measured.hops if hop.unreadable]:
        why = f"the counters that could be read show no loss; those of {listed(unreadable)} could not be read."
        return Finding(hop=Hop.UNKNOWN, why=why)
    if gaps := [gap for hop in measured.hops for gap in hop.gaps]:
        return Finding(
            hop=Hop.UNKNOWN, why=f"no counter shows a loss, but the counters are incomplete: {'; '.join(gaps)}."
        )
    if measured.log_is_off:
        why = (
            "no counter shows a loss, and NGINX's log has no line with a trace ID. Either `nginx.accessLog` is off, or "
            "something else than this NGINX answers at nginxUrl."
        )
        return Finding(hop=Hop.UNKNOWN, why=why)
    why = (
        "no counter shows a loss: Tempo received as many spans as NGINX logged requests. Either Tempo does not answer "
        "with them yet (try a longer --timeout), or other traffic in the counters hides the loss."
    )
    return Finding(hop=Hop.UNKNOWN, why=why)


def _last(nginx: HopCounters, text: str) -> str:
    return next(note for note in nginx.notes if text in note)
