"""Asks the API server whether it would take the stack's pods, by a dry run of a pod of each component."""

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus

import pulumi

from components.cluster.api import Answer, Api
from components.cluster.api_objects import Object
from components.cluster.problem import Problem
from components.cluster.quantities import quantity
from components.plan.labels import own_labels
from components.plan.pods import Container, PodDemand, pods_of
from settings import Settings

_NOT_OF_PODS = r'cannot create resource "pods"|error looking up service account|exceeded quota|failed quota|dry[- ]?run'
"""Refusals of a dry run that say nothing about the stack's pods."""


async def admission_problems(settings: Settings, api: Api) -> list[Problem]:
    """Returns the reasons other than quotas that keep pods out of a namespace that is not the stack's own.

    Examples are the namespace's Pod Security level and version, a LimitRange, OpenShift's security context constraints,
    and a PriorityClass that is missing. It only warns of a refusal by a policy of the cluster's own.

    Args:
        settings: the configuration.
        api: the API server.
    """
    if settings.create_namespace:
        return []
    demands = pods_of(settings)
    path = f"/api/v1/namespaces/{settings.namespace}/pods"
    answers = await asyncio.gather(*(api.try_out(path, _pod(settings, demand)) for demand in demands))
    refused: dict[str, list[str]] = {}
    for demand, answer in zip(demands, answers, strict=True):
        reason = _refusal(answer)
        if reason and re.search(r"admission webhook|ValidatingAdmissionPolicy", reason):
            # The dry run's pod is not the real one: a policy of the cluster's own may ask for something that it lacks.
            pulumi.log.warn(f"the cluster may refuse pods of {demand.component} in {settings.namespace}: {reason}")
        elif reason:
            refused.setdefault(reason.replace(f" for: {demand.component}", ""), []).append(demand.component)
    return [
        Problem(
            f"pods of {' and '.join(components)} in the namespace {settings.namespace}",
            (f"are refused: {reason}", *_ways_on(reason, settings, components)),
        )
        for reason, components in refused.items()
    ]


def _refusal(answer: Answer) -> str | None:
    """Returns the reason of a refusal; none if the API server takes the pod, or the answer does not tell."""
    if answer.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST):
        return None
    # A person who may make Deployments need not have the right to make pods. Kubernetes makes a namespace's service
    # account a moment after the namespace. `quotas.py` judges quotas. Some webhooks know no dry run.
    if re.search(_NOT_OF_PODS, answer.message, re.IGNORECASE):
        return None
    return re.sub(r'^pods? "[^"]*" is forbidden: |^Pod "[^"]*" is invalid: ', "", answer.message).strip()


def _ways_on(reason: str, settings: Settings, components: Sequence[str]) -> list[str]:
    """Returns the commands that fix a refusal of pods, or tell more about it."""
    if "security context constraint" in reason:
        return ["pulumi config set podUser cluster"]
    if "PriorityClass" in reason:
        return ["kubectl get priorityclasses", "pulumi config rm --path scheduling.priorityClass"]
    if "PodSecurity" in reason:
        return [f"kubectl get namespace {settings.namespace} --show-labels", "pulumi config set namespace tracing"]
    bounds: list[tuple[str, str, str]] = re.findall(
        r"(maximum|minimum) (cpu|memory) usage per Container is ([\w.]*\w)", reason
    )
    if bounds or "usage per Pod" in reason:
        keys = [
            command for bound, name, value in bounds for command in _within(bound, name, value, settings, components)
        ]
        return [f"kubectl --namespace {settings.namespace} describe limitrange", *dict.fromkeys(keys)]
    return [f"kubectl get namespace {settings.namespace} --output=yaml"]


def _within(bound: str, name: str, value: str, settings: Settings, components: Sequence[str]) -> list[str]:
    """Returns a command for each container that a LimitRange's bound refuses. The API server does not name them."""
    kind, suffix = ("limits", "Limit") if bound == "maximum" else ("requests", "")
    refused: list[Container] = []
    for pod in (pod for pod in pods_of(settings) if pod.component in components):
        for container in pod.containers:
            asked, allowed = container.amounts().get(f"{kind}.{name}"), quantity(value)
            if asked is None or (asked > allowed if kind == "limits" else asked < allowed):
                refused.append(container)
    return [f"pulumi config set --path {container.key}.resources.{name}{suffix} {value}" for container in refused]


def _pod(settings: Settings, demand: PodDemand) -> Object:
    """Returns a pod that is like a component's in everything that admission looks at."""
    scheduling, user = settings.scheduling, {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    init_containers = [_container(settings, container) for container in demand.init_containers]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{demand.component}-",
            "labels": {**settings.labels, **own_labels(demand.component)},
            "annotations": dict(settings.annotations),
        },
        "spec": {
            "automountServiceAccountToken": False,
            **({"initContainers": init_containers} if init_containers else {}),
            "containers": [_container(settings, container) for container in demand.containers],
            "securityContext": {**context, **(user if settings.pod_user == "image" else {})},
            **({"priorityClassName": scheduling.priority_class} if scheduling.priority_class else {}),
        },
    }


def _container(settings: Settings, container: Container) -> Object:
    asked = container.resources
    limits = {"memory": asked.memory_limit} | ({"cpu": asked.cpu_limit} if asked.cpu_limit else {})
    return {
        "name": container.name,
        # The program does not know an image yet that it will build.
        "image": settings.images().get(container.image, "nginx"),
        "resources": {"requests": {"cpu": asked.cpu, "memory": asked.memory}, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
