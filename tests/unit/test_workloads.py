"""Tests of the pods: their security, their number, their volumes and their end."""

import json
from typing import Any

import pytest

from tests.unit.conftest import Program, Run


def test_every_pod_meets_the_restricted_standard_with_a_read_only_root(run_program: Run) -> None:
    for pod in run_program().pods().values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        for volume in pod["spec"]["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


def test_every_container_has_probes_and_resources(run_program: Run) -> None:
    for pod in run_program().pods().values():
        for container in pod["spec"]["containers"]:
            assert container["readinessProbe"]
            assert container["livenessProbe"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}


def test_users_are_left_to_the_cluster_where_it_assigns_them(run_program: Run) -> None:
    for pod in run_program({"podUser": "cluster"}).pods().values():
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_pod_has_time_for_its_delay_its_requests_and_the_last_export(run_program: Run) -> None:
    shutdown = {"shutdown": {"delay": "10s", "timeout": "1m"}}
    program = run_program({"nginx": json.dumps(shutdown)})
    pod = program.pods()["nginx"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 10 + 60 + 20
    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 10
    assert "worker_shutdown_timeout 1m;" in program.inputs("ConfigMap")["nginx-config"]["data"]["nginx.conf"]


def test_a_drain_takes_one_pod_at_a_time_and_the_only_pod_of_a_component_too(run_program: Run) -> None:
    program = run_program({"nginx": '{"replicas": 2}', "collector": '{"replicas": 1}'})
    (budget,) = program.inputs("PodDisruptionBudget").values()
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": program.inputs("Deployment")["nginx"]["spec"]["selector"],
    }


def test_a_drain_takes_one_at_a_time_of_the_pods_that_an_autoscaler_made(run_program: Run) -> None:
    program = run_program({"nginx": '{"autoscaling": {"maxReplicas": 5}}', "collector": '{"replicas": 1}'})
    assert set(program.inputs("PodDisruptionBudget")) == {"nginx"}


@pytest.mark.parametrize(
    ("collector", "pods"),
    [
        ({}, 2),
        ({"distribution": "k8s", "queue": {"storage": "persistent"}}, 2),
        ({"distribution": "k8s", "sampling": {"tail": {}}}, 1),
        ({"replicas": 1}, 1),
        ({"replicas": 3}, 3),
    ],
    ids=["default", "persistent queue", "tail sampling", "one", "three"],
)
def test_a_second_collector_takes_over_unless_a_trace_has_to_be_whole(
    run_program: Run, collector: dict[str, Any], pods: int
) -> None:
    program = run_program({"collector": json.dumps(collector)})
    kind = "StatefulSet" if "queue" in collector else "Deployment"
    assert program.inputs(kind)["otel-collector"]["spec"]["replicas"] == pods
    assert ("otel-collector" in program.inputs("PodDisruptionBudget")) is (pods > 1)


def test_the_labels_of_a_claim_are_not_the_configuration_s(run_program: Run) -> None:
    program = run_program({"tempo": '{"persistence": {"size": "1Gi"}}', "labels": '{"team": "platform"}'})
    stateful_set = program.inputs("StatefulSet")["tempo"]
    assert stateful_set["metadata"]["labels"]["team"] == "platform"
    # A claim template cannot be edited.
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["labels"] == stateful_set["spec"]["selector"]["matchLabels"]


def test_pods_are_spread_over_nodes_unless_it_is_said_how(run_program: Run) -> None:
    def keys(program: Program) -> set[str]:
        pods = [pod["spec"] for pod in program.pods().values()]
        return {item["topologyKey"] for pod in pods for item in pod["topologySpreadConstraints"]}

    assert keys(run_program()) == {"kubernetes.io/hostname"}
    zones = {"topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}]}
    assert keys(run_program({"scheduling": json.dumps(zones)})) == {"topology.kubernetes.io/zone"}


@pytest.mark.parametrize("most", [2, 5])
def test_an_autoscaler_scales_between_the_replicas_and_its_own_maximum(most: int, run_program: Run) -> None:
    program = run_program({"nginx": json.dumps({"replicas": 2, "autoscaling": {"maxReplicas": most}})})
    (scaler,) = program.inputs("HorizontalPodAutoscaler").values()
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, most)
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nginx"}


def test_a_persistent_queue_is_a_volume_for_each_pod(run_program: Run) -> None:
    collector = {"distribution": "k8s", "replicas": 2, "queue": {"storage": "persistent", "size": "1Gi"}}
    program = run_program({"collector": json.dumps(collector)})
    spec = program.inputs("StatefulSet")["otel-collector"]["spec"]
    assert "otel-collector" not in program.inputs("Deployment")
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["queue"] == "/var/lib/otelcol"
