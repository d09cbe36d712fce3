"""Builds the processors of the Collector: its memory limit, sampling, pods' attributes and batches."""

from components.documents import Document
from components.documents.collector_weights import weights
from settings.collector import CollectorSettings, percent
from settings.collector_sampling import TailSampling
from settings.limits import Exports, tail_batch
from settings.types import seconds


def memory_limiter(settings: CollectorSettings) -> Document:
    """Returns the first processor, as its documentation demands: it must refuse spans before others hold them."""
    return {
        "memory_limiter": {
            "check_interval": "1s",
            "limit_percentage": settings.memory_limiter.limit_percentage,
            "spike_limit_percentage": settings.memory_limiter.spike_limit_percentage,
            # The default is 10 s, in which garbage alone makes it refuse spans.
            "min_gc_interval_when_soft_limited": "1s",
        }
    }


def processors_of(settings: CollectorSettings, namespace: str, exports: Exports) -> Document:
    """Returns the processors in the order of the pipeline."""
    processors = memory_limiter(settings)
    if settings.sampling.ratio is not None:
        processors["probabilistic_sampler"] = {"sampling_percentage": percent(settings.sampling.ratio)}
    processors |= weights(settings.sampling.ratio, are_sampled=exports.are_sampled)
    if settings.kubernetes_attributes:
        # Before anything that mixes spans of several connections: it finds the pod by the connection.
        processors |= kubernetes_attributes(settings, namespace)
    if settings.sampling.tail is not None:
        processors["tail_sampling"] = _tail_sampling(settings.sampling.tail)
    if not settings.release.has_batch_processor:
        # Tail sampling's traces are gathered in the queues (`_gathered`). Nothing splits, as before a persistent queue.
        return processors
    if settings.sampling.tail is not None:
        # Tail sampling passes traces on one by one, and would fill the queue with single traces.
        size = tail_batch(settings, exports)
        processors["batch"] = {
            "timeout": settings.batch.timeout,
            "send_batch_size": size,
            "send_batch_max_size": size,
        }
    elif not settings.queue.is_persistent:
        # Gathers nothing (0) and splits: one push of 100 000 spans, each of its own trace, took Tempo 15 s and 2.6 GB.
        # Not before a persistent queue: a crash would lose spans here after their sender got its answer.
        processors["batch"] = {
            "timeout": "0s",
            "send_batch_size": 0,
            "send_batch_max_size": settings.batch.size,
        }
    return processors


def kubernetes_attributes(settings: CollectorSettings, namespace: str) -> Document:
    """Returns the processor that adds a pod's attributes to its spans."""
    processor = {
        "filter": {"namespace": namespace},
        "extract": {
            "metadata": ["k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.deployment.name", "k8s.node.name"]
        },
        "pod_association": [{"sources": [{"from": "connection"}]}],
    }
    return {settings.release.kubernetes_attributes: processor}


def _tail_sampling(tail: TailSampling) -> Document:
    policies: list[Document] = []
    if tail.errors:
        policies.append({"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}})
    if tail.latency is not None:
        milliseconds = int(seconds(tail.latency) * 1000)
        policies.append({"name": "latency", "type": "latency", "latency": {"threshold_ms": milliseconds}})
    if tail.ratio is not None:
        probabilistic = {"sampling_percentage": percent(tail.ratio)}
        policies.append({"name": "ratio", "type": "probabilistic", "probabilistic": probabilistic})
    return {"decision_wait": tail.decision_wait, "num_traces": tail.traces, "policies": policies}
