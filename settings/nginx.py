"""NGINX and its OpenTelemetry module."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from settings.exposure import ServiceSettings
from settings.general import Resources
from settings.nginx_syntax import quoted, snippet
from settings.types import (
    HOST_NAME,
    HOST_NAME_LENGTH,
    CertificateBundle,
    Count,
    Cpu,
    Duration,
    Endpoint,
    HostAndPort,
    Image,
    Lines,
    LiteralText,
    MemoryLimit,
    Model,
    Port,
    Ratio,
    TemplateText,
    TypeName,
    WholeSeconds,
    matching,
    seconds,
)
from settings.upstreams import Resolver, TrustedProxies, Upstream, UpstreamKeepalive

TraceContext = Literal["propagate", "extract", "inject", "ignore"]

WORKERS = 2
"""Worker processes of a pod: more load is for more replicas."""

SPAN_BYTES = 750
"""An ordinary span of NGINX in the message that is exported: with short headers. `settings.limits` has the largest."""


def _path(path: str) -> str:
    modifier = re.match(r"(\^~|~\*|~|=|@)", path)
    if modifier and "~" in modifier[1][:1]:
        raise ValueError(
            "must begin with `/`: a route is no regular expression; a `location` with one is for "
            "`nginx.extraConfig.server`"
        )
    if modifier and modifier[1] == "=":
        raise ValueError("must begin with `/`: for this path alone set `match` to exact")
    if not path.startswith("/"):
        raise ValueError("must begin with `/`")
    # NGINX compares the path of a request after it was decoded and cleaned.
    if re.search(r"%[0-9a-fA-F]{2}", path):
        raise ValueError("must be written decoded: NGINX compares it after it has decoded the request's path")
    if "?" in path or "#" in path:
        raise ValueError("must be a path alone: a query or fragment is never part of what NGINX compares")
    if "//" in path or "/./" in f"{path}/" or "/../" in f"{path}/":
        raise ValueError("must not have `//`, `/./` or `/../`: NGINX removes them from a request before it compares")
    return path


def _folder(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must be a folder in the image, from `/`")
    if "$" in path:
        raise ValueError("must not have a `$`: it is a plain folder")
    return path


def _location(url: str) -> str:
    if not re.fullmatch(r"(/|https?://.|\$.)[!-~]*", url):
        raise ValueError(
            "must begin with /, http://, https:// or a variable, and be of ASCII characters without spaces"
        )
    return url


def _hundredths_of_a_percent(ratio: Decimal) -> Decimal:
    if ratio != round(ratio, 4):
        raise ValueError("must be in steps of 0.0001: NGINX's split_clients knows hundredths of a percent")
    return ratio


def _at_most(limit: str) -> Callable[[str], str]:
    def check(duration: str) -> str:
        if seconds(duration) > seconds(limit):
            raise ValueError(f"must be at most {limit}")
        return duration

    return check


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != text.strip():
        raise ValueError("must not begin or end with white space: is there a line end in the file?")
    if not re.fullmatch(r"[ -~]+", text):
        raise ValueError("must be one line of printable ASCII characters")
    return value


def _nginx_header_value(value: SecretStr) -> SecretStr:
    quoted(value.get_secret_value())
    return value


def _header_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


HeaderName = Annotated[
    str,
    # A Secret's key is the exporter's name and this one, and Kubernetes takes 253 characters.
    Field(max_length=128),
    # In the user's own spelling, which places and commands need: `in_lower_case` gives what is sent.
    # gRPC keeps `grpc-` for itself and takes the value of `…-bin` for base64.
    matching(r"(?i:(?!grpc-)(?!.*-bin$)[a-z0-9][a-z0-9_.-]*)", "a header's name, not grpc-… and not …-bin"),
    TypeName("header"),
]
HeaderValue = Annotated[SecretStr, BeforeValidator(_header_text), AfterValidator(_header_value), TypeName("secret")]
NginxHeaderValue = Annotated[HeaderValue, AfterValidator(_nginx_header_value), TypeName("secret")]
Snippet = Annotated[str, AfterValidator(snippet), TypeName("directives")]
Path = Annotated[LiteralText, AfterValidator(_path), TypeName("path")]
Folder = Annotated[LiteralText, AfterValidator(_folder), TypeName("folder")]
SamplingRatio = Annotated[Ratio, AfterValidator(_hundredths_of_a_percent)]
ServerName = Annotated[
    str,
    Field(max_length=HOST_NAME_LENGTH),
    matching(rf"(\*?\.)?{HOST_NAME}|{HOST_NAME}\.\*", "a host name, such as shop.example or *.example, or `_`"),
    TypeName("host"),
]
Location = Annotated[TemplateText, AfterValidator(_location), TypeName("URL with NGINX variables")]
AttributeName = Annotated[LiteralText, TypeName("attribute")]


def in_lower_case(headers: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    """Headers as they are sent: HTTP/2 demands names in lower case, however a vendor spells them."""
    return {name.lower(): value for name, value in headers.items()}


class Sampling(Model):
    """Which requests are traced."""

    ratio: SamplingRatio = Field(
        default=Decimal(1), description="Share of the requests that are traced, in steps of 0.0001.", examples=["0.1"]
    )
    parent_based: bool = Field(
        default=True,
        description="Do as the request's `traceparent` says, if it has one, and apply `ratio` to the others. "
        "`false`: apply it to all, whatever clients ask for.",
    )


class Return(Model):
    """An answer that NGINX gives by itself."""

    status: Annotated[int, Field(ge=200, le=599, strict=True)] = Field(description="Status code.", examples=[204])
    body: Lines | None = Field(default=None, description="The answer's text.", examples=["ok"])
    location: Location | None = Field(
        default=None,
        description="Where a redirect (301, 302, 303, 307, 308) leads: a URL, or a path of this one.",
        examples=["https://shop.example/"],
    )


class Route(Model):
    """A path of NGINX, what answers it and how it is traced."""

    path: Path = Field(description="Path that requests begin with, or are, as `match` says.", examples=["/"])
    match: Literal["prefix", "exact"] = Field(
        default="prefix", description="Whether `path` is where requests begin (the longest wins), or all of it."
    )
    upstream: Annotated[Upstream | None, TypeName("address, or object")] = Field(
        default=None,
        description="Where requests are sent on: `host:port`, `https://host`, or a Service of the cluster. WebSockets "
        "work; a minute without a byte ends one, unless `proxy_read_timeout` in `extraConfig` says otherwise.",
        examples=["192.0.2.20:8080"],
    )
    root: Folder | None = Field(
        default=None, description="Folder in the image whose files are served.", examples=["/usr/share/nginx/html"]
    )
    return_: Return | None = Field(default=None, alias="return", description="An answer that NGINX gives by itself.")
    traced: bool = Field(
        default=True,
        description="Whether requests make spans. `false`, for example for health checks, passes the client's trace "
        "context on as it came.",
    )
    span_name: TemplateText | None = Field(
        default=None, description="Name of the spans. Unset: the path.", examples=["$request_method $uri"]
    )
    span_attributes: dict[AttributeName, TemplateText] = Field(
        default_factory=dict[str, str], description="Attributes of the spans, besides those of `nginx.spanAttributes`."
    )
    sampling: Sampling | None = Field(default=None, description="Which requests are traced. Unset: `nginx.sampling`.")
    trace_context: TraceContext | None = Field(
        default=None,
        description="What is done with `traceparent`. Unset: `nginx.traceContext`, and `ignore` where `traced` is "
        "false.",
        examples=["propagate"],
    )
    extra_config: Snippet = Field(
        default="",
        description="Directives for the `location` block, for all that has no key. They replace the program's own, or "
        "join them where NGINX takes several.",
        examples=["client_max_body_size 10m;"],
    )


_NO_CLIENT_CERTIFICATE = (
    "the module shows no certificate of its own: leave `endpoint` unset, and set `clientCertificate` and `clientKey` "
    "at `collector.exporters.<name>.tls`"
)


class Exporter(Model):
    """How the module sends spans. It never sends one twice: what fails is lost, and logged."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("clientcertificate", "clientkey", "certfile", "keyfile", "sslcertificate", "sslcertificatekey"),
            _NO_CLIENT_CERTIFICATE,
        ),
        "tls": "TLS is an `endpoint` with https://, its authorities `caBundle`",
        "trustedcertificate": "the text of the file is `caBundle`",
        "cafile": "the text of the file is `caBundle`",
    }

    endpoint: Endpoint | None = Field(
        default=None,
        description="OTLP/gRPC receiver that spans are sent to instead of the stack's Collector; https:// for TLS.",
        examples=["collector.example:4317"],
    )
    interval: Duration = Field(
        default="500ms",
        description="Time after which a batch is sent that is not full; the module's own default is 5s.",
    )
    batch_size: Annotated[Count | None, Field(ge=1, le=2048, strict=True), TypeName("integer")] = Field(
        default=None,
        description="Spans of a full batch. Unset: 512, or fewer where the largest spans that clients can cause would "
        "not fit the receiver's messages or the memory limit: 306 with all defaults.",
        examples=[256],
    )
    batch_count: Annotated[Count, Field(le=1024)] = Field(
        default=64,
        description="Batches, full or not, that each of two workers holds while the receiver hangs, before spans are "
        "dropped. Each `interval` takes one, and so does each full batch: 64 hold 32 s at up to 612 spans a second of "
        "a worker, or 19584 spans if more come.",
    )
    headers: dict[HeaderName, NginxHeaderValue] = Field(
        default_factory=dict[str, SecretStr],
        description="Headers of each export, for `endpoint`; set them with --secret.",
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Authorities that the endpoint's certificate is checked by. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )


class Shutdown(Model):
    """How a pod ends: nothing is cut off that is done within these times."""

    delay: Annotated[WholeSeconds, AfterValidator(_at_most("1m"))] = Field(
        default="5s",
        description="Time from a pod's end being decided to NGINX being told: nodes and load balancers stop to send "
        "it connections meanwhile.",
    )
    timeout: Annotated[WholeSeconds, AfterValidator(_at_most("1h"))] = Field(
        default="30s", description="Time that requests have to end then, before they are cut off."
    )


class Autoscaling(Model):
    """More pods under load. Needs metrics-server, or another source of the pods' CPU use."""

    max_replicas: Count = Field(description="Pods at most; `nginx.replicas` is the least.", examples=[10])
    cpu: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=70, description="Use of CPU that is aimed at, in percent of `nginx.resources.cpu`."
    )


class ExtraConfig(Model):
    """Directives for nginx.conf: they replace the program's own, or join them where NGINX takes several."""

    http: Snippet = Field(
        default="",
        description="Directives for the `http` block, servers of your own among them.",
        examples=["gzip on;"],
    )
    server: Snippet = Field(
        default="",
        description="Directives for the `server` block, which hold for all routes.",
        examples=["client_max_body_size 10m;"],
    )


class NginxResources(Resources):
    """What NGINX's container asks for."""

    memory_limit: MemoryLimit = Field(
        default="2Gi",
        description="Memory above which the kernel ends the container. `nginx.exporter`'s buffers of the largest spans "
        "are within it; with ordinary ones they take a tenth.",
    )
    cpu: Cpu = Field(
        default="250m",
        description="CPU that is asked for: more than the others ask for, so that on a busy node requests go before "
        "spans, which wait without being lost.",
    )


class NginxSettings(Model):
    """NGINX with the OpenTelemetry module."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("tls", "ssl", "https", "certificate", "sslcertificate", "ingress"),
            "NGINX takes plain HTTP here: clients' TLS ends at an ingress before it, or at a load balancer, which "
            "`service.annotations` configure",
        ),
        "servicetype": "did you mean `service.type`?",
    }

    image: Image = Field(
        default="nginx:1.27.4-otel",
        description="Image with NGINX and ngx_otel_module; the tag `<version>-otel` of the official image has both.",
    )
    replicas: Count = Field(
        default=1, description="Pods. From two on, one at a time is taken from its node, by a drain say."
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="More pods under load. Unset: always `nginx.replicas`, which "
        "`PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up` takes back from an autoscaler that there was.",
    )
    resources: NginxResources = Field(default_factory=NginxResources, description="Resources of the container.")
    node_port: Port | None = Field(
        default=None,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30080],
    )
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="How NGINX is reached, and by whom.")
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
    service_name: LiteralText = Field(default="nginx", max_length=255, description="`service.name` of the spans.")
    resource_attributes: dict[AttributeName, LiteralText] = Field(
        default_factory=dict[str, str], description="Attributes of the resource that sends the spans: the same for all."
    )
    span_attributes: dict[AttributeName, TemplateText] = Field(
        default_factory=dict[str, str],
        description="Attributes of all spans, besides the module's; values may have variables, `$request_id` say.",
    )
    sampling: Sampling = Field(default_factory=Sampling, description="Which requests are traced.")
    trace_context: TraceContext = Field(
        default="propagate",
        description="What is done with `traceparent`: taken from requests (extract), given to upstreams (inject), "
        "both (propagate) or neither (ignore).",
    )
    exporter: Exporter = Field(default_factory=Exporter, description="How spans are sent.")
    shutdown: Shutdown = Field(default_factory=Shutdown, description="How a pod ends.")
    resolver: Resolver = Field(default_factory=Resolver, description="How the names of upstreams are looked up.")
    upstream_keepalive: UpstreamKeepalive = Field(
        default_factory=UpstreamKeepalive, description="Connections to upstreams that are kept open between requests."
    )
    trusted_proxies: TrustedProxies | None = Field(
        default=None,
        description="The load balancers or proxies before NGINX that are believed about their clients. Unset: none; "
        "the X-Forwarded headers of every client are replaced.",
    )
    egress: list[HostAndPort] = Field(
        default_factory=list[str],
        description="Addresses that network policies let NGINX connect to, besides those of `routes`: what "
        "`extraConfig` names.",
        examples=[["auth.example:443"]],
    )
    access_log: bool = Field(
        default=True,
        description="A line of JSON for each request, within 100 ms of it, with `trace_id` and `span_id` to join it "
        "to its trace, and `traced`: whether there is one.",
    )
    extra_config: ExtraConfig = Field(default_factory=ExtraConfig, description="Directives for all that has no key.")

    def resolves_in_pod(self, upstream: Upstream) -> bool:
        """Tells whether each pod writes its own nameservers into an upstream, by an init container."""
        return self.resolver.follows_pods_file and upstream.has_name

    @property
    def has_init_container(self) -> bool:
        """Whether pods write their nameservers into any upstream."""
        return any(route.upstream is not None and self.resolves_in_pod(route.upstream) for route in self.routes)
