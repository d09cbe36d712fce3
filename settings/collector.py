"""The OpenTelemetry Collector."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from settings.general import Resources
from settings.license import ClientKey
from settings.nginx import HeaderName, HeaderValue
from settings.types import (
    Bytes,
    CertificateBundle,
    ClientCertificate,
    Count,
    Duration,
    Host,
    Image,
    LabelName,
    MemoryLimit,
    Model,
    NotProxied,
    Origin,
    OtlpEndpoint,
    Password,
    Port,
    Proxy,
    Ratio,
    SubdomainName,
    Text,
    TypeName,
    amount,
    matching,
)

Distribution = Literal["core", "k8s", "contrib"]


def _countable(ratio: Decimal) -> Decimal:
    if 0 < ratio < Decimal("0.000000001"):
        raise ValueError("must be 0, or at least 0.000000001: the Collector refuses less as too small")
    return ratio


def _volume(size: str) -> str:
    if amount(size) < 2**28:
        raise ValueError("must be at least 256Mi")
    return size


CorsHeader = Annotated[
    str, matching(r"\*|[A-Za-z0-9][A-Za-z0-9_.-]*", "a header's name, or `*` for any"), TypeName("header")
]


def _message(size: str) -> str:
    if not 2**20 <= amount(size) <= 2**30:
        raise ValueError("must be from 1Mi to 1Gi")
    return size


TraceRatio = Annotated[Ratio, AfterValidator(_countable)]


class Batch(Model):
    """How the Collector gathers spans: for Tempo from a queue in memory, and for every backend behind tail sampling.

    Other backends get each export as it came: two joined could be larger than they take.
    """

    timeout: Duration = Field(default="500ms", description="Time after which a batch is sent that is not full.")
    size: Annotated[Count, Field(le=5000)] = Field(
        default=2048,
        description="Spans of a full batch, of 750 bytes each: larger ones fill it sooner. Behind tail sampling it is "
        "spans alone, and fewer where as many of NGINX's largest would not fit the messages of a backend.",
    )


class MemoryLimiter(Model):
    """When the Collector refuses spans rather than run out of memory; NGINX never sends again what was refused."""

    limit_percentage: Annotated[int, Field(ge=10, le=95, strict=True)] = Field(
        default=80, description="Share of the memory limit above which spans are refused, in percent."
    )
    spike_limit_percentage: Annotated[int, Field(ge=1, le=50, strict=True)] = Field(
        default=20, description="Room below that for what arrives between two looks, in percent of the memory limit."
    )


class Queue(Model):
    """Where spans wait for a backend that is away. Each exporter has a queue of its own."""

    storage: Literal["memory", "persistent"] = Field(
        default="memory",
        description="Memory, gone with the pod, or a volume for each pod, which outlives it. A volume needs the "
        "distribution k8s or contrib.",
    )
    size: Annotated[Bytes, AfterValidator(_volume)] = Field(
        default="10Gi",
        description="Size of the volume, with `persistent`. The queue counts exports, and takes each for a full one of "
        "ordinary spans: 10Gi hold 34267 of NGINX's by default, of which each of its workers makes two a second, or "
        "more under load. Behind tail sampling, 5120 batches, full or not: a longer `collector.batch.timeout` makes "
        "fewer. Several exporters share them. Larger spans fill the volume before: spans are refused, and counted.",
    )
    storage_class: SubdomainName | None = Field(
        default=None,
        description="StorageClass of the volume. Unset: the cluster's default.",
        examples=["standard"],
    )


class TailSampling(Model):
    """Which whole traces are kept, decided once their spans had time to arrive: those that one rule keeps."""

    decision_wait: Duration = Field(
        default="5s", description="Time from a trace's first span to the decision; none of it is sent before."
    )
    traces: Annotated[Count, Field(le=100_000_000)] = Field(
        default=100_000,
        description="Traces that wait for their decision, in memory; beyond, the oldest goes undecided and is lost.",
    )
    errors: bool = Field(default=True, description="Keep traces with a span of status ERROR (5xx, for NGINX).")
    latency: Duration | None = Field(default=None, description="Keep traces that took longer.", examples=["500ms"])
    ratio: TraceRatio | None = Field(default=None, description="Keep this share of all traces.", examples=["0.1"])


class CollectorSampling(Model):
    """Which spans are sent on: all, unless one of the two is set."""

    ratio: TraceRatio | None = Field(
        default=None,
        description="Share of the traces that are sent on, the same ones in every replica. Unset: all.",
        examples=["0.1"],
    )
    tail: TailSampling | None = Field(
        default=None,
        description="Decide by whole traces. Needs the distribution k8s or contrib, and one replica.",
    )


_CERTIFICATE_TEXT = "the text of the file is `clientCertificate`, that of its key `clientKey`"
_AUTHORITY_TEXT = "the text of the file is `caBundle`"
_IS_ALWAYS_CHECKED = (
    "a connection whose certificate is not checked can be read by whoever is in between: name the authority with "
    "`caBundle`, and with `serverName` the host that the certificate is for"
)


class ExporterTls(Model):
    """How a connection is secured."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("certfile", "cert", "certpem", "certificate", "keyfile", "key", "keypem"), _CERTIFICATE_TEXT),
        **dict.fromkeys(("cafile", "ca", "capem", "trustedcertificate", "cacert"), _AUTHORITY_TEXT),
        **dict.fromkeys(("insecureskipverify", "skipverify", "verify"), _IS_ALWAYS_CHECKED),
        "insecure": "TLS is turned off by `enabled: false`",
        "servernameoverride": "it is `serverName`",
        "reloadinterval": "a new certificate replaces the pods, so nothing is read again",
    }

    enabled: bool = Field(
        default=True, description="Whether TLS is used. Receivers inside a cluster often speak plain text: `false`."
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Authorities that the receiver's certificate is checked by. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_certificate: ClientCertificate | None = Field(
        default=None,
        description="Certificate that the Collector shows to the receiver, its own first, then those of the "
        "authorities in between. Needs `clientKey`. A new one replaces the pods.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    client_key: ClientKey | None = Field(
        default=None, description="Private key of `clientCertificate`, without a passphrase; set it with --secret."
    )
    server_name: Host | None = Field(
        default=None,
        description="Host that the receiver's certificate is for. Unset: the endpoint's.",
        examples=["otlp.vendor.example"],
    )


class OtlpExporter(Model):
    """A receiver that gets all spans, with a queue of its own: one that is away does not hold up the others."""

    endpoint: OtlpEndpoint = Field(
        description="host:port for gRPC; for HTTP the URL without /v1/traces.", examples=["otlp.vendor.example:4317"]
    )
    protocol: Literal["grpc", "http"] = Field(default="grpc", description="OTLP over gRPC or over HTTP.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict[str, SecretStr], description="Headers of each export; set them with --secret."
    )
    tls: ExporterTls = Field(default_factory=ExporterTls, description="How the connection is secured.")
    max_message_size: Annotated[Bytes, AfterValidator(_message)] = Field(
        default="4Mi",
        description="Largest message that the receiver takes: 4Mi by default over gRPC, and with many vendors. The "
        "Collector itself takes none that is larger, and 16Mi at most.",
    )


class Cors(Model):
    """Which pages' scripts may send spans over HTTP. Browsers need a way in: a route of NGINX, or an ingress."""

    allowed_origins: list[Origin] = Field(
        min_length=1,
        description="Origins of the pages: https://host[:port], with one `*` at most for any text in it.",
        examples=[["https://shop.example"]],
    )
    allowed_headers: list[CorsHeader] = Field(
        default_factory=list[str],
        description="Headers that scripts may set besides Content-Type and those that browsers let every page set.",
        examples=[["x-client"]],
    )


class Receivers(Model):
    """What the Collector takes. OTLP over gRPC on 4317 is always there: NGINX needs it."""

    http: bool = Field(default=False, description="Take OTLP over HTTP on port 4318 as well, for applications.")
    namespaces: list[LabelName] = Field(
        default_factory=list[str],
        description="Namespaces whose pods network policies let send spans, besides NGINX: those of the applications.",
        examples=[["shop"]],
    )
    cors: Cors | None = Field(
        default=None, description="Which pages' scripts may send spans over HTTP. Unset: none. Needs `http`."
    )


class ExporterProxy(Model):
    """HTTP proxy on the way to the exporters' receivers; what goes to the stack's own Tempo never passes it."""

    url: Proxy = Field(description="The proxy: http://host:port.", examples=["http://proxy.example:3128"])
    username: Text | None = Field(default=None, description="User of the proxy.", examples=["collector"])
    password: Password | None = Field(default=None, description="That user's password; set it with --secret.")
    exclude: list[NotProxied] = Field(
        default_factory=list[str],
        description="What goes past the proxy besides Services of the cluster by their full names (`<name>."
        "<namespace>.svc`): hosts with all that is below them, addresses, ranges.",
        examples=[["tempo.corp.example"]],
    )


class CollectorResources(Resources):
    """What the Collector's container asks for; its heap is kept within 80 % of the memory limit."""

    memory: Bytes = Field(default="128Mi", description="Memory that is asked for.")
    memory_limit: MemoryLimit = Field(
        default="500Mi", description="Memory above which the kernel ends the container; what waits to be sent is in it."
    )


class CollectorSettings(Model):
    """The OpenTelemetry Collector."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("env", "extraenv", "environment", "httpproxy", "httpsproxy", "noproxy"),
            "an HTTP proxy is `proxy`; other variables of the environment cannot be set",
        ),
        **dict.fromkeys(
            ("config", "extraconfig", "processors", "extensions", "service", "pipelines"),
            "the Collector's document is made from these keys",
        ),
    }

    enabled: bool = Field(
        default=True,
        description="Whether the stack has one; `false` where `nginx.exporter.endpoint` names another.",
    )
    distribution: Distribution = Field(
        default="core", description="Which of the project's distributions the image is: it decides what it can do."
    )
    image: Image | None = Field(
        default=None,
        description="Image of the Collector. Unset: version 0.126.0 of the distribution.",
        examples=["otel/opentelemetry-collector:0.126.0"],
    )
    replicas: Count | None = Field(
        default=None,
        description="Pods. Unset: 2, or 1 with tail sampling. With one, NGINX's spans are lost whenever it is killed, "
        "evicted, or replaced with a persistent queue: until it is back, and then until NGINX connects again.",
        examples=[2],
    )
    proxy: ExporterProxy | None = Field(
        default=None, description="HTTP proxy on the way to the exporters' receivers. Unset: none."
    )
    resources: CollectorResources = Field(default_factory=CollectorResources, description="Resources of the container.")
    receivers: Receivers = Field(default_factory=Receivers, description="What it takes besides OTLP over gRPC.")
    batch: Batch = Field(default_factory=Batch, description="How spans are gathered.")
    memory_limiter: MemoryLimiter = Field(
        default_factory=MemoryLimiter, description="When spans are refused rather than memory exhausted."
    )
    queue: Queue = Field(default_factory=Queue, description="Where spans wait for a backend that is away.")
    sampling: CollectorSampling = Field(default_factory=CollectorSampling, description="Which spans are sent on.")
    kubernetes_attributes: bool = Field(
        default=False,
        description="Add the pod, its Deployment and node to the spans of pods in the stack's namespace. "
        "Needs the distribution k8s or contrib, and the right to make Roles.",
    )
    kubernetes_api_port: Port | None = Field(
        default=None,
        description="Port of the API server that network policies let `kubernetesAttributes` reach: that of the "
        "endpoints of the Service `kubernetes`. Unset: 443, 6443 and the port that the cluster names when it is asked.",
        examples=[6443],
    )
    exporters: dict[LabelName, OtlpExporter] = Field(
        default_factory=dict[str, OtlpExporter], description="Receivers besides, or instead of, the stack's Tempo."
    )

    @property
    def replica_count(self) -> int:
        """Pods: `replicas`, or the default, which depends on the sampling.

        Nothing sends all spans of a trace to the same one of several replicas.
        """
        if self.replicas is not None:
            return self.replicas
        return DEFAULT_REPLICAS if self.sampling.tail is None else 1


DEFAULT_REPLICAS = 2
"""One that stays while the other is killed, evicted or replaced.

NGINX's module never sends an export again, and after a refused connection gRPC waits for 1 s, then 1.6 times longer
each time, while every export fails. README has what is lost with one and with two.
"""

DEFAULT_IMAGES: dict[Distribution, str] = {
    "core": "otel/opentelemetry-collector:0.126.0",
    "k8s": "otel/opentelemetry-collector-k8s:0.126.0",
    "contrib": "otel/opentelemetry-collector-contrib:0.126.0",
}


def percent(ratio: Decimal) -> float:
    """A ratio as the Collector's processors take it."""
    return float(ratio * 100)
