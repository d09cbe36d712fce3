"""What a stack asks of its namespace, and whether the namespace's quotas have room for it.

Pure functions of the settings and of the cluster's objects, as its API writes them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import cast

from pydantic import ValidationError

from components.cluster.api_objects import Object, labels, listed, section
from components.plan.objects import KINDS_OF_KUBERNETES, NAMESPACED_KINDS, REPLICA_SET, counts
from components.plan.pods import Amounts, effective, pods_of, summed
from settings import Settings
from settings.rules import violations_of
from settings.stack import NAME_LABEL
from settings.types import Model, amount

LISTS = {kind.resource: kind for kind in (*KINDS_OF_KUBERNETES, *NAMESPACED_KINDS)}
"""The kinds of objects whose number a quota may limit, by their names in `count/<name>`."""

_SYNONYMS = {"cpu": "requests.cpu", "memory": "requests.memory"} | {
    name: f"count/{name}" for name in ("pods", "services", "persistentvolumeclaims", "configmaps", "secrets")
}
"""Older names of quotas' resources: Kubernetes' documentation, "Resource Quotas"."""

_OF_PODS = ("count/pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")

_NODE_PORTS, _LOAD_BALANCERS = "services.nodeports", "services.loadbalancers"


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
        asked, own = wanted(settings, default), _own(live)
        for resource, hard in _limits(quota).items():
            canonical = _canonical(resource)
            unlimited = list(_without_cpu_limit(settings, name, resource, default)) if canonical == "limits.cpu" else []
            found += unlimited
            if unlimited or canonical not in asked or canonical not in own:
                continue
            more = max(Decimal(0), asked[canonical] - own[canonical])
            free = max(Decimal(0), hard - _used(quota, resource))
            if more > free:
                text = (
                    f"the stack asks for {_written(canonical, asked[canonical])}"
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


def wanted(settings: Settings, default_cpu_limit: Decimal | None = None) -> Amounts:
    """Returns what a stack asks of its namespace, by the names of quotas.

    Args:
        settings: the configuration.
        default_cpu_limit: the one of the namespace's LimitRange, which Kubernetes adds where none is set.
    """
    parts: list[Amounts] = [{f"count/{kind.resource}": Decimal(number)} for kind, number in counts(settings).items()]
    for pod in pods_of(settings):
        parts += [pod.amounts(default_cpu_limit)] * pod.replicas
        if pod.volume is None:
            parts.append({f"count/{REPLICA_SET.resource}": Decimal(1)})
        else:
            parts += [_of_volume(amount(pod.volume), pod.storage_class)] * pod.replicas
    # One port alone is in the Service that clients reach a component by.
    parts += [_of_service(service.type, ports=1) for _, service, _ in settings.exposed()]
    return summed(parts)


def _of_volume(size: Decimal, storage_class: object) -> Amounts:
    prefix = f"{storage_class}.storageclass.storage.k8s.io/"
    of_class = {f"{prefix}persistentvolumeclaims": Decimal(1), f"{prefix}requests.storage": size}
    return {"requests.storage": size} | (of_class if storage_class else {})


def _of_service(kind: object, *, ports: int) -> Amounts:
    """What a Service counts as, besides one Service.

    A load balancer's ports count too: `pkg/quota/v1/evaluator/core/services.go` of Kubernetes 1.32.
    """
    if kind not in ("NodePort", "LoadBalancer"):
        return {}
    return {_NODE_PORTS: Decimal(ports), _LOAD_BALANCERS: Decimal(kind == "LoadBalancer")}


def _own(live: Live) -> Amounts:
    """What the stack has already; nothing of what could not be listed."""
    own = dict(live.own)
    parts: list[Amounts] = []
    if "pods" in own:
        # Pods that have ended count in no quota, or take the place of none that the stack asks for.
        ended = ("Succeeded", "Failed")
        own["pods"] = [pod for pod in own["pods"] if section(pod, "status").get("phase") not in ended]
        parts += [{name: Decimal(0) for name in _OF_PODS}, *map(_of_live_pod, own["pods"])]
    parts += [{f"count/{name}": Decimal(len(items))} for name, items in own.items()]
    if "services" in live.own:
        parts += [{_NODE_PORTS: Decimal(0), _LOAD_BALANCERS: Decimal(0)}, *map(_of_live_service, live.own["services"])]
    if "persistentvolumeclaims" in live.own:
        of_classes = [name for quota in live.quotas for name in _limits(quota) if ".storageclass." in name]
        parts.append(dict.fromkeys(["requests.storage", *of_classes], Decimal(0)))
        for claim in live.own["persistentvolumeclaims"]:
            size = quantity(str(section(claim, "spec", "resources", "requests").get("storage", "0")))
            parts.append(_of_volume(size, section(claim, "spec").get("storageClassName")))
    return summed(parts)


def _of_live_pod(pod: Object) -> Amounts:
    """What the quotas count for a pod, with the containers that admission has added to it, a service mesh's too."""
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
    without = {
        container.key: container
        for pod in pods_of(settings)
        for container in (*pod.containers, *pod.init_containers)
        if container.resources.cpu_limit is None
    }
    if not without or default_cpu_limit is not None:
        return
    commands = tuple(
        f"pulumi config set --path {key}.resources.cpuLimit "
        f"{container.resources.cpu if amount(container.resources.cpu) > 1 else '1'}"
        for key, container in without.items()
    )
    text = f"Kubernetes refuses pods without a CPU limit where one counts; {' and '.join(without)} have none"
    yield Shortage(quota, resource, text, commands)


_KEYS = {
    "requests.cpu": "cpu",
    "requests.memory": "memory",
    "limits.cpu": "cpuLimit",
    "limits.memory": "memoryLimit",
}
"""The keys of `resources`, by the names of quotas."""


def _smaller(settings: Settings, resource: str, excess: Decimal) -> tuple[str, ...]:
    """The command that makes the largest asker so much smaller that all have room; none where none can be."""
    if resource not in _KEYS:
        return ()
    askers = [
        (container.amounts()[resource] * pod.replicas, pod.replicas, container)
        for pod in pods_of(settings)
        for container in pod.containers
        if resource in container.amounts()
    ]
    # Less than that no component runs with: 10m of a core, 64 MiB.
    least = Decimal("0.01") if resource.endswith("cpu") else Decimal(64 * 2**20)
    for together, replicas, container in sorted(askers, key=lambda asker: asker[0], reverse=True):
        left = (together - excess) / replicas
        value, name = _written(resource, left, rounded_down=True), _KEYS[resource]
        if left >= least and _is_taken(settings, container.key, name, value):
            return (f"pulumi config set --path {container.key}.resources.{name} {value}",)
    return ()


def _is_taken(settings: Settings, key: str, name: str, value: str) -> bool:
    """Whether the configuration would be valid with another amount: a limit must hold what other keys ask for."""

    def changed(model: Model, *places: str) -> Model:
        if not places:
            return type(model).model_validate(model.model_dump(by_alias=True) | {name: value})
        return model.model_copy(update={places[0]: changed(getattr(model, places[0]), *places[1:])})

    try:
        other = cast("Settings", changed(settings, *key.split("."), "resources"))
    except ValidationError:
        return False
    return not any(violations_of(other, lambda _: True, lambda _: False))


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
