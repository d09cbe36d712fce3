"""The registries of images, by their names in references and in pull secrets, and their users."""

from dataclasses import dataclass

from pydantic import SecretStr

from settings.types import DOCKER_HUB_HOSTS, IMAGE_REFERENCE

DOCKER_HUB = "https://index.docker.io/v1/"
"""Docker Hub's name in a pull secret."""


F5_REGISTRY = "private-registry.nginx.com"
"""F5's registry takes the license as the user name, and `none` as the password."""


@dataclass(frozen=True)
class Login:
    """A user of an image registry."""

    registry: str
    username: str
    password: SecretStr


def name_in_pull_secret(host: str | None) -> str:
    """Returns a registry by its name in a pull secret."""
    return DOCKER_HUB if host in DOCKER_HUB_HOSTS | {DOCKER_HUB} else str(host)


def registry_host(image: str) -> str | None:
    """Returns the registry that a reference names; None means Docker Hub."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    return matched["host"] if matched else None
