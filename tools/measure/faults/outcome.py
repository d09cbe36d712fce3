"""Sends traffic around a fault, and turns what became of it into results."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.lab_stack import Stack
from tools.measure.log_errors import LogErrors
from tools.measure.results import Number, Result
from tools.measure.span_accounting import Agreement, SpanAccounting
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic

RATE = 200.0
"""Requests a second. Our choice."""

AROUND_SECONDS = 3.0
"""Traffic runs that long before a fault and after its end. Our choice."""


@dataclass
class Outcome:
    """Holds what became of the requests around a fault."""

    sent: Sent
    lost: list[str]
    """The trace IDs of answered requests that Tempo does not have."""

    log_errors: dict[str, int]
    """The errors that the pods logged meanwhile. They help to find where a lost span went."""

    agreement: Agreement
    """Whether the hops' counters agree with what was sent and found."""

    def details(self) -> dict[str, Number]:
        """Returns the details for a result."""
        return {
            "requests": self.sent.count,
            "failed": len(self.sent.failed),
            "traces lost": len(self.lost),
            "reasons": json.dumps(self.sent.reasons()),
            "log errors": json.dumps(self.log_errors),
            **self.agreement.details,
        }


def during(
    stack: Stack, fault: Callable[[], object], *, keepalive: bool = True, patience_seconds: float = 15
) -> Outcome:
    """Causes a fault under constant traffic, and looks every trace up afterwards.

    Args:
        stack: a deployed stack.
        fault: causes the fault and returns at its end.
        keepalive: whether the sender reuses its connections.
        patience_seconds: for how long missing traces are looked up again.

    Raises:
        LabError: traffic, counters or look-ups failed: then nothing was measured.
    """
    outputs = stack.outputs()
    with SpanAccounting(stack.namespace) as accounting, LogErrors(stack.namespace) as log_errors:
        with Traffic(outputs["nginxUrl"], RATE, keepalive=keepalive) as traffic:
            time.sleep(AROUND_SECONDS)
            fault()
            time.sleep(AROUND_SECONDS)
        lost = missing(outputs["tempoUrl"], traffic.sent, patience_seconds=patience_seconds)
        agreement = accounting.compare(traffic.sent, len(lost))
    return Outcome(traffic.sent, lost, log_errors.counts, agreement)


def lossless(name: str, outcome: Outcome) -> Result:
    """Returns the result of a fault that must fail no request and lose no span."""
    count, failed, lost = outcome.sent.count, len(outcome.sent.failed), len(outcome.lost)
    found = (count - failed - lost) / (count - failed) if count > failed else 0.0
    value = f"{failed} of {count} failed; {found:.2%} found"
    met = not failed and not lost and outcome.agreement.holds
    return Result(f"{name}, {RATE:.0f}/s", "0 failed; 100 % found", value, met, outcome.details())


def bounded(name: str, outcome: Outcome, most: int, reason: str) -> Result:
    """Returns the result of a fault that must fail no request and may lose spans up to a bound.

    Args:
        name: the fault.
        outcome: what became of the requests.
        most: the spans that may be lost.
        reason: where the bound comes from.
    """
    failed, lost = len(outcome.sent.failed), len(outcome.lost)
    value = f"{failed} failed; {lost} spans lost of {outcome.sent.count}"
    met = not failed and lost <= most and outcome.agreement.holds
    return Result(f"{name}, {RATE:.0f}/s", f"0 failed; ≤ {most} lost ({reason})", value, met, outcome.details())
