"""The facts about the cluster that the components need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KUBERNETES_API_PORTS = (443, 6443)
"""The ports of most API servers. A policy sees the port of an endpoint, not the 443 of the Service `kubernetes`."""


@dataclass(frozen=True)
class Findings:
    """The facts that the cluster has told."""

    api_ports: tuple[int, ...] = ()
    """Ports of the API server's endpoints besides the usual ones."""

    no_room_to_roll: Mapping[str, str] = field(default_factory=dict[str, str])
    """By component, the text about the quotas that have no room for one more pod, which an update needs."""
