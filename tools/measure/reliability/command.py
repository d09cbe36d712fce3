"""`make reliability`: every figure in full, on a lab that runs. Writes `reliability.json` and prints a table.

About an hour and a quarter. With names (`--only`), those figures alone.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console

from lab.build.builder import build
from lab.build.targets import NGINX_PLUS, VEGETA
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.progress import Progress
from tools.lab_stack import Stack, take_interrupts
from tools.measure.reliability import baseline, configurations, edited, faulty, foreign, full_disk, interrupted, steady
from tools.measure.reliability.figures import Figure, show, write
from tools.measure.reliability.ladder import RATES, freshness, ladder
from tools.measure.reliability.sizes import sizes

STEP_SECONDS = 60
DOWN_SECONDS = 300
AWAY_SECONDS = 5
NO_OPS = 10
CONFIGURATIONS = 10_000
FILE = Path("reliability.json")
Say = Callable[[str], None]
Measurement = Callable[[], list[Figure]]


def _measurements(stack: Stack, say: Say) -> dict[str, Measurement]:
    """Every measurement of the one stack, by its name, in their order."""
    return {
        "no-op": lambda: [steady.no_op(stack, NO_OPS)],
        "refresh": lambda: [steady.refreshed(stack)],
        "edits": lambda: [interrupted.edits(stack, say)],
        "tampering": lambda: [steady.healed(stack, say)],
        "nginx-rollout": lambda: faulty.nginx_rollout(stack),
        "nginx-edited": lambda: [edited.upstream_edited(stack)],
        "nginx-evicted": lambda: [edited.evicted(stack)],
        "nginx-scale-down": lambda: [faulty.nginx_scale_down(stack)],
        "collector-rollout": lambda: [faulty.collector_rollout(stack)],
        "collector-kill": lambda: [faulty.collector_kill(stack)],
        "collector-away": lambda: [faulty.collectors_away(stack, AWAY_SECONDS)],
        "collector-queues": lambda: [faulty.collectors_with_full_queues(stack, 30)],
        "tempo-down": lambda: [faulty.tempo_down(stack, DOWN_SECONDS)],
        "tempo-stop": lambda: [faulty.tempo_stop(stack)],
        "tempo-kill": lambda: [faulty.tempo_kill(stack)],
        "collector-unreachable": lambda: faulty.collector_unreachable(stack, STEP_SECONDS / 4, turns=10),
        "node-restart": lambda: [faulty.node_restart(stack, 10)],
        "sizes": lambda: sizes(stack),
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


def main(arguments: list[str]) -> int:
    """Measures.

    Returns:
        0 when every bar was met, 1 when one was missed, 2 when nothing could be measured.
    """
    only: list[str] | None = parser().parse_args(arguments).only
    take_interrupts()
    progress, figures = Progress(), list[Figure]()
    try:
        if not lifecycle.is_running():
            raise LabError("No lab is running: `make lab-up`.")
        build([VEGETA, NGINX_PLUS], progress)
        with tempfile.TemporaryDirectory() as scratch:
            figures = _all(Path(scratch) / "stacks", progress, only)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(figures, Console())
    print(f"All of it: {FILE}")
    return 0 if all(figure.met for figure in figures) else 1


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    made = argparse.ArgumentParser(
        prog="python -m tools reliability",
        description=__doc__,
        epilog="Exit code: 0 every target was met; 1 one was missed; 2 nothing could be measured.",
    )
    made.add_argument("--only", nargs="+", metavar="NAME", help="measure these figures alone")
    return made


class _Run:
    """The figures so far, of those that are wanted."""

    def __init__(self, progress: Progress, only: list[str] | None) -> None:
        self.figures: list[Figure] = []
        self._progress, self._only = progress, only

    def wants(self, *names: str) -> bool:
        return self._only is None or any(name in self._only for name in names)

    def measure(self, name: str, measurement: Measurement) -> None:
        """Adds its figures, if it is wanted; one that cannot be measured is a bar that was missed."""
        if not self.wants(name):
            return
        with self._progress.step(name) as step:
            try:
                self.figures += measurement()
            except LabError as error:
                step.failed = True
                self.figures.append(Figure(name, "measured", f"not measured: {error}", met=False))
        write(self.figures, FILE)


def _all(folder: Path, progress: Progress, only: list[str] | None) -> list[Figure]:
    run = _Run(progress, only)
    run.measure("configurations", lambda: [configurations.figure(CONFIGURATIONS)])
    with _laid_out(folder / "durable", {}) as stack:
        run.measure("foreign", lambda: [foreign.untouched(stack, progress.say)])
        run.measure("killed", lambda: interrupted.killed(stack, progress.say))
        measurements = _measurements(stack, progress.say)
        if run.wants(*measurements):
            stack.up()
        for name, measurement in measurements.items():
            run.measure(name, measurement)
    for name, changed, measured in (
        ("full-queue", full_disk.QUEUE_CONFIGURATION, full_disk.queue),
        ("full-tempo", full_disk.TEMPO_CONFIGURATION, full_disk.tempo),
    ):
        if run.wants(name):
            with _laid_out(folder / name, changed) as stack:
                stack.up()
                run.measure(name, partial(measured, stack))
    return run.figures


@contextlib.contextmanager
def _laid_out(folder: Path, changed: Mapping[str, str]) -> Generator[Stack]:
    """A stack that is to lose nothing, with some more configuration; not deployed, and removed at the end."""
    folder.parent.mkdir(exist_ok=True)
    stack = Stack.lay_out(folder, "reliability", "tracing-reliability")
    stack.configure(faulty.CONFIGURATION | dict(changed))
    try:
        yield stack
    finally:
        stack.pulumi("cancel", "--yes")
        stack.pulumi("destroy", "--yes", "--skip-preview")
