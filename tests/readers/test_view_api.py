"""Asks the page's server, in front of the lab's real Tempo, for what a browser asks."""

import asyncio
import json
import time
from collections.abc import Generator
from typing import Any

import grpc
import pytest

from tests.readers.loopback import ask
from tests.readers.spans import CLIENT, Sent, message, new_id
from tests.readers.tempo import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.tempo import Tempo
from tools.view.site import API, Site

pytestmark = pytest.mark.usefixtures("programs")

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def span(service: str, name: str, kind: Any = None, **attributes: Any) -> Sent:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    made = Sent(service, name, new_id(), time.time_ns() - 30 * 10**9, 0.05, attributes=named)
    made.kind = kind or made.kind
    return made


SPANS = [
    *(span("nginx", "tenth", http__route="/tenth", sampling__weight=10) for _ in range(5)),
    *(span("nginx", "itself", http__route="/tenth") for _ in range(3)),
    span("nginx", "none"),
    span("nginx", "call", CLIENT),
    span("nginx", "salt", http__route="/salt and pepper"),
    span("shop", "octal", order="08", size=700),
    span("shop", "long", order="12345678901234567890", size=20),
    span("shop", "BROKEN", http__user_agent="BROKEN"),
]


@pytest.fixture(scope="module")
def tempo(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningTempo]:
    """Returns a Tempo with a few spans, of which one has text that is not UTF-8."""
    with running_tempo(tmp_path_factory.mktemp("tempo")) as running:
        # Python's protobuf writes no such text: the bytes take the place of as many others.
        content = message(SPANS).SerializeToString().replace(b"BROKEN", b"br\xffken")
        with grpc.insecure_channel(running.backend) as channel:
            channel.unary_unary(EXPORT)(content, timeout=30, wait_for_ready=True)
        end = int(time.time()) + 60
        asked = {"q": "{ }", "start": end - 600, "end": end, "limit": 100}
        wait_for("the spans", lambda: len(ask(f"{running.url}/api/search", **asked).get("traces", ())) == len(SPANS))
        yield running


def answer(tempo: RunningTempo, route: str, **asked: str) -> Any:
    async def answered() -> Any:
        async with Tempo(tempo.url) as client:
            found = await Site(client).answer(f"{API}{route}", asked)
        assert found.status == 200, found.reason
        return json.loads(found.file.content)

    return asyncio.run(answered())


def names(tempo: RunningTempo, **asked: str) -> list[str]:
    end = str((int(time.time()) + 1) * 1000)
    found = answer(tempo, "traces", limit="50", endTs=end, lookback="600000", **asked)
    return sorted(spans[0]["name"] for spans in found)


def test_one_trace_with_text_that_is_not_utf_8_is_shown_and_hides_no_other(tempo: RunningTempo) -> None:
    assert names(tempo, serviceName="shop") == ["br\ufffdken", "long", "octal"]
    assert "br\ufffdken" in answer(tempo, "spans", serviceName="shop")
    (found,) = answer(tempo, f"trace/{SPANS[-1].trace_id}")
    assert found["tags"]["http.user_agent"] == "br\ufffdken"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("order=08", ["octal"]),
        ("order=12345678901234567890", ["long"]),
        ("order=-9223372036854775808", []),
        ("size=700", ["octal"]),
        ("size>=21", ["octal"]),
        ("size<21", ["long"]),
        ("size>-1 and order=nil", []),
        ("http.route=nil and span:kind=server", ["br\ufffdken", "long", "none", "octal"]),
        (r'http.route="/salt\u0020and\u0020pepper"', ["salt"]),
    ],
)
def test_tags_find_what_they_say(tempo: RunningTempo, tags: str, expected: list[str]) -> None:
    assert names(tempo, annotationQuery=tags) == expected


def test_rates_are_those_of_all_requests_where_some_spans_stand_for_several(tempo: RunningTempo) -> None:
    def counted() -> dict[Any, Any] | None:
        found = answer(tempo, "rates", seconds="900")
        rows = {(row["service"], row["route"]): sum(row["points"]) for row in found["rows"]}
        # Tempo's metrics have a trace some seconds later than its search.
        return rows if found["note"].startswith("Tempo counted") and len(rows) == 4 else None

    assert wait_for("the rates", counted, 30) == {
        ("nginx", "/tenth"): 53,
        ("nginx", ""): 1,
        ("nginx", "/salt and pepper"): 1,
        ("shop", ""): 3,
    }
