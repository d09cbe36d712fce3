"""Times first previews of growing configurations."""

from collections.abc import Callable
from pathlib import Path

from tools.lab_stack import Stack
from tools.measure.cost.programs import INSTANCES, another
from tools.measure.cost.timings import Timings, seconds
from tools.measure.measurement import Place
from tools.measure.results import Result

ROUNDS = 3
ROUTES = (1, 10, 50)
TIMES = (1, 3, 10)
"""Our choice."""


def growth(place: Place) -> list[Result]:
    """Times first previews by the number of routes, and by that of components."""
    return _by_routes(place.scratch, place.show) + _by_instances(place.scratch, place.show)


def _by_routes(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Times first previews with more and more routes of NGINX."""
    stack = Stack.lay_out(scratch / "routes", "bench", "tracing-bench")
    timings, written = Timings(_routes(ROUTES[0])), 0
    for count in ROUTES:
        show(_routes(count))
        for number in range(written, count):
            route = f"nginx.routes[{number}]"
            stack.configure({f"{route}.path": f"/{number}/", f"{route}.return.status": "204"})
        written = count
        for _ in range(ROUNDS):
            timings.add(_routes(count), seconds(lambda: stack.must("preview")))
    return timings.results()


def _by_instances(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Times first previews of programs that have the three components several times."""
    stack = another(scratch / "instances", INSTANCES)
    timings = Timings(_instances(TIMES[0]))
    for count in TIMES:
        show(_instances(count))
        stack.configure({"bench:instances": str(count)})
        for _ in range(ROUNDS):
            timings.add(_instances(count), seconds(lambda: stack.must("preview")))
    return timings.results()


def _routes(count: int) -> str:
    return f"{count} route{'s' if count > 1 else ''}"


def _instances(count: int) -> str:
    return f"{count} of Tempo, Collector, NGINX each"
