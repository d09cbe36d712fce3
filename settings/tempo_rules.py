"""Rules of Tempo: its storage, its gateway, and whether spans reach it."""

from collections.abc import Iterator

from settings.errors import RuleViolation, set_command, violation
from settings.stack import Settings
from settings.types import IMAGE_REFERENCE, seconds
from settings.versions import SETS
from settings.versions.sets import DEFAULT

_ENABLED, _GATEWAY = "tempo.enabled", "tempo.gateway.image"


def _has_spans(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a Collector without a backend, and a Tempo without the Collector."""
    has_collector, exporters = settings.collector.enabled, settings.collector.exporters
    if not settings.tempo.enabled and has_collector and not exporters:
        yield violation(
            _ENABLED,
            "must be true, or `collector.exporters` name a backend: spans have no receiver",
            fix=set_command("collector.exporters.mine.endpoint", "tempo.example:4317"),
            depends_on=["collector.exporters"],
        )
    if settings.tempo.enabled and not has_collector:
        message = "must be false without the stack's Collector: no span would reach Tempo"
        yield violation(_ENABLED, message, set_to=False, depends_on=["collector.enabled"])


def _one_replica(settings: Settings) -> Iterator[RuleViolation]:
    if settings.tempo.replicas > 1:
        message = "must be 1: each of several replicas would have only a part of the newest traces"
        if settings.tempo.is_distributed:
            message = "must be 1: each part has `replicas` of its own, such as `tempo.ingester.replicas`"
        yield violation("tempo.replicas", message, set_to=1)


def _blocklist_poll(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects blocks that would leave one part of Tempo before the other has seen them, as Tempo itself does."""
    flush = settings.tempo.flush
    poll = flush.blocklist_poll
    for place, value in (
        ("tempo.retention", settings.tempo.retention),
        ("tempo.flush.completeBlockTimeout", flush.complete_block_timeout),
    ):
        if seconds(value) < seconds(poll):
            message = f"must not be shorter than `tempo.flush.blocklistPoll`, which is {poll}"
            yield violation(place, message, set_to=poll, depends_on=["tempo.flush.blocklistPoll"], echoed=[poll])


def _gateway_is_open_source(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects NGINX Plus as the gateway, whose image is `nginx.image` if it has none of its own."""
    own, shared = settings.tempo.gateway.image, settings.nginx.pulled_image
    reason = "the gateway gets no license, without which NGINX Plus does not start"
    if not settings.tempo.enabled or not is_plus_image(own or shared):
        return
    if own:
        yield violation(_GATEWAY, f"must be open-source NGINX: {reason}")
    else:
        message = f"is required, because `nginx.image` is NGINX Plus: {reason}"
        image = SETS[DEFAULT].nginx_image
        yield violation(_GATEWAY, message, set_to=image, depends_on=["nginx.image"])


def is_plus_image(image: str) -> bool:
    """Tells whether an image is NGINX Plus, by its name."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    return matched is not None and "nginx-plus" in matched["name"]


TEMPO_RULES = (
    _has_spans,
    _one_replica,
    _blocklist_poll,
    _gateway_is_open_source,
)
