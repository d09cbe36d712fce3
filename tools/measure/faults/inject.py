"""Injects faults into the real processes of a stack on the lab, and waits for the recovery."""

import contextlib
import json
import subprocess
from collections.abc import Generator
from typing import Any

from components.plan.labels import own_labels, selector
from lab.cluster.lifecycle import CONTAINERD, in_node, in_pod, kubectl
from lab.cluster.volumes import STORAGE_CLASS
from lab.errors import LabError
from lab.waiting import wait_until

LIMIT_SECONDS = 180
"""A rollout, a scaling or a container's restart has that long. Our choice."""


def must(*arguments: str, text: str | None = None) -> str:
    """Runs kubectl with `text` as its input, and returns what it printed.

    Raises:
        LabError: kubectl failed. The message holds what it printed.
    """
    done = kubectl(*arguments, text=text)
    if done.returncode != 0:
        raise LabError(f"`kubectl {' '.join(arguments)}` exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def pods(namespace: str, component: str) -> list[dict[str, Any]]:
    """Lists a component's pods, without those that are terminating."""
    return [item for item in all_pods(namespace, component) if "deletionTimestamp" not in item["metadata"]]


def all_pods(namespace: str, component: str) -> list[dict[str, Any]]:
    """Lists a component's pods, or those of a part of Tempo (`tempo-querier`), with those that are terminating."""
    chosen = f"--selector={selector(own_labels(component))}"
    return json.loads(must("get", "pods", f"--namespace={namespace}", chosen, "--output=json"))["items"]


def wait_ready(namespace: str, workload: str) -> None:
    """Waits until the rollout of a workload (`deployment/nginx`) is complete."""
    must("rollout", "status", workload, f"--namespace={namespace}", f"--timeout={LIMIT_SECONDS}s")


def roll(namespace: str, workload: str) -> None:
    """Replaces every pod of a workload, as an edit does, and waits until the last new pod is Ready."""
    must("rollout", "restart", workload, f"--namespace={namespace}")
    wait_ready(namespace, workload)


def scale(namespace: str, workload: str, replicas: int, component: str | None = None) -> None:
    """Sets the number of pods, and waits until surplus pods are gone and new ones are Ready.

    Args:
        namespace: the workload's.
        workload: for example `deployment/nginx`.
        replicas: the number.
        component: whose pods these are, if it has another name than the workload.
    """
    must("scale", workload, f"--namespace={namespace}", f"--replicas={replicas}")
    component = component or workload.rsplit("/", maxsplit=1)[-1]
    late = f"{workload} still had more than {replicas} pods after {LIMIT_SECONDS} s."
    wait_until(lambda: len(all_pods(namespace, component)) <= replicas, late, seconds=LIMIT_SECONDS, pause=0.5)
    if replicas:
        wait_ready(namespace, workload)


def kill(pod: dict[str, Any], signal: str = "SIGKILL") -> None:
    """Sends a signal to a pod's process without the kubelet, and waits until the container has restarted.

    Raises:
        LabError: the signal could not be sent, or the container was not Ready again in time.
    """
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    container = _own_container(pod)
    command = [*CONTAINERD, "tasks", "kill", "--signal", signal, container["containerID"].split("//")[1]]
    done = subprocess.run(in_node(*command), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{name} could not be sent {signal}: {done.stderr}")

    def is_ready_again() -> bool:
        now = json.loads(must("get", "pod", name, f"--namespace={namespace}", "--output=json"))["status"]
        status = next(each for each in now["containerStatuses"] if each["name"] == container["name"])
        return status["restartCount"] > container["restartCount"] and status["ready"]

    late = f"{name} was not Ready again within {LIMIT_SECONDS} s of {signal}."
    wait_until(is_ready_again, late, seconds=LIMIT_SECONDS, pause=0.2)


def _own_container(pod: dict[str, Any]) -> dict[str, Any]:
    """Returns the status of a pod's only container, or of the one named as its component: Tempo's pod has a gateway."""
    statuses = pod["status"]["containerStatuses"]
    component = pod["metadata"]["labels"].get("app.kubernetes.io/name")
    return next(status for status in statuses if len(statuses) == 1 or status["name"] == component)


def enlarge(namespace: str, claim: str) -> None:
    """Enlarges a small volume of the lab to a gigabyte, as an operator does when a disk is full.

    Raises:
        LabError: the volume could not be enlarged.
    """
    volume = must(
        "get", "persistentvolumeclaim", claim, f"--namespace={namespace}", "--output=jsonpath={.spec.volumeName}"
    )
    folder = must("get", "persistentvolume", volume, "--output=jsonpath={.spec.local.path}")
    command = in_node("mount", "-o", "remount,size=1g", folder)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{volume} could not be enlarged: {done.stderr}")


def free_volumes() -> None:
    """Empties the volumes whose claims were deleted, and makes them claimable again: the lab has a fixed number.

    Small ones stay as they are, because `enlarge` may have enlarged them.

    Raises:
        LabError: a volume could not be emptied.
    """
    volumes = json.loads(must("get", "persistentvolumes", "--output=json"))["items"]
    for volume in volumes:
        if volume["status"]["phase"] == "Released" and volume["spec"]["storageClassName"] == STORAGE_CLASS:
            command = in_node("find", volume["spec"]["local"]["path"], "-mindepth", "1", "-delete")
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                raise LabError(f"{volume['metadata']['name']} could not be emptied: {done.stderr}")
            patch = '[{"op": "remove", "path": "/spec/claimRef"}]'
            must("patch", "persistentvolume", volume["metadata"]["name"], "--type=json", f"--patch={patch}")


@contextlib.contextmanager
def unreachable(pods: list[dict[str, Any]], port: int) -> Generator[None]:
    """Drops every packet to a port of some pods without an answer, as a broken network does.

    Raises:
        LabError: iptables failed in a pod.
    """
    rule = ("INPUT", "--protocol", "tcp", "--dport", str(port), "--jump", "DROP")
    with contextlib.ExitStack() as ends:
        for pod in pods:
            _iptables(pod, "--insert", *rule)
            ends.callback(_iptables, pod, "--delete", *rule)
        yield


def cut_off(pods: list[dict[str, Any]], port: int) -> None:
    """Refuses each connection from some pods to a port, as if nothing listened there, until these pods end.

    Raises:
        LabError: iptables failed in a pod.
    """
    for pod in pods:
        refusal = ("--jump", "REJECT", "--reject-with", "tcp-reset")
        _iptables(pod, "--insert", "OUTPUT", "--protocol", "tcp", "--dport", str(port), *refusal)


def _iptables(pod: dict[str, Any], action: str, *rule: str) -> None:
    address = pod["status"]["podIP"]
    done = subprocess.run(in_pod(address, "iptables", action, *rule), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"`iptables {action}` in the pod {address} exited with {done.returncode}: {done.stderr}")
