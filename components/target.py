"""Where a stack goes: the checks of its cluster, and the context of its components there."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, cast

import pulumi

from components.cluster.api import Api
from components.cluster.backends import Backends, outside_pods
from components.cluster.findings import Findings
from components.cluster.nodes import check_cluster, node_host, rendered_host
from components.cluster.ownership import check_ownership
from components.cluster.preflight import preflight
from components.plan.objects import planned
from components.plan.pods import pods_of
from settings import Settings

if TYPE_CHECKING:
    from components.kubernetes.stack import StackContext


async def stack_in_cluster(
    settings: Settings, *, kubeconfig: str | None, context: str | None, renders: bool, applies: bool
) -> "StackContext":
    """Checks that the cluster is the stack's own and takes it; then makes what all components share.

    Args:
        settings: the configuration.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
        renders: whether the provider writes files. No cluster is asked or needed then.
        applies: whether it has the API server apply objects, rather than create and patch them.

    Raises:
        pulumi.RunError: it is another cluster, cannot be reached, has objects of others under the stack's names, or
            would refuse something; nothing was registered.
    """
    if renders:
        from components.kubernetes.stack import stack_context  # noqa: PLC0415

        has_node_ports = any(service.type == "NodePort" for _, service, _ in settings.exposed())
        host = rendered_host(settings.node_address, is_needed=has_node_ports)
        return stack_context(settings, host, asks_cluster=False)
    check_cluster(settings.cluster, kubeconfig=kubeconfig, context=context)
    host, findings, backends = await _asked(settings, kubeconfig=kubeconfig, context=context)
    # Not above: they import Pulumi's Kubernetes SDK, which takes 0.7 s, while the API server is asked.
    from components.cluster.rollouts import Rollouts, secrets_of  # noqa: PLC0415
    from components.kubernetes.stack import stack_context  # noqa: PLC0415

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
    return stack_context(settings, host, findings=findings, backends=backends, rollouts=rollouts)


async def _asked(
    settings: Settings, *, kubeconfig: str | None, context: str | None
) -> tuple[pulumi.Input[str], Findings, Backends]:
    """The host of the stack's URLs, and what else the cluster tells.

    Raises:
        pulumi.RunError: everything that keeps the stack from it, at once; a cluster that does not answer, alone.
    """
    asked = [(container.key, container.resources) for pod in pods_of(settings) for container in pod.containers]
    async with Api(kubeconfig, context) as api:
        host, ownership, findings, backends, _ = await asyncio.gather(
            node_host(settings.node_address, api, node_selector=settings.scheduling.node_selector, asked=asked),
            check_ownership(planned(settings), settings.namespace, api, context=context),
            preflight(settings, api),
            outside_pods(settings, api),
            asyncio.to_thread(import_module, "components.kubernetes.stack"),
            return_exceptions=True,
        )
    if isinstance(host, BaseException):
        raise host
    refusals = [answer for answer in (ownership, findings, backends) if isinstance(answer, BaseException)]
    if len(refusals) > 1 and all(isinstance(refusal, pulumi.RunError) for refusal in refusals):
        raise pulumi.RunError("\n\n".join(map(str, refusals)))
    if refusals:
        raise refusals[0]
    return host, cast("Findings", findings), cast("Backends", backends)
