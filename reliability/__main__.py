"""`make reliability`: every figure in full, on a lab that runs. Writes `reliability.json` and prints a table.

About half an hour. With names (`--only`), those figures alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from lab import cluster
from lab.builder import build
from lab.errors import LabError
from lab.pieces import VEGETA
from lab.progress import Progress
from lab.stack import Stack
from reliability import baseline, faulty, steady
from reliability.figures import Figure, show, write
from reliability.ladder import RATES, freshness, ladder

STEP_SECONDS = 60
DOWN_SECONDS = 300
NO_OPS = 10
FILE = Path("reliability.json")
Say = Callable[[str], None]


def _measurements(stack: Stack, say: Say) -> dict[str, Callable[[], list[Figure]]]:
    """Every measurement of the one stack, by its name, in their order."""
    return {
        "no-op": lambda: [steady.no_op(stack, NO_OPS)],
        "refresh": lambda: [steady.refreshed(stack)],
        "tampering": lambda: [steady.healed(stack, say)],
        "nginx-rollout": lambda: [faulty.nginx_rollout(stack)],
        "nginx-scale-down": lambda: [faulty.nginx_scale_down(stack)],
        "collector-rollout": lambda: [faulty.collector_rollout(stack)],
        "collector-kill": lambda: [faulty.collector_kill(stack)],
        "tempo-down": lambda: [faulty.tempo_down(stack, DOWN_SECONDS)],
        "tempo-stop": lambda: [faulty.tempo_stop(stack)],
        "tempo-kill": lambda: [faulty.tempo_kill(stack)],
        "collector-unreachable": lambda: faulty.collector_unreachable(stack, STEP_SECONDS),
        "node-restart": lambda: [faulty.node_restart(stack, 10)],
        "ladder": lambda: _ladders(stack, say),
        "destroy": lambda: [steady.removed(stack)],
    }


def _ladders(stack: Stack, say: Say) -> list[Figure]:
    """This program's stack and the tutorial's, one after the other."""
    outputs = stack.outputs()
    figures = ladder("this program", outputs, rates=RATES, seconds=STEP_SECONDS, has_bar=True, show=say)
    figures.append(freshness("this program", outputs))
    for workload in (faulty.NGINX, faulty.COLLECTOR, faulty.TEMPO):
        # The two stacks share two cores: this one is to take none of the other's.
        faulty.scale(stack.namespace, workload, 0)
    with baseline.deployed() as urls:
        figures += ladder("the tutorial's", urls, rates=RATES, seconds=STEP_SECONDS, has_bar=False, show=say)
        figures.append(freshness("the tutorial's", urls))
    for workload, replicas in ((faulty.TEMPO, 1), (faulty.COLLECTOR, 2), (faulty.NGINX, 2)):
        faulty.scale(stack.namespace, workload, replicas)
    return figures


def main() -> int:
    """Measures.

    Returns:
        0 when every bar was met, 1 when one was missed, 2 when nothing could be measured.
    """
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these figures alone")
    only: list[str] | None = parser.parse_args().only
    progress, figures = Progress(), list[Figure]()
    try:
        if not cluster.is_running():
            raise LabError("No lab is running: `make lab-up`.")
        build([VEGETA], progress)
        with tempfile.TemporaryDirectory() as scratch:
            figures = _all(Path(scratch) / "program", progress, only)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(figures, Console())
    print(f"All of it: {FILE}")
    return 0 if all(figure.met for figure in figures) else 1


def _all(folder: Path, progress: Progress, only: list[str] | None) -> list[Figure]:
    stack = Stack.lay_out(folder, "reliability", "tracing-reliability")
    figures: list[Figure] = []
    try:
        with progress.step("deploy"):
            for key, value in faulty.CONFIGURATION.items():
                stack.configure(key, value)
            stack.up()
        for name, measure in _measurements(stack, progress.say).items():
            if only is None or name in only:
                with progress.step(name) as step:
                    try:
                        figures += measure()
                    except LabError as error:
                        # One that cannot be measured is a bar that was missed; the others still say something.
                        step.failed = True
                        figures.append(Figure(name, "measured", f"not measured: {error}", met=False))
                write(figures, FILE)
    finally:
        with progress.step("remove"):
            stack.pulumi("destroy", "--yes", "--skip-preview")
    return figures


if __name__ == "__main__":
    sys.exit(main())
