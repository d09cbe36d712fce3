"""How clients reach a component: the type of its Service, and who may connect."""

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
    # A command that removes the last item leaves an empty list, which must not open the component to everybody.
    if not values:
        raise ValueError("must not be empty, which could mean no client or every client: remove the key to let all in")
    return values


Network = Annotated[str, AfterValidator(_network), TypeName("CIDR")]


class ServiceSettings(Model):
    """The Service of a component, and who may connect."""

    type: ServiceType = Field(
        default="NodePort",
        description="NodePort: a port on every node. ClusterIP: inside the cluster alone. LoadBalancer: an address "
        "from the cluster's load balancer, which `pulumi up` waits for; Kubernetes also opens a NodePort for it.",
    )
    annotations: dict[AnnotationKey, AnnotationValue] = Field(
        default_factory=dict[str, str],
        description="Annotations of the Service, by which clouds configure their load balancers.",
    )
    allowed_addresses: Annotated[list[Network], AfterValidator(_named)] = Field(
        default_factory=list[str],
        description="Address ranges that clients outside the cluster may connect from. A NetworkPolicy enforces them, "
        "and so does the load balancer. Only nodes that run one of the pods answer then, because other nodes would "
        "hide the client's address. A load balancer that hides it needs its own addresses here. If this and "
        "`allowedNamespaces` are unset: every client.",
        examples=[["203.0.113.0/24"]],
    )
    allowed_namespaces: Annotated[list[LabelName], AfterValidator(_named)] = Field(
        default_factory=list[str],
        description="Namespaces whose pods may connect, with ClusterIP or beside `allowedAddresses`. If this and "
        "`allowedAddresses` are unset: every client.",
        examples=[["monitoring"]],
    )

    @property
    def is_restricted(self) -> bool:
        """Whether some clients may not connect."""
        return bool(self.allowed_addresses or self.allowed_namespaces)

    @property
    def keeps_client_address(self) -> bool:
        """Whether the pod has to see the client's own address. A node that forwards a connection replaces it."""
        return self.type != "ClusterIP" and bool(self.allowed_addresses)
