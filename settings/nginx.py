"""NGINX and its OpenTelemetry module."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, PrivateAttr, SecretStr

from settings.exposure import ServiceSettings
from settings.general import Resources
from settings.headers import HeaderName, NginxHeaderValue
from settings.routes import AttributeName, Route, Sampling, Snippet, TraceContext
from settings.sizes import BATCH_COUNT, DEFAULT_BATCH, LARGEST_BATCH, NGINX_MEMORY, WORKERS
from settings.types import (
    CertificateBundle,
    Count,
    Cpu,
    Duration,
    Endpoint,
    HostAndPort,
    Image,
    LiteralText,
    MemoryLimit,
    Model,
    Port,
    ServerName,
    TemplateText,
    TypeName,
    WholeSeconds,
    at_most,
    seconds,
    split_endpoint,
)
from settings.upstreams import Resolver, TrustedProxies, Upstream, UpstreamKeepalive
from settings.versioned import Versioned
from settings.versions import SETS
from settings.versions.sets import DEFAULT

_INTERVAL = "500ms"

_NO_CLIENT_CERTIFICATE = (
    "the module shows no certificate of its own: leave `endpoint` unset, and set `clientCertificate` and `clientKey` "
    "at `collector.exporters.<name>.tls`"
)


class Exporter(Model):
    """How the module sends spans. It never repeats an export: if one fails, its spans are lost, and NGINX logs it."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("clientcertificate", "clientkey", "certfile", "keyfile", "sslcertificate", "sslcertificatekey"),
            _NO_CLIENT_CERTIFICATE,
        ),
        "tls": "an `endpoint` with https:// has TLS, and `caBundle` its authorities",
        "trustedcertificate": "`caBundle` is the text of the file",
        "cafile": "`caBundle` is the text of the file",
    }

    endpoint: Endpoint | None = Field(
        default=None,
        description="OTLP/gRPC receiver that spans are sent to instead of the stack's Collector; https:// for TLS.",
        examples=["collector.example:4317"],
    )
    interval: Duration = Field(
        default=_INTERVAL,
        description="Time after which the module sends a batch that is not full; its own default is 5s.",
    )
    # Our choice: four times the module's default. `limit_rules.py` bounds it too, by the sizes of messages and memory.
    batch_size: Annotated[Count | None, Field(ge=1, le=2048, strict=True), TypeName("integer")] = Field(
        default=None,
        description=f"Spans of a full batch. Unset: {LARGEST_BATCH}, or fewer if the largest spans that clients can "
        f"cause would not fit the receiver's messages or the memory limit: {DEFAULT_BATCH} with all defaults.",
        examples=[256],
    )
    # Our choice: by default so many last eight minutes of a hanging receiver. The memory limit bounds it too.
    batch_count: Annotated[Count, Field(le=1024)] = Field(
        default=BATCH_COUNT,
        description=f"Batches, full or not, that each of {WORKERS} workers holds while the receiver hangs, before it "
        f"drops spans. Each `interval` takes one, and so does each full batch: {BATCH_COUNT} hold "
        f"{int(BATCH_COUNT * seconds(_INTERVAL))} s at up to {int(DEFAULT_BATCH / seconds(_INTERVAL))} spans a second "
        f"of a worker, or {BATCH_COUNT * DEFAULT_BATCH} spans if more come.",
    )
    headers: dict[HeaderName, NginxHeaderValue] = Field(
        default_factory=dict[str, SecretStr],
        description="Headers of each export, for `endpoint`; set them with --secret. Headers that gRPC sets itself are "
        "refused.",
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that the module trusts for the endpoint. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )

    @property
    def has_tls(self) -> bool:
        """Whether the endpoint is reached with TLS."""
        return (self.endpoint or "").startswith("https://")


class Shutdown(Model):
    """How a pod ends. It finishes all requests that end within these times."""

    # Our choices: load balancers take a pod out within seconds, and a rollout waits for each pod's two times.
    delay: Annotated[WholeSeconds, at_most("1m")] = Field(
        default="5s",
        description="Time between the decision to end a pod and the signal to NGINX. Nodes and load balancers stop "
        "sending it connections meanwhile.",
    )
    timeout: Annotated[WholeSeconds, at_most("1h")] = Field(
        default="30s", description="Time that requests then have to end, before NGINX cuts them off."
    )


class Autoscaling(Model):
    """A HorizontalPodAutoscaler. Needs metrics-server, or another source of the pods' CPU use."""

    elsewhere: ClassVar[Mapping[str, str]] = {"minreplicas": "`nginx.replicas` is the smallest number of pods"}

    max_replicas: Count = Field(description="Largest number of pods; `nginx.replicas` is the smallest.", examples=[10])
    # Our choice: above 100 a pod uses more CPU than it requests, which it may on a node with CPU to spare.
    cpu: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=70, description="Target use of CPU, in percent of `nginx.resources.cpu`."
    )


class ExtraConfig(Model):
    """Directives for nginx.conf. They replace the program's own, or join them if NGINX takes several."""

    http: Snippet = Field(
        default="",
        description="Directives for the `http` block, including servers of your own.",
        examples=["gzip on;"],
    )
    server: Snippet = Field(
        default="",
        description="Directives for the `server` block, which apply to all routes.",
        examples=["client_max_body_size 10m;"],
    )


class NginxResources(Resources):
    """Resources of NGINX's container."""

    memory_limit: MemoryLimit = Field(
        default=NGINX_MEMORY,
        description="Memory above which the kernel ends the container. It holds `nginx.exporter`'s buffers full of the "
        "largest spans; ordinary spans take a tenth of that.",
    )
    cpu: Cpu = Field(
        default="250m",
        description="CPU request, larger than the other components' requests, so that a busy node serves requests "
        "first; spans wait and are not lost.",
    )


class NginxSettings(Versioned):
    """NGINX with the OpenTelemetry module."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("tls", "ssl", "https", "certificate", "sslcertificate", "ingress"),
            "NGINX takes plain HTTP here: clients' TLS ends at an ingress before it, or at a load balancer that "
            "`service.annotations` configure",
        ),
        "servicetype": "did you mean `service.type`?",
        **dict.fromkeys(
            ("poddisruptionbudget", "pdb"), "from two `replicas` on, there is one that lets one pod at a time go"
        ),
    }

    image: Image | None = Field(
        default=None,
        description="Image with NGINX and ngx_otel_module. The tag `<version>-otel` of the official image has both. "
        "Unset: that of the set that `versions` names.",
        examples=[SETS[DEFAULT].nginx_image],
    )
    replicas: Count = Field(
        default=1,
        description="Number of pods. With two or more, a PodDisruptionBudget limits evictions, such as a node drain, "
        "to one pod at a time.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="More pods under load. Unset: always `nginx.replicas`. If there was an autoscaler before, "
        "`PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up` takes the number of pods back from it.",
    )
    resources: NginxResources = Field(default_factory=NginxResources, description="Resources of the container.")
    node_port: Port | None = Field(
        default=None,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30080],
    )
    service: ServiceSettings = Field(
        default_factory=ServiceSettings, description="How clients reach NGINX, and which may connect."
    )
    server_name: list[ServerName] = Field(
        default_factory=list[str],
        description="Host names in `server_name`; the first is `net.host.name` of the spans. Unset: the request's.",
        examples=[["shop.example"]],
    )
    routes: list[Route] = Field(
        default_factory=lambda: [Route.model_validate({"path": "/", "root": "/usr/share/nginx/html"})],
        min_length=1,
        description="Paths and what answers them. Unset: the image's own pages.",
    )
    # The length is our choice.
    service_name: LiteralText = Field(default="nginx", max_length=255, description="`service.name` of the spans.")
    resource_attributes: dict[AttributeName, LiteralText] = Field(
        default_factory=dict[str, str], description="Attributes of the spans' resource, the same for all spans."
    )
    span_attributes: dict[AttributeName, TemplateText] = Field(
        default_factory=dict[str, str],
        description="Attributes of all spans, besides the module's. Values may have variables, such as `$request_id`.",
    )
    sampling: Sampling = Field(default_factory=Sampling, description="Which requests NGINX traces.")
    trace_context: TraceContext = Field(
        default="propagate",
        description="What NGINX does with `traceparent`: take it from requests (extract), send it to upstreams "
        "(inject), both (propagate) or neither (ignore).",
    )
    upstream_spans: bool | None = Field(
        default=None,
        description="Make two spans of each request that an upstream got: one of NGINX (SERVER), and in it one of the "
        "upstream's time (CLIENT), which is the parent of the application's span. Unset: true, unless "
        "`collector.distribution` is core or NGINX sends its spans elsewhere.",
        examples=[True],
    )
    exporter: Exporter = Field(default_factory=Exporter, description="How the module sends spans.")
    shutdown: Shutdown = Field(default_factory=Shutdown, description="How a pod ends.")
    resolver: Resolver = Field(default_factory=Resolver, description="How NGINX looks up the names of upstreams.")
    upstream_keepalive: UpstreamKeepalive = Field(
        default_factory=UpstreamKeepalive,
        description="Connections to upstreams that NGINX keeps open between requests.",
    )
    trusted_proxies: TrustedProxies | None = Field(
        default=None,
        description="The load balancers or proxies before NGINX whose word about their clients it trusts. Unset: none; "
        "NGINX replaces the X-Forwarded headers of every client.",
    )
    egress: list[HostAndPort] = Field(
        default_factory=list[str],
        description="Addresses that network policies let NGINX connect to, besides those of `routes`, for the hosts "
        "that `extraConfig` names.",
        examples=[["auth.example:443"]],
    )
    access_log: bool = Field(
        default=True,
        description="Write a line of JSON for each request, within 100 ms of it: `trace_id` and `span_id` join it to "
        "its trace, and `traced` tells whether there is one.",
    )
    extra_config: ExtraConfig = Field(
        default_factory=ExtraConfig, description="Directives for everything that has no key."
    )

    _own_routes: tuple[Route, ...] = PrivateAttr(default=())

    def lead_to(self, *own: Route) -> None:
        """Takes the program's own routes, which lead to other parts of the stack. `Settings` calls it once."""
        self._own_routes = own

    @property
    def all_routes(self) -> list[Route]:
        """The routes in nginx.conf: those of the configuration, then the program's own."""
        return [*self.routes, *self._own_routes]

    @property
    def pulled_image(self) -> str:
        """The image of open-source NGINX: `image`, or the set's."""
        return self.image or self.version_set.nginx_image

    def resolves_in_pod(self, upstream: Upstream) -> bool:
        """Tells whether each pod writes its own nameservers into an upstream, by an init container."""
        return self.resolver.follows_pods_file and upstream.has_name

    @property
    def upstreams(self) -> list[Upstream]:
        """The upstreams of all routes."""
        return [route.upstream for route in self.all_routes if route.upstream]

    def destinations(self, namespace: str) -> list[tuple[str, int]]:
        """Returns the hosts and ports that NGINX connects to outside its pod, besides other parts of the stack.

        Args:
            namespace: the namespace of Services that name none.
        """
        others = [*self.egress, *([self.exporter.endpoint] if self.exporter.endpoint else [])]
        return [
            *(to.address(namespace) for route in self.routes if (to := route.upstream) and to.host != "localhost"),
            *map(split_endpoint, others),
        ]

    @property
    def has_init_container(self) -> bool:
        """Whether pods write their nameservers into any upstream."""
        return any(map(self.resolves_in_pod, self.upstreams))
