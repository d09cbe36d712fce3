"""Builds Grafana's documents: its own configuration, its data sources, and where it finds the dashboards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.documents import Document, dump
from components.documents.tempo_gateway import USER_NAME
from settings.grafana import uid
from settings.sampling import WEIGHT

HTTP_PORT = 3000
FOLDER = "/etc/nginx-tracing"
"""The documents without secrets; the dashboards are among them."""

SECRETS_FOLDER = "/etc/nginx-tracing-secrets"
DATA = "/var/lib/grafana"
"""Its database, and the one folder that it keeps."""

PASSWORD_FILE = "admin-password"  # noqa: S105 - a file's name
CONF_FILE, PROVIDER_FILE, SOURCES_FILE = "grafana.ini", "provider.yaml", "datasources.yaml"
PLACES = {
    CONF_FILE: "/etc/grafana/grafana.ini",
    PROVIDER_FILE: "/etc/grafana/provisioning/dashboards/nginx-tracing.yaml",
    SOURCES_FILE: "/etc/grafana/provisioning/datasources/nginx-tracing.yaml",
}
"""Where the image's Grafana looks for each document. Each is mounted alone, beside what the image has there."""

COUNT_SPANS = "count_over_time()"
COUNT_WEIGHTS = f"{{ span.{WEIGHT} != nil }} | sum_over_time(span.{WEIGHT})"
"""How the dashboard of requests counts. A span without the attribute would let Tempo begin the sum again (tried with a
commit after 2.7.2)."""

_REQUESTS = "requests"
_NEED_PROMETHEUS = ("services", "pipeline")
"""Dashboards by their files' names."""

_DASHBOARDS = Path(__file__).parents[2] / "monitoring" / "dashboards"


@dataclass(frozen=True)
class Source:
    """A data source beside Tempo."""

    uid: str
    url: str | None
    """None for one that Grafana has."""


@dataclass(frozen=True)
class Sources:
    """The data sources of a stack, and what its spans are like."""

    namespace: str
    tempo_url: str
    tempo_password: str | None = None
    prometheus: Source | None = None
    logs: Source | None = None
    host_attribute: str = "net.host.name"
    """The attribute of a request's span that has its host."""
    count: str = COUNT_SPANS
    """How queries count requests."""

    @property
    def tempo_uid(self) -> str:
        """The UID of the stack's Tempo."""
        return uid("tempo", self.namespace)


def grafana_conf() -> str:
    """Returns grafana.ini, which has no secret in it. It sets only what differs from Grafana's defaults."""
    sections: dict[str, dict[str, str]] = {
        "server": {"http_port": str(HTTP_PORT)},
        # Each of these would reach the internet, which the network policy closes; without them nothing waits for it.
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "plugins": {
            "preinstall_disabled": "true",
            "plugin_admin_enabled": "false",
            "public_key_retrieval_disabled": "true",
        },
        "news": {"news_feed_enabled": "false"},
        "snapshots": {"external_enabled": "false"},
        "security": {
            "disable_gravatar": "true",
            # Read once, when Grafana makes its database.
            "admin_password": f"$__file{{{SECRETS_FOLDER}/{PASSWORD_FILE}}}",
        },
        # /metrics has no password, and is on the port that browsers reach.
        "metrics": {"enabled": "false"},
        "log": {"mode": "console"},
        "dashboards": {"default_home_dashboard_path": f"{FOLDER}/{_REQUESTS}.json"},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in sections.items()
    )


def provider_document() -> Document:
    """Returns where Grafana finds the dashboards: files, which people can copy in Grafana and not overwrite."""
    return {
        "apiVersion": 1,
        "providers": [{"name": "nginx-tracing", "folder": "NGINX tracing", "options": {"path": FOLDER}}],
    }


def sources_document(sources: Sources, *, is_default: bool) -> Document:
    """Returns the data sources as Grafana provisions them.

    Args:
        sources: the data sources.
        is_default: whether Tempo is the data source that Grafana offers first, which only one may be.
    """
    others = [("prometheus", "Prometheus", sources.prometheus), ("loki", "Loki", sources.logs)]
    made = [(kind, f"{name} ({sources.namespace})", source) for kind, name, source in others]
    return {
        "apiVersion": 1,
        # By name, not by `prune`: a Grafana that starts before its sidecar has written the file, or shares a database
        # with one that does, would delete Tempo as well (grafana/grafana#97051).
        "deleteDatasources": [
            {"name": name, "orgId": 1} for _, name, source in made if source is None or source.url is None
        ],
        "datasources": [
            _tempo(sources, is_default=is_default),
            *(
                _head(kind, name, source.uid, source.url)
                | ({"jsonData": _exemplars(sources)} if kind == "prometheus" else {})
                for kind, name, source in made
                if source and source.url
            ),
        ],
    }


def _head(kind: str, name: str, source_uid: str, url: str) -> Document:
    # Grafana expands variables in what it provisions: a dollar sign is written twice.
    head: Document = {"name": name, "type": kind, "uid": source_uid, "access": "proxy", "url": url.replace("$", "$$")}
    return head | {"editable": False}


def _exemplars(sources: Sources) -> Document:
    """Returns the way from a point in a graph to a trace that it counts. Tempo names the label `traceID` or so."""
    names = ("traceID", "trace_id")
    return {"exemplarTraceIdDestinations": [{"name": name, "datasourceUid": sources.tempo_uid} for name in names]}


def _tempo(sources: Sources, *, is_default: bool) -> Document:
    head = _head("tempo", f"Tempo ({sources.namespace})", sources.tempo_uid, sources.tempo_url)
    json_data: Document = {"nodeGraph": {"enabled": True}, "search": {"hide": False}}
    if sources.prometheus:
        json_data |= {
            "serviceMap": {"datasourceUid": sources.prometheus.uid},
            "tracesToMetrics": _to_metrics(sources.prometheus),
        }
    if sources.logs:
        json_data["tracesToLogsV2"] = _to_logs(sources.logs)
    login: Document = {}
    if sources.tempo_password is not None:
        password = sources.tempo_password.replace("$", "$$")
        login = {
            "basicAuth": True,
            "basicAuthUser": USER_NAME,
            "secureJsonData": {"basicAuthPassword": password},
        }
    return head | {"isDefault": is_default, "jsonData": json_data} | login


def _to_metrics(prometheus: Source) -> Document:
    """Returns the queries that a span leads to: the rate, the errors and the duration of its service."""
    # A request's SERVER span counts it; it may have a CLIENT span as well.
    of_service = '{$$__tags, span_kind="SPAN_KIND_SERVER"}'
    failed = of_service.replace("}", ', status_code="STATUS_CODE_ERROR"}')
    calls, latency = "traces_spanmetrics_calls_total", "traces_spanmetrics_latency_bucket"
    return {
        "datasourceUid": prometheus.uid,
        "spanStartTimeShift": "-10m",
        "spanEndTimeShift": "10m",
        "tags": [{"key": "service.name", "value": "service"}],
        "queries": [
            {"name": "Requests per second", "query": f"sum by (span_name) (rate({calls}{of_service}[5m]))"},
            {
                "name": "Errors per second",
                "query": f"sum by (span_name) (rate({calls}{failed}[5m]))",
            },
            {
                "name": "95th percentile of the duration",
                "query": f"histogram_quantile(0.95, sum by (le, span_name) (rate({latency}{of_service}[5m])))",
            },
        ],
    }


def _to_logs(logs: Source) -> Document:
    """Returns the way from a span to the lines of the access log: by the trace ID, which each line has."""
    return {
        "datasourceUid": logs.uid,
        # NGINX writes a line within 100 ms; clocks of log shippers differ by more.
        "spanStartTimeShift": "-1m",
        "spanEndTimeShift": "1m",
        # Loki's own label for the service, which its clients derive from the pod.
        "tags": [{"key": "service.name", "value": "service_name"}],
        "filterByTraceID": True,
        "filterBySpanID": False,
    }


def dashboards(sources: Sources) -> dict[str, str]:
    """Returns the dashboards for a stack's data sources as JSON, by name: those whose data sources it has."""
    names = (_REQUESTS, *(_NEED_PROMETHEUS if sources.prometheus else ()))
    return {name: json.dumps(_dashboard(name, sources), ensure_ascii=False, separators=(",", ":")) for name in names}


def _dashboard(name: str, sources: Sources) -> dict[str, Any]:
    """Returns a dashboard with the stack's own UID, data sources and attributes in it."""
    chosen = {"tempo": sources.tempo_uid, "host": sources.host_attribute, "count": sources.count}
    if sources.prometheus:
        chosen["prometheus"] = sources.prometheus.uid
    dashboard: dict[str, Any] = json.loads(_text(name))
    for variable in dashboard["templating"]["list"]:
        if variable["name"] in chosen:
            value = chosen[variable["name"]]
            texts = {option["value"]: option["text"] for option in variable.get("options", ())}
            variable["current"] = {"selected": True, "text": texts.get(value, value), "value": value}
    return dashboard | {"uid": uid(name, sources.namespace)}


@cache
def _text(name: str) -> str:
    return (_DASHBOARDS / f"{name}.json").read_text(encoding="utf-8")


def files(sources: Sources) -> dict[str, str]:
    """Returns the files without secrets of the stack's own Grafana, by name."""
    boards = {f"{name}.json": text for name, text in dashboards(sources).items()}
    return {CONF_FILE: grafana_conf(), PROVIDER_FILE: dump(provider_document()), **boards}


def secret_files(sources: Sources, *, password: str) -> dict[str, str]:
    """Returns the files with secrets of the stack's own Grafana, by name."""
    return {PASSWORD_FILE: password, SOURCES_FILE: dump(sources_document(sources, is_default=True))}


def sidecar_files(sources: Sources) -> Iterator[tuple[str, str]]:
    """Yields the dashboards for a sidecar, which writes those of all stacks into one folder, by the files' names."""
    for name, text in dashboards(sources).items():
        yield f"nginx-tracing-{sources.namespace}-{name}.json", text


def sidecar_source(sources: Sources) -> tuple[str, str]:
    """Returns the data sources for a sidecar, and their file's name.

    A Secret's file has another name than a ConfigMap's: where one takes the other's place, the sidecar removes the old
    file after it has written the new one.
    """
    kind = "login" if sources.tempo_password is not None else "sources"
    return f"nginx-tracing-{sources.namespace}-{kind}.yaml", dump(sources_document(sources, is_default=False))
