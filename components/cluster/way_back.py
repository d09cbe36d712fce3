"""Refuses the way back from Tempo 3, and warns of that of a Collector: the configuration alone shows neither."""

import asyncio

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import listed, section
from components.cluster.kubeconfig import ApiUnavailableError
from components.cluster.refusal import kubectl_options
from components.plan.labels import COLLECTOR, DECIDER, TEMPO, is_part_of
from components.plan.objects import CLAIM, STATEFUL_SET, claim_name
from components.plan.pods import pods_of
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
    await asyncio.gather(_check_tempo(settings, api, context=context), _check_queues(settings, api))


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


async def _check_queues(settings: Settings, api: Api) -> None:
    """Warns if a persistent queue would be left behind: its pods get no volume, or one that they do not read."""
    collector, components = settings.collector, (COLLECTOR, DECIDER)
    found = await asyncio.gather(*(_running(component, settings, api) for component in components))
    running = dict(zip(components, found, strict=True))
    kept = {pod.component for pod in pods_of(settings) if pod.volume}
    for component, image in running.items():
        if image is not None and component not in kept:
            pulumi.log.warn(
                f"collector: the StatefulSet {component} ends, because this configuration has none. What its "
                "pods cannot send before they end stays on their volumes, and no other pod sends it. Make this change "
                "while `otelcol_exporter_queue_size` is 0; `python -m tools drift` names the volumes that are left"
            )
    image = running[DECIDER if collector.has_tiers else COLLECTOR]
    if image is None or not kept.intersection(components):
        return
    before = collector_release(image, collector.version_set.collector)
    if before.has_queue_record and not collector.release.has_queue_record:
        pulumi.log.warn(
            f"collector.image: {collector.pulled_image} will not send what {image} leaves in its persistent queue. "
            "Change this image alone, so that Tempo takes spans meanwhile, while `otelcol_exporter_queue_size` is 0. "
            "The next way up needs the same"
        )


async def _running(component: str, settings: Settings, api: Api) -> str | None:
    """Returns the image of the StatefulSet that a component of a stack has; None if there is none, or no answer."""
    try:
        answer = await api.get(f"{STATEFUL_SET.path(settings.namespace)}/{component}")
    except ApiUnavailableError:
        return None
    is_own = answer.is_ok and is_part_of(section(answer.body, "metadata", "labels"))
    containers = listed(answer.body, "spec", "template", "spec", "containers") if is_own else []
    return next((str(item.get("image")) for item in containers if item.get("name") in {component, COLLECTOR}), None)
