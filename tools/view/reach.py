"""Finds the way to a stack's Tempo: the stack's own address, or a port that kubectl forwards."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import httpx2

from tools.cluster import Access
from tools.errors import ToolError
from tools.probe.outputs import StackOutputs
from tools.probe.reach import reach_tempo
from tools.tempo import Login, Tempo
from tools.view.forward import forwarded

ANSWER_SECONDS = 60.0
"""A search of a day's blocks takes longer than the probe's look-ups. Our choice."""

CONNECT_SECONDS = 3.0
"""How long the stack's own address is tried: our choice. A firewall answers nothing at all."""


@contextlib.asynccontextmanager
async def reached(outputs: StackOutputs, access: Access, login: Login | None) -> AsyncGenerator[Tempo]:
    """Yields a client of the stack's Tempo, through a forwarded port if this machine does not reach its address.

    Raises:
        ToolError: the stack has no Tempo, there is no way to it, or it refuses the password.
    """
    url = outputs.tempo_url
    if url is None:
        raise ToolError(
            "This stack has no Tempo of its own (`tempo.enabled` is false), whose traces the page would show: look in "
            "your own backend."
        )
    async with contextlib.AsyncExitStack() as stack:
        if reason := await _why_not(httpx2.URL(url)):
            print(f"Tempo's address {url} is not reached from here: {reason}. kubectl forwards a port.", flush=True)
            url = await stack.enter_async_context(forwarded(outputs.namespace, access))
        tempo = await stack.enter_async_context(Tempo(url, login, ANSWER_SECONDS))
        await reach_tempo(outputs.model_copy(update={"tempo_url": url}), tempo)
        yield tempo


async def _why_not(url: httpx2.URL) -> str | None:
    """Returns why an address does not accept a connection; None if it does."""
    if url.host.endswith(".svc"):
        return "only pods reach it"
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(url.host, port), CONNECT_SECONDS)
    except TimeoutError:
        return f"no answer within {CONNECT_SECONDS:g} s"
    except OSError as error:
        return str(error)
    writer.close()
    return None
