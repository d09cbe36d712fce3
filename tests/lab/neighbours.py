"""Makes what a stack has beside it: pods of others in the cluster, and servers outside the cluster."""

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

OUTSIDER = "outsider"
"""The name of a pod that does not belong to the stack."""


def outsiders_namespace(namespace: str) -> str:
    """Returns the namespace of the outsider, beside the stack in `namespace`."""
    return f"{namespace}-{OUTSIDER}"


def address(component: str, namespace: str) -> str:
    """Returns the address of one of a component's pods. Policies select by labels, which the other pods share."""
    labels = f"--selector=app.kubernetes.io/name={component}"
    pods = [
        pod for pod in objects("pods", f"--namespace={namespace}", labels) if "deletionTimestamp" not in pod["metadata"]
    ]
    return pods[0]["status"]["podIP"]


@pytest.fixture(scope="module")
def outsider(lab: None, namespace: str) -> Generator[str]:
    """Yields the address of a pod that does not belong to the stack and that no policy selects."""
    own = outsiders_namespace(namespace)
    remove_namespaces(own, wait=True)
    container = {"name": OUTSIDER, "image": images.pause_image().reference}
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": OUTSIDER, "namespace": own},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        ],
    }
    try:
        assert kubectl("apply", "--filename=-", text=json.dumps(made)).returncode == 0
        ready = ("wait", "--for=condition=Ready", f"--namespace={own}", f"pod/{OUTSIDER}", "--timeout=60s")
        assert kubectl(*ready).returncode == 0
        (pod,) = objects("pods", f"--namespace={own}")
        yield pod["status"]["podIP"]
    finally:
        remove_namespaces(own)


@contextlib.contextmanager
def listening() -> Generator[int]:
    """Listens outside the cluster, on the machine's end of the lab's link, and yields the port."""
    with socket.create_server((HOST_ADDRESS, 0), backlog=64) as server:
        yield server.getsockname()[1]
