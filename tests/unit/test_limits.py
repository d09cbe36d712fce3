"""The limits of size: the next hop takes what one sends."""

from typing import Any

import pytest

from components.documents.collector import collector_document
from components.documents.collector_names import OTHER_METHOD, STABLE_NAMES
from components.documents.tempo import tempo_document
from settings.completed import completed
from settings.limit_table import hops
from settings.limits import (
    batch_size,
    exports,
    largest_trace,
    nginx_memory,
    queue_entries,
    receiver,
    stored_bytes,
    tempo_memory,
    trace_copies,
)
from settings.rules import violations_of
from settings.sizes import DEFAULT_BATCH, DEFAULT_ENTRIES, DEFAULT_STORED_SPANS, KIB, MIB, SENT_BYTES
from settings.sizes import STABLE_NAMES as MOST
from settings.spans import largest_span
from settings.stack import Settings
from settings.types import amount
from tests.readers.spans import Sent

VENDOR = {"endpoint": "otlp.vendor.example:4317"}
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"nginx": {"spanAttributes": {"tenant": "$http_x_tenant", "again": "$request_uri $http_user_agent"}}},
    {"nginx": {"extraConfig": {"http": "large_client_header_buffers 8 64k;"}}},
    {"nginx": {"resources": {"memoryLimit": "256Mi"}}},
    {"nginx": {"exporter": {"batchSize": 652, "batchCount": 16}}},
    {"nginx": {"exporter": {"batchCount": 1024, "interval": "10ms"}}},
    {"collector": {"exporters": {"vendor": VENDOR}}},
    {"collector": {"exporters": {"vendor": VENDOR | {"maxMessageSize": "1Mi"}}}},
    {"collector": {"exporters": {"vendor": VENDOR | {"maxMessageSize": "1Gi"}}, "batch": {"size": 5000}}},
    *(
        {
            "collector": {
                "image": image,
                "distribution": "k8s",
                "queue": {"storage": storage},
                "exporters": {"v": VENDOR},
            }
        }
        for image in ("otelcol:0.126.0", "otelcol:0.160.0")
        for storage in ("memory", "persistent")
    ),
    {"collector": {"distribution": "k8s", "sampling": {"tail": {}}, "exporters": {"vendor": VENDOR}}},
    {"collector": {"receivers": {"http": True, "namespaces": ["shop"]}}},
    {"tempo": {"ingestion": {"bytesPerSecond": 1_000_000, "bytesPerTrace": 76_000_000}, "retention": "87600h"}},
    {"tempo": {"ingestion": {"bytesPerTrace": 300_000_000}, "resources": {"memoryLimit": "8Gi"}}},
]


def test_the_stable_names_take_no_more_than_is_planned_beside_the_texts_of_the_request() -> None:
    text, address, number = "x" * 20_000, "2001:0db8:85a3:0000:0000:8a2e:0370:7334", 2**62
    of_request = ("user_agent.original", "server.address", "http.request.method_original", "url.path", "url.query")
    # A request with an unknown method that failed has the most.
    made = dict.fromkeys(of_request, text) | {
        "http.request.method": OTHER_METHOD,
        "url.scheme": "https",
        "network.protocol.version": "1.1",
        "http.request.body.size": number,
        "http.response.body.size": number,
        "http.response.status_code": 500,
        "server.port": 65535,
        "network.peer.address": address,
        "network.peer.port": 65535,
        "client.address": address,
        "error.type": "500",
    }
    assert made.keys() >= set(STABLE_NAMES.values())
    assert Sent("nginx", "", "", 0, 0, attributes=made, id="").otlp().ByteSize() <= len(of_request) * 20_000 + MOST


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_what_a_hop_sends_at_most_the_next_one_takes(configuration: dict[str, Any]) -> None:
    settings = completed(Settings.model_validate(configuration))
    assert not list(violations_of(settings, lambda _: True, lambda _: False))
    sent = exports(settings)
    collector = collector_document(settings.collector, backend="tempo:4317", namespace="tracing", exports=sent)
    tempo = tempo_document(settings.tempo)

    protocols = collector["receivers"]["otlp"]["protocols"]
    message = protocols["grpc"]["max_recv_msg_size_mib"] * MIB
    assert sent.spans * largest_span(settings.nginx) < message
    # With two names for a value they are larger behind the Collector.
    passed = max(message, sent.spans * sent.largest_span)
    assert protocols.get("http", {}).get("max_request_body_size", message) == message

    queues = {name.split("/")[1]: exporter["sending_queue"] for name, exporter in collector["exporters"].items()}
    to_tempo = passed + queues["tempo"].get("batch", {}).get("min_size", 0)
    gathered = collector["processors"].get("batch", {}).get("send_batch_size", 0) * sent.largest_span
    pushed = max(to_tempo, gathered)
    assert pushed <= tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"] * MIB
    for name, exporter in settings.collector.exporters.items():
        assert max(passed, gathered) <= amount(exporter.max_message_size)
        assert "batch" not in queues[name], "joined, two may not fit"
    assert all(queue.get("sizer") != "bytes" or queue["queue_size"] >= message for queue in queues.values())

    limits = tempo["overrides"]["defaults"]
    assert pushed <= limits["ingestion"]["burst_size_bytes"]
    for inside in (
        tempo["server"]["grpc_server_max_recv_msg_size"],
        tempo["server"]["grpc_server_max_send_msg_size"],
        *tempo["ingester_client"]["grpc_client_config"].values(),
        *tempo["querier"]["frontend_worker"]["grpc_client_config"].values(),
    ):
        # Our choice: room for twice a trace of the largest size.
        assert inside >= max(pushed, 2 * limits["global"]["max_bytes_per_trace"])
    assert tempo["distributor"]["max_attribute_bytes"] >= message
    assert tempo["query_frontend"]["search"]["max_duration"] == "0s"


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_a_receiver_that_hangs_costs_no_pod_its_memory(configuration: dict[str, Any]) -> None:
    settings = Settings.model_validate(configuration)
    assert nginx_memory(settings.nginx, batch_size(settings)) <= amount(settings.nginx.resources.memory_limit)


def test_the_numbers_in_the_descriptions_are_those_of_the_defaults() -> None:
    settings = Settings()
    assert batch_size(settings) == DEFAULT_BATCH
    assert queue_entries(settings.collector, exports(settings), queues=1) == DEFAULT_ENTRIES
    assert stored_bytes(settings.collector, queues=1) == pytest.approx(DEFAULT_STORED_SPANS * SENT_BYTES, rel=0.001)


def test_the_defaults_hold_a_receiver_that_hangs_for_half_a_minute() -> None:
    settings = Settings()
    exporter = settings.nginx.exporter
    assert exporter.interval == "500ms"
    assert exporter.batch_count * 0.5 >= 30, "a slot is taken by each interval, full or not"
    # Also where all of 500 requests a second come by one worker.
    assert exporter.batch_count * batch_size(settings) >= 30 * 500


# Measured with the official module and a receiver that hangs: `SPAN_OBJECTS` of `settings/sizes.py`.
@pytest.mark.parametrize(
    ("batch", "slots", "head", "mebibytes"),
    [(64, 64, 0, 71), (128, 64, 0, 101), (512, 64, 0, 278), (64, 64, 15_000, 305), (128, 64, 15_000, 570)],
)
def test_the_memory_of_a_full_buffer_is_as_it_was_measured(batch: int, slots: int, head: int, mebibytes: int) -> None:
    settings = Settings.model_validate({"nginx": {"exporter": {"batchCount": slots}}})
    per_span = (nginx_memory(settings.nginx, batch) - 40 * MIB) / (2 * batch * slots)
    ordinary = per_span - 2 * (largest_span(settings.nginx) - 750 - head)
    assert (2 * batch * slots * ordinary / MIB + 40) == pytest.approx(mebibytes, rel=0.05)


@pytest.mark.parametrize(
    ("nginx", "kibibytes"),
    [
        ({}, 25),
        ({"serverName": ["shop.example"]}, 17),
        # All headers together are no more than the head.
        ({"spanAttributes": {name: f"$http_{name}" for name in "abcdef"}}, 34),
        # The same text once more is.
        ({"spanAttributes": {"a": "$request_uri"}}, 33),
        ({"routes": [{"path": "/", "root": "/srv", "spanName": "$request_method $uri"}]}, 33),
        ({"spanAttributes": {"a": "$request_id $status $upstream_addr"}}, 25),
        ({"spanAttributes": {"a": "$upstream_http_x"}}, 33),
        ({"spanAttributes": {"a": "$request_body"}}, 41),
        ({"spanAttributes": {"a": "$made"}, "extraConfig": {"http": "map $uri $made { default 1; }"}}, 33),
        (
            {
                "spanAttributes": {"a": "$twice"},
                "extraConfig": {"http": "map $uri $once { default $args$uri; }", "server": "set $twice $once$once;"},
            },
            57,
        ),
        ({"extraConfig": {"http": "map $uri { default 1; }"}}, 25),
        ({"spanAttributes": {"a": "$loop"}, "extraConfig": {"server": "set $loop $loop$loop$loop;"}}, 49),
        ({"spanAttributes": {"a": "$request_body"}, "extraConfig": {"http": "client_body_buffer_size '1m';"}}, 1049),
        ({"spanAttributes": {"a": "$upstream_http_x"}, "extraConfig": {"http": "proxy_buffer_size 64k;"}}, 89),
        ({"extraConfig": {"server": "otel_span_attr a $args;"}}, 33),
        ({"extraConfig": {"http": "# large_client_header_buffers 4 8m;\n"}}, 25),
        ({"extraConfig": {"http": "large_client_header_buffers 2\n\t'16K'; client_header_buffer_size 4k;"}}, 37),
    ],
)
def test_the_largest_span_is_what_clients_can_put_into_it(nginx: dict[str, Any], kibibytes: int) -> None:
    size = largest_span(Settings.model_validate({"nginx": nginx}).nginx)
    assert kibibytes * KIB <= size <= (kibibytes + 1) * KIB


def test_the_collector_takes_no_message_that_a_backend_refuses() -> None:
    exporters = {name: VENDOR | {"maxMessageSize": size} for name, size in (("a", "20Mi"), ("b", "2500k"))}
    assert receiver(Settings.model_validate({"collector": {"exporters": exporters}}).collector) == 2 * MIB


@pytest.mark.parametrize(
    ("configured", "least"),
    [
        ({}, 75_000_000),
        ({"tempo": {"traceqlMetrics": False}}, 100_000_000),
        ({"tempo": {"traceqlMetrics": False}, "prometheus": {"enabled": True}}, 75_000_000),
    ],
)
def test_a_trace_that_is_allowed_can_be_read_within_tempo_s_memory(configured: dict[str, Any], least: int) -> None:
    copies = trace_copies(Settings.model_validate(configured))
    most = largest_trace("2000Mi", copies)
    assert least <= most < least + 15_000_000
    assert tempo_memory(most, copies) <= amount("2000Mi") < tempo_memory(most + 1_000_000, copies)


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("grafana/tempo:2.7.2", "max_span_attr_byte"),
        ("grafana/tempo:2.8.0", "max_attribute_bytes"),
        ("registry.example/grafana/tempo:2.10.8", "max_attribute_bytes"),
        ("grafana/tempo:3.0.3", "max_attribute_bytes"),
        ("localhost:5000/lab/tempo:v1.5.1-0.20250529124718-87c2dc380cec", "max_attribute_bytes"),
        (f"grafana/tempo@sha256:{'a' * 64}", "max_attribute_bytes"),
    ],
)
def test_no_attribute_is_cut_whatever_tempo_calls_its_limit(image: str, key: str) -> None:
    assert tempo_document(Settings.model_validate({"tempo": {"image": image}}).tempo)["distributor"][key] == 16 * MIB


def test_the_table_of_limits_shows_what_is_configured() -> None:
    settings = Settings.model_validate({"nginx": {"resources": {"memoryLimit": "1Gi"}, "exporter": {"batchCount": 32}}})
    (buffer,) = (hop for hop in hops(settings) if hop.way.startswith("NGINX's buffer"))
    assert "32 batches" in buffer.sends
    assert buffer.takes.startswith("1Gi")
