"""Rules of the Collector: its distribution, its sampling, its queue and its receivers."""

from collections.abc import Iterator

from settings.collector import DEFAULT_REPLICAS
from settings.collector_tiers import MOST_WAIT
from settings.errors import Place, RuleViolation, needs, set_command, violation
from settings.receivers import OTLP_HTTP_PORT
from settings.stack import Settings
from settings.types import seconds
from settings.upstreams import Upstream
from settings.versions.collector import COMPONENTS, distribution_of

_DISTRIBUTION: Place = ("collector", "distribution")
_IMAGE: Place = ("collector", "image")
_TAIL = "collector.sampling.tail"


def _distribution(settings: Settings) -> Iterator[RuleViolation]:
    of_image, distribution = distribution_of(settings.collector.image or ""), settings.collector.distribution
    if None not in {of_image, distribution} and of_image != distribution:
        message = f"must be the distribution of `collector.image`, which is {of_image}"
        yield violation(_DISTRIBUTION, message, set_to=of_image, depends_on=[_IMAGE])


def _components(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys that need a component which the distribution does not have."""
    collector = settings.collector
    of_image = distribution_of(collector.image or "")
    if of_image not in {None, collector.chosen_distribution}:
        return
    wanted: dict[str, tuple[str, bool]] = {
        "processor tail_sampling": ("collector.sampling.tail", collector.sampling.tail is not None),
        "processor k8sattributes": ("collector.kubernetesAttributes", collector.kubernetes_attributes),
        "extension file_storage": ("collector.queue.storage", collector.queue.is_persistent),
        "processor transform": ("nginx.upstreamSpans", settings.nginx.upstream_spans is True),
    }
    fix = (_DISTRIBUTION, "k8s") if of_image is None else (_IMAGE, collector.version_set.collector_image("k8s"))
    for kind_and_name, (place, is_set) in wanted.items():
        name = kind_and_name.split()[-1]
        if is_set and not collector.has(name):
            having = " and ".join(one for one, components in COMPONENTS.items() if name in components)
            lacks = f"needs the {kind_and_name}, which the distribution {collector.chosen_distribution} does not have"
            yield needs(place, f"{lacks}; {having} have it", *fix)


def _sampling(settings: Settings) -> Iterator[RuleViolation]:
    sampling, tail = settings.collector.sampling, settings.collector.sampling.tail
    if tail is None:
        return
    if sampling.ratio is not None:
        yield violation("collector.sampling.ratio", "must not be set beside `tail`, which has its own `ratio`")
    if not (tail.errors or tail.latency or tail.ratio is not None):
        message = "must have a rule, or it keeps nothing: `errors`, `latency` or `ratio`"
        fix = set_command("collector.sampling.tail.errors", value=True)
        yield violation("collector.sampling.tail", message, fix=fix)


def _tiers(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys of a second tier without one, and a wait that would keep ending pods for too long."""
    collector, tail = settings.collector, settings.collector.sampling.tail
    if tail is None:
        return
    if not collector.has_tiers:
        for name in sorted(tail.model_fields_set & {"replicas", "resources"}):
            message = "is for a second tier, which two replicas or more have, and `collector.replicas` is 1"
            yield needs(f"{_TAIL}.{name}", message, "collector.replicas", value=DEFAULT_REPLICAS)
        return
    if not collector.release.balances:
        message = (
            "must not be 0.139 with `collector.sampling.tail` and several replicas: its exporter loadbalancing sends "
            "nothing (open-telemetry/opentelemetry-collector-contrib#44218)"
        )
        usual = collector.version_set.collector_image(collector.chosen_distribution)
        yield violation(_IMAGE, message, set_to=usual, depends_on=[_TAIL, "collector.replicas"])
    if seconds(tail.decision_wait) > MOST_WAIT:
        message = (
            f"must be at most {MOST_WAIT}s with `collector.replicas` of two or more: each pod that decides goes on for "
            "that long before it ends"
        )
        place = f"{_TAIL}.decisionWait"
        yield violation(place, message, set_to=f"{MOST_WAIT}s", depends_on=["collector.replicas"])


def _traffic_distribution(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a choice among replicas where there is one."""
    collector = settings.collector
    if collector.traffic_distribution and collector.most_replicas == 1:
        message = "chooses among several replicas, and `collector.replicas` is 1"
        yield needs("collector.trafficDistribution", message, "collector.replicas", value=DEFAULT_REPLICAS)


def _memory_limiter(settings: Settings) -> Iterator[RuleViolation]:
    limiter = settings.collector.memory_limiter
    if limiter.spike_limit_percentage >= limiter.limit_percentage:
        usual = type(limiter)().spike_limit_percentage
        yield violation(
            "collector.memoryLimiter.spikeLimitPercentage",
            f"must be below `limitPercentage`, which is {limiter.limit_percentage}",
            set_to=usual if limiter.limit_percentage > usual else 1,
        )


def _batch(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    if not collector.gathers and "batch" in collector.model_fields_set:
        message = (
            "is for a queue in memory or tail sampling: before Collector 0.138 a persistent queue keeps each export "
            "unchanged"
        )
        yield violation("collector.batch", message, depends_on=["collector.queue.storage"])


def _applications(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects OTLP over HTTP that no pod may use. NGINX may, for browsers or by a route."""
    receivers, nginx = settings.collector.receivers, settings.nginx
    if receivers.cors or any(map(_is_for_http, nginx.upstreams)):
        return
    if settings.collector.enabled and settings.network_policies and receivers.http and not receivers.namespaces:
        namespaces = "collector.receivers.namespaces"
        message = f"is for applications, and network policies let none in: name their namespaces in `{namespaces}`"
        fix = set_command((*namespaces.split("."), 0), "shop")
        yield violation("collector.receivers.http", message, fix=fix, depends_on=[namespaces, "networkPolicies"])


def _is_for_http(upstream: Upstream) -> bool:
    """Tells whether an upstream is the Collector's port of OTLP over HTTP."""
    host = upstream.service or upstream.host or ""
    return upstream.port == OTLP_HTTP_PORT and host.split(".")[0] == "otel-collector"


def _cors(settings: Settings) -> Iterator[RuleViolation]:
    receivers = settings.collector.receivers
    if receivers.cors and not receivers.http:
        yield needs(
            "collector.receivers.cors", "is for OTLP over HTTP, which is off", "collector.receivers.http", value=True
        )


def _kubernetes_api_port(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    is_used = collector.kubernetes_attributes or settings.prometheus.enabled
    if collector.kubernetes_api_port is not None and not is_used:
        attributes, prometheus = "collector.kubernetesAttributes", "prometheus.enabled"
        message = f"is for `{attributes}` and `{prometheus}`, which are false: nothing else connects to the API server"
        yield violation("collector.kubernetesApiPort", message, depends_on=[attributes, prometheus])


def _upstream_spans(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects spans of upstreams where NGINX's spans do not pass the stack's Collector, which makes them."""
    if settings.nginx.upstream_spans and not settings.collector.enabled:
        message = "needs the stack's Collector, which makes them, and `collector.enabled` is false"
        yield violation("nginx.upstreamSpans", message, depends_on=["collector.enabled"])


COLLECTOR_RULES = (
    _distribution,
    _components,
    _upstream_spans,
    _sampling,
    _tiers,
    _traffic_distribution,
    _memory_limiter,
    _batch,
    _applications,
    _cors,
    _kubernetes_api_port,
)
