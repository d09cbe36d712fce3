"""Tests NetworkPolicies as a cluster enforces them, from pods of the stack and from an outsider.

The tests of this module share one stack and run in the order that they are written in.
"""

import json
from typing import Any

from lab.build import images
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab import neighbours
from tests.lab.conftest import Stack, connects, probe
from tests.lab.neighbours import listening, outsiders_namespace
from tests.lab.neighbours import outsider as outsider  # noqa: PLC0414 - a fixture
from tests.waiting import wait_for

NAMESPACE = "tracing-network"


def address(component: str) -> str:
    return neighbours.address(component, NAMESPACE)


def test_an_outsider_reaches_what_is_public_and_nothing_else(stack: Stack, outsider: str) -> None:
    nginx, collector, tempo = (address(component) for component in ("nginx", "otel-collector", "tempo"))
    # The firewall knows a new pod within a second or two.
    wait_for("the outsider at NGINX", lambda: connects(outsider, nginx, 8080), seconds=30)
    assert connects(outsider, collector, 8888), "counters"
    assert connects(outsider, tempo, 3100), "Tempo's API"
    assert connects(outsider, nginx, 8081), "NGINX's counters"
    assert not connects(outsider, collector, 13133), "the Collector's health"
    assert not connects(outsider, collector, 4317), "the Collector's receiver"
    assert not connects(outsider, tempo, 4317), "Tempo's receiver"


def test_pods_of_the_stack_connect_to_their_next_hop_alone(stack: Stack, outsider: str) -> None:
    nginx, collector, tempo = (address(component) for component in ("nginx", "otel-collector", "tempo"))
    assert connects(nginx, collector, 4317)
    assert connects(collector, tempo, 4317)
    assert not connects(nginx, tempo, 4317)
    assert not connects(nginx, tempo, 3100)
    assert not connects(collector, nginx, 8080)
    assert not connects(tempo, collector, 4317)
    with listening() as port:
        for pod in (nginx, collector, tempo):
            assert not connects(pod, HOST_ADDRESS, port)
        assert connects(outsider, HOST_ADDRESS, port), "nothing but the policies is in the way"


def test_a_pod_of_somebody_else_s_in_the_namespace_is_left_alone(stack: Stack) -> None:
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "lost", "image": images.pause_image().reference, "securityContext": security}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lost", "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "lost"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    applied = kubectl("apply", "--filename=-", text=json.dumps(pod))
    assert applied.returncode == 0, applied.stderr
    try:
        ready = ("wait", "--for=condition=Ready", f"--namespace={NAMESPACE}", "pod/lost", "--timeout=60s")
        assert kubectl(*ready).returncode == 0
        lost, nginx = address("lost"), address("nginx")
        with listening() as port:
            wait_for("its connections", lambda: connects(lost, HOST_ADDRESS, port), seconds=30)
        assert connects(lost, nginx, 8080)
        assert not connects(lost, address("otel-collector"), 4317), "what the stack's pods take is still theirs to say"
    finally:
        kubectl("delete", "pod", "lost", f"--namespace={NAMESPACE}")


def test_an_address_that_is_configured_is_let_through_and_it_alone(stack: Stack) -> None:
    with listening() as port, listening() as other:
        stack.configure({"nginx.egress[0]": f"{HOST_ADDRESS}:{port}"})
        # The new policy comes first: an update in place would cut old pods off from what only they still need.
        assert stack.planned() == {"kubernetes:networking.k8s.io/v1:NetworkPolicy::nginx": "replace"}
        stack.up()
        nginx = address("nginx")
        wait_for("the configured address", lambda: connects(nginx, HOST_ADDRESS, port), seconds=30)
        assert not connects(nginx, HOST_ADDRESS, other)


def test_a_namespace_of_applications_may_send_spans(stack: Stack, outsider: str) -> None:
    stack.configure({"collector.receivers.namespaces[0]": outsiders_namespace(NAMESPACE)})
    stack.up()
    collector = address("otel-collector")
    wait_for("the outsider at the receiver", lambda: connects(outsider, collector, 4317), seconds=30)
    assert not connects(outsider, collector, 13133), "its health"


def test_every_request_is_still_found(stack: Stack) -> None:
    code, result = probe(stack, "--requests=50")
    assert code == 0
    assert [hop["unreadable"] for hop in result["hops"]] == [None] * len(result["hops"])


def test_without_them_an_outsider_gets_through(stack: Stack, outsider: str) -> None:
    stack.configure({"networkPolicies": "false"})
    stack.up()
    collector = address("otel-collector")
    wait_for("the outsider at the Collector's health", lambda: connects(outsider, collector, 13133), seconds=30)
