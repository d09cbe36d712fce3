"""NGINX with the OpenTelemetry module."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs

from components.documents.nginx import HTTP_PORT
from components.kubernetes.component import Component
from components.kubernetes.exposure import HTTP, clients, expose
from components.kubernetes.monitoring import pod_monitor
from components.kubernetes.network import from_anywhere, network_policy, to_component, to_dns, to_hosts
from components.kubernetes.services import Endpoint
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import autoscaler, deployment, disruption_budget
from components.nginx_pods import METRICS, LicensedPlus, nginx_workload
from components.plan.labels import NGINX
from settings import NginxSettings, Settings
from settings.types import split_endpoint


class NginxOtel(Component):
    """NGINX that sends a span for each request, on a NodePort, a load balancer or an address inside the cluster.

    It is not an ingress controller and reads nothing from the cluster: its routes are the configuration's.
    """

    url: pulumi.Output[str] | None
    """NGINX for clients: from outside, or inside the cluster with `service.type` ClusterIP."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP."""

    image: pulumi.Output[str]
    """The image that runs."""

    pods: pulumi.CustomResource
    """The workload. Pulumi has made or updated it once its pods are Ready."""

    def __init__(
        self,
        name: str,
        settings: NginxSettings,
        stack: StackContext,
        *,
        image: pulumi.Input[str],
        exporter: Endpoint | None,
        after: Sequence[pulumi.Input[pulumi.Resource]] = (),
        plus: LicensedPlus | None = None,
        backends: Sequence[tuple[str, int]] = (),
        demo: Endpoint | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name.
            settings: NGINX's settings.
            stack: the settings and the namespace that all components share.
            image: the image that runs, whatever `settings.image` is.
            exporter: the stack's own Collector; none if `settings.exporter.endpoint` names another.
            after: the Collector's pods, and the Services that NGINX looks up. The module connects when NGINX starts. If
                it does not find the Collector, it tries again after 1 s, then after 1.6 times longer each time, and
                drops the spans of the meantime.
            plus: what NGINX Plus needs; none for an image of open source NGINX.
            backends: the addresses behind the Services of `settings` that have no pods.
            demo: where the demo takes requests; none without a demo.
            opts: the usual options.

        Raises:
            ValueError: spans have nowhere to go.
        """
        super().__init__("nginx-tracing:index:NginxOtel", name, NGINX, stack, opts)
        self.image = pulumi.Output.from_input(image)
        self.policies = network_policy(
            self,
            ingress=[*clients(settings.service, HTTP_PORT), from_anywhere(METRICS.port)],
            egress=[
                *_egress(settings, stack.namespace_name, exporter, plus, backends),
                *([to_component(demo.component, demo.port)] if demo else []),
            ],
        )
        workload = nginx_workload(self, settings, self.image, exporter, plus=plus, after=[*self.policies, *after])
        self.pods = scaled = deployment(self, workload)
        if settings.autoscaling:
            most, cpu = settings.autoscaling.max_replicas, settings.autoscaling.cpu
            autoscaler(self, scaled, least=settings.replicas, most=most, cpu=cpu)
        pod_monitor(self, METRICS)
        disruption_budget(self, settings.autoscaling.max_replicas if settings.autoscaling else settings.replicas)
        exposed = expose(self, settings.service, port=HTTP, node_port=settings.node_port)
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"url": self.url, "node_port": self.node_port, "image": self.image})


def licensed_plus(settings: Settings) -> LicensedPlus | None:
    """Returns what NGINX Plus needs; none if the edition is another, or there is no license."""
    if settings.edition != "plus" or settings.nginx_license_jwt is None:
        return None
    return LicensedPlus(settings.plus, settings.nginx_license_jwt)


def _egress(
    settings: NginxSettings,
    namespace: str,
    exporter: Endpoint | None,
    plus: LicensedPlus | None,
    backends: Sequence[tuple[str, int]],
) -> list[NetworkPolicyEgressRuleArgs]:
    own = None if settings.exporter.endpoint else exporter
    return [
        to_dns(),
        *([to_component(own.component, own.port)] if own else []),
        *to_hosts([*_destinations(settings, namespace, plus), *backends], namespace),
    ]


def _destinations(settings: NginxSettings, namespace: str, plus: LicensedPlus | None) -> list[tuple[str, int]]:
    """Returns the hosts outside of the stack's components that NGINX connects to."""
    hosts = settings.destinations(namespace)
    if plus:
        report = plus.settings.usage_report
        hosts.append(split_endpoint(report.proxy or report.endpoint))
    return hosts
