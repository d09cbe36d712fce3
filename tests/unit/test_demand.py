"""Tests of the demand that the program judges quotas by, against the objects that it registers."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from components.cluster.demand import wanted
from components.cluster.quotas import Live, shortages
from components.plan.objects import KINDS_OF_KUBERNETES, NAMESPACED_KINDS, REPLICA_SET
from components.plan.pods import pods_of
from settings import Settings
from settings.types import amount
from tests import golden
from tests.unit.conftest import Program, Run

RESOURCES = {kind.name: kind.resource for kind in (*KINDS_OF_KUBERNETES, *NAMESPACED_KINDS)}


def registered(program: Program) -> Counter[str]:
    """Returns the amounts that quotas count for the program's objects."""
    found: Counter[str] = Counter()
    for inputs in program.objects():
        kind, spec = inputs["kind"], inputs.get("spec", {})
        if kind != "Namespace":
            found[f"count/{RESOURCES[kind]}"] += 1
        if kind == "Service" and spec["type"] != "ClusterIP":
            found["services.nodeports"] += len(spec["ports"])
            found["services.loadbalancers"] += spec["type"] == "LoadBalancer"
    for inputs in program.workloads().values():
        spec = inputs["spec"]
        found[f"count/{REPLICA_SET.resource}"] += inputs["kind"] == "Deployment"
        for _ in range(int(spec["replicas"])):
            found += of_pod(spec["template"]["spec"]) + of_volumes(spec.get("volumeClaimTemplates", []))
    return found


def of_pod(pod: dict[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter({"count/pods": 1})
    for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")):
        together, alone = (
            [amount(container["resources"][kind].get(name, "0")) for container in pod.get(key, [])]
            for key in ("containers", "initContainers")
        )
        found[f"{kind}.{name}"] += max(sum(together), *alone, Decimal(0))  # pyright: ignore[reportArgumentType]
    return found


def of_volumes(templates: list[dict[str, Any]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for template in templates:
        size = template["spec"]["resources"]["requests"]["storage"]
        storage_class = template["spec"].get("storageClassName")
        named = ("", f"{storage_class}.storageclass.storage.k8s.io/") if storage_class else ("",)
        for prefix in named:
            found[f"{prefix}requests.storage"] += amount(size)  # pyright: ignore[reportArgumentType]
        found[f"count/{RESOURCES['PersistentVolumeClaim']}"] += 1
        for prefix in named[1:]:
            found[f"{prefix}persistentvolumeclaims"] += 1
    return found


def demanded(settings: Settings) -> dict[str, Decimal]:
    return {name: value for name, value in wanted(settings).items() if value and name != "count/namespaces"}


@pytest.mark.parametrize("case", golden.cases())
def test_the_demand_of_a_golden_case_is_what_the_program_registers(case: str, run_program: Run) -> None:
    values = golden.configuration(case)
    program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    assert demanded(golden.settings_of(case)) == {name: value for name, value in registered(program).items() if value}


@pytest.mark.parametrize("case", golden.cases())
def test_the_pods_of_a_golden_case_have_the_containers_that_are_tried(case: str, run_program: Run) -> None:
    values = golden.configuration(case)
    program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    for pod in pods_of(golden.settings_of(case)):
        spec = program.pods()[pod.component]["spec"]
        assert [container["name"] for container in spec["containers"]] == [one.name for one in pod.containers]
        assert [one["name"] for one in spec.get("initContainers", [])] == [one.name for one in pod.init_containers]


EXPORTER: dict[str, Any] = {"endpoint": "otlp.example:4317"}


@pytest.mark.parametrize(
    ("name", "expected", "values"),
    [
        # Nothing is sealed, and each component has its file.
        ("count/secrets", 0, {}),
        ("count/secrets", 1, {"tempoPassword": "long enough"}),
        ("count/secrets", 0, {"tempoPassword": "long enough", "tempo": {"enabled": False}}),
        ("count/secrets", 1, {"nginx": {"exporter": {"headers": {"x-team": "edge"}}}}),
        ("count/secrets", 1, {"collector": {"exporters": {"a": EXPORTER | {"headers": {"x-team": "edge"}}}}}),
        ("count/secrets", 0, {"collector": {"exporters": {"a": EXPORTER}, "proxy": {"url": "http://proxy:3128"}}}),
        ("count/secrets", 1, {"registryUsername": "u", "registryPassword": "p", "registryAddress": "a.example"}),
        ("count/configmaps", 3, {}),
        ("count/configmaps", 2, {"tempo": {"enabled": False}}),
        # `deny-all` and the policies of three components, whatever their names.
        ("count/networkpolicies.networking.k8s.io", 4, {}),
        ("count/networkpolicies.networking.k8s.io", 4, {"createNamespace": False}),
        ("count/networkpolicies.networking.k8s.io", 0, {"networkPolicies": False}),
        ("count/services", 4, {}),
        ("services.nodeports", 2, {}),
        ("services.nodeports", 1, {"tempo": {"service": {"type": "ClusterIP"}}}),
        ("services.nodeports", 2, {"nginx": {"service": {"type": "LoadBalancer"}}}),
        ("services.loadbalancers", 1, {"nginx": {"service": {"type": "LoadBalancer"}}}),
        ("count/pods", 4, {}),
        ("count/pods", 5, {"collector": {"replicas": 3}}),
        ("count/pods", 5, {"nginx": {"replicas": 2, "autoscaling": {"maxReplicas": 5}}}),
        ("count/horizontalpodautoscalers.autoscaling", 1, {"nginx": {"autoscaling": {"maxReplicas": 5}}}),
        ("count/poddisruptionbudgets.policy", 1, {}),
        ("count/poddisruptionbudgets.policy", 2, {"nginx": {"autoscaling": {"maxReplicas": 5}}}),
    ],
)
def test_each_setting_that_makes_an_object_is_a_demand(name: str, expected: int, values: dict[str, Any]) -> None:
    assert wanted(Settings.model_validate(values)).get(name, 0) == expected


def test_a_quota_on_any_kind_that_the_stack_makes_is_judged() -> None:
    settings = Settings.model_validate(
        {
            "tempoPassword": "long enough",
            "nginx": {"replicas": 2, "autoscaling": {"maxReplicas": 5}},
            "collector": {"distribution": "k8s", "kubernetesAttributes": True, "queue": {"storage": "persistent"}},
            "monitoring": {"podMonitors": True},
        }
    )
    kinds = [kind.resource for kind in (*NAMESPACED_KINDS, *KINDS_OF_KUBERNETES)]
    hard = {f"count/{kind}": "0" for kind in kinds}
    quota = {"metadata": {"name": "team"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": {}}}
    found = shortages(settings, Live([quota], own={kind: [] for kind in kinds}))
    assert {short.resource for short in found} == set(hard)
