"""What network policies allow for what is configured. Whether they are enforced is tested on the lab."""

from typing import Any

import pytest

from components.network import to_hosts
from settings.values import split_endpoint
from tests import golden
from tests.unit.conftest import Run


def rules(*hosts: tuple[str, int]) -> list[str]:
    """The rules in short: where to, and the ports."""

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
def test_every_workload_has_a_policy_for_both_ways_and_the_namespace_denies_the_rest(
    case: str, run_program: Run
) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    policies = program.inputs("NetworkPolicy")
    assert set(policies) == {"deny-all", *program.workloads()}
    for name, policy in policies.items():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        selected = policy["spec"]["podSelector"].get("matchLabels")
        assert selected == (
            None if name == "deny-all" else program.workloads()[name]["spec"]["selector"]["matchLabels"]
        )
    assert not {"ingress", "egress"} & set(policies["deny-all"]["spec"])


@pytest.mark.parametrize("case", golden.cases())
def test_each_node_port_may_be_reached_from_anywhere(case: str, run_program: Run) -> None:
    program = run_program(golden.as_pulumi_passes_it(golden.configuration(case)), secrets=golden.configuration(case))
    for name, service in program.inputs("Service").items():
        if service["spec"]["type"] != "NodePort":
            continue
        container = program.pods()[name]["spec"]["containers"][0]
        numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
        open_to_all = [
            port["port"]
            for rule in program.inputs("NetworkPolicy")[name]["spec"]["ingress"]
            if "from" not in rule
            for port in rule["ports"]
        ]
        assert numbers[service["spec"]["ports"][0]["targetPort"]] in open_to_all


def test_without_network_policies_there_is_none(run_program: Run) -> None:
    assert not run_program({"networkPolicies": "false"}).inputs("NetworkPolicy")
