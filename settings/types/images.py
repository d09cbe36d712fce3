"""Types of container images and their registries."""

import re
from typing import Annotated

from pydantic import AfterValidator

from settings.types.model import TypeName

DOCKER_HUB_HOSTS = frozenset({None, "docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of Docker Hub in an image reference."""

IMAGE_REFERENCE = re.compile(
    r"(?:(?P<host>localhost(?::\d+)?|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d+)?|[a-zA-Z0-9-]+:\d+)/)?"
    r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
"""The reference grammar of the distribution project (github.com/distribution/reference)."""


def _pinned_image(image: str) -> str:
    matched = IMAGE_REFERENCE.fullmatch(image)
    if matched is None:
        raise ValueError("must be an image reference, which is [registry/]name:tag or [registry/]name@sha256:…")
    if not matched["digest"] and matched["tag"] in {None, "latest"}:
        raise ValueError("must be pinned: give a tag other than `latest`, or a digest")
    return image


Image = Annotated[str, AfterValidator(_pinned_image), TypeName("image")]


def _registry(prefix: str) -> str:
    matched = IMAGE_REFERENCE.fullmatch(f"{prefix}/name:tag")
    # Without a dot, a port or `localhost`, the first part of an image's name is a folder of Docker Hub.
    if matched is None or matched["host"] is None:
        raise ValueError(
            "must be a registry's host, with a dot or a port in it, and an optional path in lower case; "
            "without a scheme or a closing slash"
        )
    return prefix


RegistryPrefix = Annotated[str, AfterValidator(_registry), TypeName("registry")]
