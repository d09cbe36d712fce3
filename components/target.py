"""Checks the cluster that a stack goes to, and makes the context of its components there."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

import pulumi

from components.cluster.checks import ask_cluster
from components.cluster.identity import check_cluster
from components.cluster.nodes import rendered_host
from settings import ClusterAccess, Settings
from settings.upstreams import service_of

if TYPE_CHECKING:
    from components.kubernetes.stack import StackContext


async def stack_in_cluster(settings: Settings, access: ClusterAccess) -> "StackContext":
    """Checks that the cluster is the stack's own and takes the stack. Then makes the context of its components.

    Args:
        settings: the configuration.
        access: how the Kubernetes provider reaches the cluster. If the provider writes files, no cluster is asked.

    Raises:
        pulumi.RunError: the cluster is another one, cannot be reached, has objects of others under the stack's names,
            or would refuse something. Nothing was registered.
    """
    if access.renders:
        from components.kubernetes.stack import stack_context  # noqa: PLC0415

        has_node_ports = any(service.type == "NodePort" for _, service, _ in settings.exposed())
        host = rendered_host(settings.node_address, is_needed=has_node_ports)
        _warn_of_unread_services(settings)
        return stack_context(settings, host, asks_cluster=False)
    check_cluster(settings.cluster, kubeconfig=access.kubeconfig, context=access.context)
    # Pulumi's Kubernetes SDK takes 0.7 s to import. A thread imports it while the API server answers.
    importing = asyncio.ensure_future(asyncio.to_thread(import_module, "components.kubernetes.stack"))
    try:
        answers = await ask_cluster(settings, kubeconfig=access.kubeconfig, context=access.context)
    finally:
        await importing
    from components.kubernetes.stack import stack_context  # noqa: PLC0415

    rollouts = None
    if not pulumi.runtime.is_dry_run():
        # A preview starts no pods, and does without these imports.
        from components.cluster.container_logs import secrets_of  # noqa: PLC0415
        from components.cluster.rollouts import Rollouts  # noqa: PLC0415

        rollouts = Rollouts(
            settings.namespace,
            secrets_of(settings),
            kubeconfig=access.kubeconfig,
            context=access.context,
            waits_again=access.applies,
        )
        rollouts.start()
    return stack_context(
        settings, answers.host, findings=answers.findings, backends=answers.backends, rollouts=rollouts
    )


def _warn_of_unread_services(settings: Settings) -> None:
    """Warns of Services that no cluster is asked about, since policies open their namespace's pods alone for them."""
    hosts = [host for host, _ in settings.nginx.destinations(settings.namespace)]
    services = dict.fromkeys(host for host in hosts if service_of(host, settings.namespace))
    if settings.network_policies and services:
        pulumi.log.warn(
            f"no cluster is asked about {', '.join(services)}: network policies let NGINX connect to pods of their "
            "namespaces. If a Service has no selector, or is of the type ExternalName, add its addresses to "
            "`nginx.egress`"
        )
