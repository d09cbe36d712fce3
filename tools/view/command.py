"""`python -m tools view`: prints the address of a page with the stack's traces, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import signal
import sys

from tools.cluster import Access, stack_access
from tools.errors import ToolError
from tools.probe import outputs
from tools.probe.command import login, url
from tools.pulumi_cli import PulumiCli
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
        cli = None if options.outputs else PulumiCli(options.stack)
        stack = outputs.from_pulumi(cli) if cli else outputs.from_file(options.outputs)
        if options.tempo_url:
            stack = stack.model_copy(update={"tempo_url": options.tempo_url})
        access = (stack_access(cli) if cli else Access()).in_context(options.context)
        asyncio.run(_view(stack, access, login(stack, cli, options.tempo_password_file), options.port))
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_VIEW
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nClosed.")
    return ENDED


async def _view(stack: outputs.StackOutputs, access: Access, login: Login | None, port: int) -> None:
    """Serves the page until Ctrl-C or SIGTERM cancels it, which ends kubectl too."""
    task = asyncio.current_task()
    with contextlib.suppress(NotImplementedError):
        # Windows has no such signal.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: task and task.cancel())
    async with reached(stack, access, login) as tempo:
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
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--stack", metavar="NAME", help="the Pulumi stack (default: the selected one)")
    source.add_argument(
        "--outputs",
        metavar="FILE",
        help="read the outputs from a file with the JSON of `pulumi stack output --json`; - for stdin",
    )
    source.add_argument(
        "--quickstart", action="store_true", help="the stack that `make up` deployed; without one, the selected stack"
    )
    parser.add_argument(
        "--tempo-url",
        metavar="URL",
        type=url,
        help="the URL of Tempo's Service from here, such as a forwarded port, instead of the stack output tempoUrl",
    )
    parser.add_argument(
        "--tempo-password-file",
        metavar="FILE",
        help="a file with the password of Tempo's API, where it has one (default: the environment variable "
        "TEMPO_PASSWORD, else `pulumi config get tempoPassword`)",
    )
    parser.add_argument(
        "--context",
        metavar="NAME",
        help="the kubeconfig's context of the stack's cluster (default: the stack's kubernetes:context, else the "
        "current one)",
    )
    parser.add_argument(
        "--port", metavar="PORT", type=_port, default=PORT, help=f"the page's port of {HOST} (default: {PORT})"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535, or 0 for any free one")
    return int(text)
