"""What a stack asks of its namespace, and whether the namespace's quotas have room for it.

Pure functions of the settings and of the cluster's objects, as its API writes them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from components.api_objects import Object, labels, listed, section
from components.labels import COLLECTOR, NGINX, TEMPO
from settings import Settings
from settings.general import Resources
from settings.stack import NAME_LABEL
from settings.values import amount

Amounts = Mapping[str, Decimal]
"""Amounts by the names that a ResourceQuota has for them."""

KEYS = {NGINX: "nginx", COLLECTOR: "collector", TEMPO: "tempo"}
"""The components' keys in the configuration."""

LISTS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "persistentvolumeclaims": "/api/v1",
    "configmaps": "/api/v1",
    "secrets": "/api/v1",
    "deployments.apps": "/apis/apps/v1",
    "statefulsets.apps": "/apis/apps/v1",
    "networkpolicies.networking.k8s.io": "/apis/networking.k8s.io/v1",
}
"""Where the kinds of objects are listed whose number a quota may limit, by their names in `count/<name>`."""

_SYNONYMS = {"cpu": "requests.cpu", "memory": "requests.memory"} | {
    name: f"count/{name}" for name in ("pods", "services", "persistentvolumeclaims", "configmaps", "secrets")
}
"""Older names of quotas' resources: Kubernetes' documentation, "Resource Quotas"."""

_OF_PODS = ("count/pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


@dataclass(frozen=True)
class PodDemand:
    """What the pods of a component ask for, each."""

    component: str
    replicas: int
    resources: Resources
    volume: str | None = None
    """The size of the volume that each has."""
    storage_class: str | None = None

    @property
    def rolls(self) -> bool:
        """Whether an update starts a pod more before it ends one; the pods of a StatefulSet end first."""
        return self.volume is None

    def amounts(self, default_cpu_limit: Decimal | None = None) -> Amounts:
        """One pod, by the names of quotas.

        Args:
            default_cpu_limit: that of the namespace's LimitRange, which Kubernetes adds where none is set.
        """
        cpu_limit = amount(self.resources.cpu_limit) if self.resources.cpu_limit else default_cpu_limit
        return {
            "count/pods": Decimal(1),
            "requests.cpu": amount(self.resources.cpu),
            "requests.memory": amount(self.resources.memory),
            "limits.memory": amount(self.resources.memory_limit),
            **({"limits.cpu": cpu_limit} if cpu_limit is not None else {}),
        }


@dataclass(frozen=True)
class Live:
    """What is in the namespace already."""

    quotas: Sequence[Object] = ()
    limit_ranges: Sequence[Object] = ()
    own: Mapping[str, Sequence[Object]] = field(default_factory=dict[str, Sequence[Object]])
    """The stack's own objects, by the names in `LISTS`; without those that may not be listed."""


@dataclass(frozen=True)
class Shortage:
    """A resource of a quota that has no room."""

    quota: str
    resource: str
    text: str
    commands: tuple[str, ...] = ()


def pods_of(settings: Settings) -> list[PodDemand]:
    """The pods of the stack's components."""
    nginx, collector, tempo = settings.nginx, settings.collector, settings.tempo
    demands = [PodDemand(NGINX, nginx.replicas, nginx.resources)]
    if collector.enabled:
        queue = collector.queue
        size, storage_class = (queue.size, queue.storage_class) if queue.storage == "persistent" else (None, None)
        demands.append(PodDemand(COLLECTOR, collector.replica_count, collector.resources, size, storage_class))
    if tempo.enabled:
        volume = tempo.persistence
        demands.append(PodDemand(TEMPO, 1, tempo.resources, volume.size, volume.storage_class))
    return demands


def needed_lists(quotas: Iterable[Object]) -> set[str]:
    """The lists of the stack's own objects that are needed to judge some quotas."""
    needed: set[str] = set()
    for quota in quotas:
        for name in map(_canonical, _limits(quota)):
            if name in _OF_PODS:
                needed.add("pods")
            elif name.startswith("services."):
                needed.add("services")
            elif name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
                needed.add("persistentvolumeclaims")
            elif name.removeprefix("count/") in LISTS:
                needed.add(name.removeprefix("count/"))
    return needed


def shortages(settings: Settings, live: Live) -> list[Shortage]:
    """What the quotas have no room for, beyond what the stack has already."""
    found: list[Shortage] = []
    default = _default_cpu_limit(live)
    for quota in live.quotas:
        if not _covers(quota, settings):
            continue
        name = str(quota["metadata"]["name"])
        wanted, own = _wanted(settings, default), _own(live)
        for resource, hard in _limits(quota).items():
            canonical = _canonical(resource)
            unlimited = list(_without_cpu_limit(settings, name, resource, default)) if canonical == "limits.cpu" else []
            found += unlimited
            if unlimited or canonical not in wanted or canonical not in own:
                continue
            more = max(Decimal(0), wanted[canonical] - own[canonical])
            free = max(Decimal(0), hard - _used(quota, resource))
            if more > free:
                text = (
                    f"the stack asks for {_written(canonical, wanted[canonical])}"
                    f" and has {_written(canonical, own[canonical])} of them; "
                    f"{_written(canonical, free)} of {_written(canonical, hard)} are free"
                )
                found.append(Shortage(name, resource, text, _smaller(settings, canonical, more - free)))
    return found


def without_room_to_roll(settings: Settings, live: Live) -> dict[str, str]:
    """The components that run and of which no pod more can be started, as an update of them needs; and what lacks.

    Each is judged by itself: two that roll at once wait for each other, since Kubernetes tries again.
    """
    lacking: dict[str, list[str]] = {}
    default = _default_cpu_limit(live)
    running = {str(labels(pod).get(NAME_LABEL)) for pod in live.own.get("pods", ())}
    for demand in pods_of(settings):
        if demand.component not in running or not demand.rolls:
            continue
        one = demand.amounts(default)
        for quota in filter(lambda quota: _covers(quota, settings), live.quotas):
            for resource, hard in _limits(quota).items():
                canonical = _canonical(resource)
                free = max(Decimal(0), hard - _used(quota, resource))
                if canonical in one and one[canonical] > free:
                    lacking.setdefault(demand.component, []).append(
                        f"{resource} of the ResourceQuota {quota['metadata']['name']}: a pod asks for "
                        f"{_written(canonical, one[canonical])}, {_written(canonical, free)} of "
                        f"{_written(canonical, hard)} are free"
                    )
    return {component: "; ".join(texts) for component, texts in lacking.items()}


def _canonical(resource: str) -> str:
    return _SYNONYMS.get(resource, resource)


def _limits(quota: Object) -> dict[str, Decimal]:
    hard = section(quota, "status", "hard") or section(quota, "spec", "hard")
    return {str(name): quantity(str(value)) for name, value in hard.items()}


def _used(quota: Object, resource: str) -> Decimal:
    return quantity(str(section(quota, "status", "used").get(resource, "0")))


def _wanted(settings: Settings, default_cpu_limit: Decimal | None) -> dict[str, Decimal]:
    wanted: dict[str, Decimal] = {}

    def add(name: str, value: Decimal | int) -> None:
        wanted[name] = wanted.get(name, Decimal(0)) + value

    demands = pods_of(settings)
    for demand in demands:
        for name, value in demand.amounts(default_cpu_limit).items():
            add(name, demand.replicas * value)
        add("count/services", 1)
        add("count/configmaps", 1)
        add("count/statefulsets.apps" if demand.volume else "count/deployments.apps", 1)
        if settings.network_policies:
            add("count/networkpolicies.networking.k8s.io", 1)
        if demand.volume:
            add("count/persistentvolumeclaims", demand.replicas)
            add("requests.storage", demand.replicas * amount(demand.volume))
            if demand.storage_class:
                prefix = f"{demand.storage_class}.storageclass.storage.k8s.io/"
                add(f"{prefix}persistentvolumeclaims", demand.replicas)
                add(f"{prefix}requests.storage", demand.replicas * amount(demand.volume))
    if settings.network_policies:
        add("count/networkpolicies.networking.k8s.io", 1)
    secrets = [
        bool(settings.nginx.exporter.headers),
        any(exporter.headers for exporter in settings.collector.exporters.values()),
        settings.edition == "plus",
        bool(settings.pull_logins()),
    ]
    if any(secrets):
        add("count/secrets", sum(secrets))
    # Kubernetes counts each port of a Service of the type NodePort: Tempo's has two.
    add("services.nodeports", 1 + (2 if settings.tempo.enabled else 0))
    return wanted


def _own(live: Live) -> dict[str, Decimal]:
    own: dict[str, Decimal] = {f"count/{name}": Decimal(len(items)) for name, items in live.own.items()}
    if "pods" in live.own:
        # Pods that have ended count in no quota.
        ended = ("Succeeded", "Failed")
        pods = [pod for pod in live.own["pods"] if section(pod, "status").get("phase") not in ended]
        own |= dict.fromkeys(_OF_PODS, Decimal(0))
        own["count/pods"] = Decimal(len(pods))
        for container in (container for pod in pods for container in listed(pod, "spec", "containers")):
            for kind in ("requests", "limits"):
                for name, value in section(container, "resources", kind).items():
                    key = f"{kind}.{name}"
                    own[key] = own.get(key, Decimal(0)) + quantity(str(value))
    if "services" in live.own:
        services = [item for item in live.own["services"] if item["spec"].get("type") in ("NodePort", "LoadBalancer")]
        own["services.nodeports"] = Decimal(sum(len(listed(item, "spec", "ports")) for item in services))
    if "persistentvolumeclaims" in live.own:
        own["requests.storage"] = Decimal(0)
        for claim in live.own["persistentvolumeclaims"]:
            size = quantity(str(section(claim, "spec", "resources", "requests").get("storage", "0")))
            own["requests.storage"] += size
            prefix = f"{claim['spec'].get('storageClassName')}.storageclass.storage.k8s.io/"
            for key, value in ((f"{prefix}persistentvolumeclaims", Decimal(1)), (f"{prefix}requests.storage", size)):
                own[key] = own.get(key, Decimal(0)) + value
        for name in (name for quota in live.quotas for name in _limits(quota) if ".storageclass." in name):
            own.setdefault(name, Decimal(0))
    return own


def _default_cpu_limit(live: Live) -> Decimal | None:
    """The CPU limit that a LimitRange gives to containers that have none; `max` is the default of `default`."""
    for limit_range in live.limit_ranges:
        for limit in listed(limit_range, "spec", "limits"):
            default = (section(limit, "default") or section(limit, "max")).get("cpu")
            if limit.get("type") == "Container" and default is not None:
                return quantity(str(default))
    return None


def _without_cpu_limit(
    settings: Settings, quota: str, resource: str, default_cpu_limit: Decimal | None
) -> Iterator[Shortage]:
    without = [demand for demand in pods_of(settings) if demand.resources.cpu_limit is None]
    if not without or default_cpu_limit is not None:
        return
    named = " and ".join(KEYS[demand.component] for demand in without)
    commands = tuple(
        f"pulumi config set --path {KEYS[demand.component]}.resources.cpuLimit "
        f"{demand.resources.cpu if amount(demand.resources.cpu) > 1 else '1'}"
        for demand in without
    )
    yield Shortage(
        quota, resource, f"Kubernetes refuses pods without a CPU limit where one counts; {named} have none", commands
    )


def _smaller(settings: Settings, resource: str, excess: Decimal) -> tuple[str, ...]:
    """The command that makes the largest asker so much smaller that all have room; none where none can be."""
    key = {
        "requests.cpu": "cpu",
        "requests.memory": "memory",
        "limits.cpu": "cpuLimit",
        "limits.memory": "memoryLimit",
    }.get(resource)
    if key is None:
        return ()
    demands = [demand for demand in pods_of(settings) if resource in demand.amounts()]
    largest = max(demands, key=lambda demand: demand.amounts()[resource] * demand.replicas, default=None)
    if largest is None:
        return ()
    left = largest.amounts()[resource] - (excess / largest.replicas)
    # Less than that no component runs with: 10m of a core, 64 MiB.
    if left < (Decimal("0.01") if key.startswith("cpu") else 64 * 2**20):
        return ()
    written = _written(resource, left, rounded_down=True)
    return (f"pulumi config set --path {KEYS[largest.component]}.resources.{key} {written}",)


def _covers(quota: Object, settings: Settings) -> bool:
    """Whether a quota counts the stack's pods, which end by no deadline and all ask for CPU and memory."""
    scopes: list[str] = section(quota, "spec").get("scopes") or []
    expressions: list[Object] = [{"scopeName": name, "operator": "Exists"} for name in scopes]
    expressions += listed(quota, "spec", "scopeSelector", "matchExpressions")
    priority = settings.scheduling.priority_class
    for expression in expressions:
        scope, operator = expression.get("scopeName"), expression.get("operator")
        if scope == "PriorityClass":
            values: list[str] = expression.get("values") or []
            holds = {
                "In": priority in values,
                "NotIn": priority not in values,
                "Exists": priority is not None,
                "DoesNotExist": priority is None,
            }.get(str(operator), False)
        else:
            holds = scope in ("NotTerminating", "NotBestEffort")
        if not holds:
            return False
    return True


_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6")}


def quantity(text: str) -> Decimal:
    """A quantity as the API server writes it, which has more forms than the configuration takes: 1e3, 5u.

    Raises:
        ValueError: it is none.
    """
    matched = re.fullmatch(r"(-?[\d.]+(?:[eE][+-]?\d+)?)([nu]?)", text)
    return Decimal(matched[1]) * _FACTORS.get(matched[2], Decimal(1)) if matched else amount(text)


def _written(resource: str, value: Decimal, *, rounded_down: bool = False) -> str:
    """An amount as a person reads it: cores in thousandths, bytes in MiB, all else in numbers."""
    if resource.endswith(".cpu"):
        thousandths = int(value * 1000) if rounded_down else _up(value * 1000)
        return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
    if resource.endswith(("memory", "storage")):
        mebibytes = value / 2**20
        whole = int(mebibytes) if rounded_down else _up(mebibytes)
        return f"{whole // 1024}Gi" if whole and whole % 1024 == 0 else f"{whole}Mi" if whole else "0"
    return str(_up(value))


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))
