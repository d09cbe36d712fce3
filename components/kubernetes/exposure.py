"""The Service that clients reach a component by: a NodePort, a load balancer, or an address inside the cluster.

One port alone, because Kubernetes opens every port of such a Service to the outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.output import UNKNOWN
from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs
from pulumi_kubernetes.core.v1.outputs import ServiceSpec, ServiceStatus
from pulumi_kubernetes.networking.v1 import NetworkPolicyIngressRuleArgs

from components.kubernetes.network import from_addresses, from_anywhere, from_namespaces
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import NOT_AWAITED
from components.plan.labels import own_labels
from components.plan.objects import SERVICE
from settings.exposure import ServiceSettings
from settings.types import bracketed

PORT_NAME = "http"
"""The name of the Service's port, and of the container's that it leads to."""

HTTP = 80
"""The port that a URL of http:// leaves out."""

LOAD_BALANCER_TIMEOUTS = pulumi.CustomTimeouts(create="5m", update="5m")
"""Clouds give a load balancer its address within one to four minutes; a cluster without one never does."""


@dataclass(frozen=True)
class Exposed:
    """A component as clients reach it."""

    url: pulumi.Output[str] | None
    """None where only the cluster knows it, and the provider writes files."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none for ClusterIP, and where the cluster is to choose it and is not asked."""


def clients(settings: ServiceSettings, port: int) -> list[NetworkPolicyIngressRuleArgs]:
    """Who may connect to a component's public port, as NetworkPolicy rules."""
    if not settings.is_restricted:
        return [from_anywhere(port)]
    return [
        *([from_addresses(settings.allowed_addresses, port)] if settings.allowed_addresses else []),
        *([from_namespaces(settings.allowed_namespaces, port)] if settings.allowed_namespaces else []),
    ]


def expose(
    component: str,
    settings: ServiceSettings,
    *,
    port: int,
    node_port: int | None,
    stack: StackContext,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource] = (),
) -> Exposed:
    """Makes the Service, under the component's name.

    Args:
        component: the component whose pods it leads to.
        settings: what can be configured.
        port: the Service's port; it leads to the container's port of the name `http`.
        node_port: the port on the nodes; none to let the cluster choose.
        stack: what holds for all components.
        parent: the component's resource.
        after: what has to be there, or updated, before.
    """
    is_awaited = settings.type == "LoadBalancer"
    annotations = {**settings.annotations, **({} if is_awaited else NOT_AWAITED)}
    made = Service(
        parent.pulumi_resource_name,
        metadata=stack.metadata(SERVICE, component, component, annotations=annotations),
        spec=ServiceSpecArgs(
            type=settings.type,
            selector=own_labels(component),
            ports=[ServicePortArgs(name=PORT_NAME, port=port, target_port=PORT_NAME, node_port=node_port)],
            # Nodes replace the client's address when they pass a connection on to another node.
            external_traffic_policy="Local" if settings.keeps_client_address else None,
            load_balancer_source_ranges=(
                settings.allowed_addresses or None if settings.type == "LoadBalancer" else None
            ),
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(after),
            custom_timeouts=LOAD_BALANCER_TIMEOUTS if is_awaited else None,
        ),
    )
    if settings.type == "ClusterIP":
        # Known once the Service is there, as the others are.
        inside = f"{component}.{stack.namespace_name}.svc"
        return Exposed(made.id.apply(lambda _: _url(inside, port)), None)
    if not stack.asks_cluster and (node_port is None or settings.type == "LoadBalancer"):
        return Exposed(None, pulumi.Output.from_input(node_port) if node_port else None)
    on_nodes = _node_port(made, node_port)
    if settings.type == "LoadBalancer":
        return Exposed(_load_balancer(made).apply(lambda host: _url(host, port)), on_nodes)
    return Exposed(pulumi.Output.all(stack.host, on_nodes).apply(lambda known: _url(known[0], known[1])), on_nodes)


def _url(host: str, port: int) -> str:
    return f"http://{bracketed(host)}" + ("" if port == HTTP else f":{port}")


def _node_port(service: Service, configured: int | None) -> pulumi.Output[int]:
    """The NodePort that the cluster gave to a Service's port.

    In the preview of a Service that does not exist yet, the API server's dry run answers with a port that the real
    one will not get: it is unknown then, unless it was configured.
    """
    if configured is not None:
        return pulumi.Output.from_input(configured)

    def given(spec: ServiceSpec) -> pulumi.Output[int]:
        # In the preview of a change from ClusterIP there is none yet.
        ports = [port.node_port for port in spec.ports or [] if port.name == PORT_NAME]
        return pulumi.Output.from_input(ports[0]) if ports and ports[0] else _unknown()

    # The id is unknown exactly as long as the Service does not exist, which makes the whole unknown.
    return service.id.apply(lambda _: service.spec).apply(given)


def _load_balancer(service: Service) -> pulumi.Output[str]:
    """The host name or address of the load balancer, which `pulumi up` waits for; unknown before."""

    def given(status: ServiceStatus | None) -> pulumi.Output[str]:
        balancer = status.load_balancer if status else None
        hosts = [entry.hostname or entry.ip for entry in (balancer.ingress if balancer else None) or []]
        return pulumi.Output.from_input(hosts[0]) if hosts and hosts[0] else _unknown()

    return service.id.apply(lambda _: service.status).apply(given)


def _unknown() -> pulumi.Output[Any]:
    """An output that no value is known of yet."""
    return pulumi.Output.from_input("").apply(lambda _: UNKNOWN)  # pyright: ignore[reportUnknownVariableType]
