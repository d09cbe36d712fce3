"""`python -m tools drift`: names what was changed in the cluster."""

import argparse
import sys

from tools.drift.drift import drift
from tools.drift.report import report, waiting
from tools.errors import ToolError

NONE, DRIFTED, FAILED = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Names the objects and fields that differ from what Pulumi left; changes nothing.

    Returns:
        0 when nothing drifted, 1 when something did, 2 when it could not be determined.
    """
    options = parser().parse_args(arguments)
    try:
        found = drift(options.stack)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    print(report(found, options.stack) if found else "No object drifted.")
    if found.waiting:
        print(f"\n{waiting(found)}")
    return DRIFTED if found else NONE


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tools drift",
        description="Names the objects and fields that differ from what Pulumi left; changes nothing.",
        epilog="Exit code: 0 nothing drifted; 1 something did; 2 it could not be determined.",
    )
    parser.add_argument("--stack", metavar="NAME", help="the stack (default: the selected one)")
    return parser
