"""Adds up what a stack asks of its namespace, and what it has there already, by the names that quotas have for it.

Pure functions of the settings and of the cluster's objects, as its API writes them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from components.cluster.api_objects import Object, listed, section
from components.cluster.quantities import quantity
from components.plan.objects import KINDS_OF_KUBERNETES, NAMESPACED_KINDS, REPLICA_SET, counts
from components.plan.pods import Amounts, effective, pods_of, summed
from settings import Settings
from settings.types import amount

LISTS = {kind.resource: kind for kind in (*KINDS_OF_KUBERNETES, *NAMESPACED_KINDS)}
"""The kinds whose number a quota may limit, by their names in `count/<name>`."""

OF_PODS = ("count/pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""The resources of quotas that pods use."""

_NODE_PORTS, _LOAD_BALANCERS = "services.nodeports", "services.loadbalancers"


@dataclass(frozen=True)
class Live:
    """The objects that are in the namespace already."""

    quotas: Sequence[Object] = ()
    limit_ranges: Sequence[Object] = ()
    own: Mapping[str, Sequence[Object]] = field(default_factory=dict[str, Sequence[Object]])
    """The stack's own objects, by the names in `LISTS`. Lists that the program may not read are left out."""


_SYNONYMS = {"cpu": "requests.cpu", "memory": "requests.memory"} | {
    name: f"count/{name}" for name in ("pods", "services", "persistentvolumeclaims", "configmaps", "secrets")
}
"""The older names of quotas' resources. Source: Kubernetes' documentation, "Resource Quotas"."""


def canonical(resource: str) -> str:
    """Returns the newest name of a quota's resource."""
    return _SYNONYMS.get(resource, resource)


def limits(quota: Object) -> dict[str, Decimal]:
    """Returns a quota's limits by resource, under the names that the quota has."""
    hard = section(quota, "status", "hard") or section(quota, "spec", "hard")
    return {str(name): quantity(str(value)) for name, value in hard.items()}


def used(quota: Object, resource: str) -> Decimal:
    """Returns the amount of a resource that a quota counts as used."""
    return quantity(str(section(quota, "status", "used").get(resource, "0")))


def needed_lists(quotas: Iterable[Object]) -> set[str]:
    """Returns the names of the lists of the stack's own objects that some quotas need to be judged."""
    needed: set[str] = set()
    for quota in quotas:
        for name in map(canonical, limits(quota)):
            if name in OF_PODS:
                needed.add("pods")
            elif name.startswith("services."):
                needed.add("services")
            elif name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
                needed.add("persistentvolumeclaims")
            elif name.removeprefix("count/") in LISTS:
                needed.add(name.removeprefix("count/"))
    return needed


def wanted(settings: Settings, default_cpu_limit: Decimal | None = None) -> Amounts:
    """Returns the amounts that a stack asks of its namespace, by the names of quotas.

    Args:
        settings: the configuration.
        default_cpu_limit: the CPU limit of the namespace's LimitRange, which Kubernetes gives to containers without
            one.
    """
    parts: list[Amounts] = [{f"count/{kind.resource}": Decimal(number)} for kind, number in counts(settings).items()]
    for pod in pods_of(settings):
        parts += [pod.amounts(default_cpu_limit)] * pod.replicas
        if pod.volume is None:
            parts.append({f"count/{REPLICA_SET.resource}": Decimal(1)})
        else:
            parts += [_of_volume(amount(pod.volume), pod.storage_class)] * pod.replicas
    # The Service that clients reach a component by has a single port.
    parts += [_of_service(service.type, ports=1) for _, service, _ in settings.exposed()]
    return summed(parts)


def _of_volume(size: Decimal, storage_class: object) -> Amounts:
    prefix = f"{storage_class}.storageclass.storage.k8s.io/"
    of_class = {f"{prefix}persistentvolumeclaims": Decimal(1), f"{prefix}requests.storage": size}
    return {"requests.storage": size} | (of_class if storage_class else {})


def _of_service(kind: object, *, ports: int) -> Amounts:
    """Returns the amounts that a quota counts for a Service, besides the Service itself.

    It counts a load balancer's ports too. Source: `pkg/quota/v1/evaluator/core/services.go` of Kubernetes 1.32.
    """
    if kind not in ("NodePort", "LoadBalancer"):
        return {}
    return {_NODE_PORTS: Decimal(ports), _LOAD_BALANCERS: Decimal(kind == "LoadBalancer")}


def owned(live: Live) -> Amounts:
    """Returns the amounts that the stack has already, as far as its objects could be listed."""
    own = dict(live.own)
    parts: list[Amounts] = []
    if "pods" in own:
        # Most quotas do not count pods that have ended, and such a pod replaces none that the stack asks for.
        ended = ("Succeeded", "Failed")
        own["pods"] = [pod for pod in own["pods"] if section(pod, "status").get("phase") not in ended]
        parts += [{name: Decimal(0) for name in OF_PODS}, *map(_of_live_pod, own["pods"])]
    parts += [{f"count/{name}": Decimal(len(items))} for name, items in own.items()]
    if "services" in live.own:
        parts += [{_NODE_PORTS: Decimal(0), _LOAD_BALANCERS: Decimal(0)}, *map(_of_live_service, live.own["services"])]
    if "persistentvolumeclaims" in live.own:
        of_classes = [name for quota in live.quotas for name in limits(quota) if ".storageclass." in name]
        parts.append(dict.fromkeys(["requests.storage", *of_classes], Decimal(0)))
        for claim in live.own["persistentvolumeclaims"]:
            size = quantity(str(section(claim, "spec", "resources", "requests").get("storage", "0")))
            parts.append(_of_volume(size, section(claim, "spec").get("storageClassName")))
    return summed(parts)


def _of_live_pod(pod: Object) -> Amounts:
    """Returns the amounts that quotas count for a pod, with containers that admission added, such as a mesh's."""
    together = [_of_live_container(container) for container in listed(pod, "spec", "containers")]
    sidecars: list[Amounts] = []
    before: list[Amounts] = []
    for container in listed(pod, "spec", "initContainers"):
        if container.get("restartPolicy") == "Always":
            sidecars.append(_of_live_container(container))
        else:
            before.append(summed([*sidecars, _of_live_container(container)]))
    return effective([*together, *sidecars], before)


def _of_live_container(container: Object) -> Amounts:
    return {
        f"{kind}.{name}": quantity(str(value))
        for kind in ("requests", "limits")
        for name, value in section(container, "resources", kind).items()
    }


def _of_live_service(service: Object) -> Amounts:
    ports, spec = listed(service, "spec", "ports"), section(service, "spec")
    if spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    return _of_service(spec.get("type"), ports=len(ports))
