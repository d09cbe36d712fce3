"""Where a stack goes: the checks of its cluster, and the context of its components there."""

import asyncio

import pulumi

from components.cluster import check_cluster, node_host, rendered_host
from components.demand import KEYS, pods_of
from components.preflight import preflight
from components.rollouts import Rollouts, secrets_of
from components.stack import StackContext, stack_context
from settings import Settings


async def stack_in_cluster(
    settings: Settings, *, kubeconfig: str | None, context: str | None, renders: bool, applies: bool
) -> StackContext:
    """Checks that the cluster is the stack's own and takes it; then makes what all components share.

    Args:
        settings: the configuration.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
        renders: whether the provider writes files. No cluster is asked or needed then.
        applies: whether it has the API server apply objects, rather than create and patch them.

    Raises:
        pulumi.RunError: it is another cluster, cannot be reached, or would refuse something; nothing was registered.
    """
    if renders:
        return stack_context(settings, rendered_host(settings.node_address))
    check_cluster(settings.cluster, kubeconfig=kubeconfig, context=context)
    asked = [(KEYS[demand.component], demand.resources) for demand in pods_of(settings)]
    host, findings = await asyncio.gather(
        node_host(
            settings.node_address,
            kubeconfig=kubeconfig,
            context=context,
            node_selector=settings.scheduling.node_selector,
            asked=asked,
        ),
        preflight(settings, kubeconfig=kubeconfig, context=context),
    )
    rollouts = None
    if not pulumi.runtime.is_dry_run():
        rollouts = Rollouts(
            settings.namespace,
            secrets_of(settings),
            kubeconfig=kubeconfig,
            context=context,
            waits_again=applies,
        )
        rollouts.start()
    return stack_context(settings, host, findings=findings, rollouts=rollouts)
