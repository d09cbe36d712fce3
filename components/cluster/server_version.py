"""Warns of an API server whose version gets no fixes any more, or that this program does not know."""

import re

import pulumi

from components.cluster.api import Api
from components.cluster.kubeconfig import ApiUnavailableError
from settings.clock import today
from settings.version_warnings import kubernetes_warning


async def warn_of_kubernetes(api: Api) -> None:
    """Reads `/version`, which every user may read, and warns once if somebody should act.

    It refuses nothing: vendors of clusters maintain versions for longer than the Kubernetes project.

    Args:
        api: the API server. If it does not answer, `node_host` says so.
    """
    try:
        answer = await api.get("/version")
    except ApiUnavailableError:
        return
    # A vendor may write the number with a plus: "32+".
    major, minor = (re.match(r"\d+", str(answer.body.get(key))) for key in ("major", "minor"))
    if major and minor:
        warning = kubernetes_warning((int(major[0]), int(minor[0])), today())
        if warning:
            pulumi.log.warn(warning)
