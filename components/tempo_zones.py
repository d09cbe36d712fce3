"""The ingesters of a distributed Tempo: one StatefulSet, or one in each zone."""

from collections.abc import Sequence

import pulumi

from components.kubernetes.component import Component
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import disruption_budget, pods_with
from components.plan.labels import zone_name
from components.tempo_pods import TempoPods
from settings.tempo_parts import INGESTER, Ingesters


class TempoZone(Component):
    """The ingesters of one zone."""

    pods: pulumi.Input[pulumi.CustomResource]
    """The StatefulSet, once its pods are replaced."""

    def __init__(
        self,
        zone: str,
        ingesters: Ingesters,
        stack: StackContext,
        pods: TempoPods,
        *,
        after: Sequence[pulumi.Input[pulumi.Resource]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Makes the StatefulSet.

        Args:
            zone: the zone, by its nodes' label.
            ingesters: the settings of all ingesters.
            stack: the settings and the namespace that all components share.
            pods: what Tempo's pods are made of.
            after: what Pulumi makes or updates before.
            opts: the usual options.
        """
        name = zone_name(zone)
        super().__init__("nginx-tracing:index:TempoZone", name, name, stack, opts)
        self.pods = _ingesters(self, ingesters, pods, zone=zone, after=after)
        self.register_outputs({})


def ingesters_of(
    owner: Component, ingesters: Ingesters, pods: TempoPods, *, after: Sequence[pulumi.Input[pulumi.Resource]]
) -> list[pulumi.Input[pulumi.CustomResource]]:
    """Makes the ingesters, and one PodDisruptionBudget over all of them. Returns their StatefulSets.

    Pulumi updates one zone after another: with two zones away at once, spans would be refused.

    Args:
        owner: Tempo.
        ingesters: their settings.
        pods: what Tempo's pods are made of.
        after: what Pulumi makes before.
    """
    made: list[pulumi.Input[pulumi.CustomResource]] = []
    if not ingesters.zones:
        made.append(_ingesters(owner, ingesters, pods, zone=None, after=after))
    for zone in ingesters.zones:
        made.append(TempoZone(zone, ingesters, owner.stack, pods, after=[*after, *made], opts=owner.own).pods)
    disruption_budget(owner, ingesters.replicas)
    return made


def _ingesters(
    owner: Component,
    ingesters: Ingesters,
    pods: TempoPods,
    *,
    zone: str | None,
    after: Sequence[pulumi.Input[pulumi.Resource]],
) -> pulumi.Input[pulumi.CustomResource]:
    replicas = ingesters.replicas // max(len(ingesters.zones), 1)
    workload = pods.part(INGESTER, ingesters.resources, replicas=replicas, zone=zone, depends_on=after)
    volume = pods.settings.persistence
    return pods_with(owner, workload, "data", size=volume.size, storage_class=volume.storage_class)
