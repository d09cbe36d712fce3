"""Rules of a whole configuration, which are checked before anything is created. Each stands beside its component."""

from collections.abc import Iterator
from dataclasses import replace

from settings.collector_rules import COLLECTOR_RULES
from settings.demo_rules import DEMO_RULES
from settings.errors import RuleViolation
from settings.exporter_rules import EXPORTER_RULES
from settings.exposure_rules import EXPOSURE_RULES
from settings.grafana_rules import GRAFANA_RULES
from settings.https_rules import HTTPS_RULES
from settings.limit_rules import LIMIT_RULES
from settings.metrics_rules import METRICS_RULES
from settings.nginx_rules import NGINX_RULES
from settings.plus_rules import PLUS_RULES
from settings.proxying_rules import PROXYING_RULES
from settings.queue_rules import QUEUE_RULES
from settings.route_rules import ROUTE_RULES
from settings.secret_rules import IsPlain, IsSecret, secrets_in_plain_text
from settings.snippets.rules import SNIPPET_RULES
from settings.stack import Settings
from settings.stack_rules import STACK_RULES
from settings.tempo_parts_rules import TEMPO_PARTS_RULES
from settings.tempo_rules import TEMPO_RULES
from settings.tempo_storage_rules import STORAGE_RULES

_RULES = (
    *NGINX_RULES,
    *ROUTE_RULES,
    *SNIPPET_RULES,
    *PROXYING_RULES,
    *HTTPS_RULES,
    *COLLECTOR_RULES,
    *QUEUE_RULES,
    *EXPORTER_RULES,
    *TEMPO_RULES,
    *TEMPO_PARTS_RULES,
    *STORAGE_RULES,
    *METRICS_RULES,
    *GRAFANA_RULES,
    *PLUS_RULES,
    *STACK_RULES,
    *DEMO_RULES,
    *EXPOSURE_RULES,
    *LIMIT_RULES,
)


def violations_of(settings: Settings, is_secret: IsSecret, is_plain: IsPlain) -> Iterator[RuleViolation]:
    """Yields every violation of a rule.

    Args:
        settings: a configuration whose values are each valid.
        is_secret: tells whether a top-level key is a secret to Pulumi.
        is_plain: tells whether the stack's file has a place's value in plain text, as far as it can be read.
    """
    for rule in _RULES:
        yield from (_with_value(found, settings) for found in rule(settings))
    for found in secrets_in_plain_text(settings, is_secret, is_plain):
        yield _with_value(found, settings)


def _with_value(found: RuleViolation, settings: Settings) -> RuleViolation:
    return replace(found, error=found.shown_in(settings))
