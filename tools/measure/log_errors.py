"""Gathers the errors that the stack's pods log during a fault, including pods that are gone afterwards."""

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
"""Timestamps keep equal lines apart: a worker may log the same twice in a second."""
_ERROR = re.compile(
    rf"(?P<nginx>({DROPPED_TEXT}|{FAILURE_TEXT}).*)|level=(warn|error) .*msg=(?P<tempo>\"[^\"]*\"|\S+)"
    r"|\t(warn|error)\t\S+\t(?P<collector>[^\t]*)"
)
"""Matches NGINX's two lines, and warnings and errors of Tempo (logfmt) and of the Collector (tab-separated)."""

_MOST_KINDS = 8
_MOST_CHARACTERS = 120
"""Details list no more than that. Our choice."""


class LogErrors:
    """Gathers errors while the `with` block runs. After the block, `counts` holds them by component and message."""

    counts: dict[str, int]

    def __init__(self, namespace: str) -> None:
        """Prepares the commands.

        Args:
            namespace: the stack's.
        """
        self._arguments = ("logs", f"--namespace={namespace}", _SELECTOR, _MOST_PODS, *_OPTIONS)
        self._scratch = tempfile.TemporaryDirectory(prefix="logs-")
        self._followed = Path(self._scratch.name) / "followed"

    def __enter__(self) -> Self:
        """Starts to follow the present pods, because their logs disappear with them."""
        self._since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        command = kubectl_command(*self._arguments, "--follow", f"--since-time={self._since}")
        with self._followed.open("w") as followed:
            self._process = subprocess.Popen(command, stdout=followed, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Adds the logs of the pods that started meanwhile."""
        self._process.terminate()
        self._process.wait()
        with self._scratch, self._followed.open() as followed:
            lines = set(followed)
        lines.update(kubectl(*self._arguments, f"--since-time={self._since}", "--tail=-1").stdout.splitlines(True))
        self.counts = count(lines)


def count(lines: set[str]) -> dict[str, int]:
    """Counts each error in lines of `kubectl logs --prefix`, the most frequent ones first."""
    found: Counter[str] = Counter()
    for line in lines:
        if match := _ERROR.search(line):
            component, message = next((name, text) for name, text in match.groupdict().items() if text)
            text = message.strip().strip('"')[:_MOST_CHARACTERS]
            found[f"{component}: {text}"] += 1
    return dict(found.most_common(_MOST_KINDS))
