"""How the time of a first preview grows with what is configured."""

from collections.abc import Callable
from pathlib import Path

from tools.lab_stack import Stack
from tools.measure.bench.programs import INSTANCES, another
from tools.measure.bench.tables import Rows, seconds

ROUNDS = 3
ROUTES = (1, 10, 50)
TIMES = (1, 3, 10)


def routes(scratch: Path, show: Callable[[str], None]) -> Rows:
    """With more and more routes of NGINX."""
    stack = Stack.lay_out(scratch / "routes", "bench", "tracing-bench")
    rows, written = Rows(_routes(ROUTES[0])), 0
    for count in ROUTES:
        show(_routes(count))
        for number in range(written, count):
            route = f"nginx.routes[{number}]"
            stack.configure({f"{route}.path": f"/{number}/", f"{route}.return.status": "204"})
        written = count
        for _ in range(ROUNDS):
            rows.add(_routes(count), seconds(lambda: stack.must("preview")))
    return rows


def instances(scratch: Path, show: Callable[[str], None]) -> Rows:
    """With the three components several times in one program."""
    stack = another(scratch / "instances", INSTANCES)
    rows = Rows(_instances(TIMES[0]))
    for count in TIMES:
        show(_instances(count))
        stack.configure({"bench:instances": str(count)})
        for _ in range(ROUNDS):
            rows.add(_instances(count), seconds(lambda: stack.must("preview")))
    return rows


def _routes(count: int) -> str:
    return f"{count} route{'s' if count > 1 else ''}"


def _instances(count: int) -> str:
    return f"{count} of Tempo, Collector, NGINX each"
