"""Tests where spans of upstreams are made, and the names of spans and attributes."""

import re
from typing import Any

import pytest

from components.documents.collector import collector_document
from components.documents.demo import demo_settings
from components.documents.nginx import nginx_conf
from settings import Settings
from settings.completed import completed
from settings.limits import exports
from settings.rules import violations_of
from settings.upstream_spans import upstream_span_warnings

ROUTES = [{"path": "/shop/", "upstream": "shop:8080"}]
CORE = "ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector:0.160.0"


def settings_of(nginx: dict[str, Any] | None = None, collector: dict[str, Any] | None = None) -> Settings:
    """Returns settings that break no rule."""
    made = Settings.model_validate({"nginx": {"routes": ROUTES} | (nginx or {}), "collector": collector or {}})
    assert not list(violations_of(made, lambda _: True, lambda _: False))
    return completed(made)


def document(made: Settings) -> dict[str, Any]:
    return collector_document(made.collector, backend="tempo:4317", namespace="tracing", exports=exports(made))


def conf(made: Settings) -> str:
    return nginx_conf(made.nginx, exporter="otel-collector:4317", namespace="tracing")


@pytest.mark.parametrize(
    ("nginx", "collector", "are_made"),
    [
        ({}, {}, True),
        ({}, {"distribution": "contrib"}, True),
        ({}, {"distribution": "core"}, False),
        ({}, {"image": CORE}, False),
        ({"upstreamSpans": False}, {}, False),
        ({"routes": [{"path": "/", "return": {"status": 204}}]}, {}, False),
        ({"routes": [{"path": "/", "extraConfig": "fastcgi_pass 127.0.0.1:9000;"}]}, {}, True),
    ],
)
def test_nginx_tells_of_upstreams_where_the_collector_makes_spans_of_them(
    nginx: dict[str, Any], collector: dict[str, Any], are_made: bool
) -> None:
    made = settings_of(nginx, collector)
    assert ('otel_span_attr "nginx.upstream"' in conf(made)) == are_made
    assert ("traces/client" in document(made)["service"]["pipelines"]) == are_made


def test_what_samples_or_refuses_spans_is_before_the_fork() -> None:
    made = settings_of(collector={"sampling": {"tail": {}}, "kubernetesAttributes": True})
    pipelines = document(made)["service"]["pipelines"]
    fork = pipelines["traces"]["exporters"]
    assert pipelines["traces"]["processors"] == ["memory_limiter", "k8s_attributes", "tail_sampling", "batch"]
    assert [pipelines[f"traces/{name}"]["receivers"] for name in ("server", "client")] == [fork, fork]
    assert pipelines["traces/server"]["exporters"] == pipelines["traces/client"]["exporters"] == ["otlp_grpc/tempo"]


def test_a_route_with_attributes_of_its_own_tells_of_upstreams_too() -> None:
    routes = [ROUTES[0] | {"spanAttributes": {"tenant": "$http_x_tenant"}}]
    assert conf(settings_of({"routes": routes})).count('otel_span_attr "nginx.upstream" "$upstream_told";') == 2


def test_the_name_of_an_upstream_goes_by_its_block() -> None:
    assert '"to_shop_3a8080" "shop|8080|shop";' in conf(settings_of())


def test_the_name_of_a_block_fits_into_a_bucket_of_a_map() -> None:
    names = ["a" * 38, "a" * 39, f"{'a' * 39}b"]
    routes = [{"path": f"/{number}", "upstream": f"{name}:80"} for number, name in enumerate(names)]
    keys = re.findall(r'"(to_[^"]+)" "a+b?\|80', conf(settings_of({"routes": routes})))
    assert keys[0] == f"to_{names[0]}_3a80"
    assert len(set(keys)) == 3
    assert {len(key) for key in keys} == {46}


def warnings_of(**changed: Any) -> list[str]:
    given: dict[str, Any] = {"nginx": {"routes": ROUTES}} | changed
    return list(upstream_span_warnings(Settings.model_validate(given)))


def test_a_preview_says_that_the_distribution_makes_no_spans_of_upstreams() -> None:
    (warning,) = warnings_of(collector={"distribution": "core"})
    assert "To change it: pulumi config rm --path collector.distribution." in warning
    assert "To leave it so: pulumi config set --path nginx.upstreamSpans false" in warning
    (warning,) = warnings_of(collector={"image": CORE})
    able = CORE.replace("collector:", "collector-k8s:")
    assert f"To change it: pulumi config set --path collector.image {able}." in warning
    assert not warnings_of(collector={"distribution": "core"}, nginx={"routes": ROUTES, "upstreamSpans": False})
    assert not warnings_of(collector={"distribution": "core"}, nginx={})


def test_a_preview_says_that_an_image_whose_name_shows_no_distribution_counts_as_k8s() -> None:
    own = "registry.example/otel:0.160.0"
    (warning,) = warnings_of(collector={"image": own})
    assert "If it has none: pulumi config set --path collector.distribution core." in warning
    assert not warnings_of(collector={"image": own, "distribution": "k8s"})
    assert not warnings_of(collector={"image": own}, nginx={})
    assert not warnings_of()


def names_of(**collector: Any) -> list[dict[str, Any]]:
    return document(settings_of(collector=collector))["processors"]["attributes/names"]["actions"]


@pytest.mark.parametrize("distribution", ["core", "k8s"])
def test_both_keeps_the_old_names_and_stable_does_not(distribution: str) -> None:
    both, stable = (names_of(distribution=distribution, semanticConventions=kind) for kind in ("both", "stable"))
    copied = {action["key"]: action["from_attribute"] for action in both if "from_attribute" in action}
    assert copied["http.response.status_code"] == "http.status_code"
    assert {action["key"] for action in both if action["action"] == "delete"} == {"url_path", "url_query"}
    assert stable[: len(both)] == both
    assert {action["key"] for action in stable[len(both) :]} == {"http.target", *copied.values()} - {
        "url_path",
        "url_query",
    }
    old = settings_of(collector={"distribution": distribution, "semanticConventions": "old"})
    assert "attributes/names" not in document(old)["processors"]


def test_stable_names_of_spans_are_those_of_the_demo_too() -> None:
    given = {"demo": {"enabled": True}, "collector": {"semanticConventions": "stable"}}
    made = completed(Settings.model_validate(given))
    documents = [made.nginx, *demo_settings(made).values()]
    names = [nginx.all_routes[-1].span_name for nginx in documents]
    assert names == 3 * ["$method_in_span_name /demo/"]


def test_stable_names_of_spans_are_method_and_route_unless_a_person_named_them() -> None:
    routes = [*ROUTES, {"path": "/own/", "return": {"status": 204}, "spanName": "own"}]
    stable, both = (conf(settings_of({"routes": routes}, {"semanticConventions": kind})) for kind in ("stable", "both"))
    assert 'otel_span_name "$method_in_span_name /shop/";' in stable
    assert stable.count("otel_span_name") == 2
    assert both.count("otel_span_name") == 1
    named = {"routes": routes, "extraConfig": {"server": "otel_span_name mine;"}}
    assert conf(settings_of(named, {"semanticConventions": "stable"})).count("otel_span_name") == 2
