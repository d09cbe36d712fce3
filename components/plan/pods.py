"""Lists the pods of a stack's components: their containers, replicas and volumes, before any of them is registered.

Imports no part of Pulumi's Kubernetes SDK, which takes 0.7 s: the cluster is asked meanwhile whether it has room for
the pods. A test compares them with what the program registers, for every golden configuration.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from components.plan.labels import COLLECTOR, NGINX, TEMPO
from settings import NginxSettings, Settings, TempoSettings
from settings.general import Resources
from settings.types import amount

Amounts = Mapping[str, Decimal]
"""Amounts by the names that a ResourceQuota has for them."""

KEYS = {NGINX: "nginx", COLLECTOR: "collector", TEMPO: "tempo"}
"""The components' keys in the configuration."""

GATEWAY = "gateway"
"""The name of the second container of Tempo's pod."""

RESOLVE = "resolve"
"""The name of the init container of NGINX's pod."""


@dataclass(frozen=True)
class Container:
    """A container of a pod."""

    name: str
    key: str
    """Where `resources` configures it."""

    image: str
    """The key of its image in `Settings.images()`."""

    resources: Resources

    def amounts(self, default_cpu_limit: Decimal | None = None) -> Amounts:
        """Returns its requests and limits, by the names of quotas.

        Args:
            default_cpu_limit: the one of the namespace's LimitRange, which Kubernetes adds where none is set.
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
    """The size of the volume that each has."""

    storage_class: str | None = None

    @property
    def rolls(self) -> bool:
        """Whether an update starts a pod more before it ends one; the pods of a StatefulSet end first."""
        return self.volume is None

    def amounts(self, default_cpu_limit: Decimal | None = None) -> Amounts:
        """Returns what one pod asks for, by the names of quotas.

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
    collector = settings.collector
    if collector.enabled:
        queue = collector.queue
        size, storage_class = (queue.size, queue.storage_class) if queue.storage == "persistent" else (None, None)
        container = Container(COLLECTOR, "collector", "collector", collector.resources)
        demands.append(PodDemand(COLLECTOR, collector.replica_count, [container], (), size, storage_class))
    if settings.tempo.enabled:
        demands.append(_tempo(settings.tempo))
    return demands


def _nginx(nginx: NginxSettings) -> PodDemand:
    # The init container asks for the same as NGINX, so that the pod's request stays that of NGINX.
    resolving = [Container(RESOLVE, "nginx", "nginx", nginx.resources)] if nginx.has_init_container else []
    return PodDemand(NGINX, nginx.replicas, [Container(NGINX, "nginx", "nginx", nginx.resources)], resolving)


def _tempo(tempo: TempoSettings) -> PodDemand:
    containers = [
        Container(TEMPO, "tempo", "tempo", tempo.resources),
        Container(GATEWAY, "tempo.gateway", "gateway", tempo.gateway.resources),
    ]
    return PodDemand(TEMPO, 1, containers, (), tempo.persistence.size, tempo.persistence.storage_class)


def effective(together: Sequence[Amounts], before: Sequence[Amounts]) -> Amounts:
    """Returns what Kubernetes counts for a pod: the sum of its containers, or an init container that asks for more.

    Source: Kubernetes' documentation, "Init Containers: Resource sharing within containers".

    Args:
        together: the containers that run at a time.
        before: the init containers, which run one after another before those.
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
