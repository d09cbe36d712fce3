"""Rules of the metrics that Tempo makes of spans, and of the stack's Prometheus."""

from collections.abc import Iterator

from settings.errors import Place, RuleViolation, needs, path, remove_command, repeated, set_command, violation
from settings.metrics import login_of
from settings.stack import Settings
from settings.types import is_private
from settings.upstreams import service_of

_REMOTE_WRITE: Place = ("metrics", "remoteWrite")
_HEADERS: Place = ("metricsHeaders",)

_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "user-agent",
        "www-authenticate",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-prometheus-remote-read-version",
        "x-prometheus-remote-write-version",
        "x-prometheus-scrape-timeout-seconds",
    }
)
"""Headers that Tempo does not start with: `ReservedHeaders` in config/headers.go of prometheus/common 0.63."""


def metrics_secrets(settings: Settings) -> list[Place]:
    """Returns the places of the headers of remote write."""
    refused = {number for number, _ in _doubled(settings)}
    names = sorted(settings.metrics_headers, reverse=True)
    return [(*_HEADERS, name) for number, name in enumerate(names) if number not in refused]


def _doubled(settings: Settings) -> list[tuple[int, int]]:
    # Capital letters sort before small ones, so the spelling in lower case stays if there is one.
    return list(repeated(name.lower() for name in sorted(settings.metrics_headers, reverse=True)))


def _header_names(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects headers that Prometheus' client refuses, so that Tempo would not start, and second spellings of one."""
    names = sorted(settings.metrics_headers, reverse=True)
    for number, kept in _doubled(settings):
        message = f"is {path((*_HEADERS, names[kept]))} too: capital and small letters make no difference in a header"
        yield violation((*_HEADERS, names[number]), message)
    for name in names:
        if name.lower() in _RESERVED:
            yield violation((*_HEADERS, name), "must not be set: remote write sets it itself, or has none")


def _login(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a login that Prometheus' client has no form for."""
    for name, value in settings.metrics_headers.items():
        if name.lower() == "authorization" and login_of(value.get_secret_value()) is None:
            message = "must be `Bearer <token>`, or `Basic ` and `user:password` in base64"
            yield violation((*_HEADERS, name), message, fix=set_command((*_HEADERS, name), secret=True))


def _headers_need_a_receiver(settings: Settings) -> Iterator[RuleViolation]:
    if settings.metrics_headers and not settings.metrics.remote_write:
        message = "are for `metrics.remoteWrite`, which has no URL yet"
        yield needs(_HEADERS, message, "metrics.remoteWrite.url", "https://prometheus.example/api/v1/write")


def _need_tempo(settings: Settings) -> Iterator[RuleViolation]:
    if settings.metrics.remote_write and not settings.tempo.enabled:
        message = "is where the stack's own Tempo writes, and `tempo.enabled` is false"
        yield violation(_REMOTE_WRITE, message, depends_on=["tempo.enabled"])


def _tls(settings: Settings) -> Iterator[RuleViolation]:
    write = settings.metrics.remote_write
    if write is None or write.url.startswith("https://"):
        return
    for name, value in (("caBundle", write.tls.ca_bundle), ("serverName", write.tls.server_name)):
        if value:
            place: Place = (*_REMOTE_WRITE, "tls", name)
            message = "is for a connection with TLS, and the URL begins with http://"
            yield violation(place, message, depends_on=[(*_REMOTE_WRITE, "url")])


def _own_prometheus(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects the stack's own Prometheus as a second receiver, which would get every metric twice."""
    write = settings.metrics.remote_write
    own = ("prometheus", settings.namespace)
    if write and settings.prometheus.enabled and service_of(write.address[0], settings.namespace) == own:
        message = "is the stack's own Prometheus, to which Tempo writes without it"
        yield violation(_REMOTE_WRITE, message, depends_on=["prometheus.enabled", "namespace"])


def _tempo_3_answers(settings: Settings) -> Iterator[RuleViolation]:
    tempo = settings.tempo
    if tempo.enabled and tempo.release.has_live_store and not tempo.traceql_metrics:
        message = "must be true with Tempo 3, which always answers for them"
        yield violation("tempo.traceqlMetrics", message, set_to=True, depends_on=["tempo.image"])


def _finds_pods(settings: Settings) -> Iterator[RuleViolation]:
    if settings.prometheus.enabled and not settings.monitoring.annotations:
        message = "must be true, because the stack's Prometheus finds the pods by their annotations"
        fix = remove_command(("monitoring", "annotations"))
        yield violation("monitoring.annotations", message, fix=fix, depends_on=["prometheus.enabled"])


def _restriction_needs_policies(settings: Settings) -> Iterator[RuleViolation]:
    if settings.prometheus.allowed_namespaces and not settings.network_policies:
        place: Place = ("prometheus", "allowedNamespaces")
        yield needs(place, "needs `networkPolicies`, which enforce it and are off", "networkPolicies", value=True)


def metrics_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of metrics that are not those of all requests, and of logins that others can read."""
    write, headers = settings.metrics.remote_write, settings.metrics_headers
    is_read = settings.prometheus.enabled or write is not None or settings.grafana.is_used
    collector = settings.collector
    if settings.tempo.enabled and is_read and collector.enabled and collector.sampling.tail:
        yield (
            "collector.sampling.tail keeps traces for what is in them, so Tempo's metrics count kept traces alone: "
            "rates are too low, and shares of errors and of slow requests too high. For true ones sample by a ratio "
            "instead: `nginx.sampling.ratio` or `collector.sampling.ratio`"
        )
    if write and headers and write.url.startswith("http://") and not is_private(write.address[0]):
        command = set_command((*_REMOTE_WRITE, "url"), write.url.replace("http://", "https://", 1))
        yield (
            "metricsHeaders go to `metrics.remoteWrite.url` in plain text, because it begins with http://: whoever is "
            f"on the way can read them. Write a Service of the cluster with `.svc`. With TLS: {command}"
        )


METRICS_RULES = (
    _header_names,
    _login,
    _headers_need_a_receiver,
    _need_tempo,
    _tls,
    _own_prometheus,
    _tempo_3_answers,
    _finds_pods,
    _restriction_needs_policies,
)
