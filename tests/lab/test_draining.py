"""Tests that fewer Collectors lose nothing of what their persistent queues hold.

The tests of this module share one stack and run in the order that they are written in.
"""

import subprocess
import time
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from lab.build.targets import VEGETA
from lab.cluster.lifecycle import kubectl, kubectl_command
from tests.lab.conftest import deploy, forwarded, laid_out, objects, provide
from tests.lab.test_previews import drift
from tests.readers.spans import export, message, requests
from tests.waiting import wait_for
from tools.lab_stack import Stack
from tools.measure.faults import full_queues
from tools.measure.faults.inject import must, scale
from tools.measure.faults.scenarios import COLLECTOR, TEMPO
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

# tests/readers/test_draining.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-draining"
NAME = "otel-collector"
RATE, RATE_OF_UPDATES = 200, 100
"""Requests a second: the node's two cores also run `pulumi up`."""

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
                "collector.queue.size": full_queues.CONFIGURATION["collector.queue.size"],
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


@pytest.fixture(scope="module")
def sender(lab: None, request: pytest.FixtureRequest) -> None:
    """Builds the program that sends requests."""
    provide(request, targets=[VEGETA])


@pytest.mark.usefixtures("sender")
def test_fewer_and_more_collectors_with_full_queues_lose_nothing_under_traffic(draining: Stack) -> None:
    draining.configure({"collector.replicas": "3", "collector.queue.drain.timeout": "3m"})
    draining.up()
    # The state has three already: the test before took one away with kubectl.
    scale(NAMESPACE, COLLECTOR, 3)
    outputs = draining.outputs()
    scale(NAMESPACE, TEMPO, 0)
    filled = full_queues.fill(NAMESPACE)
    with Traffic(outputs["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        shares = [full_queues.share(NAMESPACE, f"otel-collector-{number}") for number in range(3)]
        must("scale", COLLECTOR, f"--namespace={NAMESPACE}", "--replicas=2")
        scale(NAMESPACE, TEMPO, 1)
        wait_for("the end of the pod", lambda: not exists(LAST), seconds=240)
        time.sleep(3)
    assert min(shares) > full_queues.FULL
    # Before another pod takes the volume.
    lost = [missing(outputs["tempoUrl"], sent, patience_seconds=60) for sent in (filled, traffic.sent)]
    with Traffic(outputs["nginxUrl"], RATE) as later:
        scale(NAMESPACE, COLLECTOR, 3)
        time.sleep(3)
    lost.append(missing(outputs["tempoUrl"], later.sent, patience_seconds=30))
    assert (traffic.sent.failed, later.sent.failed, lost) == ({}, {}, [[], [], []])


@pytest.mark.usefixtures("sender")
@pytest.mark.parametrize("queue", ["persistent", "memory"])
def test_an_autoscaler_makes_more_and_fewer_collectors_and_nothing_is_lost(queue: str, draining: Stack) -> None:
    if queue == "memory":
        draining.must("config", "rm", "--path", "collector.queue")
    limit(draining, 2)
    kind = "StatefulSet" if queue == "persistent" else "Deployment"
    (scaler,) = objects("horizontalpodautoscalers", f"--namespace={NAMESPACE}")
    assert (scaler["spec"]["scaleTargetRef"]["kind"], scaler["spec"]["scaleTargetRef"]["name"]) == (kind, NAME)
    with Traffic(draining.outputs()["nginxUrl"], RATE_OF_UPDATES) as traffic:
        time.sleep(2)
        limit(draining, 3)
        # NGINX may not have found the third one yet.
        sent = [send_to(pod["metadata"]["name"]) for pod in collectors()]
        limit(draining, 2)
        time.sleep(3)
    tempo_url = draining.outputs()["tempoUrl"]
    assert (traffic.sent.failed, missing(tempo_url, traffic.sent, patience_seconds=30)) == ({}, [])
    assert [has(tempo_url, trace_id) for trace_id in sent] == [True] * 3
    assert draining.planned() == {}


def limit(stack: Stack, replicas: int) -> None:
    """Has the autoscaler make a number of Collectors, and waits until they are Ready and no other is left.

    The lab has no metrics. Without any, an autoscaler keeps to its smallest and its largest number all the same.
    """
    count = str(replicas)
    stack.configure({"collector.replicas": count, "collector.autoscaling.maxReplicas": count})
    stack.up()
    # It looks every 15 s. A pod with a volume goes on until its clients have left.
    wait_for(f"{count} Collectors", lambda: are_ready(replicas), seconds=180)


def collectors() -> list[dict[str, Any]]:
    """Returns the Collectors' pods, with those that are to end."""
    return objects("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={NAME}")


def are_ready(count: int) -> bool:
    """Returns whether there are as many Collectors, and all are Ready."""
    statuses = [pod["status"].get("containerStatuses", []) for pod in collectors()]
    return len(statuses) == count and all(each and all(one["ready"] for one in each) for each in statuses)
