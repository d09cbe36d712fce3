"""Requests at constant rates, one after the other: how many traces are lost at each, and how soon they are found."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from lab.errors import LabError
from tools.measure.reliability.balance import Counting
from tools.measure.reliability.figures import Figure
from tools.measure.reliability.traces import missing
from tools.measure.reliability.traffic import send_for

RATES = (500, 1000, 2000, 3500, 5000)
"""Requests a second."""

SAMPLES = 20
_FOUND_WITHIN_SECONDS = 60


def ladder(
    name: str,
    outputs: Mapping[str, str],
    *,
    rates: Sequence[float],
    seconds: float,
    has_bar: bool,
    show: Callable[[str], None],
) -> list[Figure]:
    """Sends at each rate for some time and looks every trace up.

    Args:
        name: the stack, for people.
        outputs: its `nginxUrl` and `tempoUrl`; with its `namespace`, its counters are balanced, too.
        rates: requests a second, one after the other.
        seconds: for how long each.
        has_bar: whether it is to lose nothing, or is what that is compared with.
        show: is given lines of progress.
    """
    figures: list[Figure] = []
    for rate in rates:
        show(f"{name}: {rate:.0f} requests a second for {seconds:.0f} s")
        with Counting(outputs.get("namespace")) as counting:
            # As clients of a service do: connections are used again.
            sent = send_for(seconds, outputs["nginxUrl"], rate)
            lost = len(missing(outputs["tempoUrl"], sent, show=show))
            balance = counting.balance(sent, lost)
        share = lost / len(sent.answered) if sent.answered else 1.0
        kept_up = sent.achieved_rate >= 0.98 * rate
        figures.append(
            Figure(
                f"{name}: {rate:.0f}/s for {seconds:.0f} s, traces lost",
                "0" if has_bar else "no bar",
                f"{lost} of {len(sent.answered)} ({share:.1%})",
                not has_bar or (not lost and not sent.failed and kept_up and balance.holds),
                {
                    "requests": sent.count,
                    "failed": len(sent.failed),
                    "traces lost": lost,
                    "requests a second sent": round(sent.achieved_rate, 1),
                    "p50, ms": round(sent.latency(50) * 1000, 2),
                    "p99, ms": round(sent.latency(99) * 1000, 2),
                    **balance.details,
                },
            )
        )
    return figures


def freshness(name: str, outputs: Mapping[str, str]) -> Figure:
    """Time from a request to its trace in a search, one request after the other, on an otherwise idle stack."""
    taken = [_one(outputs) for _ in range(SAMPLES)]
    median, high = statistics.median(taken), sorted(taken)[int(len(taken) * 0.95) - 1]
    details = {"p50, s": round(median, 2), "p95, s": round(high, 2), "requests": SAMPLES}
    return Figure(
        f"{name}: request to searchable", "no bar", f"p50 {median:.1f} s, p95 {high:.1f} s", True, {**details}
    )


def _one(outputs: Mapping[str, str]) -> float:
    # The proxies of the environment are not used: a node's address is reached directly.
    with httpx.Client(timeout=30, trust_env=False) as client:
        name = f"freshness-{time.monotonic_ns()}"
        client.get(outputs["nginxUrl"], params={"name": name}).raise_for_status()
        start = time.monotonic()
        query = {"q": f'{{ span.http.target = "/?name={name}" }}', "limit": 1}
        while time.monotonic() - start < _FOUND_WITHIN_SECONDS:
            now = int(time.time())
            window = {"start": now - _FOUND_WITHIN_SECONDS, "end": now + 5}
            if client.get(f"{outputs['tempoUrl']}/api/search", params={**query, **window}).json().get("traces"):
                return time.monotonic() - start
            time.sleep(0.05)
    raise LabError(f"A trace was not found within {_FOUND_WITHIN_SECONDS} s.")
