"""Sends requests at constant rates, one after the other: how many traces each loses, and how soon one is found."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import httpx2

from lab.errors import LabError
from lab.waiting import poll_async
from tools.measure.results import Result
from tools.measure.span_accounting import SpanAccounting
from tools.measure.traces import missing
from tools.measure.traffic import send_for
from tools.tempo import Tempo

RATES = (500, 1000, 2000, 3500, 5000)
"""Requests a second. Our choice."""

PROGRAM, BASELINE = "this program", "baseline"
"""The compared stacks. The baseline is the tutorial's stack, in `tools/measure/baseline`."""

KEPT_UP = 0.98
"""Below this share of the ordered rate the sender did not keep up, and the step proves nothing. Our choice."""

SAMPLES = 20
_FOUND_WITHIN_SECONDS = 60
"""Our choice."""


def load_steps(
    name: str,
    outputs: Mapping[str, str],
    *,
    rates: Sequence[float],
    seconds: float,
    has_target: bool,
    show: Callable[[str], None],
) -> list[Result]:
    """Sends at each rate for some time, and looks every trace up.

    Args:
        name: the stack: `PROGRAM` or `BASELINE`.
        outputs: its `nginxUrl` and `tempoUrl`. With its `namespace`, its counters are compared as well.
        rates: requests a second, one after the other.
        seconds: the duration of each step.
        has_target: whether the stack must lose nothing. The baseline need not.
        show: is given lines of progress.

    Raises:
        LabError: a step could not be measured.
    """
    return [_step(name, outputs, rate, seconds, has_target=has_target, show=show) for rate in rates]


def _step(
    name: str,
    outputs: Mapping[str, str],
    rate: float,
    seconds: float,
    *,
    has_target: bool,
    show: Callable[[str], None],
) -> Result:
    show(f"{name}: {rate:.0f} requests a second for {seconds:.0f} s")
    with SpanAccounting(outputs.get("namespace")) as accounting:
        # Connections are reused, as clients of a service do.
        sent = send_for(seconds, outputs["nginxUrl"], rate)
        lost = len(missing(outputs["tempoUrl"], sent, show=show))
        agreement = accounting.compare(sent, lost)
    share = lost / len(sent.answered) if sent.answered else 1.0
    kept_up = sent.achieved_rate >= KEPT_UP * rate
    return Result(
        f"{name}: {rate:.0f}/s for {seconds:.0f} s, traces lost",
        "0" if has_target else None,
        f"{lost} of {len(sent.answered)} ({share:.1%})",
        not has_target or (not lost and not sent.failed and kept_up and agreement.holds),
        {
            "stack": name,
            "rate, requests/s": rate,
            "requests": sent.count,
            "failed": len(sent.failed),
            "traces lost": lost,
            "requests a second sent": round(sent.achieved_rate, 1),
            "p50, ms": round(sent.latency(50) * 1000, 2),
            "p99, ms": round(sent.latency(99) * 1000, 2),
            **agreement.details,
        },
    )


def freshness(name: str, outputs: Mapping[str, str]) -> Result:
    """Measures the time from a request to its trace in a search, one request after the other, on an idle stack.

    Raises:
        LabError: a trace was not found in time.
    """
    taken = [asyncio.run(_one(outputs)) for _ in range(SAMPLES)]
    median, high = statistics.median(taken), sorted(taken)[int(len(taken) * 0.95) - 1]
    details = {"p50, s": round(median, 2), "p95, s": round(high, 2), "requests": SAMPLES}
    value = f"p50 {median:.1f} s, p95 {high:.1f} s"
    return Result(f"{name}: request to searchable", None, value, details={**details})


async def _one(outputs: Mapping[str, str]) -> float:
    name = f"freshness-{time.monotonic_ns()}"
    # A node's address is reached directly, without the environment's proxies.
    async with Tempo(outputs["tempoUrl"], timeout_seconds=30) as tempo, httpx2.AsyncClient(trust_env=False) as client:
        (await client.get(outputs["nginxUrl"], params={"name": name})).raise_for_status()
        start = time.monotonic()
        query = f'{{ span.http.target = "/?name={name}" }}'
        if await poll_async(lambda: tempo.search(query, 1), seconds=_FOUND_WITHIN_SECONDS, pause=0.05):
            return time.monotonic() - start
    raise LabError(f"A trace was not found within {_FOUND_WITHIN_SECONDS} s.")
