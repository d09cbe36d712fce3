"""Makes panels, variables and dashboards of Grafana as its JSON model has them (grafana.com, "Dashboard JSON model").

A data source is a variable of the dashboard: the program sets its value, and a person who imports the file chooses it.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

TEMPO: Json = {"type": "tempo", "uid": "${tempo}"}
PROMETHEUS: Json = {"type": "prometheus", "uid": "${prometheus}"}

WIDTH = 24
"""Columns of Grafana's grid."""

SCHEMA_VERSION = 39
"""That of Grafana 11; later ones migrate what they load."""


def traceql(query: str, *, step: str = "") -> Json:
    """Returns a TraceQL metrics query over the dashboard's time.

    Args:
        query: the query.
        step: the time between two values; Tempo's choice if empty.
    """
    target: Json = {"datasource": TEMPO, "queryType": "traceql", "query": query, "metricsQueryType": "range"}
    return target | ({"step": step} if step else {}) | {"filters": []}


def search(query: str, *, limit: int) -> Json:
    """Returns a TraceQL search, whose spans lead to their traces."""
    target: Json = {"datasource": TEMPO, "queryType": "traceql", "query": query, "tableType": "spans", "filters": []}
    return target | {"limit": limit}


def service_map() -> Json:
    """Returns the query of the service graph, for which Tempo's data source asks its Prometheus."""
    return {"datasource": TEMPO, "queryType": "serviceMap", "query": "", "filters": []}


def promql(query: str, legend: str = "", *, has_exemplars: bool = False, is_instant: bool = False) -> Json:
    """Returns a PromQL query.

    Args:
        query: the query.
        legend: the name of a series, with `{{label}}` for labels.
        has_exemplars: whether the graph shows traces that it counts.
        is_instant: whether it asks for the newest value alone.
    """
    target: Json = {"datasource": PROMETHEUS, "expr": query, "range": not is_instant, "instant": is_instant}
    if is_instant:
        target["format"] = "table"
    return target | ({"legendFormat": legend} if legend else {}) | ({"exemplar": True} if has_exemplars else {})


def panel(
    kind: str,
    title: str,
    targets: Sequence[Json],
    *,
    about: str = "",
    unit: str = "short",
    options: Json | None = None,
    custom: Json | None = None,
) -> Json:
    """Returns a panel without its place.

    Args:
        kind: the visualization.
        title: the title.
        targets: the queries, all of one data source.
        about: what a person has to know to read it.
        unit: the unit, by Grafana's name.
        options: the visualization's options.
        custom: the visualization's options for each field.
    """
    named = [{"refId": chr(ord("A") + number), **target} for number, target in enumerate(targets)]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": targets[0]["datasource"],
        "targets": named,
        "fieldConfig": {"defaults": {"unit": unit, "custom": custom or {}}, "overrides": list[Json]()},
        "options": options or {},
    }


def graph(title: str, *targets: Json, unit: str, about: str = "", is_stacked: bool = False) -> Json:
    """Returns a panel with lines over time, and the last and largest value of each."""
    custom: Json = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never"}
    if is_stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    options: Json = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, targets, about=about, unit=unit, options=options, custom=custom)


def stat(title: str, target: Json, *, unit: str, reduce: str, about: str = "") -> Json:
    """Returns a panel with one number.

    Args:
        title: the title.
        target: the query.
        unit: the unit, by Grafana's name.
        reduce: how Grafana makes one number of those over time: `sum`, `max`, `lastNotNull`.
        about: what a person has to know to read it.
    """
    options: Json = {
        "reduceOptions": {"values": False, "calcs": [reduce], "fields": ""},
        "colorMode": "none",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    made = panel("stat", title, [target], about=about, unit=unit, options=options)
    del made["fieldConfig"]["defaults"]["custom"]
    return made


def table(title: str, *targets: Json, about: str = "", sort_by: str = "") -> Json:
    """Returns a table.

    Args:
        title: the title.
        targets: the queries.
        about: what a person has to know to read it.
        sort_by: the column whose largest value comes first.
    """
    options: Json = {"showHeader": True, "cellHeight": "sm"}
    if sort_by:
        options["sortBy"] = [{"displayName": sort_by, "desc": True}]
    return panel("table", title, targets, about=about, options=options, custom={"align": "auto"})


def heat_map(title: str, target: Json, *, about: str = "") -> Json:
    """Returns a heat map of a query that gives a series for each bucket of seconds."""
    options: Json = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "unit": "s"},
        "rowsFrame": {"layout": "auto"},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "showValue": "never",
    }
    return panel("heatmap", title, [target], about=about, options=options)


def choice(kind: str, name: str, label: str) -> Json:
    """Returns a variable that chooses a data source of a kind."""
    return {"type": "datasource", "name": name, "label": label, "query": kind, "refresh": 1}


def text(name: str, label: str, value: str, about: str) -> Json:
    """Returns a variable that a person writes."""
    current = {"selected": True, "text": value, "value": value}
    return {"type": "textbox", "name": name, "label": label, "description": about, "query": value, "current": current}


def one_of(name: str, label: str, values: Mapping[str, str], about: str) -> Json:
    """Returns a variable with one of some values, by their texts; the first one by default."""
    options = [
        {"selected": not number, "text": text, "value": value} for number, (text, value) in enumerate(values.items())
    ]
    query = ",".join(value if text == value else f"{text} : {value}" for text, value in values.items())
    variable: Json = {"type": "custom", "name": name, "label": label, "description": about, "query": query}
    return variable | {"options": options, "current": options[0]}


def dashboard(
    name: str, title: str, about: str, variables: Sequence[Json], rows: Sequence[tuple[str, int, Sequence[Json]]]
) -> Json:
    """Returns a dashboard.

    Args:
        name: the file's name, which its UID is made of.
        title: the title.
        about: what it shows.
        variables: what a person may choose.
        rows: title, height and panels of each row; the panels share its width.
    """
    numbers = itertools.count(1)
    panels: list[Json] = []
    top = 0
    for row, height, within in rows:
        place: Json = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        panels.append(
            {"id": next(numbers), "type": "row", "title": row, "collapsed": False, "gridPos": place, "panels": []}
        )
        width = WIDTH // len(within)
        for number, each in enumerate(within):
            place = {"h": height, "w": width, "x": number * width, "y": top + 1}
            panels.append({"id": next(numbers), **each, "gridPos": place})
        top += 1 + height
    link: Json = {"type": "dashboards", "title": "NGINX tracing", "tags": ["nginx-tracing"], "icon": "external link"}
    link |= {
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
    return {
        "uid": f"nginx-tracing-{name}",
        "title": title,
        "description": about,
        "tags": ["nginx-tracing"],
        "schemaVersion": SCHEMA_VERSION,
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "links": [link],
        "annotations": {"list": list[Json]()},
        "templating": {"list": list(variables)},
        "panels": panels,
    }
