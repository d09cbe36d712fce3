"""`make bench`: what this program and tracing cost, as ratios, on a lab that runs and does nothing else.

`commands`: `pulumi up`, and one with nothing to do, beside `kubectl apply` and `diff` of the same objects and an empty
program. `previews`: `pulumi preview` beside those of programs that do less. `growth`: a first preview by the number of
routes, and of components. `tracing`: requests a second and CPU time of NGINX with none, all and a tenth of them traced.
`spans`: CPU time, memory and the time until a request is found, beside the tutorial's stack. Twenty minutes for all.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.progress import Progress
from tools.lab_stack import take_interrupts
from tools.measure.bench import commands, cost, growth
from tools.measure.bench.processes import COMPONENTS
from tools.measure.reliability.figures import MODULE

SECTIONS = ("commands", "previews", "growth", "tracing", "spans")


def main(arguments: list[str]) -> int:
    """Measures and prints tables.

    Returns:
        0, or 2 when something could not be measured.
    """
    only: list[str] = parser().parse_args(arguments).only
    take_interrupts()
    progress, console = Progress(), Console()
    try:
        if not lifecycle.is_running():
            raise LabError("No lab is running: `make lab-up`.")
        build([VEGETA], progress)
        with tempfile.TemporaryDirectory() as scratch:
            for section in only:
                with progress.step(section):
                    _measure(section, Path(scratch), progress, console)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    made = argparse.ArgumentParser(
        prog="python -m tools bench",
        description=__doc__,
        epilog="Exit code: 0 everything was measured; 2 something could not be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="NAME", help="measure these sections alone"
    )
    return made


def _measure(section: str, scratch: Path, progress: Progress, console: Console) -> None:
    if section == "commands":
        commands.commands(scratch, progress.say).show("Pulumi and kubectl", console)
    elif section == "previews":
        commands.previews(scratch, progress.say).show("pulumi preview", console)
    elif section == "growth":
        growth.routes(scratch, progress.say).show("First preview by routes", console)
        growth.instances(scratch, progress.say).show("First preview by components", console)
    elif section == "tracing":
        _show_tracing(cost.of_tracing(scratch, progress.say), console)
    else:
        _show_spans(cost.of_spans(scratch, progress.say), console)


def _show_tracing(costs: list[cost.Cost], console: Console) -> None:
    title = f"Tracing, by {MODULE}: medians of {cost.ROUNDS} rounds, {cost.CONNECTIONS} connections"
    table = Table("traced", "requests/s", "÷ untraced", "CPU s per million requests", "÷ untraced", title=title)
    base = costs[0]
    for found in costs:
        table.add_row(
            found.name,
            f"{found.requests_per_second:.0f}",
            f"{found.requests_per_second / base.requests_per_second:.2f}",
            f"{found.cpu_per_million:.1f}",
            f"{found.cpu_per_million / base.cpu_per_million:.2f}",
        )
    console.print(table)


def _show_spans(costs: list[cost.SpanCost], console: Console) -> None:
    title = f"Spans at {cost.STEADY_RATE:.0f}/s for {cost.STEADY_SECONDS} s, by {MODULE}"
    table = Table("", *(found.stack for found in costs), "÷", title=title)
    ours, theirs = costs
    for component in COMPONENTS:
        used = [found.cpu_per_million[component] for found in costs]
        table.add_row(
            f"{component}: CPU s per million spans", *(f"{value:.0f}" for value in used), f"{used[0] / used[1]:.2f}"
        )
    for component in COMPONENTS:
        peak = [found.peak_bytes[component] / 2**20 for found in costs]
        table.add_row(f"{component}: peak MiB", *(f"{value:.0f}" for value in peak), f"{peak[0] / peak[1]:.2f}")
    table.add_row("traces lost", str(ours.lost), str(theirs.lost), "")
    table.add_row("request to searchable", ours.fresh, theirs.fresh, "")
    console.print(table)
