"""Tests the metrics that Tempo makes of spans: its document, the weights of sampled spans, and Prometheus."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from components.documents import Document
from components.documents.collector_weights import weights
from components.documents.nginx_weights import plan_weights
from components.documents.prometheus import flags, prometheus_document
from components.documents.tempo import LATENESS, tempo_document
from components.documents.tempo_metrics import receiver, writes
from settings import PlusSettings, PrometheusSettings, Settings, TempoSettings
from settings.limits import exports
from settings.metrics_rules import metrics_warnings
from settings.sampling import kept
from settings.types import seconds
from settings.version_warnings import version_warnings
from settings.versions import SETS
from tests import golden
from tests.unit.conftest import Run

WRITTEN = [receiver("http://prometheus.tracing.svc:9090")]


def tempo(receivers: list[Document] | None = None, **changed: Any) -> Document:
    return tempo_document(TempoSettings.model_validate(changed), receivers or [])


def processors(document: Document) -> list[str]:
    return document["overrides"]["defaults"].get("metrics_generator", {}).get("processors", [])


@pytest.mark.parametrize(
    ("changed", "receivers", "expected"),
    [
        ({}, [], ["local-blocks"]),
        ({}, WRITTEN, ["local-blocks", "span-metrics", "service-graphs"]),
        ({"traceqlMetrics": False}, WRITTEN, ["span-metrics", "service-graphs"]),
        ({"traceqlMetrics": False}, [], []),
        # Tempo 3 refuses `local-blocks`, and answers without it.
        ({"image": "grafana/tempo:3.0.3"}, WRITTEN, ["span-metrics", "service-graphs"]),
        ({"image": "grafana/tempo:3.0.3"}, [], []),
    ],
)
def test_tempo_runs_the_processors_that_somebody_needs_and_no_others(
    changed: dict[str, Any], receivers: list[Document], expected: list[str]
) -> None:
    document = tempo(receivers, **changed)
    assert processors(document) == expected
    assert ("metrics_generator" in document) == bool(expected)
    assert ("local_blocks" in str(document)) == ("local-blocks" in expected)


def test_tempo_3_gets_no_key_of_the_generator_s_client_which_it_has_not() -> None:
    assert "metrics_generator_client" not in tempo(WRITTEN, image="grafana/tempo:3.0.3")
    assert "metrics_generator_client" in tempo(WRITTEN)


def test_late_spans_count_as_long_as_a_search_finds_them() -> None:
    generator = tempo(WRITTEN)["metrics_generator"]
    assert generator["metrics_ingestion_time_range_slack"] == LATENESS
    assert generator["traces_storage"]["ingestion_time_range_slack"] == LATENESS


def test_an_end_of_tempo_does_not_wait_for_a_receiver_that_is_away() -> None:
    from components.tempo_pods import GRACE_SECONDS  # noqa: PLC0415 - the Kubernetes SDK

    # The generator leaves its ring for five seconds first (`stopping` in modules/generator/generator.go).
    deadline = tempo(WRITTEN)["metrics_generator"]["storage"]["remote_write_flush_deadline"]
    assert 5 + seconds(deadline) < GRACE_SECONDS


@pytest.mark.parametrize(("poll", "after", "kept_for"), [("5m", None, None), ("20m", "2460s", "4920s")])
def test_the_generator_answers_until_the_blocks_in_the_storage_do(
    poll: str, after: str | None, kept_for: str | None
) -> None:
    document = tempo(flush={"blocklistPoll": poll, "completeBlockTimeout": poll})
    assert document["query_frontend"]["metrics"].get("query_backend_after") == after
    assert document["metrics_generator"]["processor"]["local_blocks"].get("complete_block_timeout") == kept_for


def written(headers: dict[str, str]) -> tuple[Document, dict[str, str]]:
    settings = Settings.model_validate(
        {"metrics": {"remoteWrite": {"url": "https://mimir.example/api/v1/push"}}, "metricsHeaders": headers}
    )
    found = writes(settings.metrics, settings.metrics_headers)
    return dict(found.receivers[0]), dict(found.secrets)


def test_headers_are_files_and_the_document_has_no_secret() -> None:
    document, files = written({"Authorization": "Basic dGVhbTpjYW5hcnk6cHc=", "X-Scope-OrgID": "canary"})
    assert files == {"authorization": "canary:pw", "_user": "team", "x-scope-orgid": "canary"}
    assert document["basic_auth"] == {
        "username_file": "/etc/tempo-metrics/_user",
        "password_file": "/etc/tempo-metrics/authorization",
    }
    assert document["http_headers"] == {"x-scope-orgid": {"files": ["/etc/tempo-metrics/x-scope-orgid"]}}
    assert "canary" not in str(document)
    assert "team" not in str(document)


def test_a_token_keeps_its_scheme() -> None:
    document, files = written({"authorization": "Token canary"})
    assert document["authorization"] == {"type": "Token", "credentials_file": "/etc/tempo-metrics/authorization"}
    assert files == {"authorization": "canary"}


def sampled(nginx: dict[str, Any], collector: dict[str, Any] | None = None, ratios: list[float] | None = None) -> Any:
    settings = Settings.model_validate({"nginx": nginx, "collector": collector or {}})
    plus = PlusSettings.model_validate({"samplingRatios": ratios}) if ratios else None
    return plan_weights(settings.nginx, plus, kept(settings.collector))


@pytest.mark.parametrize("ratio", [0, 1])
def test_a_stack_that_traces_all_or_none_adds_nothing_to_spans(ratio: int) -> None:
    plan = sampled({"sampling": {"ratio": ratio}})
    assert (plan.maps, plan.server) == ((), {})
    assert weights(None, are_sampled=False) == {}


def test_a_sampled_span_says_its_share_and_its_weight() -> None:
    plan = sampled({"sampling": {"ratio": 0.1, "parentBased": False}})
    assert plan.server == {"sampling.ratio": "0.1", "sampling.weight": "10.0"}


def test_shares_of_nginx_and_of_the_collector_are_multiplied() -> None:
    plan = sampled({"sampling": {"ratio": 0.1, "parentBased": False}}, {"sampling": {"ratio": 0.5}})
    assert plan.server == {"sampling.ratio": "0.05", "sampling.weight": "20.0"}


def test_a_request_with_a_traceparent_stands_for_what_the_collector_alone_takes() -> None:
    plan = sampled({"sampling": {"ratio": 0.1}}, {"sampling": {"ratio": 0.5}})
    assert plan.server == {"sampling.ratio": "$sampling_ratio_0_1", "sampling.weight": "$sampling_weight_0_1"}
    found = {(item.variable, item.source): (item.cases, item.default) for item in plan.maps}
    assert found == {
        ("$sampling_ratio_0_1", "$otel_parent_id"): ((("", "0.05"),), "0.5"),
        ("$sampling_weight_0_1", "$otel_parent_id"): ((("", "20.0"),), "2.0"),
    }


def test_a_route_with_a_ratio_of_its_own_has_a_weight_of_its_own() -> None:
    route = {"path": "/", "return": {"status": 204}}
    routes = [route, {**route, "path": "/all", "sampling": {"ratio": 1}}]
    plan = sampled({"sampling": {"ratio": 0.25, "parentBased": False}, "routes": routes})
    assert plan.routes == (None, {"sampling.ratio": "1", "sampling.weight": "1.0"})


def test_a_ratio_that_is_switched_at_run_time_changes_the_weight() -> None:
    plan = sampled({"sampling": {"ratio": 1, "parentBased": False}}, ratios=[0.5, 0])
    assert plan.server["sampling.weight"] == "$sampling_weight_at_run_time"
    by_variable = {item.variable: item for item in plan.maps}
    # With 0 NGINX makes no span.
    assert by_variable["$sampling_weight_at_run_time"].cases == (("0.5", "2.0"), ("0", "1.0"))
    assert by_variable["$sampling_weight_at_run_time"].default == "1.0"


def test_the_collector_says_its_own_share_only_where_nginx_did_not() -> None:
    actions = weights(Decimal("0.5"), are_sampled=True)["attributes/sampling"]["actions"]
    assert [action["action"] for action in actions] == ["insert", "insert", "convert", "convert", "insert"]
    assert [action["value"] for action in actions[:2]] == [0.5, 2.0]


def test_spans_that_say_no_weight_stand_for_themselves_where_others_say_one() -> None:
    *_, last = weights(None, are_sampled=True)["attributes/sampling"]["actions"]
    assert last == {"key": "sampling.weight", "action": "insert", "value": 1.0}


@pytest.mark.parametrize(
    ("nginx", "edition", "are_sampled"),
    [
        ({}, "oss", False),
        ({"sampling": {"ratio": 0.5}}, "oss", True),
        ({"routes": [{"path": "/", "return": {"status": 204}, "sampling": {"ratio": 0.5}}]}, "oss", True),
        # What NGINX Plus could switch to counts for NGINX Plus alone.
        ({}, "plus", True),
    ],
)
def test_the_collector_knows_whether_spans_say_their_weight(
    nginx: dict[str, Any], edition: str, are_sampled: bool
) -> None:
    settings = Settings.model_validate({"edition": edition, "nginx": nginx, "plus": {"samplingRatios": [0.5]}})
    assert exports(settings).are_sampled == are_sampled


TAIL: dict[str, Any] = {"distribution": "k8s", "sampling": {"tail": {}}}


@pytest.mark.parametrize(
    ("configured", "warns"),
    [
        ({"collector": TAIL, "prometheus": {"enabled": True}}, True),
        ({"collector": TAIL, "metrics": {"remoteWrite": {"url": "https://mimir.example/api/v1/push"}}}, True),
        ({"collector": TAIL}, False),
        ({"prometheus": {"enabled": True}}, False),
    ],
)
def test_metrics_of_kept_traces_alone_are_warned_of(configured: dict[str, Any], warns: bool) -> None:
    found = list(metrics_warnings(Settings.model_validate(configured)))
    assert [warning.startswith("collector.sampling.tail keeps traces for what is in them") for warning in found] == (
        [True] if warns else []
    )


@pytest.mark.parametrize(
    ("url", "headers", "warns"),
    [
        ("http://p.example", {"authorization": "Bearer canary"}, True),
        ("http://198.51.100.7:9090", {"x-scope-orgid": "canary"}, True),
        ("https://p.example", {"authorization": "Bearer canary"}, False),
        ("http://p.example", {}, False),
        ("http://mimir.metrics.svc", {"authorization": "Bearer canary"}, False),
        ("http://10.0.0.7", {"authorization": "Bearer canary"}, False),
    ],
)
def test_a_login_in_plain_text_over_a_public_network_is_warned_of(
    url: str, headers: dict[str, str], warns: bool
) -> None:
    configured = {"metrics": {"remoteWrite": {"url": f"{url}/api/v1/push"}}, "metricsHeaders": headers}
    found = list(metrics_warnings(Settings.model_validate(configured)))
    assert [warning.endswith(f"metrics.remoteWrite.url {https(url)}/api/v1/push") for warning in found] == (
        [True] if warns else []
    )


def https(url: str) -> str:
    return url.replace("http://", "https://")


@pytest.mark.parametrize(
    ("configured", "is_made"),
    [
        ({}, False),
        ({"prometheus": {"enabled": True, "allowedNamespaces": ["monitoring"]}}, True),
        ({"networkPolicies": False}, True),
    ],
)
def test_no_other_prometheus_is_told_to_read_one_that_lets_nobody_in(
    configured: dict[str, Any], is_made: bool, run_program: Run
) -> None:
    base = {"prometheus": {"enabled": True}, "monitoring": {"podMonitors": True}}
    monitors = run_program(golden.as_pulumi_passes_it(base | configured)).inputs("PodMonitor")
    assert ("prometheus" in monitors) == is_made
    assert "tempo" in monitors


def version_of_prometheus(image: str, day: date) -> list[str]:
    settings = Settings.model_validate({"prometheus": {"enabled": True, "image": image}})
    return [warning for warning in version_warnings(settings, day) if "Prometheus" in warning]


def test_a_prometheus_that_gets_no_fixes_is_warned_of_with_the_way_on() -> None:
    (said,) = version_of_prometheus("prom/prometheus:v3.5.4", date(2026, 11, 26))
    assert said == (
        "prometheus.image: Prometheus 3.5.4 has had no security fixes since 2026-07-31. "
        f"Move on: pulumi config set --path prometheus.image {SETS['current'].prometheus_image}"
    )
    assert version_of_prometheus("prom/prometheus:v3.13.2", date(2027, 7, 31)) == []
    assert version_of_prometheus("prom/prometheus:v3.13.2", date(2027, 8, 1))


def test_prometheus_leaves_room_on_its_volume() -> None:
    settings = PrometheusSettings.model_validate({"persistence": {"size": "10Gi"}})
    assert f"--storage.tsdb.retention.size={8 * 2**30}B" in flags(settings)
    assert not [flag for flag in flags(PrometheusSettings()) if "size" in flag]


def test_prometheus_reads_the_pods_of_its_own_namespace_alone() -> None:
    (job,) = prometheus_document(PrometheusSettings(), "shop-tracing")["scrape_configs"]
    assert [search["namespaces"] for search in job["kubernetes_sd_configs"]] == [{"names": ["shop-tracing"]}]
