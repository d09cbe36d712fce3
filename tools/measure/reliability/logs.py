"""What the stack's pods said went wrong while something was done to them, also those that are gone afterwards."""

import datetime
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.cluster.lifecycle import kubectl, kubectl_command
from tools.probe.names import DROPPED_TEXT, FAILURE_TEXT

_SELECTOR = "--selector=app.kubernetes.io/part-of=nginx-tracing"
_MOST_PODS = "--max-log-requests=20"
_OPTIONS = ("--prefix", "--ignore-errors", "--timestamps")
"""With times, since a worker may say the same twice in a second."""
_COMPLAINT = re.compile(
    rf"(?P<nginx>({DROPPED_TEXT}|{FAILURE_TEXT}).*)|level=(warn|error) .*msg=(?P<tempo>\"[^\"]*\"|\S+)"
    r"|\t(warn|error)\t\S+\t(?P<collector>[^\t]*)"
)
"""NGINX's two, and what Tempo (logfmt) and the Collector (tabs) log as a warning or an error."""

_MOST_KINDS = 8
_MOST_CHARACTERS = 120


class Complaints:
    """Gathers them while the `with` block runs; `counts` has them after it.

    Not every line's text: each complaint is counted by its component and message.
    """

    counts: dict[str, int]

    def __init__(self, namespace: str) -> None:
        """Prepares it."""
        self._arguments = ("logs", f"--namespace={namespace}", _SELECTOR, _MOST_PODS, *_OPTIONS)
        self._scratch = tempfile.TemporaryDirectory(prefix="logs-")
        self._followed = Path(self._scratch.name) / "followed"

    def __enter__(self) -> Self:
        """Starts to follow the pods that there are: their logs go with them."""
        self._since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        command = kubectl_command(*self._arguments, "--follow", f"--since-time={self._since}")
        with self._followed.open("w") as followed:
            self._process = subprocess.Popen(command, stdout=followed, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Adds the log of the pods that came meanwhile."""
        self._process.terminate()
        self._process.wait()
        with self._scratch, self._followed.open() as followed:
            lines = set(followed)
        lines.update(kubectl(*self._arguments, f"--since-time={self._since}", "--tail=-1").stdout.splitlines(True))
        self.counts = count(lines)


def count(lines: set[str]) -> dict[str, int]:
    """How often each complaint is in lines of `kubectl logs --prefix`, the most frequent ones first."""
    found: Counter[str] = Counter()
    for line in lines:
        if match := _COMPLAINT.search(line):
            component, message = next((name, text) for name, text in match.groupdict().items() if text)
            text = message.strip().strip('"')[:_MOST_CHARACTERS]
            found[f"{component}: {text}"] += 1
    return dict(found.most_common(_MOST_KINDS))
