"""Lists the Kubernetes objects that a stack makes, before the program registers any of them.

`planned` lists those with fixed names, and `generated` counts those with generated names. Components get the metadata
of their objects from `StackContext`, which refuses a fixed name that is not listed here. The list is thus complete.
Tests compare both with the objects that the program registers, for every golden configuration.

It imports no part of Pulumi's Kubernetes SDK, which takes 0.7 s: the program needs the list before it needs the SDK.
The tools and the lab read the kinds as well.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pulumi

from components.plan.labels import (
    COLLECTOR,
    DECIDER,
    GRAFANA,
    NGINX,
    PROMETHEUS,
    RECEIVER,
    RING,
    TEMPO,
    ingester_names,
    part_labels,
    part_name,
)
from settings import CollectorSettings, GrafanaSettings, NginxSettings, PrometheusSettings, Settings
from settings.collector_tiers import tiers
from settings.limits import makes_metrics
from settings.tempo_parts import INGESTER, METRICS_GENERATOR, QUERY_FRONTEND, ScaledPart
from settings.tempo_storage_rules import storage_keys
from settings.types import OWN_PREFIX

DENY_ALL = "deny-all"
"""The name of the NetworkPolicy that denies everything. The components' own policies are the exceptions."""

DASHBOARDS, DATA_SOURCES = "-dashboards", "-datasources"
"""The suffixes of the objects that a sidecar of Grafana reads."""

STACK_ANNOTATION = f"{OWN_PREFIX}stack"
"""The key of the mark on each object, `<project>/<stack>`. It is an annotation, because a label's value has at most 63
characters."""


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
    """Whether every cluster knows the kind. A cluster without the operator does not know an operator's kind."""

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
POD = Kind("Pod", "pods")
CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("Deployment", "deployments", "apps")
REPLICA_SET = Kind("ReplicaSet", "replicasets", "apps")
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
"""The kinds that a stack may make in its namespace."""

KINDS_OF_KUBERNETES = (POD, REPLICA_SET, CLAIM)
"""The kinds that Kubernetes makes for those kinds, such as the volume claims of a StatefulSet."""


@dataclass(frozen=True)
class Planned:
    """An object that a configuration makes under a fixed name, or a claim that its replicas take by name."""

    kind: Kind
    name: str


def planned(settings: Settings) -> list[Planned]:
    """Lists the objects that a configuration makes under fixed names. Generated names cannot be anybody else's.

    Args:
        settings: the configuration.
    """
    return [
        *([Planned(NAMESPACE, settings.namespace)] if settings.create_namespace else []),
        *(_tempo(settings) if settings.tempo.enabled else []),
        *(_collectors(settings.collector) if settings.collector.enabled else []),
        *_nginx(settings.nginx),
        *(_prometheus(settings.prometheus) if settings.prometheus.enabled else []),
        *_grafana(settings.grafana, has_password=settings.tempo_password is not None),
        *(Planned(kind, name) for name in settings.demo.services for kind in (SERVICE, DEPLOYMENT)),
        *(_pod_monitors(settings) if settings.monitoring.pod_monitors else []),
        *([Planned(NETWORK_POLICY, DENY_ALL)] if settings.network_policies and settings.create_namespace else []),
    ]


def counts(settings: Settings) -> Counter[Kind]:
    """Counts the objects that a configuration makes, by kind.

    Args:
        settings: the configuration.
    """
    return Counter(item.kind for item in planned(settings)) + generated(settings)


def generated(settings: Settings) -> Counter[Kind]:
    """Counts the objects that a configuration makes under generated names, by kind.

    Args:
        settings: the configuration.
    """
    # Imported here: only a namespace with a quota needs the count, and the program starts without it.
    from components.documents.collector import secret_files  # noqa: PLC0415
    from components.documents.nginx_upstreams import upstream_keys  # noqa: PLC0415

    nginx, collector, tempo = settings.nginx, settings.collector, settings.tempo
    components = 1 + collector.enabled * (1 + collector.has_tiers) + tempo.enabled + len(settings.demo.services)
    components += settings.prometheus.enabled + settings.grafana.enabled
    # The parts of Tempo have one ConfigMap, and a policy each.
    parts = len(tempo.parts(makes_metrics=makes_metrics(settings))) if tempo.enabled else 0
    secrets = [
        bool(settings.pull_logins()),
        bool(upstream_keys(nginx) or nginx.exporter.headers),
        settings.edition == "plus" and settings.nginx_license_jwt is not None,
        collector.enabled and bool(secret_files(collector.exporters)),
        collector.enabled and collector.proxy is not None and collector.proxy.password is not None,
        tempo.enabled and settings.tempo_password is not None,
        tempo.enabled and bool(settings.metrics_headers),
        tempo.enabled and bool(storage_keys(settings)),
        settings.grafana.enabled,
    ]
    # `deny-all` has a generated name in a namespace that others use too.
    policies = components + max(parts - 1, 0) + (not settings.create_namespace) if settings.network_policies else 0
    return Counter({CONFIG_MAP: components, SECRET: sum(secrets), NETWORK_POLICY: policies})


def _tempo(settings: Settings) -> Iterator[Planned]:
    tempo = settings.tempo
    yield Planned(SERVICE, TEMPO)
    yield Planned(SERVICE, f"{TEMPO}{RECEIVER}")
    if tempo.storage.identity:
        yield Planned(SERVICE_ACCOUNT, TEMPO)
    if tempo.is_distributed:
        yield from _tempo_parts(settings)
    elif tempo.persistence.size is None:
        yield Planned(DEPLOYMENT, TEMPO)
    else:
        yield from _stateful_set(TEMPO, "data", replicas=1)


def _tempo_parts(settings: Settings) -> Iterator[Planned]:
    yield Planned(SERVICE, f"{TEMPO}{RING}")
    yield Planned(SERVICE, part_labels(QUERY_FRONTEND))
    for part, configured in settings.tempo.parts(makes_metrics=makes_metrics(settings)).items():
        name, most = part_name(part), configured.replicas
        if part in (INGESTER, METRICS_GENERATOR):
            names = ingester_names(settings.tempo.ingester.zones) if part == INGESTER else [name]
            for each in names:
                yield from _stateful_set(each, "data", replicas=configured.replicas // len(names))
        else:
            yield Planned(DEPLOYMENT, name)
        if isinstance(configured, ScaledPart) and configured.autoscaling:
            yield Planned(AUTOSCALER, name)
            most = configured.most_replicas
        if most > 1:
            yield Planned(DISRUPTION_BUDGET, name)


def _collectors(collector: CollectorSettings) -> Iterator[Planned]:
    for component, tier in zip((COLLECTOR, DECIDER), tiers(collector), strict=False):
        yield from _collector(component, tier)


def _collector(component: str, collector: CollectorSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, component)
    if collector.queue.is_persistent:
        yield from _stateful_set(component, "queue", replicas=collector.replica_count)
    else:
        yield Planned(DEPLOYMENT, component)
    if collector.autoscaling:
        yield Planned(AUTOSCALER, component)
    if collector.most_replicas > 1:
        yield Planned(DISRUPTION_BUDGET, component)
    if collector.kubernetes_attributes:
        yield from (Planned(kind, COLLECTOR) for kind in (SERVICE_ACCOUNT, ROLE, ROLE_BINDING))


def _nginx(nginx: NginxSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, NGINX)
    yield Planned(DEPLOYMENT, NGINX)
    if nginx.autoscaling:
        yield Planned(AUTOSCALER, NGINX)
    if (nginx.autoscaling.max_replicas if nginx.autoscaling else nginx.replicas) > 1:
        yield Planned(DISRUPTION_BUDGET, NGINX)


def _prometheus(prometheus: PrometheusSettings) -> Iterator[Planned]:
    yield Planned(SERVICE, PROMETHEUS)
    yield from (Planned(kind, PROMETHEUS) for kind in (SERVICE_ACCOUNT, ROLE, ROLE_BINDING))
    if prometheus.persistence.size is None:
        yield Planned(DEPLOYMENT, PROMETHEUS)
    else:
        yield from _stateful_set(PROMETHEUS, "data", replicas=1)


def _grafana(grafana: GrafanaSettings, *, has_password: bool) -> Iterator[Planned]:
    if grafana.enabled:
        yield Planned(SERVICE, GRAFANA)
        if grafana.persistence.size is None:
            yield Planned(DEPLOYMENT, GRAFANA)
        else:
            yield from _stateful_set(GRAFANA, "data", replicas=1)
    if grafana.provision:
        yield Planned(CONFIG_MAP, f"{GRAFANA}{DASHBOARDS}")
        yield Planned(SECRET if has_password else CONFIG_MAP, f"{GRAFANA}{DATA_SOURCES}")


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
        if settings.collector.has_tiers:
            yield Planned(POD_MONITOR, DECIDER)
    if settings.tempo.enabled:
        yield Planned(POD_MONITOR, TEMPO)
    # Without `allowedNamespaces` its policy lets no other Prometheus in.
    if settings.prometheus.enabled and (settings.prometheus.allowed_namespaces or not settings.network_policies):
        yield Planned(POD_MONITOR, PROMETHEUS)
