"""Lists the pods of a stack's components: containers, replicas and volumes, before the program registers any of them.

It imports no part of Pulumi's Kubernetes SDK, which takes 0.7 s: the program asks the cluster meanwhile whether it has
room for the pods. A test compares the list with the pods that the program registers, for every golden configuration.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from components.documents.demo import demo_settings
from components.plan.labels import COLLECTOR, DECIDER, GRAFANA, NGINX, PROMETHEUS, TEMPO, ingester_names, part_name
from settings import CollectorSettings, GrafanaSettings, NginxSettings, Settings, TempoSettings
from settings.collector_tiers import tiers
from settings.demo import DEMO_SERVICES
from settings.general import Resources
from settings.limits import makes_metrics
from settings.tempo_parts import INGESTER, METRICS_GENERATOR, PART_KEYS
from settings.types import amount

Amounts = Mapping[str, Decimal]
"""Amounts by the names that a ResourceQuota has for them."""

KEYS = {
    NGINX: "nginx",
    COLLECTOR: "collector",
    DECIDER: "collector.sampling.tail",
    TEMPO: "tempo",
    PROMETHEUS: "prometheus",
    GRAFANA: "grafana",
    **dict.fromkeys(DEMO_SERVICES, "demo"),
}
"""The components' keys in the configuration."""

REPLICAS_KEYS = {COLLECTOR: "collector.replicas", DECIDER: "collector.sampling.tail.replicas"}
"""The keys of the numbers of Collectors."""

GATEWAY = "gateway"
"""The name of the second container of Tempo's pod."""

RESOLVE = "resolve"
"""The name of the init container of NGINX's pod."""


DRAIN = "drain"
"""The name of the init container of the Collector's pod."""


@dataclass(frozen=True)
class Container:
    """A container of a pod."""

    name: str
    key: str
    """The configuration's key that `resources` is under."""

    image: str
    """The key of its image in `Settings.images()`."""

    resources: Resources

    def amounts(self, default_cpu_limit: Decimal | None = None) -> Amounts:
        """Returns its requests and limits, by the names of quotas.

        Args:
            default_cpu_limit: the CPU limit of the namespace's LimitRange, which Kubernetes gives to containers without
                one.
        """
        cpu_limit = amount(self.resources.cpu_limit) if self.resources.cpu_limit else default_cpu_limit
        return {
            "requests.cpu": amount(self.resources.cpu),
            "requests.memory": amount(self.resources.memory),
            "limits.memory": amount(self.resources.memory_limit),
            **({"limits.cpu": cpu_limit} if cpu_limit is not None else {}),
        }


@dataclass(frozen=True)
class PodDemand:
    """The pods of a component, which are all alike."""

    component: str
    replicas: int
    containers: Sequence[Container]
    """The component's own first."""

    init_containers: Sequence[Container] = ()
    volume: str | None = None
    """The size of each pod's volume; none without one."""

    storage_class: str | None = None

    @property
    def rolls(self) -> bool:
        """Whether an update starts a new pod before it ends an old one. A StatefulSet ends the old one first."""
        return self.volume is None

    def amounts(self, default_cpu_limit: Decimal | None = None) -> Amounts:
        """Returns the amounts that one pod asks for, by the names of quotas.

        Args:
            default_cpu_limit: as for a container.
        """
        together, before = (
            [container.amounts(default_cpu_limit) for container in containers]
            for containers in (self.containers, self.init_containers)
        )
        return {"count/pods": Decimal(1), **effective(together, before)}


def pods_of(settings: Settings) -> list[PodDemand]:
    """Lists the pods of the stack's components."""
    demands = [_nginx(settings.nginx)]
    if settings.collector.enabled:
        demands += _collectors(settings.collector)
    if settings.tempo.enabled:
        demands += _tempo_parts(settings) if settings.tempo.is_distributed else [_tempo(settings.tempo)]
    own = settings.prometheus
    if own.enabled:
        container = Container(PROMETHEUS, "prometheus", "prometheus", own.resources)
        volume = own.persistence
        demands.append(PodDemand(PROMETHEUS, 1, [container], (), volume.size, volume.storage_class))
    if settings.grafana.enabled:
        demands.append(_grafana(settings.grafana))
    if settings.demo.enabled:
        demands += [_demo(name, nginx) for name, nginx in demo_settings(settings).items()]
    return demands


def _nginx(nginx: NginxSettings) -> PodDemand:
    # The init container asks for the same as NGINX, so that the pod's request stays that of NGINX.
    resolving = [Container(RESOLVE, "nginx", "nginx", nginx.resources)] if nginx.has_init_container else []
    return PodDemand(NGINX, nginx.replicas, [Container(NGINX, "nginx", "nginx", nginx.resources)], resolving)


def _collectors(collector: CollectorSettings) -> Iterator[PodDemand]:
    tail = collector.sampling.tail
    keys = {COLLECTOR: "collector", DECIDER: KEYS[DECIDER] if tail and tail.resources else "collector"}
    for (component, key), tier in zip(keys.items(), tiers(collector), strict=False):
        yield _collector(component, key, tier)


def _collector(component: str, key: str, collector: CollectorSettings) -> PodDemand:
    queue = collector.queue
    size, storage_class = (queue.size, queue.storage_class) if queue.is_persistent else (None, None)
    container = Container(COLLECTOR, key, "collector", collector.resources)
    # The init container asks for the same as the Collector, so that the pod's request stays that of the Collector.
    before = [Container(DRAIN, key, DRAIN, collector.resources)] if queue.drains else []
    return PodDemand(component, collector.replica_count, [container], before, size, storage_class)


def _demo(name: str, nginx: NginxSettings) -> PodDemand:
    resolving = [Container(RESOLVE, "demo", "demo", nginx.resources)] if nginx.has_init_container else []
    return PodDemand(name, nginx.replicas, [Container(NGINX, "demo", "demo", nginx.resources)], resolving)


def _tempo(tempo: TempoSettings) -> PodDemand:
    containers = _tempo_containers(tempo, "tempo", tempo.resources)
    return PodDemand(TEMPO, 1, containers, (), tempo.persistence.size, tempo.persistence.storage_class)


def _tempo_parts(settings: Settings) -> list[PodDemand]:
    tempo, volume = settings.tempo, settings.tempo.persistence
    demands: list[PodDemand] = []
    for part, configured in tempo.parts(makes_metrics=makes_metrics(settings)).items():
        containers = _tempo_containers(tempo, f"tempo.{PART_KEYS[part]}", configured.resources)
        own = (volume.size, volume.storage_class) if part in (INGESTER, METRICS_GENERATOR) else (None, None)
        names = ingester_names(tempo.ingester.zones) if part == INGESTER else [part_name(part)]
        replicas = configured.replicas // len(names)
        demands += [PodDemand(name, replicas, containers, (), *own) for name in names]
    return demands


def _tempo_containers(tempo: TempoSettings, key: str, resources: Resources) -> list[Container]:
    return [
        Container(TEMPO, key, "tempo", resources),
        Container(GATEWAY, "tempo.gateway", "gateway", tempo.gateway.resources),
    ]


def _grafana(grafana: GrafanaSettings) -> PodDemand:
    containers = [Container(GRAFANA, "grafana", "grafana", grafana.resources)]
    return PodDemand(GRAFANA, 1, containers, (), grafana.persistence.size, grafana.persistence.storage_class)


def effective(together: Sequence[Amounts], before: Sequence[Amounts]) -> Amounts:
    """Returns the amounts that Kubernetes counts for a pod: its containers' sum, or an init container's if it is more.

    Source: Kubernetes' documentation, "Init Containers: Resource sharing within containers".

    Args:
        together: the containers, which run at the same time.
        before: the init containers, which run before them, one after another.
    """
    total = summed(together)
    for one in before:
        total |= {name: max(value, total.get(name, Decimal(0))) for name, value in one.items()}
    return total


def summed(amounts: Iterable[Amounts]) -> dict[str, Decimal]:
    """Adds amounts up by their names."""
    total: dict[str, Decimal] = {}
    for one in amounts:
        for name, value in one.items():
            total[name] = total.get(name, Decimal(0)) + value
    return total
