"""Builds tempo.yaml for Tempo 2 in parts: one document for all of them, and the arguments that choose a part.

It is the document of one process, and what the parts need to find each other. Tempo reads the pod's own address from
its environment (`-config.expand-env`). By default it takes that of the interface eth0 or en0 for its rings, and any
private one for memberlist, which not every cluster's pods have.
"""

from collections.abc import Sequence
from typing import Any

from components.documents import Document
from components.documents.tempo import tempo_document
from settings.tempo import TempoSettings
from settings.tempo_parts import COPIES
from settings.types import seconds

GRPC_PORT = 9095
"""Tempo's default. The parts reach each other by it: spans go to ingesters and generators, queries to queriers."""

GOSSIP_PORT = 7946
"""Tempo's default, by which all parts tell each other of their rings (memberlist)."""

POD_ADDRESS = "POD_IP"
"""The environment variable with the pod's address."""

_ADDRESS = f"${{{POD_ADDRESS}}}"
_RING: Document = {"kvstore": {"store": "memberlist"}}

_READY = "10s"
"""How long a started ingester waits before it is Ready, and Kubernetes ends the next one.

Each part hears of its new address within some rounds of gossip, of a second each (`memberlist.gossip_interval`). Two
ingesters that a distributor does not reach at the same time are one too many.
"""

_REJOIN = "1m"
"""Our choice: how often each part joins the ingesters again. Without it, parts that started apart would stay apart."""

_AFTER_JOINING = "3s"
"""Our choice: when a querier dials a query-frontend again that it did not reach.

The network of a new pod may open a moment after its start. By default gRPC dials again after a second, and the querier
then took queries before it had joined the ingesters, for which a lost packet took it a second too: "empty ring".
"""

_CONNECTION_AGE = "1m"
"""Our choice: how long a Collector keeps its connection to one distributor. It then gets one to any, so that new
distributors get their share."""


def parts_document(
    settings: TempoSettings, receivers: Sequence[Document], *, cluster: str, ring: str, query_frontend: str
) -> Document:
    """Returns the configuration of all parts.

    Args:
        settings: what can be configured.
        receivers: where the metrics generator writes metrics of spans: entries of `remote_write`.
        cluster: the name of this Tempo among all that its pods' network reaches.
        ring: host and port of the ingesters, by which all parts join memberlist.
        query_frontend: host and port of all query-frontends, for the queriers.
    """
    # A dollar sign of a value would begin the name of a variable.
    document = _escaped(tempo_document(settings, receivers))
    # The parts reach each other by gRPC; HTTP stays behind each pod's gateway.
    del document["server"]["grpc_listen_address"]
    receiver = document["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]
    receiver["keepalive"] = {"server_parameters": {"max_connection_age": _CONNECTION_AGE}}
    lifecycler = document["ingester"]["lifecycler"]
    # Every part that reads or writes spans reads this ring's settings. Each ingester tells its zone by an argument.
    aware: Document = {"zone_awareness_enabled": True} if settings.ingester.zones else {}
    lifecycler |= {
        "ring": {**_RING, "replication_factor": COPIES, **aware},
        "address": _ADDRESS,
        "min_ready_duration": _READY,
    }
    document["distributor"]["ring"] = {**_RING, "instance_addr": _ADDRESS}
    document["compactor"]["ring"] = {
        **_RING,
        "instance_addr": _ADDRESS,
        # The default is a minute in which the ring of compactors must not change before one becomes Ready.
        "wait_stability_min_duration": "5s",
    }
    if "metrics_generator" in document:
        document["metrics_generator"]["ring"] = {**_RING, "instance_addr": _ADDRESS}
    worker = document["querier"]["frontend_worker"]
    worker["frontend_address"] = query_frontend
    worker["grpc_client_config"]["connect_backoff_base_delay"] = _AFTER_JOINING
    # Compactors list the bucket, and other parts read their list. By default those would read an old list for ever if
    # there were no compactor: with this limit they list the bucket themselves.
    stale = f"{int(2 * seconds(settings.flush.blocklist_poll) * 1000)}ms"
    document["storage"]["trace"]["blocklist_poll_stale_tenant_index"] = stale
    document["memberlist"] = {
        # Without it, a pod of another Tempo, or of a Loki, that gets the address of one that is gone joins the rings.
        # Spans then go to it (grafana/tempo#2766, #4273).
        "cluster_label": cluster,
        "advertise_addr": _ADDRESS,
        # Each address behind the name. A part that finds none at its start goes on, and joins the others later.
        "join_members": [f"dns+{ring}"],
        "abort_if_cluster_join_fails": False,
        # The default is a second.
        "min_join_backoff": "100ms",
        "rejoin_interval": _REJOIN,
    }
    return document


def arguments(part: str, zone: str | None = None) -> list[str]:
    """Returns the arguments of Tempo's program that make it a part.

    Args:
        part: its name.
        zone: the zone of an ingester; none if copies do not depend on zones.
    """
    return [f"-target={part}", "-config.expand-env=true", *([f"-ingester.availability-zone={zone}"] if zone else [])]


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _escaped(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_escaped(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value.replace("$", "$$") if isinstance(value, str) else value
