"""Tests of Grafana: its documents, whom it reaches, and where its secrets are."""

import configparser
import json
import sys
from datetime import date
from typing import Any

import pytest
import yaml
from pydantic import Field, SecretStr

from components.documents.grafana import (
    COUNT_SPANS,
    COUNT_WEIGHTS,
    SECRETS_FOLDER,
    Source,
    Sources,
    dashboards,
    grafana_conf,
    sidecar_source,
    sources_document,
)
from components.grafana import Reads
from components.kubernetes.services import Endpoint
from components.kubernetes.stack import StackContext, stack_context
from settings import Settings
from settings.grafana import uid
from settings.types import Model
from tests import golden
from tests.unit.conftest import Program, Run

TEMPO = Endpoint("tempo", "tracing", 3100)
PROMETHEUS = Source("prometheus", "http://prometheus.monitoring.svc:9090")
ALL = Sources("tracing", "http://tempo.tracing.svc:3100", "pa$$word", PROMETHEUS, Source("loki", None))
OWN: dict[str, Any] = {"grafanaPassword": "canary-grafana", "grafana": {"enabled": True}}


class Tag(Model):
    """A span's attribute, and what the other data source calls it."""

    key: str
    value: str


class Query(Model):
    """A query that a span leads to."""

    name: str
    query: str


class ToMetrics(Model):
    """`tracesToMetrics`."""

    datasource_uid: str
    span_start_time_shift: str
    span_end_time_shift: str
    tags: list[Tag]
    queries: list[Query]


class ToLogs(Model):
    """`tracesToLogsV2`."""

    datasource_uid: str
    span_start_time_shift: str
    span_end_time_shift: str
    tags: list[Tag]
    filter_by_trace_id: bool = Field(alias="filterByTraceID")
    filter_by_span_id: bool = Field(alias="filterBySpanID")


class Exemplars(Model):
    """An item of `exemplarTraceIdDestinations`."""

    name: str
    datasource_uid: str


class JsonData(Model):
    """The keys of `jsonData` that Grafana's pages "Provision the Tempo data source" and "Prometheus" list."""

    node_graph: dict[str, bool] = Field(default_factory=dict[str, bool])
    search: dict[str, bool] = Field(default_factory=dict[str, bool])
    service_map: dict[str, str] = Field(default_factory=dict[str, str])
    traces_to_metrics: ToMetrics | None = None
    traces_to_logs_v2: ToLogs | None = None
    exemplar_trace_id_destinations: list[Exemplars] = Field(default_factory=list[Exemplars])


class DataSource(Model):
    """A data source as Grafana's page "Provision Grafana" has it."""

    name: str
    type: str
    uid: str
    access: str
    url: str
    editable: bool
    is_default: bool = False
    basic_auth: bool = False
    basic_auth_user: str = ""
    secure_json_data: dict[str, str] = Field(default_factory=dict[str, str])
    json_data: JsonData = JsonData()


class Deleted(Model):
    """One that leaves Grafana."""

    name: str
    org_id: int


class Provisioned(Model):
    """The file. It has no `prune`, by which a Grafana without the file deletes all that the file had."""

    api_version: int
    delete_datasources: list[Deleted]
    datasources: list[DataSource]


def provisioned(sources: Sources) -> Provisioned:
    return Provisioned.model_validate(sources_document(sources, is_default=True))


@pytest.fixture
def stack(run_program: Run) -> StackContext:
    run_program({})
    return stack_context(Settings(), "node")


def with_word(program: Program, word: str) -> set[tuple[str, str]]:
    """Returns the kinds and names of the objects that have a word in them."""
    return {(item["kind"], item["metadata"].get("name", "")) for item in program.objects() if word in json.dumps(item)}


def test_each_data_source_has_the_keys_that_grafana_documents() -> None:
    for sources in (ALL, Sources("tracing", "http://tempo.tracing.svc:3100")):
        assert provisioned(sources).api_version == 1


def test_the_data_source_leads_to_metrics_and_logs_where_they_are() -> None:
    tempo, prometheus = provisioned(ALL).datasources
    assert (tempo.type, tempo.url, tempo.uid) == ("tempo", ALL.tempo_url, ALL.tempo_uid)
    assert tempo.json_data.service_map == {"datasourceUid": "prometheus"}
    assert tempo.json_data.traces_to_metrics is not None
    assert tempo.json_data.traces_to_metrics.datasource_uid == "prometheus"
    assert tempo.json_data.traces_to_logs_v2 is not None
    assert tempo.json_data.traces_to_logs_v2.datasource_uid == "loki"
    assert (prometheus.uid, prometheus.url) == ("prometheus", PROMETHEUS.url)
    assert {one.datasource_uid for one in prometheus.json_data.exemplar_trace_id_destinations} == {ALL.tempo_uid}
    (alone,) = provisioned(Sources("tracing", "http://tempo.tracing.svc:3100")).datasources
    assert alone.json_data == JsonData.model_validate({"nodeGraph": {"enabled": True}, "search": {"hide": False}})
    assert (alone.basic_auth, alone.secure_json_data) == (False, {})


def test_a_data_source_that_leaves_the_configuration_leaves_grafana_and_no_other_does() -> None:
    names = {"Prometheus (tracing)", "Loki (tracing)"}
    for prometheus, logs in ((None, None), (PROMETHEUS, None), (Source("there", None), Source("loki", "http://loki"))):
        found = provisioned(Sources("tracing", "http://tempo:3100", prometheus=prometheus, logs=logs))
        kept = {one.name for one in found.datasources}
        assert {one.name for one in found.delete_datasources} == names - kept
        assert {one.org_id for one in found.delete_datasources} <= {1}


def test_grafana_expands_no_part_of_a_password_and_no_variable_of_its_own_queries() -> None:
    # In what it provisions, `$$` is a dollar sign, and `$name` a variable of the environment.
    tempo = provisioned(ALL).datasources[0]
    assert tempo.secure_json_data["basicAuthPassword"].replace("$$", "\0").replace("\0", "$") == "pa$$word"
    url = "http://prometheus.example/$tenant"
    (_, prometheus) = provisioned(Sources("tracing", ALL.tempo_url, prometheus=Source("there", url))).datasources
    assert prometheus.url == url.replace("$", "$$")
    assert tempo.json_data.traces_to_metrics is not None
    for query in tempo.json_data.traces_to_metrics.queries:
        assert "$$__tags" in query.query
        assert "$" not in query.query.replace("$$", "")


def test_two_stacks_in_one_grafana_share_no_uid_and_no_name() -> None:
    mine, theirs = (Sources(name, "http://tempo:3100", prometheus=PROMETHEUS) for name in ("tracing", "a" * 63))
    uids = [
        {sources.tempo_uid, *(json.loads(board)["uid"] for board in dashboards(sources).values())}
        for sources in (mine, theirs)
    ]
    assert not uids[0] & uids[1]
    assert max(map(len, uids[0] | uids[1])) <= 40, "Grafana takes no more"
    assert sidecar_source(mine)[0] != sidecar_source(theirs)[0]
    names = [{one.name for one in provisioned(sources).datasources} for sources in (mine, theirs)]
    assert not names[0] & names[1]


def test_a_dashboard_has_the_stack_s_data_sources_and_no_other_is_made() -> None:
    assert list(dashboards(Sources("tracing", "http://tempo:3100"))) == ["requests"]
    boards = {name: json.loads(text) for name, text in dashboards(ALL).items()}
    assert list(boards) == ["requests", "services", "pipeline"]
    for board in boards.values():
        chosen = {one["name"]: one["current"]["value"] for one in board["templating"]["list"] if "current" in one}
        expected = {"tempo": ALL.tempo_uid, "prometheus": "prometheus"}
        assert {name: chosen[name] for name in expected if name in chosen} == {
            name: value for name, value in expected.items() if f"${{{name}}}" in json.dumps(board)
        }


def test_grafana_is_told_to_reach_no_internet() -> None:
    conf = configparser.ConfigParser(interpolation=None)
    conf.read_string(grafana_conf())
    off = {
        "analytics": ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"),
        "plugins": ("plugin_admin_enabled",),
        "news": ("news_feed_enabled",),
        "snapshots": ("external_enabled",),
    }
    assert {conf[section][key] for section, keys in off.items() for key in keys} == {"false"}
    assert conf["plugins"]["preinstall_disabled"] == conf["plugins"]["public_key_retrieval_disabled"] == "true"
    assert conf["security"]["disable_gravatar"] == "true"
    assert conf["security"]["admin_password"].startswith(f"$__file{{{SECRETS_FOLDER}/")


def test_the_passwords_are_in_grafana_s_secret_alone(run_program: Run) -> None:
    given = golden.as_pulumi_passes_it({**OWN, "tempoPassword": "canary-tempo"})
    program = run_program(given, secrets=["grafanaPassword", "tempoPassword"])
    assert {kind for kind, _ in with_word(program, "canary-")} == {"Secret"}
    secret = program.inputs("Secret")["grafana-secrets"]["stringData"]["value"]
    assert secret["admin-password"] == "canary-grafana"
    assert yaml.safe_load(secret["datasources.yaml"])["datasources"][0]["secureJsonData"] == {
        "basicAuthPassword": "canary-tempo"
    }


def test_grafana_reaches_tempo_and_names_and_nothing_else(run_program: Run) -> None:
    policies = run_program(golden.as_pulumi_passes_it(OWN), secrets=["grafanaPassword"]).inputs("NetworkPolicy")
    dns, tempo = policies["grafana"]["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert tempo["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "tempo"
    assert [port["port"] for port in tempo["ports"]] == [3100]


def test_a_restricted_tempo_lets_the_stack_s_grafana_in(run_program: Run) -> None:
    restricted = {"tempo": {"service": {"type": "ClusterIP", "allowedNamespaces": ["monitoring"]}}}

    def peers(given: dict[str, Any]) -> list[Any]:
        policies = run_program(golden.as_pulumi_passes_it(given), secrets=["grafanaPassword"]).inputs("NetworkPolicy")
        rules = [rule for rule in policies["tempo"]["spec"]["ingress"] if rule["ports"][0]["port"] == 3100]
        return [peer["podSelector"]["matchLabels"] for rule in rules for peer in rule["from"] if "podSelector" in peer]

    assert [labels["app.kubernetes.io/name"] for labels in peers({**OWN, **restricted})] == ["grafana"]
    assert peers(restricted) == []


@pytest.mark.parametrize("own", [Endpoint("prometheus", "tracing", 9090), "http://192.0.2.40:9090"])
def test_grafana_reads_the_stack_s_prometheus_unless_another_is_configured(
    own: Endpoint | str, stack: StackContext
) -> None:
    reads = Reads(TEMPO, None, own)
    settings = Settings.model_validate(OWN).grafana
    found = reads.sources(settings, stack).prometheus
    url = "http://prometheus.tracing.svc:9090" if isinstance(own, Endpoint) else own
    assert found == Source(uid("prometheus", "tracing"), url)
    (to_prometheus,) = reads.egress(settings, stack)[2:]
    peers: Any = to_prometheus.to
    assert [peer.pod_selector is not None for peer in peers] == [isinstance(own, Endpoint)]
    chosen = Settings.model_validate(
        {**OWN, "grafana": {"prometheus": {"uid": "theirs", "url": "http://192.0.2.9:80"}}}
    )
    assert reads.sources(chosen.grafana, stack).prometheus == Source("theirs", "http://192.0.2.9:80")
    assert len(reads.egress(chosen.grafana, stack)) == 3


@pytest.mark.parametrize(("password", "kind"), [(None, "ConfigMap"), (SecretStr("long enough"), "Secret")])
def test_a_sidecar_finds_the_data_source_and_the_dashboards_by_their_labels(
    password: SecretStr | None, kind: str, run_program: Run
) -> None:
    given: dict[str, Any] = {"grafana": {"provision": "configMaps"}}
    if password:
        given["tempoPassword"] = password.get_secret_value()
    program = run_program(golden.as_pulumi_passes_it(given), secrets=["tempoPassword"])
    assert "grafana" not in program.pods()
    source = program.inputs(kind)["grafana-files-datasources"]
    assert source["metadata"]["labels"]["grafana_datasource"] == "1"
    boards = program.inputs("ConfigMap")["grafana-files-dashboards"]
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert list(boards["data"]) == ["nginx-tracing-tracing-requests.json"]
    # Names of their own: an edit in place leaves the sidecar's file, which the end of an old object would remove.
    assert (source["metadata"]["name"], boards["metadata"]["name"]) == ("grafana-datasources", "grafana-dashboards")


def test_the_url_is_an_output_where_there_is_a_grafana(run_program: Run) -> None:
    assert "grafanaUrl" not in run_program({}).outputs
    outputs = run_program(golden.as_pulumi_passes_it(OWN), secrets=["grafanaPassword"]).outputs
    assert outputs["grafanaUrl"].startswith("http://192.0.2.7:31")


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        (
            {"grafana": {"nodePort": 30300}},
            "grafana.nodePort has no effect, because `grafana.enabled` is false. To remove: "
            "pulumi config rm --path grafana.nodePort",
        ),
        (
            {
                "grafana": {"provision": "configMaps"},
                "tempo": {"service": {"type": "LoadBalancer", "allowedAddresses": ["203.0.113.0/24"]}},
            },
            "grafana.provision gives Tempo to a Grafana of the cluster, and `tempo.service.allowedAddresses` lets no "
            "pod of another namespace in. Allow Grafana's namespace: "
            "pulumi config set --path 'tempo.service.allowedNamespaces[0]' monitoring",
        ),
        (
            {"grafana": {"provision": "configMaps"}, "prometheus": {"enabled": True}},
            "grafana.provision gives the stack's Prometheus to a Grafana of the cluster, and Prometheus lets no pod of "
            "another namespace in. Allow Grafana's namespace: "
            "pulumi config set --path 'prometheus.allowedNamespaces[0]' monitoring",
        ),
        (
            {**OWN, "tempo": {"traceqlMetrics": False}},
            "tempo.traceqlMetrics is false, and Grafana's dashboard of requests asks Tempo for metrics: its graphs "
            "stay empty. To change it: pulumi config rm --path tempo.traceqlMetrics",
        ),
        (
            {"grafana": {"provision": "configMaps", "logs": {"uid": "loki"}, "nodePort": 30300}},
            "grafana.nodePort has no effect, because `grafana.enabled` is false. To remove: "
            "pulumi config rm --path grafana.nodePort",
        ),
        (
            {**OWN, "collector": {"distribution": "k8s", "sampling": {"tail": {}}}},
            "collector.sampling.tail keeps traces for what is in them, so Tempo's metrics count kept traces alone: "
            "rates are too low, and shares of errors and of slow requests too high. For true ones sample by a ratio "
            "instead: `nginx.sampling.ratio` or `collector.sampling.ratio`",
        ),
    ],
)
def test_a_preview_warns_of_what_has_no_effect_or_does_not_fit(
    given: dict[str, Any], warning: str, run_program: Run, warnings: list[str]
) -> None:
    run_program(golden.as_pulumi_passes_it(given), secrets=["grafanaPassword"], balancer={"ip": "192.0.2.50"})
    assert warnings == [warning]


@pytest.mark.parametrize(
    ("conventions", "host"), [("old", "net.host.name"), ("both", "net.host.name"), ("stable", "server.address")]
)
def test_the_dashboard_asks_for_hosts_under_the_name_that_spans_have(
    conventions: str, host: str, run_program: Run
) -> None:
    given = {"grafana": {"provision": "configMaps"}, "collector": {"semanticConventions": conventions}}
    found = run_program(golden.as_pulumi_passes_it(given)).inputs("ConfigMap")["grafana-files-dashboards"]["data"]
    (board,) = map(json.loads, found.values())
    (variable,) = (each for each in board["templating"]["list"] if each["name"] == "host")
    assert variable["current"]["value"] == host


@pytest.mark.parametrize(
    ("given", "text", "count"),
    [
        ({}, "spans", COUNT_SPANS),
        ({"nginx": {"sampling": {"ratio": 0.1}}}, "weights of spans", COUNT_WEIGHTS),
        ({"collector": {"sampling": {"ratio": 0.5}}}, "weights of spans", COUNT_WEIGHTS),
        # Tempo 2.7 cannot sum them up.
        ({"versions": "tutorial", "nginx": {"sampling": {"ratio": 0.1}}}, "spans", COUNT_SPANS),
    ],
)
def test_the_dashboard_counts_what_spans_stand_for_where_they_say_it(
    given: dict[str, Any], text: str, count: str, run_program: Run
) -> None:
    given = {"grafana": {"provision": "configMaps"}, **given}
    found = run_program(golden.as_pulumi_passes_it(given)).inputs("ConfigMap")["grafana-files-dashboards"]["data"]
    (board,) = map(json.loads, found.values())
    (variable,) = (each for each in board["templating"]["list"] if each["name"] == "count")
    assert variable["current"] == {"selected": True, "text": text, "value": count}


@pytest.mark.parametrize("image", ["grafana/grafana:9.5.0", "grafana/grafana:10.0.0"])
def test_a_grafana_older_than_all_known_ones_is_told(image: str, run_program: Run, warnings: list[str]) -> None:
    given = {**OWN, "grafana": {"enabled": True, "image": image}}
    run_program(golden.as_pulumi_passes_it(given), secrets=["grafanaPassword"])
    older, unfixed = (line for line in warnings if "Grafana" in line)
    assert older.startswith("grafana.image is older than the versions of Grafana that this program knows")
    assert unfixed == (
        f"grafana.image: Grafana {image.split(':')[1]} has had no security fixes since 2026-11-24. Move on: "
        "pulumi config set --path grafana.image grafana/grafana:12.4.15"
    )


def test_a_version_without_security_fixes_is_told_with_the_command(
    run_program: Run, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["settings.load"], "today", lambda: date(2027, 1, 15))
    given = {**OWN, "grafana": {"enabled": True, "image": "grafana/grafana:12.4.1"}}
    run_program(golden.as_pulumi_passes_it(given), secrets=["grafanaPassword"])
    assert not [line for line in warnings if "Grafana" in line]
    monkeypatch.setattr(sys.modules["settings.load"], "today", lambda: date(2027, 5, 25))
    run_program(golden.as_pulumi_passes_it(given), secrets=["grafanaPassword"])
    assert [line for line in warnings if "Grafana" in line] == [
        "grafana.image: Grafana 12.4.1 has had no security fixes since 2027-05-24. Move on: "
        "pulumi config set --path grafana.image grafana/grafana:12.4.15"
    ]
