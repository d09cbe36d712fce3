"""The components' names, the labels that their objects are known by, and the host names of their Services."""

from collections.abc import Mapping, Sequence

from settings.demo import DEMO_SERVICES
from settings.stack import NAME_LABEL, PART_OF_LABEL
from settings.tempo_parts import INGESTER, PART_KEYS
from settings.types import OWN_PREFIX

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

RING = "-ring"
"""The suffix of the headless Service of the ingesters, which all parts of a distributed Tempo join: `tempo-ring`."""

PART_LABEL = "app.kubernetes.io/component"
"""The label that tells a distributed Tempo's parts from each other. All of them have Tempo's name."""

_ZONE_OF_PODS = f"{OWN_PREFIX}zone"
"""The label by which the StatefulSet of a zone knows its ingesters."""

_TEMPO_PARTS = {f"{TEMPO}-{part}": part for part in PART_KEYS}

PART_OF = {PART_OF_LABEL: "nginx-tracing"}
"""The label of every object of a stack."""


def own_labels(component: str) -> dict[str, str]:
    """Returns the labels of a component's objects that selectors are made of.

    Those of Tempo select the pods of all its parts, those of `tempo-querier` the queriers' alone, and those of
    `tempo-ingester-eu-west-1a` the ingesters' of that zone.
    """
    of_ingesters = zone_name("")
    if component.startswith(of_ingesters):
        return {**own_labels(part_labels(INGESTER)), _ZONE_OF_PODS: component.removeprefix(of_ingesters)}
    part = _TEMPO_PARTS.get(component)
    if part is None:
        return {NAME_LABEL: component, **PART_OF}
    return {NAME_LABEL: TEMPO, **PART_OF, PART_LABEL: part}


def part_labels(part: str) -> str:
    """Returns the name whose labels select the pods of a part of Tempo."""
    return f"{TEMPO}-{part}"


def part_name(part: str) -> str:
    """Returns the name of the workload of a part of Tempo.

    The ingesters have Tempo's own: the first one takes over the volume of a monolithic Tempo, and writes to the bucket
    what that one left on it.
    """
    return TEMPO if part == INGESTER else part_labels(part)


def zone_name(zone: str) -> str:
    """Returns the name of the StatefulSet of a zone's ingesters, whose labels select its pods."""
    return f"{part_labels(INGESTER)}-{zone}"


def ingester_names(zones: Sequence[str]) -> list[str]:
    """Returns the names of the ingesters' StatefulSets: one for each zone, or one alone without zones."""
    return [zone_name(zone) for zone in zones] or [part_name(INGESTER)]


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
