"""The demo: two small services behind the stack's NGINX, each an NGINX with the OpenTelemetry module."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ServicePortArgs

from components.documents.demo import demo_settings
from components.kubernetes.component import Component
from components.kubernetes.exposure import PORT_NAME
from components.kubernetes.network import from_component, network_policy, to_component, to_dns
from components.kubernetes.services import Endpoint, service
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import deployment
from components.nginx_pods import nginx_workload
from components.plan.labels import NGINX
from settings import NginxSettings, Settings
from settings.demo import DEMO_PORT, SHOP, STOCK


class DemoService(Component):
    """One of the demo's services. The one before it on a request's way alone may connect to it.

    It is open-source NGINX with either edition: with NGINX Plus each of its pods would need the license, and would
    report its use to F5.
    """

    endpoint: Endpoint
    """Where it takes requests."""

    reachable: pulumi.Resource
    """Its Service, which the one before it looks up."""

    pods: pulumi.CustomResource
    """The workload. Pulumi has made or updated it once its pods are Ready."""

    def __init__(
        self,
        name: str,
        settings: NginxSettings,
        stack: StackContext,
        *,
        exporter: Endpoint,
        client: str,
        upstream: "DemoService | None" = None,
        after: Sequence[pulumi.Input[pulumi.Resource]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config object, the workload and the Service.

        Args:
            name: the resource's name, and the service's.
            settings: its NGINX's settings.
            stack: the settings and the namespace that all components share.
            exporter: the stack's Collector.
            client: the component that sends it requests.
            upstream: the service that it sends requests on to; none for the last one.
            after: the Collector's pods.
            opts: the usual options.
        """
        super().__init__("nginx-tracing:index:DemoService", name, name, stack, opts)
        self.endpoint = Endpoint(name, stack.namespace_name, DEMO_PORT)
        onward = [to_component(upstream.component, DEMO_PORT)] if upstream else []
        self.policies = network_policy(
            self,
            ingress=[from_component(client, DEMO_PORT)],
            egress=[
                to_dns(),
                to_component(exporter.component, exporter.port),
                *onward,
            ],
        )
        self.reachable = service(self, [ServicePortArgs(name=PORT_NAME, port=DEMO_PORT, target_port=PORT_NAME)])
        workload = nginx_workload(
            self,
            settings,
            pulumi.Output.from_input(stack.images["demo"]),
            exporter,
            metrics=None,
            after=[*self.policies, *after, *([upstream.reachable] if upstream else [])],
        )
        self.pods = deployment(self, workload)
        self.register_outputs({"endpoint": str(self.endpoint)})


def demo_services(
    settings: Settings, stack: StackContext, *, exporter: Endpoint, after: Sequence[pulumi.Input[pulumi.Resource]] = ()
) -> list[DemoService]:
    """Makes the demo's services, and returns them in the order of a request's way: NGINX sends requests to the first.

    Args:
        settings: the whole configuration.
        stack: the settings and the namespace that all components share.
        exporter: the stack's Collector.
        after: the Collector's pods.
    """
    own = demo_settings(settings)
    stock = DemoService(STOCK, own[STOCK], stack, exporter=exporter, client=SHOP, after=after)
    shop = DemoService(SHOP, own[SHOP], stack, exporter=exporter, client=NGINX, upstream=stock, after=after)
    return [shop, stock]
