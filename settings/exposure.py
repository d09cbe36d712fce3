"""How a component is reached from outside: the type of its Service, and who may connect."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from settings.types import AnnotationKey, AnnotationValue, LabelName, Model, TypeName

ServiceType = Literal["NodePort", "ClusterIP", "LoadBalancer"]


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "/" not in text or "%" in text:
        raise ValueError(
            "must be a range of addresses in CIDR notation; a single address ends with /32, or /128 for IPv6"
        )
    # The API server refuses a NetworkPolicy with host bits, and so would a load balancer.
    if str(network) != text.lower():
        raise ValueError(f"must be written as the network that it means, which is {network}")
    return str(network)


def _named(values: list[str]) -> list[str]:
    # Removing the last item by a command leaves an empty list, which must not open the component to everybody.
    if not values:
        raise ValueError("must not be empty, which could mean nobody or everybody: remove the key to let everybody in")
    return values


Network = Annotated[str, AfterValidator(_network), TypeName("CIDR")]


class ServiceSettings(Model):
    """The Service that a component is reached by, and who may connect."""

    type: ServiceType = Field(
        default="NodePort",
        description="NodePort: a port on every node. ClusterIP: inside the cluster alone. LoadBalancer: an address "
        "from the cluster's load balancer, which `pulumi up` waits for; Kubernetes opens a NodePort for it as well.",
    )
    annotations: dict[AnnotationKey, AnnotationValue] = Field(
        default_factory=dict[str, str],
        description="Annotations of the Service: how clouds configure their load balancers.",
    )
    allowed_addresses: Annotated[list[Network], AfterValidator(_named)] = Field(
        default_factory=list[str],
        description="Address ranges that clients outside the cluster may connect from. A NetworkPolicy enforces them, "
        "and so does the load balancer. Only nodes that run one of the pods answer then, because other nodes would "
        "hide the client's address. A load balancer that hides it needs its own addresses here. Unset, with "
        "`allowedNamespaces` unset too: everybody.",
        examples=[["203.0.113.0/24"]],
    )
    allowed_namespaces: Annotated[list[LabelName], AfterValidator(_named)] = Field(
        default_factory=list[str],
        description="Namespaces whose pods may connect, with ClusterIP or beside `allowedAddresses`. "
        "Unset, with `allowedAddresses` unset too: everybody.",
        examples=[["monitoring"]],
    )

    @property
    def is_restricted(self) -> bool:
        """Whether somebody may not connect."""
        return bool(self.allowed_addresses or self.allowed_namespaces)

    @property
    def keeps_client_address(self) -> bool:
        """Whether the pod has to see the client's own address, which a node that passes a connection on replaces."""
        return self.type != "ClusterIP" and bool(self.allowed_addresses)
