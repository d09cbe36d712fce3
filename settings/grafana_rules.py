"""Rules of Grafana: its password, and the data sources that it needs."""

from collections.abc import Iterator

from settings.errors import RuleViolation, remove_command, set_command, violation
from settings.grafana import uid
from settings.stack import Settings

_ENABLED, _PASSWORD = "grafana.enabled", "grafanaPassword"
_EXAMPLES = {"prometheus": "http://prometheus.monitoring.svc:9090", "logs": "http://loki.logs.svc:3100"}


def _has_traces(settings: Settings) -> Iterator[RuleViolation]:
    grafana = settings.grafana
    if settings.tempo.enabled:
        return
    message = "needs the stack's Tempo, whose traces it shows: `tempo.enabled` is false"
    if grafana.enabled:
        yield violation(_ENABLED, message, set_to=False, depends_on=["tempo.enabled"])
    if grafana.provision:
        yield violation("grafana.provision", message, depends_on=["tempo.enabled"])


def _has_password(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a Grafana whose administrator has a password that everybody knows: its own default is `admin`."""
    if settings.grafana.enabled and settings.grafana_password is None:
        message = "is required with `grafana.enabled`: the password of Grafana's user `admin`, 8 characters or more"
        yield violation(_PASSWORD, message, fix=set_command(_PASSWORD, secret=True), depends_on=[_ENABLED])
    if settings.grafana_password and not settings.grafana.enabled:
        message = "is for the stack's own Grafana, and `grafana.enabled` is false"
        yield violation(_PASSWORD, message, depends_on=[_ENABLED])


def _reaches_data_sources(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a data source that the stack's own Grafana can have from the program alone."""
    grafana = settings.grafana
    for key, source in (("prometheus", grafana.prometheus), ("logs", grafana.logs)):
        if grafana.enabled and source and source.url is None:
            place = f"grafana.{key}.url"
            message = "is required with `grafana.enabled`: the stack's Grafana has no data source but those it is given"
            yield violation(place, message, set_to=_EXAMPLES[key], depends_on=[_ENABLED, f"grafana.{key}"])


def _has_distinct_data_sources(settings: Settings) -> Iterator[RuleViolation]:
    prometheus, logs = settings.grafana.prometheus, settings.grafana.logs
    if prometheus and logs and prometheus.uid == logs.uid:
        message = "is `grafana.prometheus.uid` too: a UID belongs to one data source"
        yield violation("grafana.logs.uid", message, set_to="loki", depends_on=["grafana.prometheus"])
    own = {uid("tempo", settings.namespace): "Tempo"}
    if settings.prometheus.enabled and not prometheus:
        own[uid("prometheus", settings.namespace)] = "Prometheus"
    for key, source, example in (("prometheus", prometheus, "prometheus"), ("logs", logs, "loki")):
        if source and source.uid in own:
            message = f"is that of the stack's own {own[source.uid]}: a UID belongs to one data source"
            depends_on = ["namespace", "prometheus.enabled", "grafana.prometheus"]
            yield violation(f"grafana.{key}.uid", message, set_to=example, depends_on=depends_on)


def grafana_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning if a Grafana gets a data source that it may not connect to, or that does not answer it."""
    service, own = settings.tempo.service, settings.prometheus
    if (
        settings.grafana.provision
        and settings.tempo.enabled
        and service.is_restricted
        and not service.allowed_namespaces
    ):
        command = set_command(("tempo", "service", "allowedNamespaces", 0), "monitoring")
        yield (
            "grafana.provision gives Tempo to a Grafana of the cluster, and `tempo.service.allowedAddresses` lets no "
            f"pod of another namespace in. Allow Grafana's namespace: {command}"
        )
    if settings.grafana.provision and own.enabled and not settings.grafana.prometheus and not own.allowed_namespaces:
        command = set_command(("prometheus", "allowedNamespaces", 0), "monitoring")
        yield (
            "grafana.provision gives the stack's Prometheus to a Grafana of the cluster, and Prometheus lets no pod of "
            f"another namespace in. Allow Grafana's namespace: {command}"
        )
    tempo = settings.tempo
    if settings.grafana.is_used and tempo.enabled and not (tempo.traceql_metrics or tempo.release.has_live_store):
        yield (
            "tempo.traceqlMetrics is false, and Grafana's dashboard of requests asks Tempo for metrics: its graphs "
            f"stay empty. To change it: {remove_command('tempo.traceqlMetrics')}"
        )


GRAFANA_RULES = (
    _has_traces,
    _has_password,
    _reaches_data_sources,
    _has_distinct_data_sources,
)
