"""Shows the progress of long work: live lines on a terminal, plain lines with a sign of life in a log."""

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TaskID, TextColumn

SIGN_OF_LIFE_SECONDS = 60
"""Our choice: a log gets a line a minute for each running step, so that it does not look like a hang."""

_LIVE_SECONDS = 0.5
"""Our choice: the times on a terminal are of whole seconds, and none is skipped."""


def minutes(seconds: float) -> str:
    """Returns a duration for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


class Step:
    """One part of the work. Its `seconds` count from the time when `Progress.run` begins it."""

    def __init__(self, what: str, expected_seconds: float | None = None) -> None:
        """Makes a step that waits for its turn.

        Args:
            what: its name for people.
            expected_seconds: the time that it will probably take; none if nothing is known about it.
        """
        self.what = what
        self.failed = False
        self._expected = expected_seconds
        self._detail = ""
        self._start: float | None = None

    def begin(self) -> None:
        """Starts the step's clock."""
        self._start = time.monotonic()

    @property
    def is_running(self) -> bool:
        """Tells whether the step has begun."""
        return self._start is not None

    @property
    def seconds(self) -> float:
        """Returns the seconds since the step began; 0 before."""
        return 0 if self._start is None else time.monotonic() - self._start

    def detail(self, text: str) -> None:
        """Sets what the step does at the moment, in a few words."""
        self._detail = text

    def line(self) -> str:
        """Returns the step's line: its name, its time, the time that is left, and what it does."""
        if not self.is_running:
            return f"{self.what}: waits" + (f", about {minutes(self._expected)}" if self._expected is not None else "")
        at = f" ({self._detail})" if self._detail else ""
        return f"{self.what}: {minutes(self.seconds)}{self._left()}{at}"

    def _left(self) -> str:
        if self._expected is None:
            return ""
        left = self._expected - self.seconds
        return f", about {minutes(left)} left" if left > 0 else f", {minutes(-left)} longer than expected"


class Progress:
    """Shows a line for each step. It is no logger: what commands print goes to log files of their own."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._steps: dict[Step, TaskID | None] = {}
        self._lock = threading.Lock()
        self._live: RichProgress | None = None
        self._stop = threading.Event()

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        self._console.print(text, markup=False)

    @contextmanager
    def plan(self, steps: Sequence[Step]) -> Generator[None]:
        """Shows the lines of steps on a terminal before `run` begins them; hides the rest when the block ends."""
        with self._lock:
            for step in steps:
                self._show(step)
        try:
            yield
        finally:
            with self._lock:
                for step in steps:
                    self._hide(step)

    @contextmanager
    def run(self, step: Step) -> Generator[Step]:
        """Shows a step as running until the block ends; set `failed` on it to have it marked so."""
        with self._lock:
            step.begin()
            self._show(step)
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            with self._lock:
                self._hide(step)
                self.say(f"{'✗' if step.failed else '✓'} {step.what}: {minutes(step.seconds)}")

    @contextmanager
    def step(self, what: str, expected_seconds: float | None = None) -> Generator[Step]:
        """Makes a step and runs it until the block ends."""
        with self.run(Step(what, expected_seconds)) as step:
            yield step

    def lines(self) -> list[str]:
        """Returns the line of each step that runs or waits."""
        return [_marked(step) for step in self._steps]

    def _show(self, step: Step) -> None:
        if self._console.is_terminal and self._live is None:
            columns = TextColumn("{task.description}", markup=False)
            self._live = RichProgress(columns, console=self._console, transient=True)
            self._live.start()
        if not self._steps:
            self._stop = threading.Event()
            threading.Thread(target=self._show_life, args=(self._stop,), daemon=True).start()
        task = self._steps.get(step)
        if self._live and task is not None:
            self._live.update(task, description=_marked(step))
        elif self._live:
            task = self._live.add_task(_marked(step))
        elif step.is_running:
            self.say(_marked(step))
        self._steps[step] = task

    def _hide(self, step: Step) -> None:
        task = self._steps.pop(step, None)
        if self._live and task is not None:
            self._live.remove_task(task)
        if not self._steps:
            self._stop.set()
            if self._live:
                self._live.stop()
                self._live = None

    def _show_life(self, stop: threading.Event) -> None:
        while not stop.wait(_LIVE_SECONDS if self._live else SIGN_OF_LIFE_SECONDS):
            with self._lock:
                for step, task in self._steps.items():
                    if self._live and task is not None:
                        self._live.update(task, description=_marked(step))
                    elif step.seconds >= SIGN_OF_LIFE_SECONDS:
                        self.say(_marked(step))


def _marked(step: Step) -> str:
    return f"{'…' if step.is_running else '·'} {step.line()}"
