"""Warns of a mirror that would have to serve several registries, which a pull-through cache of one of them does not."""

from collections.abc import Iterator

from settings.stack import Settings, registry_host
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
    keys = {"nginx": "plus.image" if settings.edition == "plus" else "nginx.image", "gateway": "tempo.gateway.image"}
    for component, image in named.items():
        host = hosts[component]
        # The gateway has NGINX's own image unless it has one itself.
        is_repeated = component == "gateway" and settings.tempo.gateway.image is None
        if host not in DOCKER_HUB_HOSTS | {own} and not is_repeated:
            key = keys.get(component, f"{component}.image")
            yield (
                f"{key} is of {host}, and nodes pull it as {settings.mirrored(image)}, which a cache of Docker Hub "
                f"does not have. Set `{key}` to the name by which {own} has it"
            )
