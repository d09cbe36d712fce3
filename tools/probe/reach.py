"""Waits until NGINX and Tempo can be reached, and tells what to do where they cannot."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2

from lab.waiting import poll_async
from tools.errors import ToolError
from tools.probe.outputs import StackOutputs
from tools.tempo import Tempo, describe

# A Service that was just created takes a moment to reach its pods; our choice.
REACHABLE_WITHIN_SECONDS = 10.0

FORWARDED = {"nginx": 8080, "tempo": 3100}
"""Ports of this machine for `kubectl port-forward`; any free one will do."""


async def reach_nginx(outputs: StackOutputs) -> None:
    """Waits for NGINX to accept a connection. A request would make a span that is not among the probe's.

    Raises:
        ToolError: it does not.
    """
    url = httpx2.URL(outputs.nginx_url)
    port = url.port or (443 if url.scheme == "https" else 80)

    async def why_not() -> str | None:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(url.host, port), REACHABLE_WITHIN_SECONDS / 2)
        except OSError as error:
            # TimeoutError is one of these, and has no text.
            return describe(error)
        writer.close()
        return None

    if reason := await _until_none(why_not):
        raise ToolError(nginx_advice(outputs, reason))


async def reach_tempo(outputs: StackOutputs, tempo: Tempo) -> None:
    """Waits for Tempo to be ready, and checks that it accepts the password.

    Raises:
        ToolError: Tempo is not ready, or refuses the password.
    """
    if reason := await _until_none(tempo.not_ready):
        raise ToolError(
            f"Tempo does not answer at {outputs.tempo_url} (the stack output tempoUrl): {reason}.\n"
            + _pods_advice(outputs, "tempo")
        )
    if await tempo.refuses_password():
        raise ToolError(
            f"Tempo at {outputs.tempo_url} refuses the password of its API, which is the stack's `tempoPassword`.\n"
            "Give the one that `pulumi up` deployed last: in the environment variable TEMPO_PASSWORD, or in a file "
            "with --tempo-password-file."
        )


async def _until_none(why_not: Callable[[], Awaitable[str | None]]) -> str | None:
    """Awaits `why_not` until it has no reason any more, or the time is over, and returns the last reason."""
    last: str | None = None

    async def works() -> bool:
        nonlocal last
        last = await why_not()
        return last is None

    await poll_async(works, seconds=REACHABLE_WITHIN_SECONDS, pause=0.25)
    return last


def nginx_advice(outputs: StackOutputs, reason: str) -> str:
    """Returns what to do about an NGINX that does not answer."""
    answer = f"NGINX does not answer at {outputs.nginx_url} (the stack output nginxUrl): {reason}.\n"
    if "disconnected" in reason:
        # NGINX ends a connection that does not begin with the PROXY protocol's header, where it expects one.
        answer += (
            "It accepts connections and ends them. With `nginx.trustedProxies.protocol: proxyProtocol` it does so to "
            "all clients but the load balancer: give the load balancer's address with --nginx-url.\n"
        )
    return answer + _pods_advice(outputs, "nginx")


def _pods_advice(outputs: StackOutputs, component: str) -> str:
    look = (
        f"Look at its pods: `kubectl get pods --namespace {outputs.namespace} "
        f"--selector app.kubernetes.io/name={component}`.\n"
    )
    url = outputs.nginx_url if component == "nginx" else outputs.tempo_url or ""
    if httpx2.URL(url).host.endswith(".svc"):
        port, local = httpx2.URL(url).port or 80, FORWARDED[component]
        return look + (
            f"If they are Ready: `{component}.service.type` is ClusterIP, whose address only pods reach. Forward a "
            "port of this machine to it, and use that one:\n"
            f"  kubectl port-forward --namespace {outputs.namespace} service/{component} {local}:{port}\n"
            f"  python -m tools probe --{component}-url http://localhost:{local}"
        )
    return look + (
        "If they are Ready, this machine does not reach the address, or is not among "
        f"`{component}.service.allowedAddresses`. For a NodePort, name a node that it reaches with "
        "`pulumi config set nodeAddress ADDRESS`, then `pulumi up`."
    )
