"""Reads the counters of all hops, interval after interval, while the stack's own traffic passes; sends no request."""

import asyncio
from collections.abc import Callable

from tools.cluster import Access
from tools.probe.counters import Counters
from tools.probe.diagnosis import incomplete_readings, losses
from tools.probe.names import NO_TEMPO
from tools.probe.outputs import StackOutputs
from tools.probe.result import Interval


async def watch(
    outputs: StackOutputs,
    *,
    interval_seconds: float,
    access: Access,
    show: Callable[[Interval], None],
    rounds: int | None = None,
) -> None:
    """Reads the counters at both ends of each interval and passes each interval to `show`.

    An interval begins before the previous one ends, so that no loss falls between the two. A loss at that moment may be
    counted in both, and so may a line of NGINX's log within a second of it.

    Args:
        outputs: the stack's.
        interval_seconds: the time between two readings.
        access: how the stack's cluster is reached.
        show: is given each interval.
        rounds: the number of intervals; None for no end.
    """
    number = 0
    has_tempo = outputs.tempo_url is not None
    demo = outputs.demo.services[1:] if outputs.demo else ()
    counters = Counters(outputs.namespace, access, has_tempo=has_tempo, demo=demo)
    await counters.start()
    while rounds is None or number < rounds:
        await asyncio.sleep(interval_seconds)
        following = Counters(outputs.namespace, access, has_tempo=has_tempo, demo=demo)
        await following.start()
        measured = await counters.finish(None)
        show(
            Interval(
                seconds=interval_seconds,
                hops=[hop for hop in measured.hops if hop.unreadable != NO_TEMPO],
                losses=losses(measured),
                incomplete_readings=incomplete_readings(measured),
            )
        )
        counters = following
        number += 1
