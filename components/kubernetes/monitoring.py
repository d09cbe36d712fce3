"""Lets Prometheus find the components' counters."""

from dataclasses import dataclass

from components.kubernetes.component import Component
from components.plan.labels import own_labels
from components.plan.objects import POD_MONITOR


@dataclass(frozen=True)
class Metrics:
    """Where a component's pods serve their counters."""

    port_name: str
    port: int
    path: str = "/metrics"

    def annotations(self) -> dict[str, str]:
        """Returns the annotations that the usual configurations of Prometheus look for."""
        return {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(self.port),
            "prometheus.io/path": self.path,
        }


def pod_monitor(owner: Component, metrics: Metrics) -> None:
    """Makes a PodMonitor, if the configuration asks for it: the Prometheus Operator then scrapes the component's pods.

    Args:
        owner: the component.
        metrics: where its pods serve their counters.
    """
    if not owner.stack.monitoring.pod_monitors:
        return
    # Imported here: few stacks need it.
    from pulumi_kubernetes.apiextensions import CustomResource  # noqa: PLC0415

    CustomResource(
        owner.resource_name,
        api_version=f"{POD_MONITOR.group}/{POD_MONITOR.version}",
        kind=POD_MONITOR.name,
        metadata=owner.metadata(POD_MONITOR),
        spec={
            "selector": {"matchLabels": own_labels(owner.component)},
            # The alerts select the stack's pods by these labels.
            "podTargetLabels": list(own_labels(owner.component)),
            "podMetricsEndpoints": [{"port": metrics.port_name, "path": metrics.path}],
        },
        opts=owner.own,
    )
