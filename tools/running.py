"""Runs a program on this machine until its `with` block ends."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import httpx2

from lab.errors import LabError
from lab.waiting import wait_until

_READY_SECONDS = 120
"""Our choice: a program starts within seconds, and later where tests keep all cores busy."""


@contextlib.contextmanager
def started(
    command: Sequence[Path | str],
    log: Path,
    ready: str,
    variables: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> Generator[subprocess.Popen[bytes]]:
    """Runs a program, which is ready when a URL of it answers.

    Args:
        command: the program and its arguments.
        log: the file for its output.
        ready: the URL.
        variables: environment variables besides those of this process.
        status: the status of the answer.

    Raises:
        LabError: it ended, or did not answer in time.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | dict(variables or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def is_alive() -> None:
        if process.poll() is not None:
            raise LabError(f"{command[0]} exited with {process.returncode}:\n{log.read_text()[-3000:]}")

    late = f"{command[0]} did not answer {ready} within {_READY_SECONDS} s; its log is {log}."
    try:
        wait_until(lambda: answers(ready, status), late, seconds=_READY_SECONDS, pause=0.02, alive=is_alive)
        yield process
    finally:
        # A Tempo that has answered a query may take its whole grace period.
        process.kill()
        process.wait()


def answers(url: str, status: int = 200) -> bool:
    """Tells whether a program answers a URL with a status."""
    with contextlib.suppress(httpx2.HTTPError):
        # A program with TLS shows a certificate that this machine does not know.
        return httpx2.get(url, trust_env=False, verify=False).status_code == status
    return False


def free_port() -> int:
    """Returns a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
