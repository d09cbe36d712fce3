"""NetworkPolicies: who may reach a component, and whom it may reach. Its pods are denied everything else.

A policy knows addresses and labels, never names: where a name is configured, what may be behind it is allowed.
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

from components.kubernetes.stack import StackContext
from components.plan.labels import COMPONENTS, PART_OF, own_labels
from components.plan.objects import DENY_ALL, NETWORK_POLICY
from settings.stack import NAME_LABEL
from settings.types import is_address

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""What the API server labels each namespace with."""

DNS_PORTS = (53, 5353)
"""5353 is where the pods of OpenShift's DNS listen."""


def network_policy(
    component: str,
    *,
    ingress: Sequence[NetworkPolicyIngressRuleArgs],
    egress: Sequence[NetworkPolicyEgressRuleArgs],
    stack: StackContext,
    parent: pulumi.Resource,
) -> list[pulumi.Resource]:
    """What a component's pods may do; gives what the pods must wait for: nothing where policies are off.

    Auto-named, and an edit makes a new one: the old one, which pods of before the edit need, goes after new pods have
    taken their place, some seconds before they have ended. Until then the two allow together what either does.
    Kubelet's probes are not in it: a node always reaches its own pods.
    """
    if not stack.network_policies:
        return []
    policy = NetworkPolicy(
        parent.pulumi_resource_name,
        metadata=stack.metadata(NETWORK_POLICY, component),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(match_labels=own_labels(component)),
            policy_types=["Ingress", "Egress"],
            ingress=ingress,
            egress=egress,
        ),
        opts=pulumi.ResourceOptions(parent=parent, replace_on_changes=["spec"]),
    )
    return [policy]


def deny_all(stack: StackContext, *, after: Sequence[pulumi.Resource]) -> None:
    """Denies the stack's pods every connection that no other policy allows; other pods of the namespace are left alone.

    The policies of the components deny the same. This one holds while one of them is replaced, or was deleted by hand.
    In a namespace that others use too its name is generated: a `deny-all` of theirs is often there.

    Args:
        stack: what holds for all components.
        after: the components' policies. Pods that are there already are to be cut off from nothing that they need.
    """
    if not stack.network_policies:
        return
    NetworkPolicy(
        "deny-all",
        metadata=stack.metadata(NETWORK_POLICY, None, DENY_ALL if stack.owns_namespace else None),
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(
                match_labels=PART_OF,
                match_expressions=[LabelSelectorRequirementArgs(key=NAME_LABEL, operator="In", values=[*COMPONENTS])],
            ),
            policy_types=["Ingress", "Egress"],
        ),
        opts=pulumi.ResourceOptions(depends_on=list(after)),
    )


def from_anywhere(*ports: int) -> NetworkPolicyIngressRuleArgs:
    """From every address: a NodePort's clients come under those of nodes, or their own."""
    return NetworkPolicyIngressRuleArgs(ports=_tcp(ports))


def from_addresses(networks: Iterable[str], *ports: int) -> NetworkPolicyIngressRuleArgs:
    """From ranges of addresses outside the cluster, as long as no hop on the way replaces the client's address."""
    peers = [NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=network)) for network in networks]
    return NetworkPolicyIngressRuleArgs(from_=peers, ports=_tcp(ports))


def from_component(component: str, *ports: int) -> NetworkPolicyIngressRuleArgs:
    """From the pods of one of the stack's components."""
    return NetworkPolicyIngressRuleArgs(from_=[_pods_of(component)], ports=_tcp(ports))


def from_namespaces(namespaces: Iterable[str], *ports: int) -> NetworkPolicyIngressRuleArgs:
    """From every pod of some namespaces."""
    named = LabelSelectorRequirementArgs(key=NAMESPACE_LABEL, operator="In", values=sorted(set(namespaces)))
    peer = NetworkPolicyPeerArgs(namespace_selector=LabelSelectorArgs(match_expressions=[named]))
    return NetworkPolicyIngressRuleArgs(from_=[peer], ports=_tcp(ports))


def to_component(component: str, *ports: int) -> NetworkPolicyEgressRuleArgs:
    """To the pods of one of the stack's components."""
    return NetworkPolicyEgressRuleArgs(to=[_pods_of(component)], ports=_tcp(ports))


def to_dns() -> NetworkPolicyEgressRuleArgs:
    """To every resolver. The cluster's own looks up any name for a pod, so that no other address is worth closing."""
    ports = [NetworkPolicyPortArgs(protocol=protocol, port=port) for port in DNS_PORTS for protocol in ("UDP", "TCP")]
    return NetworkPolicyEgressRuleArgs(ports=ports)


def to_kubernetes_api(ports: Iterable[int]) -> NetworkPolicyEgressRuleArgs:
    """To the API server, whose addresses only the cluster knows."""
    return NetworkPolicyEgressRuleArgs(ports=_tcp(ports))


def to_hosts(hosts: Iterable[tuple[str, int]], namespace: str) -> list[NetworkPolicyEgressRuleArgs]:
    """To hosts and their ports, as they are configured.

    Args:
        hosts: an address or a name each, and a port. The name of a Service (`shop`, `shop.web`, `shop.web.svc…`) is
            all pods of its namespace, on every port: a policy sees the pods' port, not the Service's. Any other name
            is its port at every address.
        namespace: that of Services that name none.
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
            # After the namespace, of a Service or of one of its pods (`web-0.web.shop.svc`).
            namespaces[labels[labels.index("svc", 2) - 1]] = None
        else:
            anywhere[port] = None
            if len(labels) == 2:
                # A Service, or a name of the world.
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
