"""How the Collector's pods end, and what is said of it before there are fewer of them."""

from collections.abc import Callable

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ExecActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    VolumeMountArgs,
)

from components.cluster.api_objects import section
from components.documents.collector_drain import TOOLS_FOLDER, copying_busybox, drain_command
from components.kubernetes.containers import container_security, resources, stop_after
from components.plan.objects import CLAIM, claim_name
from components.plan.pods import DRAIN, REPLICAS_KEYS
from settings import CollectorSettings

DELAY_SECONDS = 5
"""NGINX learns of the new pod before an old one stops listening."""

QUEUE = "queue"
"""The name of the volume of each pod with a persistent queue."""

TOOLS = "tools"
"""The name of the empty volume with busybox."""


def lifecycle(settings: CollectorSettings, delay: int) -> LifecycleArgs:
    """Returns the hook that keeps an ending Collector at work until its clients have left, and its volume is sent.

    Args:
        settings: the Collector's settings.
        delay: the seconds for which it goes on as before.
    """
    if not settings.queue.drains:
        return stop_after(delay)
    action = ExecActionArgs(command=drain_command(settings, delay))
    return LifecycleArgs(pre_stop=LifecycleHandlerArgs(exec_=action))


def bringing_busybox(settings: CollectorSettings, image: str) -> ContainerArgs:
    """Returns the init container that copies busybox to where the Collector's container finds it.

    Args:
        settings: the Collector's settings.
        image: the image with busybox.
    """
    return ContainerArgs(
        name=DRAIN,
        image=image,
        command=["/bin/busybox", "sh", "-c", copying_busybox()],
        resources=resources(settings.resources),
        security_context=container_security(),
        volume_mounts=[VolumeMountArgs(name=TOOLS, mount_path=TOOLS_FOLDER)],
    )


def tell_of_volumes(component: str, name: str, settings: CollectorSettings) -> pulumi.ResourceHook:
    """Returns a hook that warns of volumes without a pod before an update, or its preview, makes fewer pods.

    Args:
        component: the Collectors, or the deciders.
        name: the StatefulSet's resource name.
        settings: the settings of these pods.
    """
    options = pulumi.ResourceHookOptions(on_dry_run=True)
    return pulumi.ResourceHook(f"{name}-volumes", _warn(component, settings), options)


def _warn(component: str, settings: CollectorSettings) -> Callable[[pulumi.ResourceHookArgs], None]:
    def warn(update: pulumi.ResourceHookArgs) -> None:
        before, after = (
            int(section(dict(inputs or {}), "spec").get("replicas", 1))
            for inputs in (update.old_inputs, update.new_inputs)
        )
        if after < before:
            pulumi.log.warn(fewer_pods(component, settings, range(after, before)))

    return warn


def fewer_pods(component: str, settings: CollectorSettings, ending: range) -> str:
    """Returns what becomes of the spans of pods that end for good.

    Args:
        component: the Collectors, or the deciders.
        settings: the settings of these pods.
        ending: the pods' numbers.
    """
    pods = _listed([f"{component}-{number}" for number in ending])
    claims = _listed([claim_name(QUEUE, component, number) for number in ending])
    drain = settings.queue.drain
    if drain.enabled:
        each = "it" if len(ending) == 1 else "each"
        said = (
            f"{pods} will end: {each} leaves the Service, and sends what its volume holds, for at most "
            f"{drain.timeout}. What is left then stays"
        )
    else:
        said = f"{pods} will end, and `collector.queue.drain.enabled` is false: what waits stays"
    return (
        f"{said} in the {CLAIM.name} {claims}, which `python -m tools drift` names, and is sent when "
        f"`{REPLICAS_KEYS[component]}` is {ending.stop} again"
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
