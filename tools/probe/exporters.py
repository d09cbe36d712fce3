"""Names the Collector's exporters that lose or hold spans on the way to backends other than the stack's Tempo."""

from collections.abc import Collection

from tools.probe import names
from tools.probe.counters import Measured
from tools.probe.result import Finding, Hop
from tools.probe.words import spans


def to_deciders(measured: Measured) -> list[Finding]:
    """Returns the findings about the way from the first tier of Collectors to the second; none if there is one tier."""
    return _findings(measured, Hop.COLLECTOR_TO_DECIDER)


def other_exporters(measured: Measured) -> list[Finding]:
    """Returns a finding for each exporter that dropped spans, and for each that is stalled."""
    return _findings(measured, Hop.COLLECTOR_TO_EXPORTER)


def _findings(measured: Measured, hop: Hop) -> list[Finding]:
    _, collector, _ = measured.hops
    findings: list[Finding] = []
    for exporter, counted in collector.exporters.items():
        if (exporter in names.TO_DECIDERS) != (hop is Hop.COLLECTOR_TO_DECIDER):
            continue
        send_failed = counted.get(names.SEND_FAILED, 0.0)
        enqueue_failed = counted.get(names.ENQUEUE_FAILED, 0.0)
        waiting = counted.get(names.QUEUE_SIZE, 0.0)
        if dropped := send_failed + enqueue_failed:
            why = (
                f"the Collector dropped {spans(dropped)} that it could not send with {exporter}; "
                f"{log_of(measured, {exporter})}."
            )
            findings.append(Finding(hop=hop, why=why))
        # An export that waits may just be under way. It is stalled if one waited at the start, too, or if the log has
        # an error of the exporter.
        is_stalled = exporter in measured.others_waiting_at_start or exporter in measured.exporter_errors
        if waiting and not counted.get(names.SENT) and is_stalled:
            why = (
                f"the Collector still holds spans that it could not send with {exporter} "
                f"(otelcol_exporter_queue_size {waiting:.0f}); it retries; {log_of(measured, {exporter})}."
            )
            findings.append(Finding(hop=hop, why=why))
    return findings


def log_of(measured: Measured, exporters: Collection[str] = names.TO_TEMPO) -> str:
    """Returns the error of an exporter, by any of its names, in the Collectors' logs, explained."""
    errors = (error for exporter, error in measured.exporter_errors.items() if exporter in exporters)
    return next(errors, "its log says why")
