"""Asks the cluster everything that the program needs to know before it registers the stack."""

import asyncio
from dataclasses import dataclass
from typing import cast

import pulumi

from components.cluster.api import Api
from components.cluster.backends import Backends, outside_pods
from components.cluster.findings import Findings
from components.cluster.nodes import node_host
from components.cluster.ownership import check_ownership
from components.cluster.preflight import preflight
from components.cluster.server_version import warn_of_kubernetes
from components.cluster.trace_storage import warn_of_hidden_traces
from components.cluster.way_back import check_way_back
from components.plan.objects import planned
from components.plan.pods import pods_of
from settings import Settings


@dataclass(frozen=True)
class Answers:
    """The answers of a cluster that takes the stack."""

    host: pulumi.Input[str]
    """The host of the stack's URLs."""

    findings: Findings
    backends: Backends


async def ask_cluster(settings: Settings, *, kubeconfig: str | None, context: str | None) -> Answers:
    """Asks the cluster, all at the same time.

    Args:
        settings: the configuration.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.

    Raises:
        pulumi.RunError: the cluster does not answer, or refuses the stack. Names every refusal at once.
    """
    asked = [(container.key, container.resources) for pod in pods_of(settings) for container in pod.containers]
    async with Api(kubeconfig, context) as api:
        host, ownership, findings, backends, way_back, warned = await asyncio.gather(
            node_host(settings.node_address, api, node_selector=settings.scheduling.node_selector, asked=asked),
            check_ownership(planned(settings), settings.namespace, api, context=context),
            preflight(settings, api),
            outside_pods(settings, api),
            check_way_back(settings, api, context=context),
            _warn(settings, api),
            return_exceptions=True,
        )
    # A cluster that does not answer fails them all, for one reason.
    if isinstance(host, BaseException):
        raise host
    answers = (ownership, findings, backends, way_back, warned)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(refusals) > 1 and all(isinstance(refusal, pulumi.RunError) for refusal in refusals):
        raise pulumi.RunError("\n\n".join(map(str, refusals)))
    if refusals:
        raise refusals[0]
    return Answers(host, cast("Findings", findings), cast("Backends", backends))


async def _warn(settings: Settings, api: Api) -> None:
    await asyncio.gather(warn_of_kubernetes(settings, api), warn_of_hidden_traces(settings, api))
