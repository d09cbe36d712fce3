"""Asks whether the configured NodePorts are free, and among the ports that the cluster gives."""

import asyncio
import re

import pulumi

from components.cluster.api import Answer, Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.problem import Problem
from components.plan.labels import is_part_of, own_labels
from components.plan.pods import KEYS
from settings import Settings
from settings.stack import NAME_LABEL


def _fixed_node_ports(settings: Settings) -> dict[str, int]:
    """Returns the configured NodePorts by the component's key."""
    return {key: port for key, service, port in settings.exposed() if port is not None and service.type != "ClusterIP"}


async def node_port_problems(settings: Settings, api: Api) -> list[Problem]:
    """Returns the configured NodePorts that another Service holds, or that the cluster does not give.

    Args:
        settings: the configuration.
        api: the API server.
    """
    fixed = _fixed_node_ports(settings)
    if not fixed:
        return []
    everywhere, *tried = await asyncio.gather(
        api.get("/api/v1/services"), *(_tried_port(settings, api, port) for port in fixed.values())
    )
    services = everywhere.items or (await api.get(f"/api/v1/namespaces/{settings.namespace}/services")).items
    problems: list[Problem] = []
    unknown: list[str] = []
    names = {key: component for component, key in KEYS.items()}
    for (component_key, port), answer in zip(fixed.items(), tried, strict=True):
        key, component = f"{component_key}.nodePort", names[component_key]
        holder = next((service for service in services if port in _ports_held(service)), None)
        if holder is not None and _is_own(holder, settings, component):
            continue
        refusal = _why_refused(holder, settings, answer)
        if refusal:
            remove = f"pulumi config rm --path {key}, and the cluster chooses one"
            problems.append(Problem(f"nginx-tracing:{key} = {port}", (*refusal, remove)))
        elif _NO_AFFINITY not in answer.message:
            unknown.append(f"{key} = {port} ({answer.message})")
    if unknown:
        pulumi.log.warn(f"the program could not check that these NodePorts are free: {'; '.join(unknown)}")
    return problems


_NO_AFFINITY = "Preflight"
"""No session affinity of Kubernetes has this name. The API server's refusal quotes it."""


async def _tried_port(settings: Settings, api: Api, port: int) -> Answer:
    """Offers the API server a Service with this NodePort, in `default` if the namespace does not exist yet.

    A dry run tells whether another Service has the port, but not whether the cluster gives it. The offered Service is
    therefore invalid: the API server takes the port first, finds a session affinity that does not exist, and gives the
    port back. It creates nothing. Source: `BeginCreate` and `BeforeCreate` in
    `apiserver/pkg/registry/generic/registry/store.go` of Kubernetes 1.32.
    """
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"generateName": "nginx-tracing-"},
        "spec": {"type": "NodePort", "sessionAffinity": _NO_AFFINITY, "ports": [{"port": 80, "nodePort": port}]},
    }
    answer = await api.offer(f"/api/v1/namespaces/{settings.namespace}/services", service)
    return await api.offer("/api/v1/namespaces/default/services", service) if answer.is_missing else answer


def _ports_held(service: Object) -> set[object]:
    spec = section(service, "spec")
    return {port.get("nodePort") for port in listed(spec, "ports")} | {spec.get("healthCheckNodePort")}


def _is_own(service: Object, settings: Settings, component: str) -> bool:
    metadata = service["metadata"]
    named = (metadata.get("namespace"), metadata.get("name")) == (settings.namespace, component)
    return named and own_labels(component).items() <= labels(service).items()


def _why_refused(holder: Object | None, settings: Settings, answer: Answer) -> tuple[str, ...]:
    outside = re.search(r"range of valid ports is (\d+-\d+)", answer.message) if not answer.is_ok else None
    if outside:
        return (f"is not among the ports that this cluster gives, which are {outside[1]}",)
    if holder is not None:
        metadata = holder["metadata"]
        namespace, name = metadata.get("namespace"), metadata.get("name")
        is_ours = (
            namespace == settings.namespace and is_part_of(labels(holder)) and labels(holder).get(NAME_LABEL) in KEYS
        )
        whose = ", of this stack: first give that Service another port, by an update of its own" if is_ours else ""
        command = f"kubectl --namespace {namespace} get service {name}"
        return (f"is held by the Service {name} in the namespace {namespace}{whose}", command)
    if not answer.is_ok and "already allocated" in answer.message:
        return ("is held by another Service", f"kubectl get services --all-namespaces | grep {_port_in(answer)}")
    return ()


def _port_in(answer: Answer) -> str:
    found = re.search(r"Invalid value: (\d+)", answer.message)
    return found[1] if found else "nodePort"
