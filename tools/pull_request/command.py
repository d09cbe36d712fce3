"""`python -m tools comment`: writes previews as one Markdown comment."""

import argparse
import re
import sys
from pathlib import Path

from tools.errors import ToolError
from tools.pull_request.comment import LIMIT, MARKER, SUMMARY_LIMIT, comment
from tools.pull_request.preview_result import Environment, read

DONE, FAILED = 0, 2


def main(arguments: list[str] | None = None) -> int:
    """Writes a comment.

    Returns:
        0 when the comment was written, also of failed previews; 2 when it was not.
    """
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _run(options: argparse.Namespace) -> int:
    limit = SUMMARY_LIMIT if options.summary else LIMIT
    text = comment(_environments(options.previews, options.event_log), options.commit, options.run_address, limit)
    if options.output is None:
        print(text)
    else:
        _write(options.output, text)
    return DONE


def _environments(previews: list[tuple[str, Path]], event_logs: list[tuple[str, Path]]) -> list[Environment]:
    files, logs = _by_name("PREVIEW", previews), _by_name("--event-log", event_logs)
    for name in logs.keys() - files.keys():
        raise ToolError(f"--event-log {name}={logs[name]}: there is no preview {name}=FILE for it.")
    return [read(name, file, logs.get(name)) for name, file in files.items()]


def _by_name(argument: str, pairs: list[tuple[str, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, file in pairs:
        if name in files:
            raise ToolError(f"{argument}: {name} is given twice, as {files[name]} and as {file}.")
        files[name] = file
    return files


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ToolError(f"--output {file}: {error.strerror}.") from None


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tools comment",
        description="Writes the previews of `pulumi preview --json`, one per environment, as one Markdown comment.",
        epilog=f"Exit code: 0 the comment was written, also of failed previews; 2 it was not. "
        f"The comment's first line is `{MARKER}`, by which a workflow finds it again.",
    )
    parser.add_argument(
        "previews",
        metavar="NAME=FILE",
        nargs="+",
        type=_named_file,
        help="an environment, and the file with its preview; a missing or broken file counts as a failed preview",
    )
    parser.add_argument(
        "--event-log",
        metavar="NAME=FILE",
        type=_named_file,
        action="append",
        default=[],
        help="the file of `pulumi preview --event-log FILE`, a flag that needs PULUMI_DEBUG_COMMANDS=true: it has the "
        "violations of policies, which the JSON lacks",
    )
    parser.add_argument("--commit", metavar="SHA", type=_commit, help="the commit that was previewed")
    parser.add_argument(
        "--run",
        metavar="URL",
        type=_address,
        dest="run_address",
        help="the workflow's run, whose summary has the differences that the comment leaves out",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help=f"write up to {SUMMARY_LIMIT:,} characters, for the summary of a run; a comment has up to {LIMIT:,}",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file instead of standard output")
    return parser


def _named_file(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not separator or not file or not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=FILE, such as dev=dev.json; a name has letters, digits, '.', '_' and '-'"
        )
    return name, Path(file)


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s()<>]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as https://github.com/o/r/actions/runs/1")
    return text


def _commit(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{7,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the hash of a commit")
    return text
