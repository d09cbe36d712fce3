"""The whole configuration of a stack."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from settings.collector import DEFAULT_IMAGES, CollectorSettings
from settings.general import Scheduling
from settings.nginx import NginxSettings
from settings.tempo import TempoSettings
from settings.values import (
    DOCKER_HUB_HOSTS,
    IMAGE_REFERENCE,
    AnnotationValue,
    Host,
    Kind,
    LabelName,
    LabelValue,
    MetadataKey,
    Model,
    RegistryPrefix,
    Text,
)

NAME_LABEL = "app.kubernetes.io/name"
PART_OF_LABEL = "app.kubernetes.io/part-of"
"""The labels that selectors are made of."""

DOCKER_HUB = "https://index.docker.io/v1/"
"""Docker Hub's name in a pull secret."""


def _label_key(key: str) -> str:
    if key in {NAME_LABEL, PART_OF_LABEL} or key.startswith("pod-security.kubernetes.io/"):
        raise ValueError("must be another: the program sets this label itself")
    return key


def _annotation_key(key: str) -> str:
    if key.startswith("pulumi.com/"):
        raise ValueError("must be another: annotations of pulumi.com steer Pulumi, and the program sets them itself")
    return key


class Settings(Model):
    """The whole configuration of a stack."""

    edition: Literal["oss"] = Field(default="oss", description="NGINX edition.")
    namespace: LabelName = Field(
        default="tracing", description="Namespace that is made for the stack, with everything in it."
    )
    node_address: Host | None = Field(
        default=None,
        description="Host or IP address in the NodePort URLs. Unset: a Ready node's external, else internal address.",
        examples=["192.0.2.10"],
    )
    image_registry: RegistryPrefix | None = Field(
        default=None,
        description="Mirror that every image is pulled from, for closed networks: stands before each image's name in "
        "place of its registry (`<mirror>/grafana/tempo:2.7.2`).",
        examples=["registry.example/mirror"],
    )
    registry_username: Text | None = Field(
        default=None,
        description="User of the registry: `imageRegistry`, else the one that the images name, else Docker Hub.",
        examples=["puller"],
    )
    registry_password: Annotated[SecretStr | None, Kind("secret")] = Field(
        default=None, description="That user's password or token."
    )
    labels: dict[Annotated[MetadataKey, AfterValidator(_label_key)], LabelValue] = Field(
        default_factory=dict[str, str], description="Labels of every object and pod, besides the program's own."
    )
    annotations: dict[Annotated[MetadataKey, AfterValidator(_annotation_key)], AnnotationValue] = Field(
        default_factory=dict[str, str], description="Annotations of every object and pod."
    )
    scheduling: Scheduling = Field(default_factory=Scheduling, description="Where the pods of all components run.")
    nginx: NginxSettings = Field(default_factory=NginxSettings, description="NGINX.")
    collector: CollectorSettings = Field(default_factory=CollectorSettings, description="OpenTelemetry Collector.")
    tempo: TempoSettings = Field(default_factory=TempoSettings, description="Grafana Tempo.")

    def images(self) -> dict[str, str]:
        """The image of each component that the stack has, by the component's key: as it is pulled."""
        named = {"nginx": self.nginx.image}
        if self.collector.enabled:
            named["collector"] = self.collector.image or DEFAULT_IMAGES[self.collector.distribution]
        if self.tempo.enabled:
            named["tempo"] = self.tempo.image
        return {component: self._mirrored(image) for component, image in named.items()}

    def _mirrored(self, image: str) -> str:
        if self.image_registry is None:
            return image
        host = registry_host(image)
        return f"{self.image_registry}/{image.removeprefix(f'{host}/') if host else image}"

    def registries(self) -> set[str]:
        """The registries that images are pulled from, by their names in a pull secret."""
        hosts = {registry_host(image) for image in self.images().values()}
        return {DOCKER_HUB if host in DOCKER_HUB_HOSTS else str(host) for host in hosts}


def registry_host(image: str) -> str | None:
    """The registry that a reference names; none is Docker Hub."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    return matched["host"] if matched else None
