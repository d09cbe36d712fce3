"""Runs a program on loopback, and asks it over HTTP."""

import contextlib
import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import wait_for


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
        variables: environment variables besides those of the tests.
        status: the status of the answer.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | dict(variables or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"{command[0]}; its log is {log}", lambda: process.poll() is not None or answers(ready, status), 60)
        assert process.poll() is None, log.read_text()[-3000:]
        yield process
    finally:
        # A Tempo that has answered a query may take its whole grace period.
        process.kill()
        process.wait()


def ask(url: str, **parameters: Any) -> Any:
    """Returns the JSON that a program answers with."""
    answer = httpx.get(url, params=parameters, trust_env=False, timeout=30)
    assert answer.status_code == 200, f"{parameters}: {answer.text}"
    return answer.json()


def answers(url: str, status: int = 200) -> bool:
    """Tells whether a program answers a URL with a status."""
    with contextlib.suppress(httpx.HTTPError):
        # A program with TLS shows a certificate of a test.
        return httpx.get(url, trust_env=False, verify=False).status_code == status  # noqa: S501
    return False
