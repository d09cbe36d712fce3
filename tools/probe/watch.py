"""The counters of all hops, interval after interval, while the stack's own traffic passes: no request is sent."""

import asyncio
from collections.abc import Callable

from pydantic import Field

from tools.probe.counters import NO_TEMPO, Counters
from tools.probe.diagnosis import blind_spots, losses
from tools.probe.outputs import StackOutputs
from tools.probe.result import Document, Finding, HopCounters


class Interval(Document):
    """What was counted in one interval; the JSON document of a line of `python -m tools probe --watch --json`."""

    seconds: float
    hops: list[HopCounters]
    losses: list[Finding] = Field(description="in the order of a span's way; empty when the hops balance")
    blind_spots: list[str] = Field(description="what could not be seen, and may hide losses")


async def watch(
    outputs: StackOutputs,
    *,
    interval_seconds: float,
    context: str | None,
    show: Callable[[Interval], None],
    rounds: int | None = None,
) -> None:
    """Reads the counters at both ends of each interval and tells of each.

    An interval begins before the one before it ends, so that no loss is between the two; one at that moment may be told
    of twice, and so may a line of NGINX's log within a second of it.

    Args:
        outputs: the stack's.
        interval_seconds: the time between two readings.
        context: the kubeconfig's context.
        show: is given each interval.
        rounds: how many; none for ever.
    """
    number = 0
    has_tempo = outputs.tempo_url is not None
    counters = Counters(outputs.namespace, context, has_tempo=has_tempo)
    await counters.start()
    while rounds is None or number < rounds:
        await asyncio.sleep(interval_seconds)
        following = Counters(outputs.namespace, context, has_tempo=has_tempo)
        await following.start()
        measured = await counters.finish(None)
        show(
            Interval(
                seconds=interval_seconds,
                hops=[hop for hop in measured.hops if hop.unreadable != NO_TEMPO],
                losses=losses(measured),
                blind_spots=blind_spots(measured),
            )
        )
        counters = following
        number += 1
