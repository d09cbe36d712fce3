"""The Service that clients reach a component by: a NodePort, a load balancer, or an address inside the cluster.

It has a single port, because Kubernetes opens every port of such a Service to the outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.output import UNKNOWN
from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs
from pulumi_kubernetes.core.v1.outputs import ServiceSpec, ServiceStatus
from pulumi_kubernetes.networking.v1 import NetworkPolicyIngressRuleArgs

from components.kubernetes.component import Component
from components.kubernetes.network import from_addresses, from_anywhere, from_namespaces
from components.kubernetes.services import NOT_AWAITED
from components.plan.labels import own_labels, service_host
from components.plan.objects import SERVICE
from settings.exposure import ServiceSettings
from settings.types import bracketed

PORT_NAME = "http"
"""The name of the Service's port, and of the container's port that it leads to."""

HTTP = 80
"""The port that URLs of http:// leave out."""

LOAD_BALANCER_TIMEOUTS = pulumi.CustomTimeouts(create="5m", update="5m")
"""Clouds give a load balancer its address within one to four minutes; a cluster without one never does."""


@dataclass(frozen=True)
class Exposed:
    """How clients reach a component."""

    url: pulumi.Output[str] | None
    """None if only the cluster knows it, and the provider writes files."""

    node_port: pulumi.Output[int] | None
    """The port on every node. None for ClusterIP, and if the cluster will choose it but is not asked."""


def clients(settings: ServiceSettings, port: int) -> list[NetworkPolicyIngressRuleArgs]:
    """Returns who may connect to a component's public port, as rules of a NetworkPolicy."""
    if not settings.is_restricted:
        return [from_anywhere(port)]
    return [
        *([from_addresses(settings.allowed_addresses, port)] if settings.allowed_addresses else []),
        *([from_namespaces(settings.allowed_namespaces, port)] if settings.allowed_namespaces else []),
    ]


def expose(
    owner: Component,
    settings: ServiceSettings,
    *,
    port: int,
    node_port: int | None,
    after: Sequence[pulumi.Input[pulumi.Resource]] = (),
    leads_to: str | None = None,
) -> Exposed:
    """Makes the Service, under the component's name.

    Args:
        owner: the component whose pods it leads to.
        settings: the Service's settings.
        port: the Service's port. It leads to the container's port of the name `http`.
        node_port: the port on the nodes; none to let the cluster choose.
        after: resources that Pulumi makes or updates before.
        leads_to: the name whose labels select the pods behind it; none for the component's own pods.
    """
    is_awaited = settings.type == "LoadBalancer"
    made = Service(
        owner.resource_name,
        metadata=owner.metadata(SERVICE, annotations={**settings.annotations, **({} if is_awaited else NOT_AWAITED)}),
        spec=_spec(leads_to or owner.selects, settings, port, node_port),
        opts=pulumi.ResourceOptions(
            parent=owner,
            depends_on=list(after),
            custom_timeouts=LOAD_BALANCER_TIMEOUTS if is_awaited else None,
        ),
    )
    return _exposed(owner, made, settings, port, node_port)


def _spec(selects: str, settings: ServiceSettings, port: int, node_port: int | None) -> ServiceSpecArgs:
    ranges = settings.allowed_addresses if settings.type == "LoadBalancer" else None
    return ServiceSpecArgs(
        type=settings.type,
        selector=own_labels(selects),
        ports=[ServicePortArgs(name=PORT_NAME, port=port, target_port=PORT_NAME, node_port=node_port)],
        # Otherwise a node replaces the client's address when it passes a connection on to another node.
        external_traffic_policy="Local" if settings.keeps_client_address else None,
        load_balancer_source_ranges=ranges or None,
    )


def _exposed(owner: Component, made: Service, settings: ServiceSettings, port: int, node_port: int | None) -> Exposed:
    """Returns how clients reach a Service."""
    if settings.type == "ClusterIP":
        # Known once the Service exists, as the URLs of the other types are.
        inside = service_host(owner.component, owner.stack.namespace_name)
        return Exposed(made.id.apply(lambda _: _url(inside, port)), None)
    if not owner.stack.asks_cluster and (node_port is None or settings.type == "LoadBalancer"):
        return Exposed(None, pulumi.Output.from_input(node_port) if node_port else None)
    on_nodes = _node_port(made, node_port)
    if settings.type == "LoadBalancer":
        return Exposed(_load_balancer(made).apply(lambda host: _url(host, port)), on_nodes)
    host = owner.stack.host
    return Exposed(pulumi.Output.all(host, on_nodes).apply(lambda known: _url(known[0], known[1])), on_nodes)


def _url(host: str, port: int) -> str:
    return f"http://{bracketed(host)}" + ("" if port == HTTP else f":{port}")


def _node_port(service: Service, configured: int | None) -> pulumi.Output[int]:
    """Returns the NodePort that the cluster gave to a Service's port.

    It is unknown, unless it is configured, in the preview of a Service that does not exist yet: the API server's dry
    run answers with a port that the real Service will not get.
    """
    if configured is not None:
        return pulumi.Output.from_input(configured)

    def given(spec: ServiceSpec) -> pulumi.Output[int]:
        # In the preview of a change from ClusterIP there is no port yet.
        ports = [port.node_port for port in spec.ports or [] if port.name == PORT_NAME]
        return pulumi.Output.from_input(ports[0]) if ports and ports[0] else _unknown()

    # The id is unknown as long as the Service does not exist, and makes the result unknown too.
    return service.id.apply(lambda _: service.spec).apply(given)


def _load_balancer(service: Service) -> pulumi.Output[str]:
    """Returns the host name or address of the load balancer. It is unknown until the cloud has given it."""

    def given(status: ServiceStatus | None) -> pulumi.Output[str]:
        balancer = status.load_balancer if status else None
        hosts = [entry.hostname or entry.ip for entry in (balancer.ingress if balancer else None) or []]
        return pulumi.Output.from_input(hosts[0]) if hosts and hosts[0] else _unknown()

    return service.id.apply(lambda _: service.status).apply(given)


def _unknown() -> pulumi.Output[Any]:
    """Returns an output whose value is not known yet."""
    return pulumi.Output.from_input("").apply(lambda _: UNKNOWN)  # pyright: ignore[reportUnknownVariableType]
