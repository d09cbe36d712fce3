"""The components' names, the labels that their objects are known by, and the host names of their Services."""

from collections.abc import Mapping

from settings.demo import DEMO_SERVICES
from settings.stack import NAME_LABEL, PART_OF_LABEL

NGINX = "nginx"
COLLECTOR = "otel-collector"
DECIDER = "otel-collector-decider"
"""The second tier of Collectors, which tail sampling with several replicas makes."""

TEMPO = "tempo"
PROMETHEUS = "prometheus"
GRAFANA = "grafana"
COMPONENTS = (NGINX, COLLECTOR, TEMPO, PROMETHEUS, GRAFANA, *DEMO_SERVICES)
"""The components of every stack, whether it has them or not. Kubernetes objects have these names, and selectors select
pods by them. `DECIDER` is not among them: the policy `deny-all` names it where there is one."""

RECEIVER = "-otlp"
"""The suffix of the Service that Tempo receives spans at: `tempo-otlp`. Tempo's other Service is for clients."""

PART_OF = {PART_OF_LABEL: "nginx-tracing"}
"""The label of every object of a stack."""


def own_labels(component: str) -> dict[str, str]:
    """Returns the labels of a component's objects that selectors are made of."""
    return {NAME_LABEL: component, **PART_OF}


def is_part_of(labels: Mapping[str, str]) -> bool:
    """Tells whether an object with these labels belongs to a stack of this program."""
    return PART_OF.items() <= labels.items()


def selector(labels: Mapping[str, str]) -> str:
    """Returns labels as the `labelSelector` of a request, or the `--selector` of kubectl."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def service_host(service: str, namespace: str) -> str:
    """Returns the host name of a Service for pods.

    It leaves out the cluster's domain, which is not `cluster.local` everywhere. Pods search the domain.
    """
    return f"{service}.{namespace}.svc"
