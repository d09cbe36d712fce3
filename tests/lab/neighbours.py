"""What is beside a stack: pods of others in the cluster, and servers outside of it."""

import contextlib
import json
import socket
from collections.abc import Generator
from typing import Any

import pytest

from lab.build import images
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import objects, remove_namespaces

STRANGER = "stranger"
"""The pod that is not the stack's."""


def strangers_namespace(namespace: str) -> str:
    """The namespace of the pod that is not the stack's, for the tests of a stack in a namespace."""
    return f"{namespace}-{STRANGER}"


def address(component: str, namespace: str) -> str:
    """The address of one of a component's pods; the others have the same labels, which is what policies know."""
    labels = f"--selector=app.kubernetes.io/name={component}"
    pods = [
        pod for pod in objects("pods", f"--namespace={namespace}", labels) if "deletionTimestamp" not in pod["metadata"]
    ]
    return pods[0]["status"]["podIP"]


@pytest.fixture(scope="module")
def stranger(lab: None, namespace: str) -> Generator[str]:
    """The address of a pod that is not the stack's, and that no policy selects."""
    own = strangers_namespace(namespace)
    remove_namespaces(own, wait=True)
    container = {"name": STRANGER, "image": images.pause_image().reference}
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": STRANGER, "namespace": own},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        ],
    }
    try:
        assert kubectl("apply", "--filename=-", text=json.dumps(made)).returncode == 0
        ready = ("wait", "--for=condition=Ready", f"--namespace={own}", f"pod/{STRANGER}", "--timeout=60s")
        assert kubectl(*ready).returncode == 0
        (pod,) = objects("pods", f"--namespace={own}")
        yield pod["status"]["podIP"]
    finally:
        remove_namespaces(own)


@contextlib.contextmanager
def listening() -> Generator[int]:
    """A port of the machine's end of the lab's link that takes connections: somewhere outside of the cluster."""
    with socket.create_server((HOST_ADDRESS, 0), backlog=64) as server:
        yield server.getsockname()[1]
