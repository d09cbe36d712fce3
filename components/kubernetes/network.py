"""NetworkPolicies: who may reach a component, and whom it may reach. Everything else is denied to its pods.

A policy matches addresses and labels, and cannot match names. For a configured name it allows whatever may be behind
the name.
"""

from collections.abc import Iterable, Sequence

import pulumi
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, LabelSelectorRequirementArgs
from pulumi_kubernetes.networking.v1 import (
    IPBlockArgs,
    NetworkPolicy,
    NetworkPolicyEgressRuleArgs,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)

from components.kubernetes.component import Component
from components.kubernetes.stack import StackContext
from components.plan.labels import COMPONENTS, DECIDER, PART_OF, own_labels
from components.plan.objects import DENY_ALL, NETWORK_POLICY
from settings.stack import NAME_LABEL
from settings.types import is_address

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The API server labels each namespace with its name by this key."""

DNS_PORTS = (53, 5353)
"""The pods of OpenShift's DNS listen on 5353."""


def network_policy(
    owner: Component,
    *,
    ingress: Sequence[NetworkPolicyIngressRuleArgs],
    egress: Sequence[NetworkPolicyEgressRuleArgs],
) -> list[pulumi.Resource]:
    """Makes the policy of a component's pods, if the configuration does not turn policies off.

    Auto-named, and an edit makes a new policy. Pulumi deletes the old one, which the old pods need, after the new pods
    have taken their place, and some seconds before the old pods have ended. Until then both policies hold, and pods may
    do what either allows. Kubelet's probes are not in it: a node always reaches its own pods.

    Args:
        owner: the component.
        ingress: who may reach its pods.
        egress: whom its pods may reach.

    Returns:
        The resources that the pods must wait for.
    """
    if not owner.stack.network_policies:
        return []
    policy = NetworkPolicy(
        owner.resource_name,
        metadata=owner.metadata(NETWORK_POLICY, is_auto_named=True),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(match_labels=own_labels(owner.selects)),
            policy_types=["Ingress", "Egress"],
            ingress=ingress,
            egress=egress,
        ),
        opts=pulumi.ResourceOptions(parent=owner, replace_on_changes=["spec"]),
    )
    return [policy]


def deny_all(stack: StackContext, *, after: Sequence[pulumi.Resource]) -> None:
    """Denies the stack's pods every connection that no other policy allows. It does not select other pods.

    The policies of the components deny the same. This one also holds while Pulumi replaces one of them, and after
    somebody deleted one. In a namespace that others use too its name is generated, because a `deny-all` of theirs is
    often there.

    Args:
        stack: the settings and the namespace that all components share.
        after: the components' policies, which must exist first: running pods keep the connections that they need.
    """
    if not stack.network_policies:
        return
    names = [*COMPONENTS, *([DECIDER] if stack.has(DECIDER) else [])]
    NetworkPolicy(
        "deny-all",
        metadata=stack.metadata(NETWORK_POLICY, None, DENY_ALL if stack.owns_namespace else None),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(
                match_labels=PART_OF,
                match_expressions=[LabelSelectorRequirementArgs(key=NAME_LABEL, operator="In", values=names)],
            ),
            policy_types=["Ingress", "Egress"],
        ),
        opts=pulumi.ResourceOptions(depends_on=list(after)),
    )


def from_anywhere(*ports: int) -> NetworkPolicyIngressRuleArgs:
    """Allows every address. A NodePort's clients arrive with the address of a node, or with their own."""
    return NetworkPolicyIngressRuleArgs(ports=_tcp(ports))


def from_addresses(networks: Iterable[str], *ports: int) -> NetworkPolicyIngressRuleArgs:
    """Allows ranges of addresses outside the cluster. It needs hops that do not replace the client's address."""
    peers = [NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=network)) for network in networks]
    return NetworkPolicyIngressRuleArgs(from_=peers, ports=_tcp(ports))


def from_component(component: str, *ports: int) -> NetworkPolicyIngressRuleArgs:
    """Allows the pods of one of the stack's components."""
    return NetworkPolicyIngressRuleArgs(from_=[_pods_of(component)], ports=_tcp(ports))


def from_namespaces(namespaces: Iterable[str], *ports: int) -> NetworkPolicyIngressRuleArgs:
    """Allows every pod of some namespaces."""
    named = LabelSelectorRequirementArgs(key=NAMESPACE_LABEL, operator="In", values=sorted(set(namespaces)))
    peer = NetworkPolicyPeerArgs(namespace_selector=LabelSelectorArgs(match_expressions=[named]))
    return NetworkPolicyIngressRuleArgs(from_=[peer], ports=_tcp(ports))


def to_component(component: str, *ports: int) -> NetworkPolicyEgressRuleArgs:
    """Allows the pods of one of the stack's components."""
    return NetworkPolicyEgressRuleArgs(to=[_pods_of(component)], ports=_tcp(ports))


def to_dns() -> NetworkPolicyEgressRuleArgs:
    """Allows every resolver. The cluster's own looks up any name for a pod: closing other addresses gains nothing."""
    ports = [NetworkPolicyPortArgs(protocol=protocol, port=port) for port in DNS_PORTS for protocol in ("UDP", "TCP")]
    return NetworkPolicyEgressRuleArgs(ports=ports)


def to_kubernetes_api(ports: Iterable[int]) -> NetworkPolicyEgressRuleArgs:
    """Allows the API server's ports at every address: only the cluster knows its addresses."""
    return NetworkPolicyEgressRuleArgs(ports=_tcp(ports))


def to_hosts(hosts: Iterable[tuple[str, int]], namespace: str) -> list[NetworkPolicyEgressRuleArgs]:
    """Allows hosts and their ports, as they are configured.

    Args:
        hosts: an address or a name each, and a port. The name of a Service (`shop`, `shop.web`, `shop.web.svc…`) allows
            all pods of its namespace on every port: a policy sees the pods' port, not the Service's. Any other name
            allows its port at every address.
        namespace: the namespace of Services whose names leave it out.
    """
    addresses: dict[tuple[str, int], None] = {}
    namespaces: dict[str, None] = {}
    anywhere: dict[int, None] = {}
    for host, port in hosts:
        labels = host.rstrip(".").lower().split(".")
        if is_address(host):
            addresses[host, port] = None
        elif len(labels) == 1:
            namespaces[namespace] = None
        elif "svc" in labels[2:4]:
            # `svc` follows the namespace in the name of a Service and of one of its pods (`web-0.web.shop.svc`).
            namespaces[labels[labels.index("svc", 2) - 1]] = None
        else:
            anywhere[port] = None
            if len(labels) == 2:
                # It may be a Service and its namespace, or a public name.
                namespaces[labels[1]] = None
    return [
        *(
            NetworkPolicyEgressRuleArgs(
                to=[NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=f"{host}/{128 if ':' in host else 32}"))],
                ports=_tcp([port]),
            )
            for host, port in addresses
        ),
        *(
            NetworkPolicyEgressRuleArgs(
                to=[NetworkPolicyPeerArgs(namespace_selector=LabelSelectorArgs(match_labels={NAMESPACE_LABEL: name}))]
            )
            for name in namespaces
        ),
        *([NetworkPolicyEgressRuleArgs(ports=_tcp(sorted(anywhere)))] if anywhere else []),
    ]


def _pods_of(component: str) -> NetworkPolicyPeerArgs:
    return NetworkPolicyPeerArgs(pod_selector=LabelSelectorArgs(match_labels=own_labels(component)))


def _tcp(ports: Iterable[int]) -> list[NetworkPolicyPortArgs]:
    return [NetworkPolicyPortArgs(protocol="TCP", port=port) for port in ports]
