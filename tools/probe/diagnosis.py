"""Names the hop that lost the missing traces, from the counters of all hops. Pure: it reads nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.probe import counters as names
from tools.probe.counters import Measured
from tools.probe.result import Finding, HopCounters, Verdict


@dataclass(frozen=True)
class Missing:
    """What the look-ups did not find, and what went wrong with them."""

    unanswered: int
    last_error: str | None
    by_id: frozenset[str]
    """Answered requests whose trace was not found by ID."""
    by_search: frozenset[str]
    """Answered requests whose trace was not found by search."""
    look_up_errors: int
    last_look_up_error: str | None


def diagnose(missing: Missing, measured: Measured) -> Verdict:
    """The findings in the order of a span's way; the first names the hop.

    A hop's counters include all traffic: where other traffic makes up for a loss, the verdict says `unknown`.
    """
    findings: list[Finding] = []
    if missing.unanswered:
        findings.append(
            Finding(
                hop="probe → NGINX",
                why=f"{_many(missing.unanswered, 'request')} got no answer; last: {missing.last_error}.",
            )
        )
    if missing.by_id:
        nginx, collector, tempo = measured.hops
        findings += _nginx(missing, measured)
        findings += _unsent(nginx, collector)
        findings += _collector(measured)
        findings += _waiting(measured)
        findings += _elsewhere(measured)
        findings += _tempo(tempo)
        if missing.look_up_errors:
            findings.append(_failed_look_ups(missing))
        if not findings:
            findings.append(_held_back(collector) or _nothing_found(measured))
    elif missing.by_search:
        findings.append(_failed_look_ups(missing) if missing.look_up_errors else _not_searchable(missing))
    return Verdict(hop=findings[0].hop, findings=findings)


def losses(measured: Measured) -> list[Finding]:
    """What the hops' counters say was lost in an interval of a watch, of all traffic, in the order of a span's way.

    Two pairs of counters are not compared, since a difference proves nothing:

    - NGINX's log with what the Collector accepted: a request that is not sampled is logged with its trace ID and has no
      span, what other services send is accepted and not logged, and the log may be off.
    - What the Collector accepted with what it sent: sampling drops spans by design, and what waits is known in exports,
      not in spans. Where the Collector itself loses a span, it counts it as refused or given up.
    """
    nginx, collector, tempo = measured.hops
    exports = [] if nginx.unreadable else _exports(nginx)
    # At any reading an export may be under way. One that nothing was sent beside for the whole interval is held up.
    held_up = not collector.unreadable and measured.waiting_at_start and not collector.counters[names.SENT]
    waiting = _waiting(measured) if held_up else []
    return [
        *exports,
        *_collector(measured),
        *waiting,
        *_elsewhere(measured),
        *_tempo(tempo),
        *other_exporters(measured),
    ]


def blind_spots(measured: Measured) -> list[str]:
    """Why no loss that the counters show is no proof that there was none: what an interval of a watch could not see."""
    unread = [
        f"{hop.hop} could not be read: {hop.unreadable}"
        for hop in measured.hops
        if hop.unreadable and hop.unreadable != names.NO_TEMPO
    ]
    return unread + [f"{hop.hop}: {gap}" for hop in measured.hops if hop.blind for gap in hop.gaps]


def _nginx(missing: Missing, measured: Measured) -> list[Finding]:
    nginx, logged = measured.hops[0], measured.logged
    if logged is None:
        return []
    findings: list[Finding] = []
    # Without a single line of this time, or with a part of the log gone, a line that is missing proves nothing.
    unlogged = frozenset[str]() if measured.log_is_off or nginx.gaps else missing.by_id - logged
    if unlogged:
        why = (
            f"the access log has no line with the trace IDs of {_many(len(unlogged), 'missing trace')}. Either "
            "something else than this NGINX answers at nginxUrl, or it does not take over the trace ID of a "
            "`traceparent`: otel_trace_context must be `propagate` or `extract`."
        )
        findings.append(Finding(hop="NGINX", why=why))
    return findings + _exports(nginx)


def _exports(nginx: HopCounters) -> list[Finding]:
    findings: list[Finding] = []
    if nginx.counters[names.DROPPED_LINES]:
        why = (
            f"its export buffer was full: {_last(nginx, names.DROPPED_TEXT)}. The Collector hangs, or answers too "
            "slowly: each batch, full or not, takes one of the `nginx.exporter.batchCount` places of a worker until it "
            "is answered. Raise `nginx.exporter.batchCount`, or `batchSize` if batches are full."
        )
        findings.append(Finding(hop="NGINX", why=why))
    if nginx.counters[names.FAILURE_LINES]:
        why = (
            f"exports failed, and NGINX does not retry them: {_last(nginx, names.FAILURE_TEXT)}. After a refused "
            "connection, exports go on failing until gRPC connects again: after 1 s, then 1.6 times longer each time, "
            "up to 2 min. So they can fail for about as long again as the Collector was away."
        )
        findings.append(Finding(hop="NGINX → Collector", why=why))
    return findings


def _unsent(nginx: HopCounters, collector: HopCounters) -> list[Finding]:
    """Only for the probe's own requests, each of which is sampled."""
    if nginx.unreadable or collector.unreadable or collector.gaps:
        return []
    logged = nginx.counters[names.LOGGED]
    reached = collector.counters[names.ACCEPTED] + collector.counters[names.REFUSED]
    if reached >= logged:
        return []
    why = (
        f"NGINX logged {logged:.0f} of the requests, but only {_spans(reached)} "
        "reached the Collector. Is otel_trace on for this path, and otel_exporter's endpoint this Collector?"
    )
    return [Finding(hop="NGINX → Collector", why=why)]


def _collector(measured: Measured) -> list[Finding]:
    _, collector, _ = measured.hops
    if collector.unreadable:
        return []
    count = collector.counters
    findings: list[Finding] = []
    if refused := count[names.REFUSED]:
        why = (
            f"it refused {_spans(refused)}, which NGINX does not send again: its memory limit is reached "
            "(memory_limiter), or a processor or the exporter's queue does not take them."
        )
        findings.append(Finding(hop="Collector", why=why))
    if failed := count[names.SEND_FAILED] + count[names.ENQUEUE_FAILED]:
        why = f"the Collector gave up {_spans(failed)} that it could not send to Tempo; {_log_of(measured)}."
        findings.append(Finding(hop="Collector → Tempo", why=why))
    return findings


def _waiting(measured: Measured) -> list[Finding]:
    _, collector, _ = measured.hops
    if collector.unreadable or not (queue := collector.counters[names.QUEUE_SIZE]):
        return []
    why = (
        "the Collector still holds spans that it could not send to Tempo "
        f"(otelcol_exporter_queue_size {queue:.0f}); it tries again; {_log_of(measured)}."
    )
    return [Finding(hop="Collector → Tempo", why=why)]


def _elsewhere(measured: Measured) -> list[Finding]:
    """What the Collector sent to Tempo and this Tempo did not receive.

    Tempo counts an export when it comes, the Collector when it is answered. One that was under way at the first reading
    may be in the Collector's difference alone: compared is only what began with empty queues, which hold it until then.
    """
    _, collector, tempo = measured.hops
    # A Tempo that restarted has forgotten what it received.
    if collector.unreadable or tempo.unreadable or measured.tempo_forgot or measured.waiting_at_start:
        return []
    sent, received = collector.counters[names.SENT], tempo.counters[names.RECEIVED]
    if received >= sent:
        return []
    why = (
        f"the Collector sent {_spans(sent)}, this Tempo received {received:.0f}. "
        "Does the Collector's exporter send to the Tempo of tempoUrl?"
    )
    return [Finding(hop="Collector → Tempo", why=why)]


def _held_back(collector: HopCounters) -> Finding | None:
    """Spans between the Collector's receiver and its exporter: weak evidence, since under traffic some always are."""
    count = collector.counters
    if collector.unreadable or count[names.SENT] >= count[names.ACCEPTED]:
        return None
    why = (
        f"it accepted {_spans(count[names.ACCEPTED])} and sent {count[names.SENT]:.0f}: the others wait in a batch, or "
        "a processor dropped them."
    )
    return Finding(hop="Collector", why=why)


def _tempo(tempo: HopCounters) -> list[Finding]:
    findings: list[Finding] = []
    if discarded := tempo.counters.get(names.DISCARDED):
        reasons = ", ".join(_reasons(tempo.counters)) or "no reason given"
        why = f"it discarded {_spans(discarded)} ({reasons}); its limits are set under `overrides`."
        findings.append(Finding(hop="Tempo", why=why))
    if tempo.counters.get(names.FULL_LINES):
        why = (
            "its disk is full; what it took and could not write it counts nowhere: "
            f"{_last(tempo, names.FULL_TEXT)}. Raise `tempo.persistence.size`, or lower `tempo.retention`."
        )
        findings.append(Finding(hop="Tempo", why=why))
    return findings


def other_exporters(measured: Measured) -> list[Finding]:
    """What the Collector gave up, or holds up, on the way to backends that are not the stack's Tempo."""
    _, collector, _ = measured.hops
    findings: list[Finding] = []
    for exporter in names.exporters(collector.counters):
        given_up, sent, waiting = (
            sum(collector.counters.get(names.of_exporter(name, exporter), 0.0) for name in counted)
            for counted in ((names.SEND_FAILED, names.ENQUEUE_FAILED), (names.SENT,), (names.QUEUE_SIZE,))
        )
        if given_up:
            why = (
                f"the Collector gave up {_spans(given_up)} that it could not send with {exporter}; "
                f"{_log_of(measured, exporter)}."
            )
            findings.append(Finding(hop="Collector → exporter", why=why))
        # One that may be under way is none that is held up, but with an error of the exporter in the log it is.
        if (
            waiting
            and not sent
            and (exporter in measured.others_waiting_at_start or exporter in measured.exporter_errors)
        ):
            why = (
                f"the Collector still holds spans that it could not send with {exporter} "
                f"(otelcol_exporter_queue_size {waiting:.0f}); it tries again; {_log_of(measured, exporter)}."
            )
            findings.append(Finding(hop="Collector → exporter", why=why))
    return findings


def _log_of(measured: Measured, exporter: str = names.TO_TEMPO) -> str:
    return measured.exporter_errors.get(exporter, "its log says why")


def _reasons(count: Mapping[str, float]) -> list[str]:
    start = f'{names.DISCARDED}{{reason="'
    return [f"{key.removeprefix(start)[:-2]}: {value:.0f}" for key, value in count.items() if key.startswith(start)]


def _failed_look_ups(missing: Missing) -> Finding:
    why = f"{_many(missing.look_up_errors, 'look-up')} failed; last: {missing.last_look_up_error}."
    return Finding(hop="Tempo", why=why)


def _not_searchable(missing: Missing) -> Finding:
    why = (
        f"all traces are found by ID, but {len(missing.by_search)} not by search yet: search sees a trace once the "
        "ingester has cut it (trace_idle_period, flush_check_period). Try a longer --timeout."
    )
    return Finding(hop="Tempo", why=why)


def _nothing_found(measured: Measured) -> Finding:
    if unreadable := [hop.hop for hop in measured.hops if hop.unreadable]:
        why = f"the counters that could be read show no loss; those of {listed(unreadable)} could not be read."
        return Finding(hop="unknown", why=why)
    if gaps := [gap for hop in measured.hops for gap in hop.gaps]:
        return Finding(hop="unknown", why=f"no counter shows a loss, but they are not whole: {'; '.join(gaps)}.")
    if measured.log_is_off:
        why = (
            "no counter shows a loss, and NGINX's log has no line with a trace ID. Either `nginx.accessLog` is off, or "
            "something else than this NGINX answers at nginxUrl."
        )
        return Finding(hop="unknown", why=why)
    why = (
        "no counter shows a loss: Tempo received as many spans as NGINX logged requests. Either Tempo does not answer "
        "with them yet (try a longer --timeout), or other traffic in the counters hides the loss."
    )
    return Finding(hop="unknown", why=why)


def _spans(count: float) -> str:
    return _many(count, "span")


def _many(count: float, one: str, more: str | None = None) -> str:
    return f"{count:.0f} {one if count == 1 else more or f'{one}s'}"


def _last(nginx: HopCounters, text: str) -> str:
    return next(note for note in nginx.notes if text in note)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
