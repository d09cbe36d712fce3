"""Progress for long work: live lines on a terminal, plain lines with a sign of life in a log."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TaskID, TextColumn

SIGN_OF_LIFE_SECONDS = 60


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


class Step:
    """One thing that is being done; its `seconds` count from its start."""

    def __init__(self, what: str, expected: str) -> None:
        self.what = what
        self.failed = False
        self._expected = f", {expected}" if expected else ""
        self._detail = ""
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._start

    def detail(self, text: str) -> None:
        """What the step is at, in a few words."""
        self._detail = text

    def line(self) -> str:
        """The step as it is now: what, how long, how long it took last time."""
        at = f" ({self._detail})" if self._detail else ""
        return f"{self.what}: {minutes(self.seconds)}{self._expected}{at}"


class Progress:
    """Shows steps while they run. Not a logger: what commands print goes to their own log files."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._steps: dict[int, tuple[Step, TaskID | None]] = {}
        self._lock = threading.Lock()
        self._live: RichProgress | None = None
        self._stop = threading.Event()

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, what: str, expected: str = "") -> Generator[Step]:
        """A step that is shown until the block ends; set `failed` on it to have it marked so."""
        step = Step(what, expected)
        self._begin(step)
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            self._end(step)

    def _begin(self, step: Step) -> None:
        with self._lock:
            if self._console.is_terminal and self._live is None:
                columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
                self._live = RichProgress(*columns, console=self._console, transient=True)
                self._live.start()
            task = self._live.add_task(step.line()) if self._live else None
            self._steps[id(step)] = (step, task)
            if task is None:
                self.say(f"… {step.line()}")
            if len(self._steps) == 1:
                self._stop = threading.Event()
                threading.Thread(target=self._show_life, args=(self._stop,), daemon=True).start()

    def _end(self, step: Step) -> None:
        with self._lock:
            _, task = self._steps.pop(id(step))
            if self._live and task is not None:
                self._live.remove_task(task)
            self.say(f"{'✗' if step.failed else '✓'} {step.what}: {minutes(step.seconds)}")
            if not self._steps:
                self._stop.set()
                if self._live:
                    self._live.stop()
                    self._live = None

    def _show_life(self, stop: threading.Event) -> None:
        while not stop.wait(0.5 if self._live else SIGN_OF_LIFE_SECONDS):
            with self._lock:
                for step, task in self._steps.values():
                    if self._live and task is not None:
                        self._live.update(task, description=step.line())
                    elif step.seconds >= SIGN_OF_LIFE_SECONDS:
                        self.say(f"… {step.line()}")
