"""Forwards a port of this machine to Tempo's Service with kubectl, for as long as a view is open."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Generator

from components.documents.tempo_gateway import PUBLIC_PORT
from tools.cluster import Access
from tools.errors import ToolError

STARTED_WITHIN_SECONDS = 20.0
"""kubectl asks the API server, and perhaps a credential plugin, first. Our choice."""

RESTART_SECONDS = 1.0
"""The time between a lost connection and the next try. Our choice."""


@contextlib.asynccontextmanager
async def forwarded(namespace: str, access: Access) -> AsyncGenerator[str]:
    """Yields the URL of a port of this machine that leads to Tempo.

    kubectl forwards to one pod, and ends with it. It is then started again, with the same port.

    Raises:
        ToolError: there is no kubectl, or it cannot forward a port.
    """
    if shutil.which("kubectl") is None:
        raise ToolError(
            "`kubectl` was not found on PATH, which forwards a port to Tempo. Install it, or name an address of Tempo "
            "that this machine reaches: python -m tools view --tempo-url http://HOST:PORT"
        )
    with _options(access) as options:
        command = ["kubectl", *options, f"--namespace={namespace}", "port-forward", "--address=127.0.0.1"]
        command += ["service/tempo"]
        process, port = await _started(command, "")
        keeping = asyncio.create_task(_keep(process, command, port))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


@contextlib.contextmanager
def _options(access: Access) -> Generator[list[str]]:
    """Yields kubectl's options for a cluster. Contents of a kubeconfig go into a file that is this user's alone."""
    context = [f"--context={access.context}"] if access.context else []
    if not access.kubeconfig:
        yield context
    elif not access.has_contents:
        yield [*context, f"--kubeconfig={os.path.expanduser(access.kubeconfig)}"]
    else:
        with tempfile.NamedTemporaryFile("w", prefix="kubeconfig-") as file:
            file.write(access.kubeconfig)
            file.flush()
            yield [*context, f"--kubeconfig={file.name}"]


async def _keep(process: Process, command: list[str], port: str) -> None:
    """Starts kubectl again whenever it has ended, until this task is cancelled; then ends it."""
    try:
        while True:
            await process.communicate()
            await asyncio.sleep(RESTART_SECONDS)
            with contextlib.suppress(ToolError):
                process, _ = await _started(command, port)
    finally:
        await _end(process)


async def _started(command: list[str], port: str) -> tuple[Process, str]:
    """Starts kubectl; returns it and its port of this machine once it listens.

    Raises:
        ToolError: it ended, or does not listen in time.
    """
    process = await create_subprocess_exec(*command, f"{port}:{PUBLIC_PORT}", stdout=PIPE, stderr=PIPE)
    try:
        line = await asyncio.wait_for(_line(process), STARTED_WITHIN_SECONDS)
        # Forwarding from 127.0.0.1:40123 -> 3100
        if " -> " in line:
            return process, line.partition(" -> ")[0].rpartition(":")[2]
        _, errors = await asyncio.wait_for(process.communicate(), STARTED_WITHIN_SECONDS)
        said = errors.decode().strip()
    except TimeoutError:
        said = f"nothing within {STARTED_WITHIN_SECONDS:g} s"
    except asyncio.CancelledError:
        await _end(process)
        raise
    await _end(process)
    raise ToolError(f"There is no way to Tempo: `kubectl port-forward service/tempo` says {said}")


async def _line(process: Process) -> str:
    return (await process.stdout.readline()).decode() if process.stdout else ""


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()
