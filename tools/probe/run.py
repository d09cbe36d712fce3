"""Runs one probe, from its first request to its last look-up."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tools.cluster import Access
from tools.errors import ToolError
from tools.probe.counters import Counters, Measured
from tools.probe.diagnosis import Missing, diagnose
from tools.probe.exporters import other_exporters
from tools.probe.lookups import Run, send_and_find
from tools.probe.outputs import StackOutputs
from tools.probe.reach import nginx_advice, reach_nginx, reach_tempo
from tools.probe.result import Freshness, ProbeResult, RequestResult, Span, percentile
from tools.probe.trace import spans_of
from tools.probe.traffic import LookUp, Request, make_requests, send
from tools.tempo import Login, LookUpError, Tempo

USER_AGENT = "nginx-tracing-probe"


async def probe(
    outputs: StackOutputs,
    *,
    count: int,
    path: str,
    limit_seconds: float,
    access: Access,
    show: Callable[[str], None],
    login: Login | None = None,
) -> ProbeResult:
    """Sends requests and looks up the trace of each until all are found or the limit has passed.

    Args:
        outputs: the stack's.
        count: the number of requests.
        path: the path and query of each.
        limit_seconds: counts from the last answer.
        access: how the stack's cluster is reached, whose pods are read.
        show: is given a line of progress now and then.
        login: for reading traces, where Tempo's API has a password.

    Raises:
        ToolError: the stack has no Tempo, NGINX or Tempo cannot be reached, Tempo refuses the password, or NGINX
            answers no request at all.
    """
    tempo_url = outputs.tempo_url
    if tempo_url is None:
        raise ToolError(
            "This stack has no Tempo of its own (`tempo.enabled` is false), where the probe finds its traces: look in "
            'your own backend. `make probe ARGS="--watch"` shows the hops\' counters and losses.'
        )
    run_id = secrets.token_hex(4)
    user_agent = f"{USER_AGENT}/{run_id}"
    query = f'{{ span.http.user_agent = "{user_agent}" }}'
    run = Run(make_requests(count), query, outputs.expected_of(path))
    async with Tempo(tempo_url, login) as tempo:
        show("waiting for NGINX and Tempo to answer")
        await asyncio.gather(reach_nginx(outputs), reach_tempo(outputs, tempo))
        counters = Counters(outputs.namespace, access, demo=outputs.demo.services[1:] if outputs.demo else ())
        await counters.start()
        url = outputs.nginx_url.rstrip("/") + path
        await send_and_find(run, tempo, send(run.requests, url, user_agent), limit_seconds, show)
        if not any(request.answered for request in run.requests):
            raise ToolError(nginx_advice(outputs, f"none of {count} requests was answered: {run.requests[-1].error}"))
        show("reading the counters")
        measured = await counters.finish({request.trace_id for request in run.requests})
        about = _About(run_id, outputs.nginx_url, tempo_url, outputs.namespace, query, limit_seconds)
        return _result(about, run, measured, await _slowest(run, tempo))


@dataclass(frozen=True)
class _About:
    """The fields of the result that are known before the run."""

    run: str
    nginx_url: str
    tempo_url: str
    namespace: str
    search_query: str
    limit_seconds: float


def _result(about: _About, run: Run, measured: Measured, trace: list[Span]) -> ProbeResult:
    missing = _missing(run)
    complete = not (missing.unanswered or missing.by_id or missing.by_search)
    by_id = [request.by_id for request in run.requests]
    by_search = [request.by_search for request in run.requests]
    return ProbeResult(
        **asdict(about),
        sent=len(run.requests),
        answers=dict(Counter(str(request.status) for request in run.requests if request.answered)),
        unanswered=missing.unanswered,
        found_by_id=sum(look_up.found_at is not None for look_up in by_id),
        found_by_search=sum(look_up.found_at is not None for look_up in by_search),
        missing_by_id=[request.trace_id for request in run.requests if request.by_id.found_at is None],
        missing_by_search=[request.trace_id for request in run.requests if request.by_search.found_at is None],
        expected=run.expected,
        not_whole=dict(missing.not_whole),
        freshness_by_id=_freshness(run.requests, by_id),
        freshness_by_search=_freshness(run.requests, by_search),
        look_up_errors=run.look_up_errors,
        last_look_up_error=run.last_look_up_error,
        hops=measured.hops,
        verdict=None if complete else diagnose(missing, measured),
        other_exporters=other_exporters(measured),
        trace=trace,
        requests=[_request_result(request) for request in run.requests],
    )


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
        not_whole={request.trace_id: request.lacks for request in answered if request.lacks},
    )


def _freshness(requests: list[Request], look_ups: list[LookUp]) -> Freshness:
    fresh: list[float] = []
    steps: list[float] = []
    for request, look_up in zip(requests, look_ups, strict=True):
        if request.ended_at is None or look_up.found_at is None:
            continue
        fresh.append(look_up.found_at - request.ended_at)
        # A trace that the first look-up found arrived at some time since the answer.
        steps.append(look_up.found_at - (look_up.last_miss_at or request.ended_at))
    return Freshness(
        p50_seconds=percentile(fresh, 50),
        p95_seconds=percentile(fresh, 95),
        resolution_seconds=max(steps, default=None),
    )


async def _slowest(run: Run, tempo: Tempo) -> list[Span]:
    """Fetches the trace of the slowest request that was found again: spans of an upstream may have arrived later."""
    found = [request for request in run.requests if request.by_id.found_at is not None]
    if not found:
        return []
    try:
        return spans_of(await tempo.trace(max(found, key=lambda request: request.seconds).trace_id))
    except LookUpError:
        return []


def _request_result(request: Request) -> RequestResult:
    ended_at = request.started_at + request.seconds

    def fresh(look_up: LookUp) -> float | None:
        return None if look_up.found_at is None else look_up.found_at - ended_at

    return RequestResult(
        trace_id=request.trace_id,
        status=request.status,
        error=request.error,
        duration_seconds=request.seconds,
        fresh_by_id_seconds=fresh(request.by_id),
        fresh_by_search_seconds=fresh(request.by_search),
    )
