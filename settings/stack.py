"""The whole configuration of a stack."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from settings.collector import CollectorSettings
from settings.demo import DemoSettings, demo_route
from settings.exposure import ServiceSettings
from settings.general import Monitoring, Scheduling
from settings.grafana import GrafanaSettings
from settings.headers import HeaderName, HeaderValue
from settings.license import License, RepositoryCertificate, RepositoryKey
from settings.metrics import MetricsSettings
from settings.nginx import NginxSettings
from settings.plus import PlusSettings
from settings.prometheus import PrometheusSettings
from settings.registries import DOCKER_HUB, F5_REGISTRY, Login, name_in_pull_secret, registry_host
from settings.tempo import TempoSettings
from settings.tempo_storage import AccessKey, AccountKey, ServiceAccountKey
from settings.types import (
    DOCKER_HUB_HOSTS,
    IMAGE_REFERENCE,
    AnnotationKey,
    AnnotationValue,
    Host,
    LabelName,
    LabelValue,
    MetadataKey,
    Model,
    Password,
    RegistryPrefix,
    ServerUrl,
    Text,
    TypeName,
    is_host,
    not_own,
    split_address,
)
from settings.versions import SETS, VersionSet
from settings.versions.sets import DEFAULT, Set
from settings.versions.support import dotted

NAME_LABEL = "app.kubernetes.io/name"
PART_OF_LABEL = "app.kubernetes.io/part-of"
"""The labels that the program's selectors use."""


SHORTEST_PASSWORD = 8
"""Characters. NIST SP 800-63B allows no fewer, and the policy pack looks for no shorter ones in other objects."""


def _api_password(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) < SHORTEST_PASSWORD:
        raise ValueError(f"must have at least {SHORTEST_PASSWORD} characters")
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return value


ApiPassword = Annotated[Password, AfterValidator(_api_password), TypeName("secret")]


def _registry_address(address: str) -> str:
    if address != DOCKER_HUB and (split_address(address) is None and not is_host(address)):
        raise ValueError("must be a registry's host, or host:port, without a path")
    return address


RegistryAddress = Annotated[str, AfterValidator(_registry_address), TypeName("host, or host:port")]


def _label_key(key: str) -> str:
    if key in {NAME_LABEL, PART_OF_LABEL} or key.startswith("pod-security.kubernetes.io/"):
        raise ValueError("must be another: the program sets this label itself")
    return not_own(key)


def _listed(versions: Set) -> str:
    return (
        f"NGINX {dotted(versions.nginx)}, NGINX Plus {versions.plus}, Collector {dotted(versions.collector)}, "
        f"Tempo {dotted(versions.tempo)}, Prometheus {dotted(versions.prometheus)}"
    )


class Settings(Model):
    """The whole configuration of a stack."""

    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("securitycontext", "podsecuritycontext", "runasuser", "fsgroup"),
        "pods run as the users and groups of their images, or of the cluster with `podUser: cluster`",
    )

    edition: Literal["oss", "plus"] = Field(
        default="oss", description="oss: open-source NGINX, with the image `nginx.image`. plus: NGINX Plus, see `plus`."
    )
    versions: VersionSet = Field(
        default=DEFAULT,
        description="Versions of the images and of NGINX Plus that are not named themselves. current: those of this "
        f"version of the program: {_listed(SETS['current'])}. tutorial: those of the tutorial, which get no security "
        f"fixes: {_listed(SETS['tutorial'])}.",
    )
    namespace: LabelName = Field(
        default="tracing",
        description="Namespace of the stack, which `pulumi up` creates and `pulumi destroy` deletes, unless "
        "`createNamespace` is false.",
    )
    create_namespace: bool = Field(
        default=True,
        description="Create the namespace. `false` uses one that exists, which the stack neither labels nor deletes; "
        "`pulumi destroy` then leaves the claims of its volumes.",
    )
    cluster: ServerUrl | None = Field(
        default=None,
        description="API server of the cluster that the stack belongs to, as its kubeconfig has it. The program "
        "refuses any other before it changes anything. Unset: the cluster of the context.",
        examples=["https://192.0.2.1:6443"],
    )
    node_address: Host | None = Field(
        default=None,
        description="Host or IP address in the NodePort URLs. Unset: a Ready node's external, else internal address.",
        examples=["192.0.2.10"],
    )
    image_registry: RegistryPrefix | None = Field(
        default=None,
        description="Mirror, or pull-through cache, of every image. It replaces the registry in each image's name "
        f"(`<mirror>/{SETS[DEFAULT].tempo_image}`, `<mirror>/library/{SETS[DEFAULT].nginx_image}`). An image that "
        "names the mirror's registry stays unchanged.",
        examples=["registry.example/mirror"],
    )
    registry_address: RegistryAddress | None = Field(
        default=None,
        description="Registry that `registryUsername` is a user of. Unset: the registry of all images.",
        examples=["registry.example"],
    )
    registry_username: Text | None = Field(
        default=None,
        description="User who pulls images from the registry, and pushes NGINX Plus' image.",
        examples=["puller"],
    )
    registry_password: Password | None = Field(default=None, description="That user's password or token.")
    tempo_password: ApiPassword | None = Field(
        default=None,
        description="Password of Tempo's API, for the user `tempo`. Unset: every client that reaches it may read.",
    )
    tempo_storage_access_key: AccessKey | None = Field(
        default=None, description="ID of the access key for `tempo.storage` of the type s3."
    )
    tempo_storage_secret_key: AccessKey | None = Field(default=None, description="Secret of that access key.")
    tempo_storage_service_account_key: ServiceAccountKey | None = Field(
        default=None, description="Key for `tempo.storage` of the type gcs: the JSON of a Google service account."
    )
    tempo_storage_account_key: AccountKey | None = Field(
        default=None, description="Key of the storage account for `tempo.storage` of the type azure."
    )
    grafana_password: ApiPassword | None = Field(
        default=None, description="Password of Grafana's user `admin`; required with `grafana.enabled`."
    )
    metrics_headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict[str, SecretStr],
        description="Headers of each write to `metrics.remoteWrite`, such as `authorization`; set them with --secret.",
    )
    nginx_license_jwt: License | None = Field(
        default=None, description="License of NGINX Plus: the text of license.jwt."
    )
    nginx_repo_crt: RepositoryCertificate | None = Field(
        default=None, description="Certificate for NGINX Plus' packages: the text of nginx-repo.crt."
    )
    nginx_repo_key: RepositoryKey | None = Field(
        default=None, description="Key of that certificate: the text of nginx-repo.key."
    )
    labels: dict[Annotated[MetadataKey, AfterValidator(_label_key)], LabelValue] = Field(
        default_factory=dict[str, str], description="Labels of every object and pod, besides the program's own."
    )
    annotations: dict[AnnotationKey, AnnotationValue] = Field(
        default_factory=dict[str, str], description="Annotations of every object and pod."
    )
    network_policies: bool = Field(
        default=True,
        description="Deny the stack's pods every connection except those that the configuration needs; other pods of "
        "the namespace are not affected. Needs a network that enforces NetworkPolicies; others ignore them.",
    )
    pod_user: Literal["image", "cluster"] = Field(
        default="image",
        description="Who sets the user and the group of the pods. `image`: the program, to the image's own. `cluster`: "
        "the cluster, for OpenShift, which refuses all but those that it assigns to the namespace.",
    )
    scheduling: Scheduling = Field(default_factory=Scheduling, description="Where the pods of all components run.")
    monitoring: Monitoring = Field(default_factory=Monitoring, description="How Prometheus finds the counters.")
    nginx: NginxSettings = Field(default_factory=NginxSettings, description="NGINX.")
    plus: PlusSettings = Field(default_factory=PlusSettings, description="NGINX Plus.")
    collector: CollectorSettings = Field(default_factory=CollectorSettings, description="OpenTelemetry Collector.")
    tempo: TempoSettings = Field(default_factory=TempoSettings, description="Grafana Tempo.")
    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings, description="Where Tempo writes the metrics that it makes of spans."
    )
    prometheus: PrometheusSettings = Field(
        default_factory=PrometheusSettings, description="A small Prometheus of the stack's."
    )
    grafana: GrafanaSettings = Field(
        default_factory=GrafanaSettings, description="Grafana, which shows the traces of Tempo."
    )
    demo: DemoSettings = Field(default_factory=DemoSettings, description="Two small services to try tracing with.")

    def model_post_init(self, _context: object, /) -> None:
        """Gives the groups whose defaults depend on it the set of versions, and NGINX the route to the demo."""
        for group in (self.nginx, self.collector, self.tempo, self.prometheus, self.plus):
            group.follow(self.versions)
        if self.demo.enabled:
            self.nginx.lead_to(demo_route())

    @property
    def builds_image(self) -> bool:
        """Whether `pulumi up` builds the image of NGINX."""
        return self.edition == "plus" and self.plus.image is None

    @property
    def asks_kubernetes(self) -> bool:
        """Whether pods of the stack connect to the API server."""
        return (self.collector.enabled and self.collector.kubernetes_attributes) or self.prometheus.enabled

    def exposed(self) -> Iterator[tuple[str, ServiceSettings, int | None]]:
        """Yields the components that have a Service for clients: key, Service, NodePort."""
        yield "nginx", self.nginx.service, self.nginx.node_port
        if self.tempo.enabled:
            yield "tempo", self.tempo.service, self.tempo.node_port
        if self.grafana.enabled:
            yield "grafana", self.grafana.service, self.grafana.node_port

    def named_images(self) -> dict[str, str]:
        """Returns the image of each component of the stack as it is configured, by the component's key.

        NGINX Plus is left out if `pulumi up` builds its image.
        """
        named: dict[str, str] = {}
        if not self.builds_image:
            named["nginx"] = self.plus.image if self.edition == "plus" and self.plus.image else self.nginx.pulled_image
        if self.collector.enabled:
            named["collector"] = self.collector.pulled_image
            if self.collector.queue.drains:
                named["drain"] = self.collector.queue.drain.image
        if self.tempo.enabled:
            named["tempo"] = self.tempo.pulled_image
            named["gateway"] = self.tempo.gateway.image or self.nginx.pulled_image
        if self.prometheus.enabled:
            named["prometheus"] = self.prometheus.pulled_image
        if self.grafana.enabled:
            named["grafana"] = self.grafana.pulled_image
        if self.demo.enabled:
            # Open source with either edition: NGINX Plus would need its license, and report its use, for each pod.
            named["demo"] = self.nginx.pulled_image
        return named

    def images(self) -> dict[str, str]:
        """Returns the images as nodes pull them: from the mirror, if there is one."""
        return {component: self.mirrored(image) for component, image in self.named_images().items()}

    def mirrored(self, image: str) -> str:
        """Returns an image as nodes pull it: from the mirror, if there is one.

        Docker Hub's `nginx` is `library/nginx` in its registry, and caches know it by that name alone. An image that
        names the mirror's own registry stays unchanged.
        """
        matched = IMAGE_REFERENCE.fullmatch(image)
        if self.image_registry is None or matched is None:
            return image
        host = matched["host"]
        if host == registry_host(f"{self.image_registry}/image"):
            return image
        official = "library/" if host in DOCKER_HUB_HOSTS and "/" not in matched["name"] else ""
        return f"{self.image_registry}/{official}{image.removeprefix(f'{host}/') if host else image}"

    def registries(self) -> set[str]:
        """Returns the registries that `registryUsername` may be a user of, by their names in a pull secret."""
        if self.registry_address is not None:
            return {name_in_pull_secret(self.registry_address)}
        images = list(self.images().values())
        if self.builds_image:
            images.append(self.plus.repository or "")
        return {name_in_pull_secret(registry_host(image)) for image in images}

    def own_login(self) -> Login | None:
        """Returns the login of the user that is set, who pulls and pushes."""
        if not self.registry_username or not self.registry_password:
            return None
        (registry,) = self.registries()
        return Login(registry, self.registry_username, self.registry_password)

    def pull_logins(self) -> list[Login]:
        """Returns the logins that pull images: the user that is set, and the license at F5's registry."""
        own = self.own_login()
        logins = [own] if own else []
        is_f5s = self.edition == "plus" and registry_host(self.images().get("nginx", "")) == F5_REGISTRY
        if is_f5s and self.nginx_license_jwt and not (own and own.registry == F5_REGISTRY):
            logins.append(Login(F5_REGISTRY, self.nginx_license_jwt.get_secret_value(), SecretStr("none")))
        return logins
