"""Tests the configuration files of the Collector and of Tempo."""

import re
from typing import Any

import pytest

from components.documents import Document
from components.documents.collector import (
    certificate_files,
    collector_document,
    secret_files,
)
from components.documents.collector_proxy import not_proxied, proxy_url
from components.documents.nginx import exporter_conf
from components.documents.tempo import tempo_document
from settings import CollectorSettings, NginxSettings, TempoSettings
from settings.exporters import ExporterProxy
from settings.limits import Exports
from tests import golden


def image(minor: int) -> str:
    """Returns the image of a version of the Collector."""
    return f"registry.example/opentelemetry-collector:0.{minor}.0"


def collector(backend: str | None = "tempo:4317", **changed: Any) -> Document:
    settings = CollectorSettings.model_validate({"semanticConventions": "old"} | changed)
    return collector_document(settings, backend=backend, namespace="tracing", exports=Exports(512, 25_600))


def tempo(**changed: Any) -> Document:
    return tempo_document(TempoSettings.model_validate(changed))


def leaves(document: Any, path: str = "") -> dict[str, Any]:
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, value in document.items():  # pyright: ignore[reportUnknownVariableType]
            found |= leaves(value, f"{path}.{key}")
        return found
    return {path: document}


@pytest.mark.parametrize("document", [tempo(), collector(sampling={"tail": {}})])
def test_every_duration_has_a_unit(document: Document) -> None:
    names = re.compile(r"(timeout|interval|period|duration|elapsed_time|retention|exhausted)$")
    durations = {path: value for path, value in leaves(document).items() if names.search(path)}
    assert durations
    for path, value in durations.items():
        assert re.fullmatch(r"\d+(ms|s|m|h)", str(value)), path


def test_the_collector_limits_its_memory_before_anything_holds_spans() -> None:
    pipeline = collector()["service"]["pipelines"]["traces"]
    assert pipeline["processors"][0] == "memory_limiter"


def test_the_collector_uses_every_component_that_it_declares_and_declares_all_that_it_uses() -> None:
    document = collector()
    pipeline = document["service"]["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(document[kind]) == set(pipeline[kind])
    assert set(document["extensions"]) == set(document["service"]["extensions"])


def test_the_collector_never_gives_up_a_batch_that_the_backend_may_take_later() -> None:
    (exporter,) = collector()["exporters"].values()
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["endpoint"] == "tempo:4317"


IN_ENTRIES: Document = {"queue_size": 2**30 // (512 * 1706)}
IN_BYTES: Document = {"queue_size": 750 * 2**20, "sizer": "bytes"}


@pytest.mark.parametrize(
    ("minor", "measured", "gathered"),
    [
        (126, IN_ENTRIES, {}),
        (129, IN_ENTRIES, {}),
        (130, IN_BYTES, {}),
        (137, IN_BYTES, {}),
        (138, IN_BYTES, {"batch": {"flush_timeout": "500ms", "min_size": 2048 * 750}}),
        (160, IN_BYTES, {"batch": {"flush_timeout": "500ms", "min_size": 2048 * 750}}),
    ],
)
def test_a_persistent_queue_holds_an_export_before_anything_gathers_it(
    minor: int, measured: Document, gathered: Document
) -> None:
    document = collector(queue={"storage": "persistent", "size": "1Gi"}, distribution="k8s", image=image(minor))
    assert document["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter"]
    queue = document["exporters"]["otlp/tempo"]["sending_queue"]
    assert queue == {"storage": "file_storage"} | measured | gathered
    assert document["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"] == 16
    assert document["extensions"]["file_storage"] == {"directory": "/var/lib/otelcol"}
    assert "file_storage" in document["service"]["extensions"]


def test_single_traces_of_tail_sampling_are_gathered_before_a_persistent_queue() -> None:
    document = collector(
        queue={"storage": "persistent", "size": "1Gi"},
        distribution="k8s",
        sampling={"tail": {"errors": True}},
        batch={"size": 1024},
        image=image(126),
    )
    assert document["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter", "tail_sampling", "batch"]
    assert document["exporters"]["otlp/tempo"]["sending_queue"]["queue_size"] == 2**30 // (1024 * 1706)


@pytest.mark.parametrize("backend", ["tempo:4317", None])
def test_the_volume_is_shared_by_the_queues_of_all_exporters(backend: str | None) -> None:
    exporters = {"vendor": {"endpoint": "otlp.vendor.example:4317"}}
    settings = {"queue": {"storage": "persistent", "size": "1Gi"}, "distribution": "k8s", "exporters": exporters}
    for minor, whole in ((126, IN_ENTRIES["queue_size"]), (160, IN_BYTES["queue_size"])):
        document = collector(backend=backend, **settings, image=image(minor))
        sizes = [exporter["sending_queue"]["queue_size"] for exporter in document["exporters"].values()]
        assert sizes == [whole // len(sizes)] * (2 if backend else 1)


def test_the_largest_message_fits_each_of_many_queues_on_a_small_volume() -> None:
    exporters = {f"vendor-{number}": {"endpoint": "a:1", "maxMessageSize": "64Mi"} for number in range(30)}
    queue = {"storage": "persistent", "size": "256Mi"}
    document = collector(distribution="k8s", queue=queue, exporters=exporters, image=image(160))
    message = document["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"] * 2**20
    assert all(exporter["sending_queue"]["queue_size"] >= message for exporter in document["exporters"].values())


def test_connections_age_where_another_replica_could_take_them() -> None:
    grpc = collector()["receivers"]["otlp"]["protocols"]["grpc"]
    assert grpc["keepalive"]["server_parameters"]["max_connection_age"] == "60s"
    assert "keepalive" not in collector(replicas=1)["receivers"]["otlp"]["protocols"]["grpc"]


def test_tempo_has_no_silent_limit_of_live_traces_and_tells_the_collector_to_retry() -> None:
    document = tempo()
    assert document["overrides"]["defaults"]["ingestion"]["max_traces_per_user"] == 0
    assert document["distributor"]["retry_after_on_resource_exhausted"] == "1s"
    assert document["usage_report"]["reporting_enabled"] is False


TEMPO_3_REFUSES = {"ingester", "ingester_client", "compactor", "metrics_generator_client"}


@pytest.mark.parametrize("image", ["grafana/tempo:2.7.2", "grafana/tempo:2.8.4", "grafana/tempo:2.10.8"])
def test_the_documents_of_tempo_2_differ_in_the_name_of_a_limit_alone(image: str) -> None:
    release = TempoSettings.model_validate({"image": image}).release
    document, current = tempo(image=image), tempo()
    assert document["distributor"].pop(release.attribute_limit) == current["distributor"].pop("max_attribute_bytes")
    assert document == current
    assert "live_store" not in document


def test_tempo_3_gets_a_document_of_its_own() -> None:
    document = tempo(image="grafana/tempo:3.0.3", retention="72h")
    assert not TEMPO_3_REFUSES & document.keys()
    assert document["live_store"] == {
        "max_trace_idle": "500ms",
        "max_trace_live": "30s",
        "max_live_traces_bytes": 0,
        "flush_check_period": "500ms",
        "max_block_duration": "30m",
        "complete_block_timeout": "2400s",
        "fail_on_high_lag": False,
        "shutdown_marker_dir": "/var/tempo/live-store/shutdown-marker",
        "wal": {"path": "/var/tempo/live-store/traces", "ingestion_time_range_slack": "24h"},
    }
    assert document["backend_scheduler"] == {
        "local_work_path": "/var/tempo/scheduler",
        "provider": {"compaction": {"compaction": {"block_retention": "72h"}}},
    }
    assert document["backend_worker"] == {"compaction": {"block_retention": "72h"}}
    assert document["query_frontend"] == {
        "query_end_cutoff": "0s",
        "search": {"query_backend_after": "2400s", "max_duration": "0s"},
        "metrics": {"query_backend_after": "2400s", "max_duration": "0s"},
    }
    assert document["storage"]["trace"]["wal"] == {"path": "/var/tempo/wal"}
    # It answers for metrics by TraceQL itself.
    assert document["overrides"] == tempo(traceqlMetrics=False)["overrides"]


@pytest.mark.parametrize(
    ("flush", "border", "kept"),
    [
        ({}, 2400, 2400),
        ({"maxBlockDuration": "30s", "blocklistPoll": "1m"}, 900, 900),
        ({"maxBlockDuration": "1h"}, 4200, 4200),
        ({"maxBlockDuration": "1m", "completeBlockTimeout": "2h"}, 900, 7200),
    ],
)
def test_a_search_in_tempo_3_asks_for_no_time_that_neither_side_has(
    flush: dict[str, str], border: int, kept: int
) -> None:
    # Between the last poll of the blocks and what the live store still keeps, no trace would be found.
    document = tempo(image="grafana/tempo:3.0.3", flush=flush)
    assert document["query_frontend"]["search"]["query_backend_after"] == f"{border}s"
    assert document["live_store"]["complete_block_timeout"] == f"{kept}s"


def test_tempo_3_keeps_no_trace_longer_idle_than_live() -> None:
    # Tempo 3 refuses `max_trace_idle` above `max_trace_live`.
    live = tempo(image="grafana/tempo:3.0.3", flush={"traceIdlePeriod": "1m"})["live_store"]
    assert (live["max_trace_idle"], live["max_trace_live"]) == ("1m", "1m")


def test_tempo_s_receiver_is_reachable_from_other_pods() -> None:
    assert tempo()["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"


def test_every_exporter_of_the_collector_has_a_queue_of_its_own_and_keeps_what_is_not_taken() -> None:
    document = collector(
        exporters={
            "a": {"endpoint": "https://a.example:4317", "headers": {"api-key": "secret"}},
            "b": {"endpoint": "http://b.example:4318", "protocol": "http", "tls": {"enabled": False}},
        }
    )
    exporters = document["exporters"]
    assert [exporter["endpoint"] for exporter in exporters.values()] == [
        "tempo:4317",
        "a.example:4317",
        "http://b.example:4318",
    ]
    for exporter in exporters.values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
        # In bytes: what the memory limiter leaves of 500 MiB.
        assert exporter["sending_queue"]["sizer"] == "bytes"
        assert exporter["sending_queue"]["queue_size"] == 300 * 2**20
    _, to_a, _ = exporters.values()
    assert to_a["headers"] == {"api-key": "${file:/etc/otelcol-secrets/a.api-key}"}
    assert "tls" not in to_a, "the default is TLS with the image's authorities"


@pytest.mark.parametrize(
    ("minor", "storage", "names"),
    [
        (143, "memory", ["otlp/tempo", "otlp/a", "otlphttp/b"]),
        (144, "memory", ["otlp_grpc/tempo", "otlp_grpc/a", "otlp_http/b"]),
        # Its file on the volume is called after the exporter.
        (160, "persistent", ["otlp/tempo", "otlp/a", "otlphttp/b"]),
    ],
)
def test_exporters_have_the_names_of_the_version_unless_a_volume_has_their_old_ones(
    minor: int, storage: str, names: list[str]
) -> None:
    exporters = {"a": {"endpoint": "a:1"}, "b": {"endpoint": "http://b.example:4318", "protocol": "http"}}
    document = collector(distribution="k8s", queue={"storage": storage}, exporters=exporters, image=image(minor))
    assert list(document["exporters"]) == names
    assert document["service"]["pipelines"]["traces"]["exporters"] == names


def test_without_the_processor_batch_the_queues_gather_the_same_traces_of_tail_sampling() -> None:
    of: dict[str, Any] = {"sampling": {"tail": {}}, "distribution": "k8s", "exporters": {"a": {"endpoint": "a:1"}}}
    old, new = (collector(**of, batch={"size": 50}, image=image(minor)) for minor in (176, 177))
    assert list(new["processors"]) == ["memory_limiter", "tail_sampling"]
    batch = old["processors"]["batch"]
    for exporter in new["exporters"].values():
        assert exporter["sending_queue"]["batch"] == {
            "flush_timeout": batch["timeout"],
            "sizer": "items",
            "min_size": batch["send_batch_size"],
            "max_size": batch["send_batch_max_size"],
        }
    # The processor has gathered them: the exporters, which would by default, do not join its batches.
    assert all(exporter["sending_queue"]["batch"] == {"enabled": False} for exporter in old["exporters"].values())


@pytest.mark.parametrize("version", ["0.177.0", "0.180.0", "1.0.0"])
def test_a_collector_without_the_processor_batch_gets_none(version: str) -> None:
    document = collector(image=f"registry.example/opentelemetry-collector:{version}")
    assert document["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter"]
    assert document["exporters"]["otlp_grpc/tempo"]["sending_queue"]["batch"]["min_size"] == 2048 * 750


def test_exporters_to_other_backends_never_join_messages() -> None:
    exporters = {"vendor": {"endpoint": "a:1"}}
    of_170, of_171 = (
        collector(exporters=exporters, image=image(minor))["exporters"]["otlp_grpc/vendor"]["sending_queue"]
        for minor in (170, 171)
    )
    assert "batch" not in of_170
    assert of_171["batch"] == {"enabled": False}, "from 0.171 on exporters gather by default"


@pytest.mark.parametrize(("minor", "name"), [(145, "k8sattributes"), (146, "k8s_attributes")])
def test_the_collector_looks_up_the_pod_before_spans_of_connections_are_mixed(minor: int, name: str) -> None:
    tail = {"tail": {"ratio": "0.1"}}
    document = collector(distribution="k8s", kubernetesAttributes=True, sampling=tail, image=image(minor))
    assert list(document["processors"]) == ["memory_limiter", name, "tail_sampling", "batch"]


def test_a_dollar_in_a_secret_header_means_nothing_to_the_collector() -> None:
    settings = CollectorSettings.model_validate(
        {"exporters": {"a": {"endpoint": "a:1", "headers": {"key": "$HOME ${env:HOME}"}}}}
    )
    assert secret_files(settings.exporters) == {"a.key": "$$HOME $${env:HOME}"}


def test_headers_are_sent_in_lower_case_and_configured_in_any() -> None:
    exporters = {"a": {"endpoint": "a:1", "headers": {"X-Scope-OrgID": "team-a"}}}
    (exporter,) = collector(backend=None, exporters=exporters)["exporters"].values()
    assert exporter["headers"] == {"x-scope-orgid": "${file:/etc/otelcol-secrets/a.x-scope-orgid}"}
    settings = CollectorSettings.model_validate({"exporters": exporters})
    assert secret_files(settings.exporters) == {"a.x-scope-orgid": "team-a"}
    nginx = NginxSettings.model_validate({"exporter": {"headers": {"X-Scope-OrgID": "team-a"}}})
    assert 'header "x-scope-orgid" "team-a";' in exporter_conf(nginx.exporter, endpoint="a:1")


def test_no_header_has_the_file_of_a_client_key() -> None:
    plus = golden.configuration("plus")
    tls = {"clientCertificate": plus["nginxRepoCrt"], "clientKey": plus["nginxRepoKey"]}
    headers = {"client-key.pem": "x", "key": "x", "_client-key.pem": "x"}
    with pytest.raises(ValueError, match="header's name"):
        CollectorSettings.model_validate({"exporters": {"a": {"endpoint": "a:1", "headers": headers}}})
    del headers["_client-key.pem"]
    exporters = {name: {"endpoint": "a:1", "headers": headers, "tls": tls} for name in ("a", "a-client")}
    settings = CollectorSettings.model_validate({"exporters": exporters})
    assert len(secret_files(settings.exporters)) == 6
    assert len(certificate_files(settings.exporters)) == 2


def test_what_is_in_the_cluster_goes_past_the_proxy() -> None:
    exporters = {"a": {"endpoint": "tempo.web.svc.:4317"}, "b": {"endpoint": "b.vendor.example:1"}}
    proxy = {"url": "http://proxy.example:3128", "exclude": ["10.0.0.0/8"]}
    settings = CollectorSettings.model_validate({"exporters": exporters, "proxy": proxy})
    assert not_proxied(settings).split(",") == [
        "$(KUBERNETES_SERVICE_HOST)", ".svc", ".cluster.local", "tempo.web.svc.", "10.0.0.0/8",
    ]  # fmt: skip


def test_a_login_of_the_proxy_is_part_of_its_url_whatever_is_in_it() -> None:
    proxy = ExporterProxy.model_validate({"url": "http://proxy.example:1", "username": "a@b", "password": "c:/d%$"})
    assert proxy_url(proxy) == "http://a%40b:c%3A%2Fd%25%24@proxy.example:1"
