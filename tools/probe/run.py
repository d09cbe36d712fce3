"""One probe from its first request to its last look-up."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

import httpx

from tools.probe.counters import Counters
from tools.probe.diagnosis import Missing, diagnose, other_exporters
from tools.probe.errors import ProbeError
from tools.probe.outputs import StackOutputs
from tools.probe.result import Freshness, ProbeResult, RequestResult, Span, percentile
from tools.probe.tempo import Login, LookUpError, Tempo
from tools.probe.traffic import LookUp, Request, describe, make_requests, send

# A Service that was just created takes a moment to reach its pods.
REACHABLE_WITHIN_SECONDS = 10.0
LOOK_UP_INTERVAL_SECONDS = 0.1
# Look-ups take processor time from what they measure: at most a third of the time is spent on each way of looking.
PAUSE_PER_LOOK_UP = 2.0
LOOK_UPS_AT_ONCE = 4

USER_AGENT = "nginx-tracing-probe"


@dataclass
class Run:
    """The state of a run, which the progress line shows."""

    requests: list[Request]
    all_sent: bool = False
    look_up_errors: int = 0
    last_look_up_error: str | None = None

    def failed(self, error: LookUpError) -> None:
        """A look-up failed; the next one may not."""
        self.look_up_errors += 1
        self.last_look_up_error = str(error)

    @property
    def progress(self) -> str:
        """How far the run is, in one line."""
        ended = sum(request.ended_at is not None for request in self.requests)
        by_id = sum(request.by_id.found_at is not None for request in self.requests)
        by_search = sum(request.by_search.found_at is not None for request in self.requests)
        return f"{ended} of {len(self.requests)} requests sent; found by ID {by_id}, by search {by_search}"


async def probe(
    outputs: StackOutputs,
    *,
    count: int,
    path: str,
    limit_seconds: float,
    context: str | None,
    show: Callable[[str], None],
    login: Login | None = None,
) -> ProbeResult:
    """Sends `count` requests and looks each of them up until all are found or the limit has passed.

    The limit counts from the last answer. The pods are read with the kubeconfig's `context`. `show` is given a line
    of progress now and then. Traces are read with `login`, where Tempo's API has a password.

    Raises:
        ProbeError: the stack has no Tempo, NGINX or Tempo cannot be reached, Tempo refuses the password, or NGINX
            answers no request at all.
    """
    tempo_url = outputs.tempo_url
    if tempo_url is None:
        raise ProbeError(
            "This stack has no Tempo of its own (`tempo.enabled` is false), which the probe finds its traces in: look "
            'in your own backend. What the hops count and lose is told by `make probe ARGS="--watch"`.'
        )
    run_id = secrets.token_hex(4)
    user_agent = f"{USER_AGENT}/{run_id}"
    query = f'{{ span.http.user_agent = "{user_agent}" }}'
    run = Run(make_requests(count))
    async with Tempo(tempo_url, query, count, login) as tempo:
        show("waiting for NGINX and Tempo to answer")
        await asyncio.gather(_reach_nginx(outputs), _reach_tempo(outputs, tempo))
        counters = Counters(outputs.namespace, context)
        await counters.start()
        url = outputs.nginx_url.rstrip("/") + path
        await _send_and_find(run, tempo, send(run.requests, url, user_agent), limit_seconds, show)
        if not any(request.answered for request in run.requests):
            raise ProbeError(_nginx_advice(outputs, f"none of {count} requests was answered: {run.requests[-1].error}"))
        show("reading the counters")
        measured = await counters.finish({request.trace_id for request in run.requests})
        missing = _missing(run)
        complete = not (missing.unanswered or missing.by_id or missing.by_search)
        by_id = [request.by_id for request in run.requests]
        by_search = [request.by_search for request in run.requests]
        return ProbeResult(
            run=run_id,
            nginx_url=outputs.nginx_url,
            tempo_url=tempo_url,
            namespace=outputs.namespace,
            search_query=query,
            limit_seconds=limit_seconds,
            sent=count,
            answers=dict(Counter(str(request.status) for request in run.requests if request.answered)),
            unanswered=missing.unanswered,
            found_by_id=sum(look_up.found_at is not None for look_up in by_id),
            found_by_search=sum(look_up.found_at is not None for look_up in by_search),
            missing_by_id=[request.trace_id for request in run.requests if request.by_id.found_at is None],
            missing_by_search=[request.trace_id for request in run.requests if request.by_search.found_at is None],
            freshness_by_id=_freshness(run.requests, by_id),
            freshness_by_search=_freshness(run.requests, by_search),
            look_up_errors=run.look_up_errors,
            last_look_up_error=run.last_look_up_error,
            hops=measured.hops,
            verdict=None if complete else diagnose(missing, measured),
            other_exporters=other_exporters(measured),
            trace=await _one_trace(run, tempo),
            requests=[_request_result(request) for request in run.requests],
        )


async def _reach_nginx(outputs: StackOutputs) -> None:
    """Connects without a request, which would give a span that the counters then hold beside the probe's."""
    url = httpx.URL(outputs.nginx_url)
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
        raise ProbeError(_nginx_advice(outputs, reason))


async def _reach_tempo(outputs: StackOutputs, tempo: Tempo) -> None:
    if reason := await _until_none(tempo.not_ready):
        raise ProbeError(
            f"Tempo does not answer at {outputs.tempo_url} (the stack output tempoUrl): {reason}.\n"
            + _pods_advice(outputs, "tempo")
        )
    if await tempo.refuses_password():
        raise ProbeError(
            f"Tempo at {outputs.tempo_url} refuses the password of its API, which is the stack's `tempoPassword`.\n"
            "Give the one that `pulumi up` deployed last: in the environment variable TEMPO_PASSWORD, or in a file "
            "with --tempo-password-file."
        )


async def _until_none(why_not: Callable[[], Awaitable[str | None]]) -> str | None:
    end = time.monotonic() + REACHABLE_WITHIN_SECONDS
    while (reason := await why_not()) and time.monotonic() < end:
        await asyncio.sleep(0.25)
    return reason


def _nginx_advice(outputs: StackOutputs, reason: str) -> str:
    answer = f"NGINX does not answer at {outputs.nginx_url} (the stack output nginxUrl): {reason}.\n"
    if "disconnected" in reason:
        # What NGINX does to a connection that does not begin as the PROXY protocol wants it.
        answer += (
            "It takes connections and ends them. With `nginx.trustedProxies.protocol: proxyProtocol` it does so to all "
            "but the load balancer's: name that one's address with --nginx-url.\n"
        )
    return answer + _pods_advice(outputs, "nginx")


def _pods_advice(outputs: StackOutputs, component: str) -> str:
    look = (
        f"Look at its pods: `kubectl get pods --namespace {outputs.namespace} "
        f"--selector app.kubernetes.io/name={component}`.\n"
    )
    url = outputs.nginx_url if component == "nginx" else outputs.tempo_url or ""
    if httpx.URL(url).host.endswith(".svc"):
        port, local = httpx.URL(url).port or 80, FORWARDED[component]
        return look + (
            f"If they are Ready: `{component}.service.type` is ClusterIP, whose address only pods reach. Forward a "
            "port of this machine to it, and name that:\n"
            f"  kubectl port-forward --namespace {outputs.namespace} service/{component} {local}:{port}\n"
            f"  python -m tools probe --{component}-url http://localhost:{local}"
        )
    return look + (
        "If they are Ready, this machine does not reach the address, or is not among "
        f"`{component}.service.allowedAddresses`. For a NodePort, name a node that it reaches with "
        "`pulumi config set nodeAddress ADDRESS`, then `pulumi up`."
    )


FORWARDED = {"nginx": 8080, "tempo": 3100}
"""Ports of this machine for `kubectl port-forward`; any free one will do."""


async def _send_and_find(
    run: Run, tempo: Tempo, traffic: Coroutine[None, None, None], limit_seconds: float, show: Callable[[str], None]
) -> None:
    async def find() -> None:
        await asyncio.gather(_look_up_by_id(run, tempo), _look_up_by_search(run, tempo))

    async def show_progress() -> None:
        while True:
            show(run.progress)
            await asyncio.sleep(0.25)

    finding = asyncio.create_task(find())
    showing = asyncio.create_task(show_progress())
    try:
        await traffic
        run.all_sent = True
        # What ends here at the limit is not an error: what is missing is the result.
        await asyncio.wait({finding}, timeout=limit_seconds)
    finally:
        showing.cancel()
        finding.cancel()
        for ended in await asyncio.gather(finding, showing, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _look_up_by_id(run: Run, tempo: Tempo) -> None:
    places = asyncio.Semaphore(LOOK_UPS_AT_ONCE)

    async def look_up(request: Request) -> None:
        async with places:
            asked_at = time.monotonic()
            try:
                if await tempo.has(request.trace_id):
                    request.by_id.found_at = time.monotonic()
                else:
                    request.by_id.last_miss_at = asked_at
            except LookUpError as error:
                run.failed(error)

    async def look_up_all(pending: list[Request]) -> None:
        await asyncio.gather(*(look_up(request) for request in pending))

    await _steadily(run, lambda request: request.by_id, look_up_all)


async def _look_up_by_search(run: Run, tempo: Tempo) -> None:
    async def look_up_all(pending: list[Request]) -> None:
        asked_at = time.monotonic()
        try:
            found = await tempo.search()
        except LookUpError as error:
            run.failed(error)
            return
        now = time.monotonic()
        for request in pending:
            if request.trace_id in found:
                request.by_search.found_at = now
            else:
                request.by_search.last_miss_at = asked_at

    await _steadily(run, lambda request: request.by_search, look_up_all)


async def _steadily(
    run: Run, way: Callable[[Request], LookUp], look_up_all: Callable[[list[Request]], Awaitable[None]]
) -> None:
    """Looks up what is not found yet, at a steady interval, until all that was answered is found."""
    while True:
        start = time.monotonic()
        pending = [request for request in run.requests if request.answered and way(request).found_at is None]
        if run.all_sent and not pending:
            return
        if pending:
            await look_up_all(pending)
        took = time.monotonic() - start
        await asyncio.sleep(max(LOOK_UP_INTERVAL_SECONDS - took, PAUSE_PER_LOOK_UP * took))


def _missing(run: Run) -> Missing:
    unanswered = [request for request in run.requests if not request.answered]
    answered = [request for request in run.requests if request.answered]
    return Missing(
        unanswered=len(unanswered),
        last_error=unanswered[-1].error if unanswered else None,
        by_id=frozenset(request.trace_id for request in answered if request.by_id.found_at is None),
        by_search=frozenset(request.trace_id for request in answered if request.by_search.found_at is None),
        look_up_errors=run.look_up_errors,
        last_look_up_error=run.last_look_up_error,
    )


def _freshness(requests: list[Request], look_ups: list[LookUp]) -> Freshness:
    fresh: list[float] = []
    steps: list[float] = []
    for request, look_up in zip(requests, look_ups, strict=True):
        if request.ended_at is None or look_up.found_at is None:
            continue
        fresh.append(look_up.found_at - request.ended_at)
        # A trace that the first look-up found was there at some time since the answer.
        steps.append(look_up.found_at - (look_up.last_miss_at or request.ended_at))
    return Freshness(
        p50_seconds=percentile(fresh, 50),
        p95_seconds=percentile(fresh, 95),
        resolution_seconds=max(steps, default=None),
    )


async def _one_trace(run: Run, tempo: Tempo) -> list[Span]:
    """The trace of the first request that was found, fetched again: spans of an upstream may have come later."""
    for request in run.requests:
        if request.by_id.found_at is not None:
            try:
                return await tempo.spans(request.trace_id)
            except LookUpError:
                return []
    return []


def _request_result(request: Request) -> RequestResult:
    ended_at = request.ended_at or request.started_at

    def fresh(look_up: LookUp) -> float | None:
        return None if look_up.found_at is None else look_up.found_at - ended_at

    return RequestResult(
        trace_id=request.trace_id,
        status=request.status,
        error=request.error,
        duration_seconds=ended_at - request.started_at,
        fresh_by_id_seconds=fresh(request.by_id),
        fresh_by_search_seconds=fresh(request.by_search),
    )
