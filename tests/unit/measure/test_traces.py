"""Looks traces up in a server that answers as Tempo does."""

import http.server
import json
import threading
from collections.abc import Generator
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, TracesData

from lab.errors import LabError
from tools.measure import traces
from tools.measure.traces import missing
from tools.measure.traffic import Sent

BY_SEARCH, BY_ID, NOWHERE = "0" * 31 + "1", "a" * 32, "b" * 32
NOW = 1_000_000.0


class FakeTempo(http.server.ThreadingHTTPServer):
    """Finds one trace by search, and another by its ID alone."""

    status = 200
    """The status with which it answers searches."""

    windows: list[tuple[int, int]]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests."""

    server: FakeTempo  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Answers a search or a look-up."""
        url = urlsplit(self.path)
        if url.path == "/api/search":
            window = {key: values[0] for key, values in parse_qs(url.query).items()}
            self.server.windows.append((int(window["start"]), int(window["end"])))
            # Tempo writes IDs without leading zeros.
            self._answer(self.server.status, json.dumps({"traces": [{"traceID": BY_SEARCH.lstrip("0")}]}))
        else:
            trace = TracesData(resource_spans=[ResourceSpans()]).SerializeToString().decode()
            self._answer(200 if url.path.endswith(BY_ID) else 404, trace, "application/protobuf")

    def _answer(self, status: int, body: str, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Logs nothing."""


@pytest.fixture
def tempo(monkeypatch: pytest.MonkeyPatch) -> Generator[FakeTempo]:
    monkeypatch.setattr(traces, "_PAUSE_SECONDS", 0.01)
    with FakeTempo(("127.0.0.1", 0), Handler) as server:
        server.windows = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def look_up(tempo: FakeTempo, *answered: str, last: float = NOW) -> list[str]:
    sent = Sent(rate=1, answered=list(answered), started=[NOW, last])
    return missing(f"http://127.0.0.1:{tempo.server_port}", sent, patience_seconds=0.1)


def test_what_neither_way_finds_is_missing(tempo: FakeTempo) -> None:
    assert look_up(tempo, BY_SEARCH, NOWHERE) == [NOWHERE]
    assert look_up(tempo, BY_SEARCH) == []


def test_what_search_lacks_is_no_loss_and_no_success(tempo: FakeTempo) -> None:
    with pytest.raises(LabError, match="Tempo has 1 of 2 traces that its search did not list"):
        look_up(tempo, BY_SEARCH, NOWHERE, BY_ID)


def test_every_second_of_the_traffic_is_searched(tempo: FakeTempo) -> None:
    assert look_up(tempo, BY_SEARCH, last=NOW + 25) == []
    covered = {second for start, end in tempo.windows for second in range(start, end)}
    assert set(range(int(NOW), int(NOW) + 26)) <= covered


def test_an_error_is_not_taken_for_a_loss(tempo: FakeTempo) -> None:
    tempo.status = 500
    with pytest.raises(LabError, match="1 of 1 traces could not be looked up: HTTP 500"):
        look_up(tempo, NOWHERE)


def test_a_proxy_of_the_environment_is_not_asked(tempo: FakeTempo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert look_up(tempo, BY_SEARCH) == []
