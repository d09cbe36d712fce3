"""A stack on loopback: an NGINX, a Tempo and the API server of their cluster, as the probe sees them.

Spans go from NGINX to the Collector to Tempo in no time, and are lost where a test wants it.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

MADE = 'otelcol_processor_outgoing_items{processor="filter/proxied",otel_signal="traces"}'

Answer = tuple[int, str | bytes]
Responder = Callable[[str, dict[str, str], dict[str, str]], Answer | None]
"""Path, query and headers to status and body; bytes are protobuf. None closes the connection without an answer."""


class Server:
    """An HTTP server on a free port of 127.0.0.1."""

    def __init__(self, respond: Responder) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                headers = {key.lower(): value for key, value in self.headers.items()}
                answer = respond(parts.path, query, {**headers, ":path": self.path})
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer
                content = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                if isinstance(body, bytes):
                    self.send_header("Content-Type", "application/protobuf")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object, **__: object) -> None:
                """Tests read the probe's words alone."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Refuses connections from now on."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Seen:
    """A request that NGINX answered."""

    trace_id: str
    user_agent: str
    path: str
    at: float
    parent_id: str = "01" * 8
    status: int = 200
    lost_service: str | None = None
    """The service whose spans did not arrive."""


@dataclass
class FakeStack:
    """The stack; tests set its fields before a probe, and read them after it."""

    lose: dict[int, str] = field(default_factory=dict[int, str])
    """Number of a request, from 0, to where its span gets lost: unanswered, unlogged, unsent, dropped, export,
    refused, limited, held, queue, collector, elsewhere, half, discarded, forgotten."""
    nginx_status: int = 200
    searchable: bool = True
    visible_after_seconds: float = 0.0
    traffic_after_first_reading: int = 0
    """Spans of others that pass all hops right after the first reading of any counters."""
    trace_answer: Answer | None = None
    """Tempo's answer to each look-up by ID, instead of the trace."""
    has_broken_text: bool = False
    """Whether a text of each span is not UTF-8."""
    api_status: int = 200
    has_tempo: bool = True
    access_log: bool = True
    demo: list[str] = field(default_factory=list[str])
    """The services behind NGINX, each of which sends the request on to the next."""
    upstream_spans: bool = False
    """Whether each service that sends the request on has a span for that."""
    lose_spans_of: dict[int, str] = field(default_factory=dict[int, str])
    """Number of a request, from 0, to the service whose spans get lost."""
    failing: frozenset[int] = frozenset()
    """Numbers of the requests that NGINX answers with 503."""
    password: str | None = None
    """Of Tempo's API, for the user `tempo`."""
    more_pods: dict[str, str] = field(default_factory=dict[str, str])
    """Pods beside the one of each component, with their faults by their names: `broken` ones answer with 503,
    `ended` ones are there until the probe has asked for pods of their component once."""
    has_upstream: bool = False
    """Whether the Collector makes a second span of each."""
    has_deciders: bool = False
    """Whether the Collectors are two tiers, of which the second one exports."""
    grows_while_read: dict[str, int] = field(default_factory=dict[str, int])
    """Series of the Collector, and what they grow by after the first reading."""
    exporters: dict[str, int] = field(default_factory=dict[str, int])
    """Counters of the Collector with the exporter among the labels, as they stand on its page."""
    demo_log: list[str] = field(default_factory=list[str])
    tempo_log: list[str] = field(default_factory=list[str])
    collector_log: list[str] = field(default_factory=list[str])
    received: list[Seen] = field(default_factory=list[Seen])
    stored: list[Seen] = field(default_factory=list[Seen])
    collector: dict[str, int] = field(default_factory=dict[str, int])
    log: list[str] = field(default_factory=list[str])
    tempo_received: int = 0
    discarded: int = 0

    def __post_init__(self) -> None:
        self.nginx = Server(self._nginx)
        self.tempo = Server(self._tempo)
        self.api = Server(self._api)
        self._requests = 0
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Stops the servers that are left."""
        for server in (self.nginx, self.tempo, self.api):
            server.stop()

    def write_outputs(self, folder: Path) -> str:
        """Writes the output of `pulumi stack output --json`, and returns the file's name."""
        outputs: dict[str, Any] = {"nginxUrl": self.nginx.url, "namespace": "tracing", "edition": "oss"}
        if self.demo:
            onward = len(self.demo) if self.upstream_spans else 0
            services = ["nginx", *self.demo]
            outputs["demo"] = {"path": "/demo/", "services": services, "spans": len(services) + onward}
        if self.has_tempo:
            outputs["tempoUrl"] = self.tempo.url
        if self.password is not None:
            outputs["tempoUser"] = "tempo"
        file = folder / "outputs.json"
        file.write_text(json.dumps(outputs))
        return str(file)

    def write_kubeconfig(self, folder: Path) -> str:
        """Writes a kubeconfig of the API server, and returns the file's name."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": self.api.url}}],
            "users": [{"name": "fake", "user": {"token": "fake"}}],
        }
        file = folder / "kubeconfig"
        file.write_text(json.dumps(config))
        return str(file)

    def _nginx(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Answer | None:
        del path, query
        with self._lock:
            number = self._requests
            self._requests += 1
            place = self.lose.get(number, "")
            if place == "unanswered":
                return None
            version, trace_id, parent_id, flags = headers["traceparent"].split("-")
            assert (version, flags) == ("00", "01")
            seen = Seen(
                trace_id,
                headers["user-agent"],
                headers[":path"],
                time.monotonic(),
                parent_id,
                503 if number in self.failing else self.nginx_status,
                self.lose_spans_of.get(number),
            )
            self.received.append(seen)
            self._follow(seen, place)
        return seen.status, "hello"

    def _follow(self, seen: Seen, place: str) -> None:
        if place != "unlogged" and self.access_log:
            ids = f'"traced":true,"trace_id":"{seen.trace_id}","span_id":"00f067aa0ba902b7"'
            self.log.append(f'{{"request":"GET / HTTP/1.1","status":{seen.status},{ids}}}')
        if place == "dropped":
            self.log.append("2026/01/01 00:00:00 [notice] 7#7: OTel dropped records: 3")
        elif place == "export":
            self.log.append("2026/01/01 00:00:00 [error] 7#7: OTel export failure: connection refused")
        elif place in ("refused", "limited"):
            self._count("otelcol_receiver_refused_spans")
            self._count("otelcol_processor_refused_spans", place == "limited")
        elif place not in ("unlogged", "unsent"):
            self._count("otelcol_receiver_accepted_spans")
            if place == "held":
                return
            spans = 1
            if self.has_upstream:
                self.exporters[MADE] = self.exporters.get(MADE, 0) + 1
                spans = 1 if place == "half" else 2
            if place == "queue":
                self._count("otelcol_exporter_queue_size")
            elif place == "collector":
                self._count("otelcol_exporter_send_failed_spans")
            else:
                self._count("otelcol_exporter_sent_spans", spans)
                self._arrive(seen, place, spans)

    def _arrive(self, seen: Seen, place: str, spans: int) -> None:
        if place == "elsewhere":
            return
        self.tempo_received += spans
        if place == "discarded":
            self.discarded += 1
        elif place != "forgotten":
            self.stored.append(seen)

    def _count(self, counter: str, more: int = 1) -> None:
        self.collector[counter] = self.collector.get(counter, 0) + more

    def _read_by_probe(self, page: str) -> str:
        self._count("otelcol_receiver_accepted_spans", self.traffic_after_first_reading)
        self._count("otelcol_exporter_sent_spans", self.traffic_after_first_reading)
        self.tempo_received += self.traffic_after_first_reading
        self.traffic_after_first_reading = 0
        return page

    def _tempo(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Answer:
        with self._lock:
            now = time.monotonic()
            visible = [seen for seen in self.stored if now - seen.at >= self.visible_after_seconds]
            if path == "/ready":
                return 200, "ready\n"
            if self.password is not None and headers.get("authorization") != basic(self.password):
                return 401, "Unauthorized"
            if path == "/api/echo":
                return 200, "echo"
            if path == "/api/search":
                return self._search(query, visible)
            match = re.fullmatch(r"/api/traces/([0-9a-f]{32})", path)
            assert match, f"Tempo was asked for {path}"
            if self.trace_answer:
                return self.trace_answer
            known = [seen for seen in visible if seen.trace_id == match[1]]
            assert headers["accept"] == "application/protobuf"
            return (200, self._trace(known[0])) if known else (404, "")

    def _trace(self, seen: Seen) -> bytes:
        document = trace_document(seen, self.demo, upstream_spans=self.upstream_spans)
        return document.replace(b"GET", b"\xff\xfe\xfd") if self.has_broken_text else document

    def _search(self, query: dict[str, str], visible: list[Seen]) -> Answer:
        # Without these, Tempo does not search the blocks.
        assert {"start", "end"} <= query.keys()
        match = re.fullmatch(r'\{ span\.http\.user_agent = "([^"]+)" \}', query["q"])
        assert match, f"Tempo was asked for {query['q']}"
        found = [seen for seen in visible if seen.user_agent == match[1]] if self.searchable else []
        traces = [{"traceID": seen.trace_id.lstrip("0"), "rootServiceName": "nginx"} for seen in found]
        return 200, json.dumps({"traces": traces[: int(query["limit"])], "metrics": {}})

    def _tempo_metrics(self) -> str:
        return (
            "# HELP tempo_distributor_spans_received_total The total number of spans received per tenant\n"
            "# TYPE tempo_distributor_spans_received_total counter\n"
            f'tempo_distributor_spans_received_total{{tenant="single-tenant"}} {1000 + self.tempo_received}\n'
            f'tempo_discarded_spans_total{{reason="trace_too_large",tenant="single-tenant"}} 5\n'
            f'tempo_discarded_spans_total{{reason="rate_limited",tenant="single-tenant"}} {self.discarded}\n'
        )

    def _api(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Answer:  # noqa: PLR0911 - a route each
        if headers.get("authorization") != "Bearer fake":
            return 401, json.dumps({"kind": "Status", "message": "Unauthorized"})
        if self.api_status != 200:
            return self.api_status, json.dumps({"kind": "Status", "message": "pods is forbidden"})
        pods = "/api/v1/namespaces/tracing/pods"
        if path == pods:
            return self._list_pods(query)
        if any(name in path for name in self.more_pods):
            return 503, json.dumps({"kind": "Status", "message": "connection refused"})
        with self._lock:
            if path == f"{pods}/otel-collector-1:8888/proxy/metrics":
                label = 'receiver="otlp",transport="grpc"'
                of_tier = "otelcol_exporter_" if self.has_deciders else "-"
                own = {name: value for name, value in self.collector.items() if not name.startswith(of_tier)}
                page = "".join(f"{name}{{{label}}} {value}\n" for name, value in own.items())
                page += "".join(f"{series} {value}\n" for series, value in self.exporters.items())
                for series, more in self.grows_while_read.items():
                    self.exporters[series] = self.exporters.get(series, 0) + more
                return 200, self._read_by_probe(page)
            if self.has_deciders and path == f"{pods}/otel-collector-decider-1:8888/proxy/metrics":
                return 200, "".join(f'{name}{{receiver="otlp"}} {value}\n' for name, value in self.collector.items())
            if path == f"{pods}/tempo-1:3101/proxy/metrics":
                return 200, self._read_by_probe(self._tempo_metrics())
            component, log = {
                f"{pods}/tempo-1/log": ("tempo", self.tempo_log),
                f"{pods}/otel-collector-1/log": ("otel-collector", self.collector_log),
                f"{pods}/otel-collector-decider-1/log": ("otel-collector-decider", self.collector_log),
                f"{pods}/nginx-1/log": ("nginx", self.log),
                **{f"{pods}/{service}-1/log": (service, self.demo_log) for service in self.demo},
            }[path]
            assert query["container"] == component
            return 200, "".join(f"{line}\n" for line in log)

    def _list_pods(self, query: dict[str, str]) -> Answer:
        labels = dict(label.split("=") for label in query["labelSelector"].split(","))
        assert labels.pop("app.kubernetes.io/part-of") == "nginx-tracing"
        component = labels["app.kubernetes.io/name"]
        if component == "otel-collector-decider" and not self.has_deciders:
            return 200, json.dumps({"items": []})
        names = [f"{component}-1", *(name for name in self.more_pods if name.startswith(f"{component}-"))]
        for name in [name for name in names if self.more_pods.get(name) == "ended"]:
            del self.more_pods[name]
        found = [{"metadata": {"name": name}, "spec": {"containers": [{"name": component}]}} for name in names]
        return 200, json.dumps({"items": found})


def basic(password: str) -> str:
    """Returns the header of a request by the user `tempo`."""
    return f"Basic {base64.b64encode(f'tempo:{password}'.encode()).decode()}"


def trace_document(seen: Seen, demo: list[str], *, upstream_spans: bool) -> bytes:
    """Returns Tempo 2.7's answer to a look-up by ID, in protobuf."""
    parent = bytes.fromhex(seen.parent_id)
    batches: list[ResourceSpans] = []
    for number, service in enumerate(["nginx", *demo], 1):
        spans = [_span(seen, bytes([number] * 8), parent, Span.SpanKind.SPAN_KIND_SERVER)]
        if upstream_spans and number <= len(demo):
            spans.append(_span(seen, bytes([number + 100] * 8), spans[0].span_id, Span.SpanKind.SPAN_KIND_CLIENT))
        parent = spans[-1].span_id
        resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])
        if service != seen.lost_service:
            batches.append(ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)]))
    return TracesData(resource_spans=batches).SerializeToString()


def _span(seen: Seen, span_id: bytes, parent_id: bytes, kind: Span.SpanKind.ValueType) -> Span:
    attributes = {"http.method": "GET", "http.target": seen.path, "http.user_agent": seen.user_agent}
    return Span(
        trace_id=bytes.fromhex(seen.trace_id),
        span_id=span_id,
        parent_span_id=parent_id,
        name="/",
        kind=kind,
        start_time_unix_nano=1795414372798091451,
        end_time_unix_nano=1795414372799091451,
        attributes=[
            *(KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()),
            KeyValue(key="http.status_code", value=AnyValue(int_value=200)),
        ],
    )
