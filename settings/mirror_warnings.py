"""Warns of a mirror that would have to serve several registries, which a pull-through cache of one of them does not."""

from collections.abc import Iterator

from settings.registries import registry_host
from settings.stack import Settings
from settings.types import DOCKER_HUB_HOSTS


def mirror_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning for each image of another registry than Docker Hub, beside images of other registries."""
    mirror = settings.image_registry
    named = settings.named_images()
    hosts = {component: registry_host(image) for component, image in named.items()}
    registries = {None if host in DOCKER_HUB_HOSTS else host for host in hosts.values()}
    own = registry_host(f"{mirror}/image")
    if mirror is None or len(registries - {own}) < 2:
        return
    is_plus = settings.edition == "plus"
    keys = {
        "nginx": "plus.image" if is_plus else "nginx.image",
        "drain": "collector.queue.drain.image",
        "gateway": "tempo.gateway.image",
        "demo": "nginx.image",
    }
    # The gateway has NGINX's own image unless it has one itself, and so has the demo.
    repeated = {"gateway": settings.tempo.gateway.image is None, "demo": not is_plus}
    for component, image in named.items():
        host = hosts[component]
        if host not in DOCKER_HUB_HOSTS | {own} and not repeated.get(component):
            key = keys.get(component, f"{component}.image")
            yield (
                f"{key} is of {host}, and nodes pull it as {settings.mirrored(image)}, which a cache of Docker Hub "
                f"does not have. Set `{key}` to the name by which {own} has it"
            )
