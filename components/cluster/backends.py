"""Finds the addresses behind the Services that the configuration names, because a NetworkPolicy cannot match a Service.

Nearly all Services lead to pods of their namespace, which policies allow by the namespace's name. A Service without a
selector leads to addresses that somebody wrote, and one of the type ExternalName leads to another name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import listed, section
from components.cluster.kubeconfig import ApiUnavailableError
from settings import Settings
from settings.upstreams import service_of

Host = tuple[str, int]
"""An address or a name, and a port."""


@dataclass(frozen=True)
class Backends:
    """The addresses behind Services that have no pods, by the component that connects to them."""

    nginx: Sequence[Host] = ()
    collector: Sequence[Host] = ()
    tempo: Sequence[Host] = ()


async def outside_pods(settings: Settings, api: Api) -> Backends:
    """Returns the addresses that network policies must allow besides pods.

    A Service that does not exist yet, or that the program may not read, counts as one with pods.

    Args:
        settings: the configuration, with the hosts that its components connect to.
        api: the API server.
    """
    nginx, collector, tempo = (
        [(*service, port) for host, port in hosts if (service := service_of(host, settings.namespace))]
        for hosts in (
            settings.nginx.destinations(settings.namespace),
            _hosts_of_collector(settings),
            _hosts_of_tempo(settings),
        )
    )
    if not settings.network_policies or not (nginx or collector or tempo):
        return Backends()
    try:
        found = await read_backends({*nginx, *collector, *tempo}, api)
    except ApiUnavailableError as error:
        # `node_host` has warned that it cannot reach the cluster, or cannot use the kubeconfig.
        pulumi.log.debug(f"the program did not read the Services that its components connect to: {error}")
        return Backends()
    return Backends(
        *(
            list(dict.fromkeys(host for name in services for host in found[name]))
            for services in (nginx, collector, tempo)
        )
    )


def _hosts_of_collector(settings: Settings) -> list[Host]:
    if not settings.collector.enabled:
        return []
    return settings.collector.destinations


def _hosts_of_tempo(settings: Settings) -> list[Host]:
    storage = settings.tempo.storage
    return [storage.address] if settings.tempo.enabled and storage.is_remote else []


async def read_backends(services: Collection[tuple[str, str, int]], api: Api) -> dict[tuple[str, str, int], list[Host]]:
    """Returns the backends of Services that are no pods, by the Service's name, namespace and port.

    Raises:
        ApiUnavailableError: the API server does not answer.
    """
    return {
        (name, namespace, port): await _of_service(api, name, namespace, port, hops=_HOPS)
        for name, namespace, port in sorted(services)
    }


_HOPS = 3
"""Our choice. Services of the type ExternalName may lead to each other, even in a circle."""


async def _of_service(api: Api, name: str, namespace: str, port: int, *, hops: int) -> list[Host]:
    answer = await api.get(f"/api/v1/namespaces/{namespace}/services/{name}")
    if not answer.is_ok:
        if not answer.is_missing:
            _warn_unread(name, namespace, answer.message)
        return []
    spec = section(answer.body, "spec")
    if not spec or spec.get("selector"):
        return []
    if spec.get("type") == "ExternalName":
        return await _of_name(api, str(spec.get("externalName") or ""), port, hops=hops - 1)
    (port_name, *_) = [item.get("name") for item in listed(spec, "ports") if item.get("port") == port] or [None]
    # The name of a headless Service leads to its backends themselves, on the port that the route names.
    is_headless = spec.get("clusterIP") == "None"
    return [
        (address, port if is_headless else number)
        for address, named, number in await _endpoints(api, name, namespace)
        if is_headless or named == (port_name or "")
    ]


def _warn_unread(name: str, namespace: str, reason: str) -> None:
    if pulumi.runtime.is_dry_run():
        return
    pulumi.log.warn(
        f"the program cannot read the Service {name} of the namespace {namespace}, which the configuration names: "
        f"{reason}. If it has no selector, or is of the type ExternalName, network policies keep the stack's pods from "
        "its backends; `nginx.egress` opens NGINX's policy"
    )


async def _of_name(api: Api, name: str, port: int, *, hops: int) -> list[Host]:
    labels = name.rstrip(".").split(".")
    if labels[2:3] != ["svc"] or not hops:
        return [(name, port)] if name else []
    # It is another Service. Policies let NGINX reach the pods of its namespace by its name.
    return [(name, port), *await _of_service(api, labels[0], labels[1], port, hops=hops)]


async def _endpoints(api: Api, name: str, namespace: str) -> list[tuple[str, str, int]]:
    """Returns the addresses behind a Service, with the name and number of each port."""
    # Kubernetes mirrors Endpoints that somebody wrote as EndpointSlices.
    answer = await api.get(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        labelSelector=f"kubernetes.io/service-name={name}",
    )
    if not answer.is_ok:
        _warn_unread(name, namespace, answer.message)
    return [
        (address, str(port.get("name") or ""), int(port["port"]))
        for piece in answer.items
        for endpoint in listed(piece, "endpoints")
        for port in listed(piece, "ports")
        if port.get("port") is not None
        for address in cast("list[str]", endpoint.get("addresses") or [])
    ]
