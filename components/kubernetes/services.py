"""Services inside the cluster, and the endpoints that one component gives to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
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
    service: str = ""
    """The name of the Service, if it is not the component's."""

    def __str__(self) -> str:
        return f"{service_host(self.service or self.component, self.namespace)}:{self.port}"


def service(
    owner: Component,
    ports: Sequence[ServicePortArgs],
    *,
    suffix: str = "",
    leads_to: str | None = None,
    is_headless: bool = False,
    has_unready: bool = False,
    traffic_distribution: str | None = None,
    after: Sequence[pulumi.Input[pulumi.Resource]] = (),
) -> Service:
    """Makes a Service of a component's pods inside the cluster. Its name is fixed: others reach the pods by it.

    Args:
        owner: the component.
        ports: the Service's ports.
        suffix: what follows the component's name, if another Service of the component has the name alone.
        leads_to: the name whose labels select the pods behind it; none for the component's own pods.
        is_headless: whether its name is that of all Ready pods, and it has no address of its own.
        has_unready: whether its name is also that of pods that are not Ready yet.
        traffic_distribution: which pods a client's connections go to; none for any.
        after: resources that Pulumi makes or updates before.
    """
    return Service(
        f"{owner.resource_name}{suffix}",
        metadata=owner.metadata(SERVICE, suffix=suffix, annotations=NOT_AWAITED),
        spec=ServiceSpecArgs(
            type="ClusterIP",
            cluster_ip="None" if is_headless else None,
            publish_not_ready_addresses=True if has_unready else None,
            traffic_distribution=traffic_distribution,
            selector=own_labels(leads_to or owner.selects),
            ports=ports,
        ),
        opts=pulumi.ResourceOptions(parent=owner, depends_on=list(after)),
    )
