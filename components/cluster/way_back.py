"""Refuses or tells of ways back to older versions that the configuration alone does not show."""

import asyncio

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import listed
from components.cluster.kubeconfig import ApiUnavailableError
from components.cluster.refusal import kubectl_options
from components.plan.labels import COLLECTOR, TEMPO
from components.plan.objects import CLAIM, STATEFUL_SET, claim_name
from settings import Settings
from settings.errors import remove_command, set_command
from settings.versions import collector_release, tempo_release


async def check_way_back(settings: Settings, api: Api, *, context: str | None) -> None:
    """Stops the program if a Tempo 2 would get the volume of a Tempo 3, and warns of queues that are not read any more.

    Args:
        settings: the configuration.
        api: the API server. If it does not answer, or does not tell, other checks say so.
        context: the kubeconfig's context, for commands; none for the current one.

    Raises:
        pulumi.RunError: Tempo 3 runs on the volume.
    """
    await asyncio.gather(_check_queue(settings, api), _check_blocks(settings, api, context))


async def _check_queue(settings: Settings, api: Api) -> None:
    """Warns of a Collector that does not read the queue of the one that runs.

    Measured: of 18 100 spans that waited in 0.160's queue, 0.126 sent none. The form changed in collector#13330. A
    warning is enough, because a queue is usually empty.
    """
    collector = settings.collector
    if not collector.enabled or not collector.queue.is_persistent or collector.release.sizes_persistent_queue:
        return
    running = await _running_image(settings, api, COLLECTOR)
    if running and collector_release(running, collector.version_set.collector).sizes_persistent_queue:
        pulumi.log.warn(
            f"{running} runs in the namespace {settings.namespace}, and {collector.pulled_image} does not read what it "
            "left on the volumes of its queue: spans that wait there when the Collector ends are lost. Before `pulumi "
            "up`, see that otelcol_exporter_queue_size is 0: python -m tools probe --watch"
        )


async def _check_blocks(settings: Settings, api: Api, context: str | None) -> None:
    """Refuses Tempo 2 on Tempo 3's volume. Grafana's "Migrate to Tempo 3.0": there is no downgrade.

    Without a volume there is nothing to go back with.
    """
    tempo = settings.tempo
    if not tempo.enabled or tempo.persistence.size is None or tempo.release.is_one_way:
        return
    running = await _running_image(settings, api, TEMPO)
    if running is None or not tempo_release(running, tempo.version_set.tempo).is_one_way:
        return
    claim = f"{CLAIM.singular}/{claim_name('data', TEMPO, 0)}"
    raise pulumi.RunError(
        f"{running} runs in the namespace {settings.namespace}, and {tempo.pulled_image} would get its volume; nothing "
        "was changed. Tempo 3's blocks and document have no way back: Tempo 2 would not read the traces.\n"
        f"  Keep Tempo 3: {set_command('tempo.image', running)}\n"
        f"  Or give the traces up: {remove_command('tempo.persistence')} && pulumi up, then kubectl delete {claim} "
        f"--namespace {settings.namespace}{kubectl_options(context)}, and set tempo.persistence again"
    )


async def _running_image(settings: Settings, api: Api, name: str) -> str | None:
    """Returns the image of the container of that name in the StatefulSet of that name; none if there is none."""
    try:
        answer = await api.get(f"{STATEFUL_SET.path(settings.namespace)}/{name}")
    except ApiUnavailableError:
        return None
    containers = listed(answer.body, "spec", "template", "spec", "containers") if answer.is_ok else []
    return next((str(item.get("image")) for item in containers if item.get("name") == name), None)
