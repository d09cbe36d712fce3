"""Tests of a Tempo whose ingesters are in zones: their objects, and what the cluster is asked about its zones."""

import json
from typing import Any

import pytest

from tests.unit.conftest import Program, Run
from tests.unit.fake_api import Object, Said, listed, refused
from tests.unit.fake_cluster import checked, refusal, settings
from tests.unit.test_tempo_parts import document, run

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
SETS = [f"tempo-ingester-{zone}" for zone in ZONES]
LABEL = "topology.kubernetes.io/zone"
SIX: dict[str, Any] = {"replicas": 6, "zones": ZONES}

TEMPO: dict[str, Any] = {
    "mode": "distributed",
    "persistence": {"size": "10Gi"},
    "storage": {"type": "s3", "bucket": "traces", "endpoint": "https://192.0.2.30:9000", "identity": "serviceAccount"},
    "ingester": SIX,
}
NODES = "GET /api/v1/nodes"
STATEFUL_SETS = "GET /apis/apps/v1/namespaces/shared/statefulsets"
IN_ALL = [{"metadata": {"name": zone, "labels": {LABEL: zone}}} for zone in ZONES]
WHERE = f"  nginx-tracing:tempo.ingester.zones = {json.dumps(ZONES)}\n"
COMMAND = f"\n    kubectl get nodes --label-columns={LABEL}"


def ingesters(program: Program) -> dict[str, Any]:
    """Returns the StatefulSets of ingesters by name."""
    return {name: made["spec"] for name, made in program.inputs("StatefulSet").items() if name.startswith("tempo")}


def test_each_zone_has_a_stateful_set_whose_pods_run_there_and_say_so(run_program: Run) -> None:
    made = ingesters(run(run_program, ingester=SIX, traceqlMetrics=False))
    assert list(made) == SETS
    for zone, spec in zip(ZONES, made.values(), strict=True):
        assert spec["replicas"] == 2
        pod = spec["template"]["spec"]
        (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term == {"matchExpressions": [{"key": LABEL, "operator": "In", "values": [zone]}]}
        assert f"-ingester.availability-zone={zone}" in pod["containers"][0]["args"]
        assert pod["terminationGracePeriodSeconds"] == 1200


def test_no_stateful_set_selects_the_pods_of_another_zone(run_program: Run) -> None:
    made = ingesters(run(run_program, ingester=SIX, traceqlMetrics=False))
    pods = {name: spec["template"]["metadata"]["labels"].items() for name, spec in made.items()}
    for name, spec in made.items():
        selected = spec["selector"]["matchLabels"].items()
        assert [other for other, labels in pods.items() if selected <= labels] == [name]
        (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == spec["selector"]


def test_services_policies_and_one_budget_are_those_of_all_ingesters(run_program: Run) -> None:
    program = run(run_program, ingester=SIX)
    without = run(run_program)
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
        assert program.inputs(kind) == without.inputs(kind)
    budget = program.inputs("PodDisruptionBudget")["tempo"]["spec"]
    assert budget["maxUnavailable"] == 1
    for spec in ingesters(program).values():
        if "-ingester" in spec["serviceName"]:
            assert budget["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_ring_of_every_part_knows_zones(run_program: Run) -> None:
    ring = document(run(run_program, ingester=SIX))["ingester"]["lifecycler"]["ring"]
    assert (ring["replication_factor"], ring["zone_awareness_enabled"]) == (3, True)
    assert "zone_awareness_enabled" not in document(run(run_program))["ingester"]["lifecycler"]["ring"]


def test_other_parts_go_on_preferring_zones(run_program: Run) -> None:
    pods = run(run_program, ingester=SIX).pods()
    assert "podAntiAffinity" in pods["tempo-querier"]["spec"]["affinity"]
    assert "podAntiAffinity" not in pods[SETS[0]]["spec"]["affinity"]


def stateful_set(name: str, *arguments: str) -> Object:
    """Returns a StatefulSet of Tempo's as the API server has it."""
    pod = {"spec": {"containers": [{"name": "tempo", "args": ["-config.file=x", *arguments]}, {"name": "gateway"}]}}
    return {"metadata": {"name": name}, "spec": {"template": pod}}


def ask(nodes: Said, *sets: Object) -> dict[str, Any]:
    return {NODES: nodes, STATEFUL_SETS: listed(*sets)}


def test_a_cluster_with_all_zones_takes_the_stack(warnings: list[str]) -> None:
    _, api = checked(settings(tempo=TEMPO), **ask(listed(*IN_ALL)))
    assert warnings == []
    (asked,) = (request for request in api.asked if "statefulsets" in request)
    assert "labelSelector=app.kubernetes.io%2Fname%3Dtempo" in asked


OTHER_TEMPOS: list[Object] = [{}, TEMPO | {"ingester": {}}, TEMPO | {"enabled": False}]


@pytest.mark.parametrize("tempo", OTHER_TEMPOS)
def test_without_zones_nothing_is_asked(tempo: Object) -> None:
    exporters = {"elsewhere": {"endpoint": "traces.example:4317"}}
    _, api = checked(settings(tempo=tempo, collector={"exporters": exporters}))
    assert not any("nodes" in request or "statefulsets" in request for request in api.asked)


def test_a_zone_without_nodes_is_refused_with_those_that_there_are_and_the_command() -> None:
    assert refusal(settings(tempo=TEMPO), ask(listed(*IN_ALL[:1]))) == (
        f"{WHERE}    no node has the label {LABEL} with the value eu-west-1b or eu-west-1c. "
        f"Such nodes are in eu-west-1a{COMMAND}"
    )
    assert refusal(settings(tempo=TEMPO), ask(listed({"metadata": {"name": "a"}}))) == (
        f"{WHERE}    no node has the label {LABEL} with the value eu-west-1a or eu-west-1b or eu-west-1c. "
        f"No such node has that label{COMMAND}"
    )


def test_nodes_that_the_pods_may_not_run_on_do_not_count() -> None:
    given = settings(tempo=TEMPO, scheduling={"nodeSelector": {"pool": "traces"}})
    nodes = [{"metadata": {"labels": {LABEL: zone, "pool": "traces"}}} for zone in ZONES[:2]]
    assert refusal(given, ask(listed(*IN_ALL, *nodes))) == (
        f"{WHERE}    no node that `scheduling.nodeSelector` allows has the label {LABEL} with the value eu-west-1c. "
        f"Such nodes are in eu-west-1a, eu-west-1b{COMMAND}"
    )


def test_a_stack_can_be_changed_while_a_zone_that_it_has_is_away(warnings: list[str]) -> None:
    checked(
        settings(tempo=TEMPO), **ask(listed(*IN_ALL[:2]), *(stateful_set(name, "-target=ingester") for name in SETS))
    )
    assert warnings == [
        "`tempo.ingester.zones`: no node is in eu-west-1c, so the ingesters there do not start: "
        f"kubectl get nodes --label-columns={LABEL}"
    ]


def test_nodes_that_may_not_be_listed_are_warned_of(warnings: list[str]) -> None:
    checked(settings(tempo=TEMPO), **ask(refused(403, "nodes is forbidden")))
    assert warnings == [
        "the program could not check that each of `tempo.ingester.zones` has a node (nodes is forbidden). In a zone "
        f"without nodes ingesters do not start: kubectl get nodes --label-columns={LABEL}"
    ]


def test_a_volume_of_one_process_is_taken_over_before_there_are_zones() -> None:
    one = stateful_set("tempo")
    assert refusal(settings(tempo=TEMPO), ask(listed(*IN_ALL), one)) == (
        f"{WHERE}    the StatefulSet tempo in the namespace shared is one process. What it has not written to the "
        "bucket is on its volume, which an ingester without a zone has to take over first. Update the stack without "
        "zones, then with them\n"
        "    pulumi config rm --path tempo.ingester.zones && pulumi up"
    )
    checked(settings(tempo=TEMPO), **ask(listed(*IN_ALL), stateful_set("tempo", "-target=ingester")))
