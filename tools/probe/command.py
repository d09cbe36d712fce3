"""`python -m tools probe`: prints a summary or a JSON document, and returns an exit code for scripts."""

import argparse
import asyncio
import contextlib
import re
from collections.abc import Callable

from rich.console import Console
from rich.status import Status

from tools.errors import ToolError
from tools.probe.options import Target, add_options, target
from tools.probe.report import render, render_interval
from tools.probe.result import Interval, ProbeResult
from tools.probe.run import probe
from tools.probe.watch import watch

ALL_FOUND, MISSING, NO_PROBE, INTERRUPTED = 0, 1, 2, 130
# Of a watch: an incomplete reading is no proof that nothing was lost.
INCOMPLETE = NO_PROBE

_COMPONENTS = ("nginx", "tempo")


def main(arguments: list[str]) -> int:
    """Runs a probe.

    Returns:
        0 when every trace was found, 1 when one is missing, 2 when no probe could be made.
    """
    options = parser().parse_args(arguments)
    if options.quickstart:
        return _of_the_quickstart([each for each in arguments if each != "--quickstart"])
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        stack = target(options, *_COMPONENTS)
        if options.watch is not None:
            return _watch(stack, options)
        result = _probe(stack, options, errors)
    except ToolError as error:
        errors.print(str(error), style="bold red", markup=False)
        return NO_PROBE
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        return INTERRUPTED
    if options.json:
        print(result.model_dump_json(indent=2))
    else:
        render(result, Console(highlight=False), attributes=options.attributes)
    return ALL_FOUND if result.complete else MISSING


def _of_the_quickstart(arguments: list[str]) -> int:
    from tools.quickstart.command import probe as of_the_quickstart  # noqa: PLC0415 - it imports the lab's modules

    return of_the_quickstart(arguments)


def _watch(stack: Target, options: argparse.Namespace) -> int:
    """Watches until it is interrupted; returns whether the hops balanced all the time, as far as they could be read."""
    lost = incomplete = False
    console = Console(highlight=False)

    def show(interval: Interval) -> None:
        nonlocal lost, incomplete
        lost = lost or bool(interval.losses)
        incomplete = incomplete or bool(interval.incomplete_readings)
        if options.json:
            print(interval.model_dump_json(), flush=True)
        else:
            render_interval(interval, console)

    with contextlib.suppress(KeyboardInterrupt):
        interval, rounds = options.watch, options.rounds
        asyncio.run(watch(stack.outputs, interval_seconds=interval, access=stack.access, show=show, rounds=rounds))
    return MISSING if lost else INCOMPLETE if incomplete else ALL_FOUND


def _probe(stack: Target, options: argparse.Namespace, errors: Console) -> ProbeResult:
    login, demo = stack.login(), stack.outputs.demo

    def run(show: Callable[[str], None]) -> ProbeResult:
        return asyncio.run(
            probe(
                stack.outputs,
                count=options.requests,
                path=options.path or (demo.path if demo else "/"),
                limit_seconds=options.timeout,
                access=stack.access,
                show=show,
                login=login,
            )
        )

    if not errors.is_terminal:
        return run(lambda _: None)
    with Status("", console=errors) as status:
        return run(status.update)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tools probe",
        description="Sends requests to the stack's NGINX, each with its own trace ID, and finds each one in Tempo.",
        epilog="Exit code: 0 every trace was found; 1 one is missing; 2 the probe could not be made; 130 interrupted. "
        "The pods' counters are read in the cluster that the stack's configuration names (kubernetes:kubeconfig and "
        "kubernetes:context); without these keys, or with --outputs, in the one that KUBECONFIG leads to.",
    )
    add_options(parser, *_COMPONENTS)
    parser.add_argument("--requests", metavar="N", type=_count, default=20, help="requests to send (default: 20)")
    parser.add_argument(
        "--path",
        metavar="PATH",
        type=_path,
        help="path and query to request (default: the demo's, where the stack has one, else /)",
    )
    parser.add_argument(
        "--attributes",
        action="store_true",
        help="print the attributes of each span of the trace that is drawn (default: if it has one span alone)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="limit for finding all traces, counted from the last answer (default: 30)",
    )
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=10.0,
        type=_seconds,
        help="send nothing; print the hops' counts and losses in each interval (default: 10 seconds), until Ctrl-C. "
        "Exit code: 1 something was lost; 2 no loss was seen, but a hop or pod could not be read, or a pod ended with "
        "exports waiting",
    )
    parser.add_argument("--rounds", metavar="N", type=_count, help="with --watch, end after N intervals")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document to standard output; with --watch, one a line"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} does not start with /, or has a character that must be %-encoded")
    return text
