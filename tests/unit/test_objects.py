"""Tests of the list of the program's objects, against the objects that it registers."""

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from components.kubernetes.stack import stack_context
from components.plan.objects import (
    CLAIM,
    DEPLOYMENT,
    NAMESPACE,
    NAMESPACED_KINDS,
    SERVICE,
    STACK_ANNOTATION,
    Kind,
    claim_name,
    counts,
    planned,
)
from settings import Settings
from tests import golden
from tests.unit.conftest import Program, Run

Named = set[tuple[str, str, str]]
"""API version, kind and name."""

COMBINATIONS = [
    dict(zip(("tempo", "collector", "nginx", "monitoring", "networkPolicies"), values, strict=True))
    for values in itertools.product(
        ({"enabled": False}, {}, {"persistence": {"size": "1Gi"}}),
        (
            {"exporters": {"own": {"endpoint": "192.0.2.1:4317"}}},
            {
                "distribution": "contrib",
                "kubernetesAttributes": True,
                "replicas": 3,
                "exporters": {"own": {"endpoint": "192.0.2.1:4317"}},
                "queue": {"storage": "persistent"},
            },
        ),
        ({}, {"replicas": 2}, {"autoscaling": {"maxReplicas": 4}}),
        ({}, {"podMonitors": True}),
        (True, False),
    )
]


def registered(program: Program) -> Named:
    """Returns the objects with fixed names, and the claims that Kubernetes makes for the replicas."""
    names: Named = set()
    for inputs in program.objects():
        if "name" in inputs["metadata"]:
            names.add((inputs["apiVersion"], inputs["kind"], inputs["metadata"]["name"]))
        for template in inputs.get("spec", {}).get("volumeClaimTemplates", []):
            for ordinal in range(int(inputs["spec"]["replicas"])):
                name = claim_name(template["metadata"]["name"], inputs["metadata"]["name"], ordinal)
                names.add(("v1", "PersistentVolumeClaim", name))
    return names


def listed(settings: Settings) -> Named:
    items = planned(settings)
    assert len(items) == len(set(items))
    return {(api_version(item.kind), item.kind.name, item.name) for item in items}


def api_version(kind: Kind) -> str:
    return f"{kind.group}/{kind.version}".removeprefix("/")


@pytest.mark.parametrize("case", golden.cases())
def test_the_list_of_a_golden_case_is_what_the_program_registers(case: str, run_program: Run) -> None:
    values = golden.configuration(case)
    program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    assert registered(program) == listed(golden.settings_of(case))


@pytest.mark.parametrize("values", COMBINATIONS, ids=json.dumps)
def test_the_list_follows_each_setting_that_makes_an_object_or_does_not(
    values: dict[str, Any], run_program: Run
) -> None:
    program = run_program(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    )
    settings = Settings.model_validate(values)
    assert registered(program) == listed(settings)
    made = Counter(inputs["kind"] for inputs in program.objects())
    assert {kind.name: number for kind, number in counts(settings).items() if kind != CLAIM} == made


def test_every_kind_that_a_golden_case_makes_is_listed_and_no_other(run_program: Run) -> None:
    made: set[tuple[str, str]] = set()
    for case in golden.cases():
        values = golden.configuration(case)
        program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
        made |= {(inputs["apiVersion"], inputs["kind"]) for inputs in program.objects()}
    assert made == {(api_version(kind), kind.name) for kind in (NAMESPACE, *NAMESPACED_KINDS)}


@pytest.mark.parametrize("case", golden.cases())
def test_every_object_has_the_stack_s_mark_and_no_pod_nor_claim_has_it(case: str, run_program: Run) -> None:
    values = golden.configuration(case)
    program = run_program(golden.as_pulumi_passes_it(values), secrets=list(values))
    for inputs in program.objects():
        assert inputs["metadata"]["annotations"][STACK_ANNOTATION] == "nginx-tracing/test", inputs["kind"]
        # A mark on pods would roll them, and one in a claim template or a selector would replace the workload.
        assert STACK_ANNOTATION not in str(inputs.get("spec"))


def test_an_object_of_a_fixed_name_that_is_not_listed_cannot_be_made(run_program: Run) -> None:
    stack = stack_context(Settings(), "node")
    assert stack.metadata(SERVICE, "tempo", "tempo")
    for kind, name in ((SERVICE, "grafana"), (CLAIM, "tempo"), (DEPLOYMENT, "deny-all")):
        with pytest.raises(LookupError, match=f"{kind.name} {name} is missing in components/plan/objects.py"):
            stack.metadata(kind, "tempo", name)
    assert stack.metadata(DEPLOYMENT, "tempo")
