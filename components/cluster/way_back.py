"""Refuses the way back from Tempo 3, and warns of that of a Collector: the configuration alone shows neither."""

import asyncio

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import listed
from components.cluster.kubeconfig import ApiUnavailableError
from components.cluster.refusal import kubectl_options
from components.plan.labels import COLLECTOR, DECIDER, TEMPO
from components.plan.objects import CLAIM, STATEFUL_SET, claim_name
from settings import Settings
from settings.errors import remove_command, set_command
from settings.versions import collector_release, tempo_release


async def check_way_back(settings: Settings, api: Api, *, context: str | None) -> None:
    """Stops the program if a Tempo 2 would get the volume of a Tempo 3, and warns of a queue that would be left behind.

    Args:
        settings: the configuration.
        api: the API server. If it does not answer, or does not tell, other checks say so.
        context: the kubeconfig's context, for commands; none for the current one.

    Raises:
        pulumi.RunError: Tempo 3 runs on the volume.
    """
    await asyncio.gather(_check_tempo(settings, api, context=context), _check_queue(settings, api))


async def _check_tempo(settings: Settings, api: Api, *, context: str | None) -> None:
    """Grafana's "Migrate to Tempo 3.0": there is no downgrade. Without a volume there is nothing to go back with."""
    tempo = settings.tempo
    if not tempo.enabled or tempo.persistence.size is None or tempo.release.is_one_way:
        return
    running = await _running(TEMPO, settings, api)
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


async def _check_queue(settings: Settings, api: Api) -> None:
    """Warns if a Collector would get a persistent queue that it does not read, full or not."""
    collector = settings.collector
    if not collector.enabled or not collector.queue.is_persistent:
        return
    running = await _running(DECIDER if collector.has_tiers else COLLECTOR, settings, api)
    if collector.has_tiers and running is None:
        await _check_first_tier(settings, api)
    if running is None:
        return
    before = collector_release(running, collector.version_set.collector)
    if before.has_queue_record and not collector.release.has_queue_record:
        pulumi.log.warn(
            f"collector.image: {collector.pulled_image} will not send what {running} leaves in its persistent queue. "
            "Change this image alone, so that Tempo takes spans meanwhile, while `otelcol_exporter_queue_size` is 0. "
            "The next way up needs the same"
        )


async def _check_first_tier(settings: Settings, api: Api) -> None:
    """Warns if a Collector with a volume becomes the first tier, whose pods have none, and leaves a queue behind."""
    if await _running(COLLECTOR, settings, api) is not None:
        pulumi.log.warn(
            f"collector.sampling.tail: the StatefulSet {COLLECTOR} becomes a Deployment, and the volumes of "
            f"{DECIDER} begin empty. Spans that wait in the old volumes are not sent. Make this change while "
            "`otelcol_exporter_queue_size` is 0; `python -m tools drift` names the volumes that are left"
        )


async def _running(component: str, settings: Settings, api: Api) -> str | None:
    """Returns the image of the StatefulSet that a component has in the cluster; None if there is none, or no answer."""
    try:
        answer = await api.get(f"{STATEFUL_SET.path(settings.namespace)}/{component}")
    except ApiUnavailableError:
        return None
    containers = listed(answer.body, "spec", "template", "spec", "containers") if answer.is_ok else []
    return next((str(item.get("image")) for item in containers if item.get("name") in {component, COLLECTOR}), None)
