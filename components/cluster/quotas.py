"""Judges whether a namespace's quotas have room for a stack.

Pure functions of the settings and of the cluster's objects, as its API writes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from pydantic import ValidationError

from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.demand import Live, canonical, limits, owned, used, wanted
from components.cluster.quantities import quantity, written
from components.plan.pods import pods_of
from settings import Settings
from settings.rules import violations_of
from settings.stack import NAME_LABEL
from settings.types import Model, amount


@dataclass(frozen=True)
class Shortage:
    """A resource of a quota that has no room."""

    quota: str
    resource: str
    text: str
    commands: tuple[str, ...] = ()


def shortages(settings: Settings, live: Live) -> list[Shortage]:
    """Returns the quotas' resources without room for the objects that the stack would add to those that it has."""
    found: list[Shortage] = []
    default = _default_cpu_limit(live)
    for quota in live.quotas:
        if not _covers(quota, settings):
            continue
        name = str(quota["metadata"]["name"])
        asked, own = wanted(settings, default), owned(live)
        for resource, hard in limits(quota).items():
            counted = canonical(resource)
            unlimited = list(_without_cpu_limit(settings, name, resource, default)) if counted == "limits.cpu" else []
            found += unlimited
            if unlimited or counted not in asked or counted not in own:
                continue
            more = max(Decimal(0), asked[counted] - own[counted])
            free = max(Decimal(0), hard - used(quota, resource))
            if more > free:
                text = (
                    f"the stack asks for {written(counted, asked[counted])}"
                    f" and has {written(counted, own[counted])} of them; "
                    f"{written(counted, free)} of {written(counted, hard)} are free"
                )
                found.append(Shortage(name, resource, text, _smaller(settings, counted, more - free)))
    return found


def without_room_to_roll(settings: Settings, live: Live) -> dict[str, str]:
    """Returns, by component, the text about the quotas without room for the one more pod that its update needs.

    Only components that run are judged, each by itself: two that roll at once wait for each other, because Kubernetes
    tries again.
    """
    lacking: dict[str, list[str]] = {}
    default = _default_cpu_limit(live)
    running = {str(labels(pod).get(NAME_LABEL)) for pod in live.own.get("pods", ())}
    for demand in pods_of(settings):
        if demand.component not in running or not demand.rolls:
            continue
        one = demand.amounts(default)
        for quota in filter(lambda quota: _covers(quota, settings), live.quotas):
            for resource, hard in limits(quota).items():
                counted = canonical(resource)
                free = max(Decimal(0), hard - used(quota, resource))
                if counted in one and one[counted] > free:
                    lacking.setdefault(demand.component, []).append(
                        f"{resource} of the ResourceQuota {quota['metadata']['name']}: a pod asks for "
                        f"{written(counted, one[counted])}, {written(counted, free)} of "
                        f"{written(counted, hard)} are free"
                    )
    return {component: "; ".join(texts) for component, texts in lacking.items()}


def _default_cpu_limit(live: Live) -> Decimal | None:
    """Returns the CPU limit that a LimitRange gives to containers without one. `max` is the default of `default`."""
    for limit_range in live.limit_ranges:
        for limit in listed(limit_range, "spec", "limits"):
            default = (section(limit, "default") or section(limit, "max")).get("cpu")
            if limit.get("type") == "Container" and default is not None:
                return quantity(str(default))
    return None


def _without_cpu_limit(
    settings: Settings, quota: str, resource: str, default_cpu_limit: Decimal | None
) -> Iterator[Shortage]:
    """Yields a shortage if a container has no CPU limit, although the quota counts CPU limits."""
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
    text = f"Kubernetes refuses pods without a CPU limit if a quota counts it; {' and '.join(without)} have none"
    yield Shortage(quota, resource, text, commands)


_KEYS = {
    "requests.cpu": "cpu",
    "requests.memory": "memory",
    "limits.cpu": "cpuLimit",
    "limits.memory": "memoryLimit",
}
"""The keys of `resources` in the configuration, by the names of quotas."""


def _smaller(settings: Settings, resource: str, excess: Decimal) -> tuple[str, ...]:
    """Returns the command that makes the largest request small enough for the quota; none if no request can be."""
    if resource not in _KEYS:
        return ()
    askers = [
        (container.amounts()[resource] * pod.replicas, pod.replicas, container)
        for pod in pods_of(settings)
        for container in pod.containers
        if resource in container.amounts()
    ]
    # No component runs with less: 10m of a core, 64 MiB.
    least = Decimal("0.01") if resource.endswith("cpu") else Decimal(64 * 2**20)
    for together, replicas, container in sorted(askers, key=lambda asker: asker[0], reverse=True):
        left = (together - excess) / replicas
        value, name = written(resource, left, rounded_down=True), _KEYS[resource]
        if left >= least and _is_taken(settings, container.key, name, value):
            return (f"pulumi config set --path {container.key}.resources.{name} {value}",)
    return ()


def _is_taken(settings: Settings, key: str, name: str, value: str) -> bool:
    """Tells whether the configuration would be valid with another amount. Other keys may ask for more than it."""

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
    """Tells whether a quota's scopes cover the stack's pods, which have no deadline, and request CPU and memory."""
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
