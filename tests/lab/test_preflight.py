"""Tests a namespace that others use, and a cluster that refuses something: the errors, and that nothing is touched.

The tests of this module share one stack and run in the order that they are written in.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Generator
from typing import Any

import pytest

from lab.build import images
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import connects, objects, remove_namespaces
from tests.lab.neighbours import listening
from tests.waiting import wait_for
from tools.lab_stack import Stack, take_interrupts

SHARED = "tracing-shared"
NEIGHBOUR = "tracing-neighbour"
TAKEN = 30_038
"""A NodePort that a Service of the neighbour's holds: Kubernetes gives it only to a Service that asks for it."""

SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def applied(*items: dict[str, Any]) -> None:
    done = kubectl("apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert done.returncode == 0, done.stderr


def an_object(kind: str, name: str, namespace: str = SHARED, version: str = "v1", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def quota(**hard: str) -> dict[str, Any]:
    return an_object("ResourceQuota", "team", spec={"hard": {name.replace("_", "."): at for name, at in hard.items()}})


def somebody_s() -> dict[str, str]:
    """Everything of others in the shared namespace, by its version: none that somebody touched has the same."""
    kinds = "configmaps,secrets,services,deployments,networkpolicies,serviceaccounts,limitranges,resourcequotas"
    found = objects(kinds, f"--namespace={SHARED}", "--selector=app.kubernetes.io/part-of!=nginx-tracing")
    return {
        f"{item['kind']} {item['metadata']['name']}": json.dumps(item.get("spec", item.get("data"))) for item in found
    }


def labels_of_the_namespace() -> dict[str, str]:
    return json.loads(kubectl("get", "namespace", SHARED, "--output=json").stdout)["metadata"]["labels"]


def somebody_s_pod() -> str:
    """The address of the pod that was there before the stack."""
    (pod,) = objects("pods", f"--namespace={SHARED}", "--selector=app=somebody")
    return pod["status"]["podIP"]


@pytest.fixture(scope="module")
def neighbours(lab: None) -> Generator[None]:
    """A namespace with a Deployment, a ConfigMap and a policy of somebody else's; and a neighbour with a NodePort."""
    container = {"name": "main", "image": images.pause_image().reference, "securityContext": SECURITY}
    template = {
        "metadata": {"labels": {"app": "somebody"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    deployment = {"replicas": 1, "selector": {"matchLabels": {"app": "somebody"}}, "template": template}
    port = {"port": 80, "nodePort": TAKEN}
    policy = {"podSelector": {"matchLabels": {"app": "nobody"}}, "policyTypes": ["Ingress"]}
    remove_namespaces(SHARED, NEIGHBOUR, wait=True)
    try:
        for name in (SHARED, NEIGHBOUR):
            applied({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "theirs"}}})
        applied(
            an_object("ConfigMap", "somebody", data={"key": "theirs"}),
            an_object("Deployment", "somebody", version="apps/v1", spec=deployment),
            an_object("NetworkPolicy", "deny-all", version="networking.k8s.io/v1", spec=policy),
            an_object("Service", "shop", NEIGHBOUR, spec={"type": "NodePort", "ports": [port]}),
        )
        ready = ("rollout", "status", "deployment/somebody", f"--namespace={SHARED}", "--timeout=60s")
        assert kubectl(*ready).returncode == 0
        yield
    finally:
        remove_namespaces(SHARED, NEIGHBOUR)


@pytest.fixture(scope="module")
def program(neighbours: None, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Returns a small stack that is not deployed yet. The fixture of its namespace removes it."""
    made = Stack.lay_out(tmp_path_factory.mktemp("stack") / "program", "preflight", SHARED)
    small = {f"{component}.resources.cpu": "50m" for component in ("nginx", "collector", "tempo")}
    made.configure({"createNamespace": "false", **small})
    return made


def refusal(stack: Stack) -> str:
    """Returns the error of a preview, which changes nothing."""
    before = somebody_s()
    done = stack.pulumi("preview")
    assert done.returncode != 0
    assert "nothing was changed" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    assert somebody_s() == before
    # Pulumi indents it, by more where it repeats it.
    return re.sub(r"\n +", "\n", done.stdout)


def test_a_namespace_that_is_not_there_is_said_in_the_preview(program: Stack) -> None:
    program.configure({"namespace": "tracing-nowhere"})
    said = refusal(program)
    program.configure({"namespace": SHARED})
    assert "there is no such namespace, and `createNamespace` is false" in said
    assert "kubectl create namespace tracing-nowhere" in said


def test_quotas_without_room_are_said_in_the_preview_all_at_once(program: Stack) -> None:
    applied(quota(pods="2", requests_cpu="100m", services_nodeports="1", limits_cpu="10"))
    try:
        wait_for("the quota's count", lambda: "used" in objects("resourcequotas", f"--namespace={SHARED}")[0]["status"])
        said = refusal(program)
    finally:
        kubectl("delete", "resourcequota", "team", f"--namespace={SHARED}")
    head = f"ResourceQuota team of the namespace {SHARED}:"
    assert f"{head} pods\nthe stack asks for 4 and has 0 of them; 1 of 2 are free" in said
    assert f"{head} requests.cpu\nthe stack asks for 210m and has 0 of them; 100m of 100m are free" in said
    assert f"{head} services.nodeports\nthe stack asks for 2 and has 0 of them; 1 of 1 are free" in said
    assert f"{head} limits.cpu\nKubernetes refuses pods without a CPU limit if a quota counts it" in said


def test_what_the_api_server_would_say_of_the_pods_is_said_in_the_preview(program: Stack) -> None:
    limits = [{"type": "Container", "max": {"memory": "1Gi"}}]
    applied(an_object("LimitRange", "small", spec={"limits": limits}))
    try:
        said = refusal(program)
    finally:
        kubectl("delete", "limitrange", "small", f"--namespace={SHARED}")
    assert "maximum memory usage per Container is 1Gi, but limit is 2000Mi" in said
    assert "pulumi config set --path tempo.resources.memoryLimit 1Gi" in said


def test_a_node_port_that_is_taken_and_one_out_of_range_are_said_in_the_preview(program: Stack) -> None:
    program.configure({"nginx.nodePort": str(TAKEN), "tempo.nodePort": "8080"})
    said = refusal(program)
    for key in ("nginx.nodePort", "tempo.nodePort"):
        program.must("config", "rm", "--path", key)
    assert f"nginx-tracing:nginx.nodePort = {TAKEN}\nis held by the Service shop in the namespace {NEIGHBOUR}\n" in said
    assert "nginx-tracing:tempo.nodePort = 8080\nis not among the ports that this cluster gives, which are 30" in said


def test_it_runs_beside_others_and_leaves_their_objects_and_their_traffic_alone(program: Stack) -> None:
    labels, theirs = labels_of_the_namespace(), somebody_s()
    program.up()
    assert labels_of_the_namespace() == labels
    assert somebody_s() == theirs
    pod = somebody_s_pod()
    (nginx,) = objects("pods", f"--namespace={SHARED}", "--selector=app.kubernetes.io/name=nginx")
    with listening() as port:
        # By now the firewall knows the policies of the stack, which cut its own pods off.
        wait_for(
            "the stack's policies",
            lambda: not connects(nginx["status"]["podIP"], HOST_ADDRESS, port),
            seconds=30,
        )
        assert connects(pod, HOST_ADDRESS, port)
    assert connects(pod, nginx["status"]["podIP"], 8080)


def test_a_full_quota_is_no_obstacle_to_what_changes_no_pod_and_is_said_of_an_edit_that_does(program: Stack) -> None:
    pods = len(objects("pods", f"--namespace={SHARED}"))
    applied(quota(pods=str(pods)))
    try:
        wait_for(
            "the quota's count",
            lambda: (
                objects("resourcequotas", f"--namespace={SHARED}")[0]["status"].get("used", {}).get("pods") == str(pods)
            ),
        )
        program.must("preview", "--expect-no-changes")
        program.configure({"nginx.serviceName": "shop"})
        done = program.pulumi("preview")
        assert done.returncode != 0
        assert "an update of nginx starts a pod before it ends one, and there is no room for it" in done.stdout
        assert f"pods of the ResourceQuota team: a pod asks for 1, 0 of {pods} are free" in done.stdout
    finally:
        kubectl("delete", "resourcequota", "team", f"--namespace={SHARED}")
        program.must("config", "rm", "--path", "nginx.serviceName")


def interrupted_up(stack: Stack, words: str, seconds: float) -> str:
    """Deploys until some words are printed, interrupts the update, and returns everything that it printed."""
    take_interrupts()
    command = ["pulumi", "--non-interactive", "--color=never", "up", "--yes", "--skip-preview", f"--stack={stack.name}"]
    log = stack.folder / "up.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=stack.folder, env=stack.environment, stdout=file, stderr=file)
        try:
            wait_for(words, lambda: words in log.read_text() or process.poll() is not None, seconds=seconds)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    return log.read_text()


def test_a_pod_that_finds_no_node_is_told_while_up_waits(program: Stack) -> None:
    program.configure({"nginx.resources.cpu": "64"})
    warned = program.must("preview")
    assert "nginx.resources.cpu = 64 is more than any node has" in warned
    said = interrupted_up(program, "Insufficient cpu", seconds=30)
    program.configure({"nginx.resources.cpu": "50m"})
    assert "warning: nginx is not Ready yet: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu." in said


def test_what_nginx_says_of_its_configuration_is_in_the_error_of_an_up_that_fails_soon(program: Stack) -> None:
    program.configure({"nginx.extraConfig.server": "include /nowhere/snippet.conf;"})
    began = time.monotonic()
    done = program.pulumi("up", "--yes", "--skip-preview")
    took = time.monotonic() - began
    program.must("config", "rm", "--path", "nginx.extraConfig")
    assert done.returncode != 0
    words = '[emerg] 1#1: open() "/nowhere/snippet.conf" failed (2: No such file or directory) in /etc/nginx/nginx.conf'
    assert f"error: nginx does not become Ready: {words}" in done.stdout
    # The provider alone waits for five minutes.
    assert took < 150
    program.up()


def test_destroy_leaves_the_namespace_and_all_that_is_not_the_stack_s(program: Stack) -> None:
    labels, theirs = labels_of_the_namespace(), somebody_s()
    program.must("destroy", "--yes", "--skip-preview")
    assert labels_of_the_namespace() == labels
    assert somebody_s() == theirs
    kinds = "configmaps,secrets,services,deployments,networkpolicies"
    assert objects(kinds, f"--namespace={SHARED}", "--selector=app.kubernetes.io/part-of=nginx-tracing") == []
    assert somebody_s_pod()
