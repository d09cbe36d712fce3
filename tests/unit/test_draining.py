"""Tests how Collectors become more and fewer: their autoscaler, and the end of a pod with a persistent queue."""

import json
from typing import Any

import pulumi
import pytest

from components.collector_pods import tell_of_volumes
from components.documents.collector import collector_document
from components.documents.collector_drain import drain_script
from settings import CollectorSettings
from settings.limits import Exports
from tests.unit.conftest import Program, Requests, Run

PERSISTENT: dict[str, Any] = {"queue": {"storage": "persistent"}}
BATCH = 2048 * 750


def collector(run_program: Run, **configured: Any) -> dict[str, Any]:
    """Returns the template of the Collector's pods."""
    return run_program({"collector": json.dumps(configured)}).pods()["otel-collector"]


def hook(pod: dict[str, Any]) -> dict[str, Any]:
    """Returns what the Collector does before it ends."""
    return pod["spec"]["containers"][0]["lifecycle"]["preStop"]


@pytest.mark.parametrize(
    ("configured", "numbers", "grace"),
    [
        pytest.param({}, [5, 540, 27, 2, BATCH], 585, id="default"),
        pytest.param({"replicas": 1}, [5, 540, 0, 2, BATCH], 585, id="clients have no other pod"),
        pytest.param({"sampling": {"tail": {}}}, [5, 540, 0, 8, BATCH], 585, id="tail sampling"),
        pytest.param({"image": "otelcol:0.126.0"}, [5, 540, 27, 2, 2], 585, id="a queue that counts exports"),
        pytest.param({"queue": {"storage": "persistent", "drain": {"timeout": "2m"}}}, [5, 120, 27, 2, BATCH], 165),
    ],
)
def test_a_pod_with_a_persistent_queue_sends_what_its_volume_holds_before_it_ends(
    run_program: Run, configured: dict[str, Any], numbers: list[int], grace: int
) -> None:
    pod = collector(run_program, **PERSISTENT | configured)
    script, busybox = "/etc/otelcol/drain.sh", "/tools/busybox"
    assert hook(pod)["exec"]["command"] == [
        *(busybox, "sh", script, busybox, "8888", "/proc/1/fd/1"),
        *map(str, numbers),
    ]
    assert pod["spec"]["terminationGracePeriodSeconds"] == grace
    # One that hangs sends nothing.
    assert pod["spec"]["containers"][0]["livenessProbe"]["terminationGracePeriodSeconds"] == 45


def test_busybox_comes_into_the_collector_s_container_within_the_restricted_standard(run_program: Run) -> None:
    program = run_program({"collector": json.dumps(PERSISTENT), "imageRegistry": "registry.example/mirror"})
    pod = program.pods()["otel-collector"]["spec"]
    (copying,) = pod["initContainers"]
    assert copying["image"] == "registry.example/mirror/library/busybox:1.37.0-musl"
    assert copying["command"][:3] == ["/bin/busybox", "sh", "-c"]
    assert copying["command"][3].endswith("; /bin/busybox cp /bin/busybox /tools/busybox")
    assert copying["securityContext"] == pod["containers"][0]["securityContext"]
    assert copying["resources"] == pod["containers"][0]["resources"]
    assert {"name": "tools", "emptyDir": {}} in pod["volumes"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "tools"]
    assert mount == {"name": "tools", "mountPath": "/tools", "readOnly": True}
    assert program.inputs("ConfigMap")["otel-collector-config"]["data"]["drain.sh"] == drain_script()


@pytest.mark.parametrize(
    "configured", [{}, {"queue": {"storage": "persistent", "drain": {"enabled": False}}}], ids=["in memory", "off"]
)
def test_a_pod_that_has_no_volume_to_send_ends_after_its_delay(run_program: Run, configured: dict[str, Any]) -> None:
    program = run_program({"collector": json.dumps(configured)})
    pod = program.pods()["otel-collector"]
    assert hook(pod) == {"sleep": {"seconds": 5}}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 45
    assert "initContainers" not in pod["spec"]
    assert "terminationGracePeriodSeconds" not in pod["spec"]["containers"][0]["livenessProbe"]
    assert "drain.sh" not in program.inputs("ConfigMap")["otel-collector-config"]["data"]


@pytest.mark.parametrize(
    ("configured", "age"),
    [
        ({}, "60s"),
        (PERSISTENT, "15s"),
        ({"queue": {"storage": "persistent", "drain": {"enabled": False}}}, "60s"),
        ({"replicas": 1}, None),
        ({"replicas": 1, "autoscaling": {"maxReplicas": 2}}, "60s"),
    ],
)
def test_clients_leave_a_pod_sooner_if_it_waits_for_them(configured: dict[str, Any], age: str | None) -> None:
    settings = CollectorSettings.model_validate(configured)
    document = collector_document(settings, backend="tempo:4317", namespace="tracing", exports=Exports(512, 25_600))
    keepalive = document["receivers"]["otlp"]["protocols"]["grpc"].get("keepalive", {"server_parameters": {}})
    assert keepalive["server_parameters"].get("max_connection_age") == age


def scaler(program: Program) -> dict[str, Any]:
    """Returns the spec of the stack's only autoscaler."""
    (found,) = program.inputs("HorizontalPodAutoscaler").values()
    return found["spec"]


@pytest.mark.parametrize("most", [2, 6])
@pytest.mark.parametrize("queue", ["memory", "persistent"])
def test_an_autoscaler_makes_more_collectors_and_fewer(run_program: Run, queue: str, most: int) -> None:
    configured = {"queue": {"storage": queue}, "autoscaling": {"maxReplicas": most, "cpu": 50}}
    program = run_program({"collector": json.dumps(configured)})
    spec, kind = scaler(program), "StatefulSet" if queue == "persistent" else "Deployment"
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, most)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": kind, "name": "otel-collector"}
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 50}
    assert program.inputs(kind)["otel-collector"]["spec"]["replicas"] == 2


@pytest.mark.parametrize("queue", ["memory", "persistent"])
def test_an_autoscaler_outlives_the_change_of_its_workload_to_another_kind(
    run_program: Run, requests: Requests, queue: str
) -> None:
    configured = {"queue": {"storage": queue}, "autoscaling": {"maxReplicas": 6}}
    run_program({"collector": json.dumps(configured)})
    assert requests["HorizontalPodAutoscaler", "otel-collector"].parent.endswith("OtelCollector::otel-collector")
    kind = "StatefulSet" if queue == "persistent" else "Deployment"
    assert list(requests[kind, "otel-collector"].ignoreChanges) == ["spec.replicas"]


@pytest.mark.parametrize(("enabled", "end"), [(True, "1140s"), (False, "600s")])
def test_the_engine_waits_for_no_pod_that_drains_but_before_the_namespace_is_gone(
    run_program: Run, requests: Requests, *, enabled: bool, end: str
) -> None:
    configured = {"queue": {"storage": "persistent", "drain": {"enabled": enabled}}}
    program = run_program({"collector": json.dumps(configured)})
    assert requests["Namespace", "namespace"].customTimeouts.delete == end
    annotations = program.inputs("StatefulSet")["otel-collector"]["metadata"]["annotations"]
    assert ("pulumi.com/skipAwait" in annotations) is enabled


def test_the_volumes_of_pods_that_end_are_told_of_and_the_number_of_pods_is_pulumi_s(
    run_program: Run, requests: Requests
) -> None:
    run_program({"collector": json.dumps(PERSISTENT)})
    made = requests["StatefulSet", "otel-collector"]
    assert list(made.hooks.before_update) == ["otel-collector-volumes"]
    assert list(made.ignoreChanges) == []


def test_a_drain_takes_one_at_a_time_of_the_collectors_that_an_autoscaler_made(run_program: Run) -> None:
    program = run_program({"collector": json.dumps({"replicas": 1, "autoscaling": {"maxReplicas": 2}})})
    assert set(program.inputs("PodDisruptionBudget")) == {"otel-collector"}


def _register(_: object) -> None:
    """Registers nothing: no engine runs."""


def update(before: int, after: int) -> pulumi.ResourceHookArgs:
    """Returns what the engine tells a hook of an update of the number of pods."""
    old, new = ({"spec": {"replicas": count}} for count in (before, after))
    return pulumi.ResourceHookArgs("urn", "id", "otel-collector", "StatefulSet", new, old)


def told(monkeypatch: pytest.MonkeyPatch, warnings: list[str], before: int, after: int, **drain: Any) -> list[str]:
    """Returns what is said before an update."""
    monkeypatch.setattr(pulumi.resource_hooks, "register_resource_hook", _register)
    settings = CollectorSettings.model_validate({"queue": {"storage": "persistent", "drain": drain}})
    made = tell_of_volumes("otel-collector", "otel-collector", settings)
    assert made.opts is not None
    assert made.opts.on_dry_run
    made(update(before, after))
    return warnings


def test_a_preview_that_makes_fewer_collectors_says_what_becomes_of_their_spans(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    assert told(monkeypatch, warnings, 3, 2, timeout="5m") == [
        "otel-collector-2 will end: it leaves the Service, and sends what its volume holds, for at most 5m. What is "
        "left then stays in the PersistentVolumeClaim queue-otel-collector-2, which `python -m tools drift` names, and "
        "is sent when `collector.replicas` is 3 again"
    ]


def test_several_that_end_are_all_named(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    (said,) = told(monkeypatch, warnings, 4, 1)
    assert said.startswith("otel-collector-1, otel-collector-2 and otel-collector-3 will end: each leaves the Service")
    assert "queue-otel-collector-1, queue-otel-collector-2 and queue-otel-collector-3, which" in said


def test_without_draining_it_is_said_that_the_spans_stay(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    (said,) = told(monkeypatch, warnings, 2, 1, enabled=False)
    assert said.startswith(
        "otel-collector-1 will end, and `collector.queue.drain.enabled` is false: what waits stays in the "
    )


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3)])
def test_as_many_or_more_collectors_are_no_warning(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str], before: int, after: int
) -> None:
    assert told(monkeypatch, warnings, before, after) == []
