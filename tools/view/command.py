"""`python -m tools view`: prints the address of a page with the stack's traces, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import signal
import sys

from tools.errors import ToolError
from tools.probe.options import Target, add_options, target
from tools.tempo import Login
from tools.view.assets import BASE
from tools.view.reach import reached
from tools.view.server import HOST, serving
from tools.view.site import Site

ENDED, NO_VIEW = 0, 2

PORT = 9411
"""Zipkin's own port, so that its page is where its users expect it."""


def main(arguments: list[str]) -> int:
    """Shows the page.

    Returns:
        0 after Ctrl-C, 2 when there is nothing to show.
    """
    options = parser().parse_args(arguments)
    if options.quickstart:
        from tools.quickstart.command import view as of_the_quickstart  # noqa: PLC0415 - it imports the lab's modules

        return of_the_quickstart([each for each in arguments if each != "--quickstart"])
    try:
        stack = target(options, "tempo")
        asyncio.run(_view(stack, stack.login(), options.port))
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_VIEW
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nClosed.")
    return ENDED


async def _view(stack: Target, login: Login | None, port: int) -> None:
    """Serves the page until Ctrl-C or SIGTERM cancels it, which ends kubectl too."""
    task = asyncio.current_task()
    with contextlib.suppress(NotImplementedError):
        # Windows has no such signal.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: task and task.cancel())
    async with reached(stack.outputs, stack.access, login) as tempo:
        with serving(Site(tempo), port) as served:
            print(f"Traces  http://{HOST}:{served}{BASE}")
            print(f"Rates   http://{HOST}:{served}/rates")
            print("End     Ctrl-C", flush=True)
            await asyncio.Event().wait()


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tools view",
        description="Shows the traces of the stack's Tempo in a browser on this machine: search, list, waterfall, "
        "rates by route. Where this machine does not reach Tempo's address, kubectl forwards a port.",
        epilog="Exit code: 0 it ended by Ctrl-C; 2 there is nothing to show, and the message says how to fix that.",
    )
    add_options(parser, "tempo")
    parser.add_argument(
        "--port", metavar="PORT", type=_port, default=PORT, help=f"the page's port of {HOST} (default: {PORT})"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535, or 0 for any free one")
    return int(text)
