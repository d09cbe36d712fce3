"""What the cluster tells before the stack is deployed, and the components need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KUBERNETES_API_PORTS = (443, 6443)
"""Where most API servers listen: a policy sees the port of an endpoint, not the 443 of the Service `kubernetes`."""


@dataclass(frozen=True)
class Findings:
    """What the cluster tells that the components need."""

    api_ports: tuple[int, ...] = ()
    """Ports of the API server's endpoints besides the usual ones."""

    no_room_to_roll: Mapping[str, str] = field(default_factory=dict[str, str])
    """By component, what lacks to start a pod more, as an update of it needs."""
