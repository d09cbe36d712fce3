"""Services inside the cluster, and the endpoints that one component gives to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs

from components.kubernetes.component import Component
from components.plan.labels import own_labels, service_host
from components.plan.objects import SERVICE

NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""Pulumi does not wait for an object with this annotation. For a Service, waiting costs ten seconds and tells nothing
that the awaited workload does not."""


@dataclass(frozen=True)
class Endpoint:
    """Where a component listens inside the cluster."""

    component: str
    """The component whose pods listen there."""

    namespace: str
    port: int
    service_suffix: str = ""
    """The part that follows the component's name in its Service's name."""

    def __str__(self) -> str:
        return f"{service_host(f'{self.component}{self.service_suffix}', self.namespace)}:{self.port}"


def service(owner: Component, ports: Sequence[ServicePortArgs], *, suffix: str = "") -> Service:
    """Makes a Service of a component's pods inside the cluster. Its name is fixed: others reach the pods by it.

    Args:
        owner: the component.
        ports: the Service's ports.
        suffix: what follows the component's name, if another Service of the component has the name alone.
    """
    return Service(
        f"{owner.resource_name}{suffix}",
        metadata=owner.metadata(SERVICE, suffix=suffix, annotations=NOT_AWAITED),
        spec=ServiceSpecArgs(type="ClusterIP", selector=own_labels(owner.component), ports=ports),
        opts=owner.own,
    )
