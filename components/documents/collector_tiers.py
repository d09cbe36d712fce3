"""Builds the configurations of two tiers of Collectors: OTLP in, each trace to one decider, decisions, OTLP out.

The deciders have the document of a Collector that stands alone, without `kubernetesAttributes`. What needs the
sender's connection stands in the first tier. Everything else stands behind the decision, where it works on kept traces
alone, and so that a message between the tiers is as large as the sender's: `semanticConventions` and the spans of
upstreams would nearly triple it. The weights of sampled spans are numbers of their spans, which each decider makes.
"""

from components.documents import Document
from components.documents.collector import OTLP_PORT, TIMEOUT, collector_document, receivers, whole
from components.documents.collector_processors import kubernetes_attributes, memory_limiter
from settings.collector import CollectorSettings
from settings.collector_tiers import DECIDER_RECEIVER, LOOKUP_SECONDS, first_tier, second_tier
from settings.limits import Exports, queue_bytes, receiver

EXPORTER = "deciders"
"""The name of the exporter, behind its type."""

_SAME_DECIDER = 10
"""The seconds for which a part of a message is repeated for the same decider.

Our choice. The exporter repeats all parts of a message if one fails, because it does not know which (contrib#45015),
and deciders then get spans twice. Within this time, in which a decider that restarts is back, only the failed part is
repeated. For a decider that is gone, the message is sent again after this time, to those that DNS tells of then.
"""


def first_tier_document(settings: CollectorSettings, *, deciders: str, namespace: str) -> Document:
    """Returns the configuration of a Collector that sends all spans of a trace to the same decider.

    Args:
        settings: what can be configured.
        deciders: the host of the deciders' headless Service.
        namespace: the namespace whose pods are looked up, with `kubernetesAttributes`.
    """
    own = first_tier(settings)
    processors = memory_limiter(own)
    if own.kubernetes_attributes:
        processors |= kubernetes_attributes(own, namespace)
    exporters = {f"{own.release.load_balancing}/{EXPORTER}": _exporter(own, deciders)}
    pipeline = {"receivers": ["otlp"], "processors": list(processors), "exporters": list(exporters)}
    # No more than the backends of the deciders take, so that an application learns of it here.
    received = receivers(own, receiver(settings), ages=True)
    parts: Document = {"receivers": received, "processors": processors, "exporters": exporters}
    return whole(own, parts, {"traces": pipeline})


def second_tier_document(
    settings: CollectorSettings, *, backend: str | None, namespace: str, exports: Exports
) -> Document:
    """Returns the configuration of a decider. The arguments are those of `collector_document`."""
    own = second_tier(settings)
    return collector_document(own, backend=backend, namespace=namespace, exports=exports, largest=DECIDER_RECEIVER)


def _exporter(own: CollectorSettings, deciders: str) -> Document:
    """Returns the exporter: one queue in memory, and behind it an exporter without a queue for each decider.

    A queue of these would be dropped with its decider: it ends once DNS no longer tells of it, and nothing counts that.
    Without one, a failure goes back to the queue, whose next attempt goes by the addresses of that time.
    """
    # Both exporters of the type's own configuration have no defaults for these: a factor of 0 repeats without a pause.
    repeats = {"enabled": True, "initial_interval": "1s", "multiplier": 1.5, "randomization_factor": 0.5}
    return {
        "routing_key": "traceID",
        "resolver": {
            "dns": {
                "hostname": deciders,
                "port": str(OTLP_PORT),
                "interval": f"{LOOKUP_SECONDS}s",
                # The default of 1 s is shorter than a lost packet takes: pods repeat a question after 5 s.
                "timeout": f"{LOOKUP_SECONDS}s",
            }
        },
        "protocol": {
            "otlp": {
                "tls": {"insecure": True},
                # As on the way to Tempo: it saves only the cluster's own network.
                "compression": "none",
                "timeout": TIMEOUT,
                "retry_on_failure": repeats | {"max_interval": "5s", "max_elapsed_time": f"{_SAME_DECIDER}s"},
                "sending_queue": {"enabled": False},
            }
        },
        # Longer than all attempts at one decider: the default of 5 s would end them.
        "timeout": "60s",
        # 0 is for ever: spans wait until a decider takes them.
        "retry_on_failure": repeats | {"max_interval": "10s", "max_elapsed_time": "0s"},
        "sending_queue": {
            "enabled": True,
            "num_consumers": _CONSUMERS,
            "sizer": "bytes",
            "queue_size": queue_bytes(own),
        }
        | ({"batch": {"enabled": False}} if own.release.batches_by_default else {}),
    }


_CONSUMERS = 10
"""Messages that are under way at once: the default of every exporter, which this type lacks in 0.126."""
