"""Tests the demo's services, and the way to them."""

from typing import Any

import pytest

from components.documents.demo import demo_settings, expected_trace
from components.documents.nginx import nginx_conf
from settings import Settings
from settings.demo import DEMO_SERVICES, SHOP, STOCK
from settings.demo_rules import demo_warnings
from settings.limits import nginx_memory
from settings.types import amount
from tests import golden
from tests.unit.conftest import Run

ON: dict[str, Any] = {"demo": {"enabled": True}}
NAME = "app.kubernetes.io/name"


def test_without_the_key_there_is_no_demo_and_no_path_to_it(run_program: Run) -> None:
    program = run_program()
    assert set(program.workloads()) == {"nginx", "otel-collector", "tempo"}
    assert "demo" not in program.outputs
    assert "/demo/" not in nginx_conf(Settings().nginx, exporter="collector:4317", namespace="tracing")


def test_the_output_tells_what_a_trace_of_the_demo_has(run_program: Run) -> None:
    program = run_program(golden.as_pulumi_passes_it(ON | {"nginx": {"serviceName": "edge"}}))
    assert program.outputs["demo"] == {"path": "/demo/", "services": ["edge", SHOP, STOCK], "spans": 5}


def test_a_span_more_is_expected_of_each_service_that_sends_requests_on_if_it_has_one() -> None:
    settings = Settings.model_validate(ON)
    off = settings.nginx.model_copy(update={"upstream_spans": False})
    on = settings.nginx.model_copy(update={"upstream_spans": True})
    counts = [expected_trace(settings.model_copy(update={"nginx": nginx}))["spans"] for nginx in (off, on)]
    assert counts == [3, 5]


def peers(rules: list[dict[str, Any]], way: str) -> list[tuple[str, list[int]]]:
    """Returns the components that rules name, with the ports; an empty name stands for anybody."""
    return [
        (
            rule[way][0]["podSelector"]["matchLabels"][NAME] if way in rule else "",
            sorted({int(port["port"]) for port in rule["ports"]}),
        )
        for rule in rules
    ]


def test_each_service_is_reached_by_the_one_before_it_alone_and_reaches_the_next_and_the_collector(
    run_program: Run,
) -> None:
    policies = {
        name: found["spec"]
        for name, found in run_program(golden.as_pulumi_passes_it(ON)).inputs("NetworkPolicy").items()
    }
    assert peers(policies[SHOP]["ingress"], "from") == [("nginx", [8080])]
    assert peers(policies[STOCK]["ingress"], "from") == [(SHOP, [8080])]
    dns, spans = ("", [53, 5353]), ("otel-collector", [4317])
    assert peers(policies[SHOP]["egress"], "to") == [dns, spans, (STOCK, [8080])]
    assert peers(policies[STOCK]["egress"], "to") == [dns, spans]
    # Not to the whole namespace, as for a Service that a person names.
    assert peers(policies["nginx"]["egress"], "to") == [dns, spans, (SHOP, [8080])]
    assert [peer for peer, _ in peers(policies["otel-collector"]["ingress"], "from")] == ["nginx", *DEMO_SERVICES, ""]


def test_the_services_are_inside_the_cluster_alone(run_program: Run) -> None:
    services = run_program(golden.as_pulumi_passes_it(ON)).inputs("Service")
    assert {services[name]["spec"]["type"] for name in DEMO_SERVICES} == {"ClusterIP"}


def test_with_nginx_plus_the_services_are_open_source_and_get_no_license(run_program: Run) -> None:
    plus = golden.configuration("plus")
    values = plus | ON | {"imageRegistry": "registry.example/mirror", "nginx": {"image": "nginx:1.29.1-otel"}}
    pods = run_program(golden.as_pulumi_passes_it(values), secrets=list(values)).pods()
    for name in DEMO_SERVICES:
        spec = pods[name]["spec"]
        assert spec["containers"][0]["image"] == "registry.example/mirror/library/nginx:1.29.1-otel"
        assert not [volume for volume in spec["volumes"] if "secret" in volume]


def test_prometheus_is_not_told_of_pods_that_it_may_not_reach(run_program: Run) -> None:
    pods = run_program(golden.as_pulumi_passes_it(ON)).pods()
    assert {name for name, pod in pods.items() if "annotations" not in pod["metadata"]} == {*DEMO_SERVICES}


@pytest.mark.parametrize("limit", ["64Mi", "128Mi", "8Gi"])
def test_buffers_full_of_the_largest_spans_fit_the_memory_limit(limit: str) -> None:
    settings = Settings.model_validate({"demo": {"enabled": True, "resources": {"memoryLimit": limit}}})
    for service in demo_settings(settings).values():
        assert service.exporter.batch_size is not None
        assert nginx_memory(service, service.exporter.batch_size) <= amount(limit)


def test_the_services_follow_the_stack_s_keys_of_the_log_the_resolver_and_the_shutdown() -> None:
    nginx = {"accessLog": False, "resolver": {"follow": False}, "shutdown": {"delay": "1s"}}
    settings = Settings.model_validate(ON | {"nginx": nginx})
    for service in demo_settings(settings).values():
        assert not service.access_log
        assert not service.has_init_container
        assert service.shutdown.delay == "1s"


@pytest.mark.parametrize("context", ["extract", "inject", "ignore"])
def test_the_trace_goes_on_to_the_demo_whatever_other_routes_do(context: str) -> None:
    nginx = Settings.model_validate(ON | {"nginx": {"traceContext": context}}).nginx
    text = nginx_conf(nginx, exporter="collector:4317", namespace="tracing")
    assert "otel_trace_context propagate;" in text.partition('location "/demo/" {')[2].partition("}")[0]


def test_with_nginx_plus_an_old_image_of_the_services_is_warned_of(run_program: Run, warnings: list[str]) -> None:
    gateway = {"gateway": {"image": "nginx:1.30.7-otel"}}
    values = golden.configuration("plus") | ON | {"nginx": {"image": "nginx:1.27.4-otel"}, "tempo": gateway}
    run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    assert any(warning.startswith("nginx.image: NGINX 1.27.4 has had no security fixes since") for warning in warnings)


@pytest.mark.parametrize(
    ("server", "directive"),
    [
        ("if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }", "if"),
        ("if ($arg_v = 2) { rewrite ^/(.*) /v2/$1 last; }", "if"),
        ("auth_basic shop; auth_basic_user_file /etc/nginx/users;", "auth_basic"),
        ("allow 10.0.0.0/8; deny all;", "deny"),
    ],
)
def test_a_directive_of_the_server_that_may_keep_requests_from_the_demo_is_warned_of(
    server: str, directive: str
) -> None:
    values = {"nginx": {"extraConfig": {"server": server}}}
    (warning,) = demo_warnings(Settings.model_validate(ON | values))
    assert warning.startswith(f"nginx.extraConfig.server: `{directive}` in line 1 ")
    assert not list(demo_warnings(Settings.model_validate(values)))


@pytest.mark.parametrize(
    "server",
    [
        "if ($arg_v = 2) { set $version 2; }",
        "if ($uri ~ ^/old) { return 410; }",
        "if ($arg_v = 2) { rewrite ^/shop/(.*) /v2/$1 last; }",
        "auth_basic off;",
        "location /shop { deny all; }",
    ],
)
def test_a_directive_of_the_server_that_leaves_the_demo_alone_is_not_warned_of(server: str) -> None:
    assert not list(demo_warnings(Settings.model_validate(ON | {"nginx": {"extraConfig": {"server": server}}})))
