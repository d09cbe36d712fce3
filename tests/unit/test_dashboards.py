"""Checks the dashboards against the code that makes them, and Grafana's schema; `tests/readers` runs their queries."""

import json
import re
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from lab.paths import REPOSITORY
from tools.dashboards.__main__ import FOLDER, written
from tools.probe import names

ALERTS = (REPOSITORY / "monitoring" / "alerts.yaml").read_text()
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def lost(given: Any, kept: Any, place: str = "") -> list[str]:
    """Returns the places of a document that a schema does not know: they are missing in what it makes of it."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            return [place]
        return [
            found
            for key, value in given.items()  # pyright: ignore[reportUnknownVariableType]
            for found in (lost(value, kept[key], f"{place}.{key}") if key in kept else [f"{place}.{key}"])
        ]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(given) != len(kept):  # pyright: ignore[reportUnknownArgumentType]
            return [place]
        pairs = zip(given, kept, strict=True)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return [found for number, pair in enumerate(pairs) for found in lost(*pair, f"{place}[{number}]")]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return [] if given == kept else [place]


def test_the_files_are_those_that_the_code_makes() -> None:
    there = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert there == written(), "`make dashboards` regenerates them"


@pytest.mark.parametrize("name", BOARDS)
def test_grafana_s_schema_knows_every_key_of_a_dashboard(name: str) -> None:
    # The models of Grafana's Foundation SDK are made from Grafana's own schemas: of dashboards, of each visualization's
    # options, and of each data source's queries.
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(BOARDS[name]), cls=JSONEncoder))
    assert lost(BOARDS[name], read) == []


def test_the_schema_refuses_what_is_wrong() -> None:
    register_default_plugins()
    wrong = json.loads(json.dumps(BOARDS["requests"]))
    wrong["panels"][1]["options"]["reduceOption"] = {}
    wrong["panels"][1]["targets"][0]["tabletype"] = "spans"
    read = json.loads(json.dumps(Dashboard.from_json(wrong), cls=JSONEncoder))
    assert lost(wrong, read) == [".panels[1].targets[0].tabletype", ".panels[1].options.reduceOption"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_titles_numbers_of_their_own_and_no_common_place(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for one in panels
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(one["title"] for one in panels)


@pytest.mark.parametrize("name", BOARDS)
def test_each_variable_that_is_used_is_there(name: str) -> None:
    grafana_s_own = {"__rate_interval", "__all"}
    used = {one or other for one, other in re.findall(r"\$(?:\{(\w+)\}|(\w+))", json.dumps(BOARDS[name]))}
    there = {one["name"] for one in BOARDS[name]["templating"]["list"]}
    assert used - grafana_s_own == there


def test_the_requests_need_no_prometheus() -> None:
    assert "prometheus" not in json.dumps(BOARDS["requests"])


def test_the_pipeline_shows_every_metric_that_an_alert_looks_at() -> None:
    expressions = " ".join(rule["expr"] for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"])
    looked_at = set(re.findall(r"\b(?:otelcol|tempo|kubelet|nginx|prometheus)_\w+|\bup\b", expressions))
    assert len(looked_at) >= 12
    shown = json.dumps(BOARDS["pipeline"])
    assert {metric for metric in looked_at if not re.search(rf"\b{metric}\b", shown)} == set()


def test_the_pipeline_shows_every_alert() -> None:
    (expression,) = [
        target["expr"]
        for panel in BOARDS["pipeline"]["panels"]
        for target in panel.get("targets", [])
        if target["expr"].startswith("ALERTS")
    ]
    shown = re.search(r'alertname=~"(.*?)"', expression)
    assert shown
    alerts = [rule["alert"] for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
    assert [alert for alert in alerts if not re.fullmatch(shown[1], alert)] == []


def test_the_pipeline_shows_every_counter_that_the_probe_reads() -> None:
    shown = json.dumps(BOARDS["pipeline"])
    counters = {*names.COLLECTOR_METRICS, *names.TEMPO_METRICS, *names.RENAMED}
    assert {counter for counter in counters if counter.partition("{")[0] not in shown} == set()
