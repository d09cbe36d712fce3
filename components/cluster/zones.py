"""Asks whether the cluster has the zones of `tempo.ingester.zones`, and whether a monolithic Tempo runs there."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.problem import Problem
from components.plan.labels import TEMPO, own_labels, selector, zone_name
from components.plan.objects import STATEFUL_SET
from settings import Settings
from settings.errors import shown
from settings.tempo_parts import ZONE_LABEL

_KEY = "tempo.ingester.zones"
_NODES = f"kubectl get nodes --label-columns={ZONE_LABEL}"
_REMOVE = f"pulumi config rm --path {_KEY}"


async def zone_problems(settings: Settings, api: Api) -> list[Problem]:
    """Returns the configured zones that have no node, and a volume that only an ingester without a zone takes over.

    It only warns of a zone without nodes that has its ingesters already: people must be able to change a stack while a
    zone is away.

    Args:
        settings: the configuration.
        api: the API server.
    """
    tempo = settings.tempo
    if not tempo.enabled or not tempo.is_distributed or not tempo.ingester.zones:
        return []
    labelled = selector(own_labels(TEMPO))
    nodes, sets = await asyncio.gather(
        api.get("/api/v1/nodes"), api.get(STATEFUL_SET.path(settings.namespace), labelSelector=labelled)
    )
    made = {str(section(item, "metadata").get("name")): item for item in sets.items}
    found = list(_of_one_process(settings, made))
    if nodes.is_ok:
        found += _of_nodes(settings, nodes.items, made)
    else:
        pulumi.log.warn(
            f"the program could not check that each of `{_KEY}` has a node ({nodes.message}). In a zone without nodes "
            f"ingesters do not start: {_NODES}"
        )
    place = f"nginx-tracing:{_KEY} = {shown(tempo.ingester.zones)}"
    return [Problem(place, lines) for lines in found]


def _of_nodes(settings: Settings, nodes: Sequence[Object], made: Mapping[str, Object]) -> Iterator[tuple[str, ...]]:
    """Yields an error about zones without nodes, and warns of those that have ingesters already."""
    selected, zones = settings.scheduling.node_selector, settings.tempo.ingester.zones
    allowed = [labels(node) for node in nodes if selected.items() <= labels(node).items()]
    there = {found[ZONE_LABEL] for found in allowed if ZONE_LABEL in found}
    away = [zone for zone in zones if zone not in there and zone_name(zone) in made]
    if away:
        pulumi.log.warn(f"`{_KEY}`: no node is in {', '.join(away)}, so the ingesters there do not start: {_NODES}")
    missing = [zone for zone in zones if zone not in there and zone not in away]
    if missing:
        which = "that `scheduling.nodeSelector` allows " if selected else ""
        others = f"Such nodes are in {', '.join(sorted(there))}" if there else "No such node has that label"
        values = " or ".join(missing)
        yield f"no node {which}has the label {ZONE_LABEL} with the value {values}. {others}", _NODES


def _of_one_process(settings: Settings, made: Mapping[str, Object]) -> Iterator[tuple[str, ...]]:
    """Yields an error if the StatefulSet of a monolithic Tempo would go: its volume has what is in no bucket yet."""
    containers = listed(section(made.get(TEMPO, {}), "spec", "template", "spec"), "containers")
    arguments = [argument for container in containers for argument in container.get("args", [])]
    if containers and not any(str(argument).startswith("-target=") for argument in arguments):
        yield (
            f"the StatefulSet {TEMPO} in the namespace {settings.namespace} is one process. What it has not written to "
            "the bucket is on its volume, which an ingester without a zone has to take over first. Update the stack "
            "without zones, then with them",
            f"{_REMOVE} && pulumi up",
        )
