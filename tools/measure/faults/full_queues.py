"""Fills the Collectors' persistent queues, past NGINX, while Tempo is away."""

import os
import time

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lab.errors import LabError
from tools.measure.faults.inject import must, pods
from tools.measure.sizes import EXPORT, messages, receiver
from tools.measure.traffic import Sent
from tools.probe.metrics import parse_metrics, total
from tools.probe.names import COLLECTOR_METRICS_PORT, QUEUE_SIZE

CONFIGURATION = {
    # The smallest one, which holds 197 MB of spans.
    "collector.queue.size": "256Mi",
    # A pod sends them within a minute, after gRPC's wait for a Tempo that was away.
    "collector.queue.drain.timeout": "5m",
}
"""Set beside `scenarios.CONFIGURATION`."""

FULL = 0.9
"""Our choice: above that share of its capacity, a queue has room for the traffic until Tempo is back: a minute of 200
spans a second takes 15 MB, and a tenth is 20 MB."""

SPAN_BYTES = 100_000
"""Our choice: three full queues are then some 5 500 traces, which Tempo lists at once."""

SPANS = 20
"""Of a message, which is a hundredth of the smallest queue."""

_CAPACITY = "otelcol_exporter_queue_capacity"


def share(namespace: str, pod: str) -> float:
    """Returns how full the queue of a Collector is: 1 is full.

    Raises:
        LabError: the Collector does not answer, or has no queue.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{COLLECTOR_METRICS_PORT}/proxy/metrics"
    samples = parse_metrics(must("get", f"--raw={path}"), [QUEUE_SIZE, _CAPACITY])
    capacity = total(samples, _CAPACITY)
    if not capacity:
        raise LabError(f"{pod} has no queue.")
    return total(samples, QUEUE_SIZE) / capacity


def fill(namespace: str) -> Sent:
    """Fills the queue of each Collector above `FULL`, and returns what was sent: traces of one span each.

    Raises:
        LabError: a Collector could not be reached.
    """
    sent = Sent(0)
    for pod in pods(namespace, "otel-collector"):
        name = pod["metadata"]["name"]
        with receiver(namespace, f"pod/{name}") as target, grpc.insecure_channel(target) as channel:
            while share(namespace, name) <= FULL:
                spans = {os.urandom(16): "x" * SPAN_BYTES for _ in range(SPANS)}
                for message in messages(spans, SPAN_BYTES):
                    channel.unary_unary(EXPORT, ExportTraceServiceRequest.SerializeToString)(message, timeout=60)
                sent.answered += [trace_id.hex() for trace_id in spans]
                sent.started.append(time.time())
    return sent
