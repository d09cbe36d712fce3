"""Runs the Pulumi CLI: every command of the tools that calls `pulumi` does it here."""

import contextlib
import json
import shlex
import signal
import subprocess
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.paths import REPOSITORY


@dataclass(frozen=True)
class PulumiCli:
    """The Pulumi CLI, called on one stack."""

    stack: str | None = None
    """The stack's name; None for the one that PULUMI_STACK names or that is selected."""

    folder: Path = REPOSITORY
    """The program's folder."""

    environment: Mapping[str, str] | None = field(default=None, repr=False)
    """Says where `pulumi`, its backend and its passphrase are; None for this process's own environment."""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command without a terminal and returns its exit code with what it printed.

        Raises:
            ToolError: there is no Pulumi CLI on PATH.
        """
        command = ["pulumi", "--non-interactive", "--color=never", *arguments, *self._option()]
        return self._done(command, stdin=subprocess.DEVNULL, output=subprocess.PIPE)

    def must(self, *arguments: str) -> str:
        """Runs a command without a terminal and returns its standard output.

        Raises:
            ToolError: the command failed; the text has what it printed.
        """
        done = self.run(*arguments)
        if done.returncode != 0:
            raise ToolError(self.failure(done, *arguments))
        return done.stdout

    def show(self, *arguments: str, may_ask: bool = False, forwards_interrupt: bool = False) -> int:
        """Runs a command in this terminal and returns its exit code.

        Args:
            arguments: the command's.
            may_ask: whether Pulumi may ask the person at the terminal.
            forwards_interrupt: whether an interrupt of this process is sent to Pulumi, too. Ctrl-C needs none: the
                terminal sends it to both, and Pulumi takes a second one as an order to end at once, mid-update.

        Raises:
            ToolError: there is no Pulumi CLI on PATH.
        """
        command = ["pulumi", *arguments, *self._option()]
        stdin = None if may_ask else subprocess.DEVNULL
        return self._done(command, stdin=stdin, forwards_interrupt=forwards_interrupt).returncode

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs by name.

        Raises:
            ToolError: Pulumi does not print them.
        """
        return json.loads(self.must("stack", "output", "--json"))

    def configured(self, *keys: str) -> dict[str, str]:
        """Returns the values of configuration keys, decrypted; keys that the stack does not set are left out.

        Pulumi needs the stack's passphrase only for those of the keys that are secret.

        Args:
            keys: plain text values, each with its namespace: `kubernetes:context`.

        Raises:
            ToolError: the configuration cannot be read.
        """
        listed: dict[str, dict[str, Any]] = json.loads(self.must("config", "--json"))
        found = {key: listed[key] for key in keys if key in listed}
        return {
            key: self.must("config", "get", key).removesuffix("\n") if entry["secret"] else str(entry["value"])
            for key, entry in found.items()
        }

    def failure(self, done: subprocess.CompletedProcess[str], *arguments: str) -> str:
        """Returns what to tell of a command that failed: the command, its exit code and what it printed."""
        said = f"{done.stdout}{done.stderr}".strip()
        return f"`{self.text(*arguments)}` exited with {done.returncode}.\n{said}"

    def text(self, *arguments: str) -> str:
        """Returns a command on this stack as a person types it."""
        return shlex.join(["pulumi", *arguments, *self._option()])

    def _option(self) -> list[str]:
        return ["--stack", self.stack] if self.stack else []

    def _done(
        self, command: list[str], *, stdin: int | None, output: int | None = None, forwards_interrupt: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Waits for the end of a command, after an interrupt as well: killed, Pulumi would leave the stack locked."""
        process = None
        try:
            with _held_interrupt():
                process = subprocess.Popen(
                    command, cwd=self.folder, env=self.environment, stdin=stdin, stdout=output, stderr=output, text=True
                )
            said, errors = process.communicate()
        except KeyboardInterrupt:
            if process:
                if forwards_interrupt:
                    process.send_signal(signal.SIGINT)
                process.communicate()
            raise
        except FileNotFoundError:
            raise ToolError(
                "`pulumi` was not found on PATH. Install the Pulumi CLI, or use `make up`, which brings its own."
            ) from None
        return subprocess.CompletedProcess(command, process.returncode, said or "", errors or "")


@contextlib.contextmanager
def _held_interrupt() -> Generator[None]:
    """Holds an interrupt back until the block has ended: Popen may have started a process that it has not returned."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def local_backend(folder: Path) -> dict[str, str]:
    """Returns the environment variables of a backend that is a folder, without the CLI's check for updates.

    Without files of attributes (`metadata=skip`): Pulumi writes those in place, and reads an empty one, which a kill
    leaves, as a stack without state.

    Args:
        folder: the backend's; it has to exist.
    """
    return {"PULUMI_BACKEND_URL": f"file://{folder}?metadata=skip", "PULUMI_SKIP_UPDATE_CHECK": "true"}
