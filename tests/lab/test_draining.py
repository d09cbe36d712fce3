"""Tests that fewer Collectors lose nothing of what their persistent queues hold.

The tests of this module share one stack and run in the order that they are written in.
"""

import subprocess
import time
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.cluster.lifecycle import kubectl, kubectl_command
from lab.progress import Progress
from tests.lab.conftest import deploy, forwarded, laid_out, objects
from tests.lab.test_previews import drift
from tests.readers.spans import export, message, requests
from tests.waiting import wait_for
from tools.lab_stack import Stack
from tools.measure.faults.inject import must, scale
from tools.measure.faults.scenarios import COLLECTOR, TEMPO
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

# tests/readers/test_draining.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-draining"
BOUND_SECONDS = 10
LAST, CLAIM = "otel-collector-2", "queue-otel-collector-2"


@pytest.fixture(scope="module")
def draining(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack with three Collectors that have persistent queues."""
    with laid_out(tmp_path_factory.mktemp("draining") / "program", "draining", NAMESPACE) as stack:
        stack.configure(
            {
                "collector.replicas": "3",
                "collector.queue.storage": "persistent",
                "collector.queue.drain.timeout": f"{BOUND_SECONDS}s",
                "tempo.persistence.size": "1Gi",
            }
        )
        deploy(stack)
        # Tests scale by kubectl, too, and Pulumi takes the field back.
        stack.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
        yield stack


def exists(pod: str) -> bool:
    """Returns whether a pod is there, if only to end."""
    return bool(kubectl("get", "pod", pod, f"--namespace={NAMESPACE}", "--ignore-not-found").stdout)


def has(tempo_url: str, trace_id: str) -> bool:
    """Returns whether Tempo has a trace."""
    return httpx.get(f"{tempo_url}/api/traces/{trace_id}", timeout=5).is_success


def send_to(pod: str) -> str:
    """Sends a trace to one of the Collectors, past NGINX, and returns its ID."""
    (span,) = requests(1)
    with forwarded(NAMESPACE, f"pod/{pod}", 4317) as port:
        export(port, message([span]))
    return span.trace_id


def run(stack: Stack, commands: str) -> None:
    """Runs commands that a person is offered, with the answer that `pulumi up` asks for."""
    line = commands.replace("pulumi up", "pulumi up --yes --skip-preview")
    done = subprocess.run(
        ["/bin/sh", "-c", line], check=False, cwd=stack.folder, env=stack.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_pod_could_not_send_in_time_is_kept_named_and_sent_by_the_named_commands(draining: Stack) -> None:
    tempo_url = draining.outputs()["tempoUrl"]
    scale(NAMESPACE, TEMPO, 0)
    trace_id = send_to(LAST)
    draining.configure({"collector.replicas": "2"})
    said = draining.must("preview")
    assert f"{LAST} will end: it leaves the Service, and sends what its volume holds, for at most 10s. What is" in said
    assert f"left then stays in the PersistentVolumeClaim {CLAIM}, which" in said
    assert exists(LAST)
    draining.up()
    wait_for("the end of the pod", lambda: not exists(LAST), seconds=90)
    events = objects("events", f"--namespace={NAMESPACE}", "--field-selector=reason=FailedPreStopHook")
    assert {event["involvedObject"]["name"] for event in events} >= {LAST}
    scale(NAMESPACE, TEMPO, 1)
    found = drift(draining)
    assert found.returncode == 1
    assert f"kubectl delete persistentvolumeclaim {CLAIM} --namespace {NAMESPACE}" in found.stdout
    _, _, sending = found.stdout.partition("To send what the volumes of otel-collector hold, make 3 replicas until ")
    _, there, back = sending.splitlines()[:3]
    run(draining, there)
    wait_for("the trace that was on the volume", lambda: has(tempo_url, trace_id), seconds=60)
    run(draining, back)
    # Its queue is empty, and the pod ends long before its time.
    wait_for("the end of the pod", lambda: not exists(LAST), seconds=60)


def test_a_pod_that_ends_sends_what_its_volume_holds(draining: Stack) -> None:
    tempo_url = draining.outputs()["tempoUrl"]
    draining.configure({"collector.replicas": "3", "collector.queue.drain.timeout": "3m"})
    draining.up()
    scale(NAMESPACE, TEMPO, 0)
    trace_id = send_to(LAST)
    command = kubectl_command("logs", "--follow", LAST, f"--namespace={NAMESPACE}")
    log = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    must("scale", COLLECTOR, f"--namespace={NAMESPACE}", "--replicas=2")
    # It has left the Service, and is at work.
    wait_for("two addresses", lambda: len(addresses()) == 2)
    assert exists(LAST)
    scale(NAMESPACE, TEMPO, 1)
    wait_for("the end of the pod", lambda: not exists(LAST), seconds=120)
    assert has(tempo_url, trace_id)
    assert "drain: the queues were empty after " in log.communicate(timeout=30)[0]


def addresses() -> list[str]:
    """Returns the pods to which the Collectors' Service leads."""
    slices = objects(
        "endpointslices", f"--namespace={NAMESPACE}", "--selector=kubernetes.io/service-name=otel-collector"
    )
    listed: list[list[dict[str, Any]]] = [item.get("endpoints") or [] for item in slices]
    return [one["targetRef"]["name"] for endpoints in listed for one in endpoints if one["conditions"]["ready"]]


def test_fewer_and_more_collectors_with_full_queues_lose_nothing_under_traffic(
    draining: Stack, request: pytest.FixtureRequest
) -> None:
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build([VEGETA], Progress())
    outputs = draining.outputs()
    scale(NAMESPACE, COLLECTOR, 3)
    with Traffic(outputs["nginxUrl"], 200) as traffic:
        scale(NAMESPACE, TEMPO, 0)
        time.sleep(10)
        scale(NAMESPACE, TEMPO, 1)
        scale(NAMESPACE, COLLECTOR, 2)
        time.sleep(3)
    # Before another pod takes the volume.
    lost = missing(outputs["tempoUrl"], traffic.sent, patience_seconds=30)
    with Traffic(outputs["nginxUrl"], 200) as later:
        scale(NAMESPACE, COLLECTOR, 3)
        time.sleep(3)
    lost += missing(outputs["tempoUrl"], later.sent, patience_seconds=30)
    assert (traffic.sent.failed, later.sent.failed, lost) == ({}, {}, [])
