"""Warns of an API server whose version gets no fixes any more, is not known here, or lacks what the stack asks for."""

import re

import pulumi

from components.cluster.api import Api
from components.cluster.kubeconfig import ApiUnavailableError
from settings import Settings
from settings.clock import today
from settings.version_warnings import kubernetes_warning, traffic_distribution_warning


async def warn_of_kubernetes(settings: Settings, api: Api) -> None:
    """Reads `/version`, which every user may read, and warns if somebody should act.

    It refuses nothing: vendors of clusters maintain versions for longer than the Kubernetes project.

    Args:
        settings: the configuration.
        api: the API server. If it does not answer, `node_host` says so.
    """
    try:
        answer = await api.get("/version")
    except ApiUnavailableError:
        return
    # A vendor may write the number with a plus: "32+".
    major, minor = (re.match(r"\d+", str(answer.body.get(key))) for key in ("major", "minor"))
    if major and minor:
        version = int(major[0]), int(minor[0])
        for warning in (kubernetes_warning(version, today()), traffic_distribution_warning(settings, version)):
            if warning:
                pulumi.log.warn(warning)
