"""`python -m tools size`: prints how large a stack has to be for a load, as a stack's file with reasons."""

import argparse
import sys

from tools.errors import ToolError
from tools.size.arguments import WrongArgumentsError, add_arguments, read
from tools.size.figures import figures
from tools.size.plan import plan
from tools.size.report import report

ANSWERED, NO_ANSWER = 0, 2


def main(arguments: list[str]) -> int:
    """Prints the answer.

    Returns:
        0 when there is one, 2 when arguments are wrong or figures are missing.
    """
    options, unknown = parser().parse_known_args(arguments)
    try:
        print(report(plan(read(vars(options), unknown), figures())), end="")
    except WrongArgumentsError as wrong:
        print("\n".join(f"error: {message}." for message in wrong.messages), file=sys.stderr)
        return NO_ANSWER
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_ANSWER
    return ANSWERED


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tools size",
        description="Prints how large a stack has to be for a load: the configuration of each part, the load that each "
        "pod sees, the storage, and the reason of each number. What it prints is a stack's file, in which all else is "
        "a comment. It computes with what this project measured and what the programs' makers publish, and connects to "
        "nothing.",
        epilog="Exit code: 0 it is printed; 2 arguments are wrong, and each is named with what is allowed.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    return parser
