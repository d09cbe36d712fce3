"""Tests of the connections that network policies allow. The lab's tests check that a network enforces them."""

import re
from typing import Any

import pytest

from components.kubernetes.network import to_hosts
from settings.types import split_endpoint
from tests import golden
from tests.unit.conftest import Run


def rules(*hosts: tuple[str, int]) -> list[str]:
    """Returns the rules in short: the destinations, and the ports."""

    def where(rule: Any) -> str:
        (peer,) = rule.to or [None]
        if peer is None:
            return "anywhere"
        if peer.ip_block is not None:
            return peer.ip_block.cidr
        return f"namespace {next(iter(peer.namespace_selector.match_labels.values()))}"

    def ports(rule: Any) -> list[str]:
        numbers: list[Any] = rule.ports or []
        return [str(port.port) for port in numbers] or ["every port"]

    return [f"{where(rule)}: {', '.join(ports(rule))}" for rule in to_hosts(hosts, "tracing")]


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        ([("192.0.2.20", 8080)], ["192.0.2.20/32: 8080"]),
        ([("2001:db8::1", 443)], ["2001:db8::1/128: 443"]),
        ([("shop", 80)], ["namespace tracing: every port"]),
        ([("shop.web.svc", 80)], ["namespace web: every port"]),
        ([("Shop.Web.svc.cluster.local.", 80)], ["namespace web: every port"]),
        ([("shop-0.shop.web.svc", 80)], ["namespace web: every port"]),
        ([("shop.web", 80)], ["namespace web: every port", "anywhere: 80"]),
        ([("api.vendor.example", 443), ("other.vendor.example", 80)], ["anywhere: 80, 443"]),
        ([("a.shop.example", 443), ("a.shop.example", 443), ("192.0.2.1", 1), ("192.0.2.1", 1)],
         ["192.0.2.1/32: 1", "anywhere: 443"]),
    ],
)  # fmt: skip
def test_what_may_be_behind_a_host_is_allowed(hosts: list[tuple[str, int]], allowed: list[str]) -> None:
    assert rules(*hosts) == allowed


@pytest.mark.parametrize(
    ("endpoint", "split"),
    [
        ("collector.example:4317", ("collector.example", 4317)),
        ("https://collector.example:4317", ("collector.example", 4317)),
        ("https://gateway.example/otlp", ("gateway.example", 443)),
        ("http://gateway.example/otlp", ("gateway.example", 80)),
        ("http://[2001:db8::1]:4318/otlp", ("2001:db8::1", 4318)),
        ("product.connect.nginx.com", ("product.connect.nginx.com", 443)),
    ],
)
def test_an_endpoint_without_a_port_has_that_of_its_scheme(endpoint: str, split: tuple[str, int]) -> None:
    assert split_endpoint(endpoint) == split


@pytest.mark.parametrize("case", golden.cases())
def test_every_workload_has_a_policy_for_both_ways_and_the_stack_s_pods_alone_are_denied_the_rest(
    case: str, run_program: Run
) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    policies = program.inputs("NetworkPolicy")
    # Ingesters in zones have one policy together.
    workloads = {re.sub("-ingester-.*", "", name): inputs for name, inputs in program.workloads().items()}
    assert set(policies) == {"deny-all", *workloads}
    for name, policy in policies.items():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        is_named = name == "deny-all" and bool(program.inputs("Namespace"))
        assert ("name" in policy["metadata"]) == is_named, "in a shared namespace somebody else's may have the name"
        if name != "deny-all":
            workload, selected = workloads[name]["spec"], policy["spec"]["podSelector"]["matchLabels"]
            # The selector of a distributed Tempo's ingesters is that of a monolithic one: Kubernetes allows no other.
            matched = {key: it for key, it in workload["selector"]["matchLabels"].items() if not key.endswith("/zone")}
            assert matched.items() <= selected.items()
            assert selected.items() <= workload["template"]["metadata"]["labels"].items()
    assert not {"ingress", "egress"} & set(policies["deny-all"]["spec"])
    selector = policies["deny-all"]["spec"]["podSelector"]
    (names,) = selector["matchExpressions"]
    assert selector["matchLabels"] == {"app.kubernetes.io/part-of": "nginx-tracing"}
    assert (names["key"], names["operator"]) == ("app.kubernetes.io/name", "In")
    own = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in program.pods().values()}
    assert own <= set(names["values"])


@pytest.mark.parametrize("case", golden.cases())
def test_each_service_s_clients_are_those_that_its_settings_allow(case: str, run_program: Run) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    settings = golden.settings_of(case)
    for component, allowed, _ in settings.exposed():
        service = program.inputs("Service")[component]["spec"]
        (port,) = service["ports"]
        ((workload, pod),) = (
            (name, pod)
            for name, pod in program.pods().items()
            if service["selector"].items() <= pod["metadata"]["labels"].items()
        )
        containers = pod["spec"]["containers"]
        numbers = {port["name"]: port["containerPort"] for container in containers for port in container["ports"]}
        rules = [
            rule
            for rule in program.inputs("NetworkPolicy")[workload]["spec"]["ingress"]
            if numbers[port["targetPort"]] in [port["port"] for port in rule["ports"]]
        ]
        peers = [peer for rule in rules for peer in rule.get("from", ["anywhere"])]
        addresses = [{"ipBlock": {"cidr": cidr}} for cidr in allowed.allowed_addresses]
        assert [peer for peer in peers if "ipBlock" in peer] == addresses
        namespaces = [
            name
            for peer in peers
            if "namespaceSelector" in peer
            for name in peer["namespaceSelector"]["matchExpressions"][0]["values"]
        ]
        assert namespaces == sorted(allowed.allowed_namespaces)
        assert (peers == ["anywhere"]) is not allowed.is_restricted


@pytest.mark.parametrize("case", golden.cases())
def test_nothing_is_open_to_the_outside_but_one_port_each_of_nginx_tempo_and_grafana(
    case: str, run_program: Run
) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    opened = {
        (name, port["port"])
        for name, service in program.inputs("Service").items()
        if service["spec"]["type"] != "ClusterIP"
        for port in service["spec"]["ports"]
    }
    assert opened <= {("nginx", 80), ("tempo", 3100), ("grafana", 3000)}


@pytest.mark.parametrize("case", golden.cases())
def test_each_policy_names_pods_that_there_are(case: str, run_program: Run) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    pods = [pod["metadata"]["labels"] for pod in program.pods().values()]
    for policy in program.inputs("NetworkPolicy").values():
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        peers = [peer for rule in rules for side in ("from", "to") for peer in rule.get(side, [])]
        for peer in [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]:
            assert [labels for labels in pods if peer.items() <= labels.items()], peer


def test_without_network_policies_there_is_none(run_program: Run) -> None:
    assert not run_program({"networkPolicies": "false"}).inputs("NetworkPolicy")


def test_browsers_come_to_the_collector_through_a_route_of_nginx(run_program: Run) -> None:
    configuration: dict[str, Any] = {
        "nginx": {
            "routes": [{"path": "/v1/traces", "upstream": {"service": "otel-collector", "port": 4318}, "traced": False}]
        },
        "collector": {"receivers": {"http": True, "cors": {"allowedOrigins": ["https://shop.example"]}}},
    }
    policies = run_program(golden.as_pulumi_passes_it(configuration)).inputs("NetworkPolicy")
    ports = [
        port["port"]
        for rule in policies["otel-collector"]["spec"]["ingress"]
        if "from" in rule
        for port in rule["ports"]
    ]
    assert ports == [4317, 4318]
    assert {"kubernetes.io/metadata.name": "tracing"} in [
        peer.get("namespaceSelector", {}).get("matchLabels")
        for rule in policies["nginx"]["spec"]["egress"]
        for peer in rule.get("to", [])
    ]


def test_the_proxy_may_be_reached_and_its_password_is_in_a_secret_alone(run_program: Run) -> None:
    configuration: dict[str, Any] = {
        "collector": {
            "exporters": {"vendor": {"endpoint": "otlp.vendor.example:4317"}},
            "proxy": {"url": "http://192.0.2.9:3128", "username": "collector", "password": "canary-password"},
        }
    }
    program = run_program(golden.as_pulumi_passes_it(configuration), secrets=["collector"])
    egress = program.inputs("NetworkPolicy")["otel-collector"]["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "192.0.2.9/32"}}], "ports": [{"protocol": "TCP", "port": 3128}]} in egress
    with_password = [item["kind"] for item in program.objects() if "canary-password" in str(item)]
    assert with_password == ["Secret"]
