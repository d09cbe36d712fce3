"""Sends traffic around a fault, and turns what became of it into results."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from tools.lab_stack import Stack
from tools.measure.log_errors import LogErrors
from tools.measure.results import Number, Result
from tools.measure.span_accounting import Agreement, SpanAccounting
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic

RATE = 200.0
"""Requests a second. Our choice."""

LOSSLESS = "0 failed; 100 % found"
"""The target of a fault that must fail no request and lose no span."""

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
    stack: Stack,
    fault: Callable[[], object],
    *,
    rate: float = RATE,
    keepalive: bool = True,
    patience_seconds: float = 15,
) -> Outcome:
    """Causes a fault under constant traffic, and looks every trace up afterwards.

    Args:
        stack: a deployed stack.
        fault: causes the fault and returns at its end.
        rate: requests a second.
        keepalive: whether the sender reuses its connections.
        patience_seconds: for how long missing traces are looked up again.

    Raises:
        LabError: traffic, counters or look-ups failed: then nothing was measured.
    """
    outputs = stack.outputs()
    with SpanAccounting(stack.namespace) as accounting, LogErrors(stack.namespace) as log_errors:
        with Traffic(outputs["nginxUrl"], rate, keepalive=keepalive) as traffic:
            time.sleep(AROUND_SECONDS)
            fault()
            time.sleep(AROUND_SECONDS)
        lost = missing(outputs["tempoUrl"], traffic.sent, patience_seconds=patience_seconds)
        agreement = accounting.compare(traffic.sent, len(lost))
    return Outcome(traffic.sent, lost, log_errors.counts, agreement)


def lossless(name: str, outcome: Outcome) -> Result:
    """Returns the result of a fault that must fail no request and lose no span."""
    value = _value([outcome])
    met = not outcome.sent.failed and not outcome.lost and outcome.agreement.holds
    return Result(f"{name}, {outcome.sent.rate:.0f}/s", LOSSLESS, value, met, outcome.details())


def each_lossless(name: str, outcomes: Mapping[str, Outcome]) -> Result:
    """Returns the result of the same fault in several parts, none of which may fail a request or lose a span.

    Args:
        name: the fault.
        outcomes: what became of the requests, by the part. Details name each part, and all about one that lost some.
    """
    results = {part: lossless(name, outcome) for part, outcome in outcomes.items()}
    details: dict[str, Number] = {part: result.value for part, result in results.items()}
    for part, result in results.items():
        if not result.met:
            details |= {f"{part}: {key}": value for key, value in result.details.items()}
    first, *_ = results.values()
    return Result(
        first.name, LOSSLESS, _value(outcomes.values()), all(result.met for result in results.values()), details
    )


def _value(outcomes: Collection[Outcome]) -> str:
    count = sum(outcome.sent.count for outcome in outcomes)
    failed = sum(len(outcome.sent.failed) for outcome in outcomes)
    lost = sum(len(outcome.lost) for outcome in outcomes)
    found = (count - failed - lost) / (count - failed) if count > failed else 0.0
    return f"{failed} of {count} failed; {found:.2%} found"


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
