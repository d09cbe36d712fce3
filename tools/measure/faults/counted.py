"""Reads single counters of pods, through the API server."""

from typing import Any

from tools.lab_stack import Stack
from tools.measure.faults.inject import must, pods
from tools.probe.metrics import parse_metrics, total


def counter(pod: dict[str, Any], port: int, metric: str) -> int:
    """Returns a counter of a pod, summed over its labels; 0 if the pod does not have it.

    Raises:
        LabError: the pod does not answer.
    """
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    page = must("get", f"--raw=/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics")
    return int(total(parse_metrics(page, [metric]), metric))


def counter_of(stack: Stack, component: str, port: int, metric: str) -> int:
    """Returns the sum of a counter over a component's pods."""
    return sum(counter(pod, port, metric) for pod in pods(stack.namespace, component))
