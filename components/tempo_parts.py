"""The parts of a distributed Tempo besides its ingesters, and who of the parts may reach whom."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs, NetworkPolicyIngressRuleArgs

from components.documents.tempo_gateway import INSIDE_PORT
from components.documents.tempo_parts import GOSSIP_PORT, GRPC_PORT
from components.kubernetes.component import Component
from components.kubernetes.network import from_anywhere, from_component, network_policy, to_component, to_dns
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import autoscaler, deployment, disruption_budget, pods_with
from components.plan.labels import TEMPO, part_labels, part_name
from components.tempo_pods import TempoPods
from settings import tempo_parts
from settings.tempo_parts import DISTRIBUTOR, INGESTER, METRICS_GENERATOR, QUERIER, QUERY_FRONTEND, ScaledPart

_CALLS: Mapping[str, tuple[str, ...]] = {
    DISTRIBUTOR: (INGESTER, METRICS_GENERATOR),
    # A querier takes its work from the frontends, which connect to none.
    QUERIER: (INGESTER, METRICS_GENERATOR, QUERY_FRONTEND),
}
"""The parts that a part connects to by gRPC. None asks for a password there."""


class TempoPart(Component):
    """A part of Tempo other than the ingesters: its pods, their policy, and what keeps them available."""

    pods: pulumi.Input[pulumi.CustomResource]
    """The workload. Pulumi has made or updated it once its pods are Ready."""

    def __init__(
        self,
        part: str,
        configured: tempo_parts.TempoPart | ScaledPart,
        stack: StackContext,
        pods: TempoPods,
        *,
        running: Sequence[str],
        after: Sequence[pulumi.Input[pulumi.Resource]],
        ingress: Sequence[NetworkPolicyIngressRuleArgs],
        egress: Sequence[NetworkPolicyEgressRuleArgs],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the policy, the workload, its budget and its autoscaler.

        Args:
            part: Tempo's name for it.
            configured: its settings.
            stack: the settings and the namespace that all components share.
            pods: what Tempo's pods are made of.
            running: the parts that the stack has.
            after: the Services by which its pods find other parts, and the pods of parts that must be Ready before.
            ingress: who besides other parts may reach it.
            egress: whom besides other parts it may reach.
            opts: the usual options.
        """
        name = part_name(part)
        super().__init__("nginx-tracing:index:TempoPart", name, name, stack, opts)
        self.policies = part_policy(self, part, running=running, ingress=ingress, egress=egress)
        workload = pods.part(
            part,
            configured.resources,
            replicas=configured.replicas,
            autoscaled=isinstance(configured, ScaledPart) and configured.autoscaling is not None,
            depends_on=[*self.policies, *after],
        )
        most = configured.replicas
        if part == METRICS_GENERATOR:
            volume = pods.settings.persistence
            self.pods = pods_with(self, workload, "data", size=volume.size, storage_class=volume.storage_class)
        else:
            made = self.pods = deployment(self, workload)
            if isinstance(configured, ScaledPart) and configured.autoscaling:
                scaling, most = configured.autoscaling, configured.most_replicas
                autoscaler(self, made, least=configured.replicas, most=most, cpu=scaling.cpu)
        disruption_budget(self, most)
        self.register_outputs({})


def part_policy(
    owner: Component,
    part: str,
    *,
    running: Sequence[str],
    ingress: Sequence[NetworkPolicyIngressRuleArgs],
    egress: Sequence[NetworkPolicyEgressRuleArgs],
) -> list[pulumi.Resource]:
    """Makes the network policy of a part: all parts reach each other for memberlist, and by gRPC those that call.

    Args:
        owner: the component with the part's pods.
        part: Tempo's name for it.
        running: the parts that the stack has.
        ingress: who besides other parts may reach it.
        egress: whom besides other parts it may reach.
    """
    callers = [other for other, called in _CALLS.items() if part in called]
    called = [other for other in _CALLS.get(part, ()) if other in running]
    return network_policy(
        owner,
        ingress=[
            *ingress,
            # Counters are no secret. The cluster decides who reads them, as it does for the Collector's.
            from_anywhere(INSIDE_PORT),
            from_component(TEMPO, GOSSIP_PORT),
            *(from_component(part_labels(other), GRPC_PORT) for other in callers),
        ],
        egress=[
            to_dns(),
            *egress,
            to_component(TEMPO, GOSSIP_PORT),
            *(to_component(part_labels(other), GRPC_PORT) for other in called),
        ],
    )
