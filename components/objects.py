"""Lists the Kubernetes objects that a stack makes, before any of them is registered.

Components get the metadata of their objects from `StackContext`, which refuses a fixed name that is not listed here. So
the list cannot lack an object; that it has none too many is tested for every golden configuration.

Imports no part of Pulumi's Kubernetes SDK, which takes 0.7 s: the list is needed before that, and `previews` and
`reliability` read the kinds as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi

from components.labels import COLLECTOR, NGINX, TEMPO
from settings import CollectorSettings, NginxSettings, Settings, TempoSettings
from settings.values import OWN_PREFIX

RECEIVER = "-otlp"
"""What follows Tempo's name in that of the receiver's Service."""

DENY_ALL = "deny-all"
"""The NetworkPolicy that the components' own are exceptions from."""

STACK_ANNOTATION = f"{OWN_PREFIX}stack"
"""The mark on each object: `<project>/<stack>`. An annotation, since a label's value has 63 characters at most."""


def own_mark() -> str:
    """Returns the mark of this stack's objects."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where the API server keeps it."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"
    is_builtin: bool = True
    """Whether each cluster knows it; one of an operator may be missing."""

    @property
    def resource(self) -> str:
        """Returns the kind as `kubectl` and RBAC name it: `deployments.apps`."""
        return f"{self.plural}.{self.group}".removesuffix(".")

    @property
    def singular(self) -> str:
        """Returns the kind as `kubectl` prints it before a name: `deployment.apps`."""
        return f"{self.name.lower()}.{self.group}".removesuffix(".")

    def path(self, namespace: str | None) -> str:
        """Returns the path of the kind's objects on the API server."""
        api = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{api}/namespaces/{namespace}/{self.plural}" if namespace else f"{api}/{self.plural}"


NAMESPACE = Kind("Namespace", "namespaces")
CONFIG_MAP = Kind("ConfigMap", "configmaps")
SECRET = Kind("Secret", "secrets")
SERVICE = Kind("Service", "services")
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts")
CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("Deployment", "deployments", "apps")
STATEFUL_SET = Kind("StatefulSet", "statefulsets", "apps")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2")
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy")
NETWORK_POLICY = Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io")
ROLE = Kind("Role", "roles", "rbac.authorization.k8s.io")
ROLE_BINDING = Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io")
POD_MONITOR = Kind("PodMonitor", "podmonitors", "monitoring.coreos.com", is_builtin=False)

NAMESPACED_KINDS = (
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    DEPLOYMENT,
    STATEFUL_SET,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
    POD_MONITOR,
)
"""Every kind that a stack may make in its namespace. Kubernetes itself makes claims of volumes for StatefulSets."""


@dataclass(frozen=True)
class Planned:
    """An object of a fixed name that a configuration makes, or a claim that its replicas take by name."""

    kind: Kind
    name: str


def planned(settings: Settings) -> list[Planned]:
    """Lists what a configuration makes under fixed names; generated names cannot be anybody else's.

    Args:
        settings: the configuration.
    """
    return [
        *([Planned(NAMESPACE, settings.namespace)] if settings.create_namespace else []),
        *(_tempo(settings.tempo) if settings.tempo.enabled else []),
        *(_collector(settings.collector) if settings.collector.enabled else []),
        *_nginx(settings.nginx),
        *(_pod_monitors(settings) if settings.monitoring.pod_monitors else []),
        *([Planned(NETWORK_POLICY, DENY_ALL)] if settings.network_policies and settings.create_namespace else []),
    ]


def _tempo(tempo: TempoSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, TEMPO)
    yield Planned(SERVICE, f"{TEMPO}{RECEIVER}")
    if tempo.persistence.size is None:
        yield Planned(DEPLOYMENT, TEMPO)
    else:
        yield from _stateful_set(TEMPO, "data", replicas=1)


def _collector(collector: CollectorSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, COLLECTOR)
    if collector.queue.storage == "persistent":
        yield from _stateful_set(COLLECTOR, "queue", replicas=collector.replica_count)
    else:
        yield Planned(DEPLOYMENT, COLLECTOR)
    if collector.replica_count > 1:
        yield Planned(DISRUPTION_BUDGET, COLLECTOR)
    if collector.kubernetes_attributes:
        yield from (Planned(kind, COLLECTOR) for kind in (SERVICE_ACCOUNT, ROLE, ROLE_BINDING))


def _nginx(nginx: NginxSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, NGINX)
    yield Planned(DEPLOYMENT, NGINX)
    if nginx.autoscaling:
        yield Planned(AUTOSCALER, NGINX)
    if (nginx.autoscaling.max_replicas if nginx.autoscaling else nginx.replicas) > 1:
        yield Planned(DISRUPTION_BUDGET, NGINX)


def _stateful_set(component: str, volume: str, *, replicas: int) -> Iterator[Planned]:
    yield Planned(STATEFUL_SET, component)
    yield from (Planned(CLAIM, claim_name(volume, component, ordinal)) for ordinal in range(replicas))


def claim_name(volume: str, stateful_set: str, ordinal: int) -> str:
    """Returns the name that Kubernetes gives to the claim of a StatefulSet's replica."""
    return f"{volume}-{stateful_set}-{ordinal}"


def _pod_monitors(settings: Settings) -> Iterator[Planned]:
    yield Planned(POD_MONITOR, NGINX)
    if settings.collector.enabled:
        yield Planned(POD_MONITOR, COLLECTOR)
    if settings.tempo.enabled:
        yield Planned(POD_MONITOR, TEMPO)
