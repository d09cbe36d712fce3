"""`python -m tools probe`: arguments in, a summary or a JSON document out, and an exit code for scripts."""

import argparse
import asyncio
import contextlib
import re
from collections.abc import Callable

from rich.console import Console
from rich.status import Status

from tools.probe import outputs
from tools.probe.errors import ProbeError
from tools.probe.report import render, render_interval
from tools.probe.result import ProbeResult
from tools.probe.run import probe
from tools.probe.tempo import Login
from tools.probe.watch import Interval, watch

ALL_FOUND, MISSING, NO_PROBE, INTERRUPTED = 0, 1, 2, 130
# Of a watch: a look that did not see everything is no proof.
NOT_SEEN = NO_PROBE


def main(arguments: list[str]) -> int:
    """Runs a probe.

    Returns:
        0 when every trace was found, 1 when one is missing, 2 when there was no probe to be made.
    """
    options = parser().parse_args(arguments)
    if options.quickstart:
        return _of_the_quickstart([each for each in arguments if each != "--quickstart"])
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        stack = outputs.from_file(options.outputs) if options.outputs else outputs.from_pulumi(options.stack)
        urls = {"nginx_url": options.nginx_url, "tempo_url": options.tempo_url}
        stack = stack.model_copy(update={name: url for name, url in urls.items() if url})
        if options.watch is not None:
            return _watch(stack, options)
        result = _probe(stack, options, errors)
    except ProbeError as error:
        errors.print(str(error), style="bold red", markup=False)
        return NO_PROBE
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        return INTERRUPTED
    if options.json:
        print(result.model_dump_json(indent=2))
    else:
        render(result, Console(highlight=False))
    return ALL_FOUND if result.complete else MISSING


def _of_the_quickstart(arguments: list[str]) -> int:
    from tools.quickstart.command import probe as of_the_quickstart  # noqa: PLC0415 - it brings the lab's modules

    return of_the_quickstart(arguments)


def _watch(stack: outputs.StackOutputs, options: argparse.Namespace) -> int:
    """Until it is interrupted; then whether the hops balanced all the time, as far as they could be seen."""
    lost = unseen = False
    console = Console(highlight=False)

    def show(interval: Interval) -> None:
        nonlocal lost, unseen
        lost = lost or bool(interval.losses)
        unseen = unseen or bool(interval.blind_spots)
        if options.json:
            print(interval.model_dump_json(), flush=True)
        else:
            render_interval(interval, console)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            watch(stack, interval_seconds=options.watch, context=options.context, show=show, rounds=options.rounds)
        )
    return MISSING if lost else NOT_SEEN if unseen else ALL_FOUND


def _probe(stack: outputs.StackOutputs, options: argparse.Namespace, errors: Console) -> ProbeResult:
    user = stack.tempo_user
    login = (
        Login(
            user,
            outputs.tempo_password(options.stack, options.tempo_password_file, asks_pulumi=options.outputs is None),
        )
        if user
        else None
    )

    def run(show: Callable[[str], None]) -> ProbeResult:
        return asyncio.run(
            probe(
                stack,
                count=options.requests,
                path=options.path,
                limit_seconds=options.timeout,
                context=options.context,
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
        "The counters of NGINX and the Collector are read with the kubeconfig that KUBECONFIG names.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--stack", metavar="NAME", help="the Pulumi stack (default: the selected one)")
    source.add_argument(
        "--outputs", metavar="FILE", help="read the outputs from the JSON of `pulumi stack output --json`; - for stdin"
    )
    source.add_argument(
        "--quickstart", action="store_true", help="the stack that `make up` made; where there is none, the selected one"
    )
    for component in ("nginx", "tempo"):
        parser.add_argument(
            f"--{component}-url",
            metavar="URL",
            type=_url,
            help=f"where {component}'s Service is reached from here, instead of the stack output {component}Url: a "
            "forwarded port",
        )
    parser.add_argument(
        "--tempo-password-file",
        metavar="FILE",
        help="the password of Tempo's API, where it has one (default: the environment variable TEMPO_PASSWORD, else "
        "`pulumi config get tempoPassword`)",
    )
    parser.add_argument("--requests", metavar="N", type=_count, default=20, help="requests to send (default: 20)")
    parser.add_argument(
        "--path", metavar="PATH", type=_path, default="/", help="path and query to ask for (default: /)"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="limit for finding all traces, from the last answer (default: 30)",
    )
    parser.add_argument(
        "--context", metavar="NAME", help="the kubeconfig's context of the stack's cluster (default: the current one)"
    )
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=10.0,
        type=_seconds,
        help="send nothing; print what the hops count in each interval (default: 10 seconds), and what they lose, "
        "until Ctrl-C. Exit code: 1 when anything was lost, 2 when nothing was seen to be, but a hop or pod could "
        "not be read, or one ended with exports waiting",
    )
    parser.add_argument("--rounds", metavar="N", type=_count, help="with --watch, end after so many intervals")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document to standard output; with --watch, one a line"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not http://host:port")
    return text


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
        raise argparse.ArgumentTypeError(f"{text!r} does not start with /, or has a character that is to be %-encoded")
    return text
