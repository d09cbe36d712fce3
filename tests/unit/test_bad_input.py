"""Errors in the configuration: the program reports each exactly, and the offered command fixes it."""

import itertools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config
from pydantic import BaseModel, TypeAdapter, ValidationError

import settings
from settings.schema import aliased, bare_type, is_model, item_type
from tests import golden

_PLUS = golden.configuration("plus")
_SECRETS = ["nginxLicenseJwt", "nginxRepoCrt", "nginxRepoKey"]
FILES: dict[str, str] = {key: _PLUS[key] for key in _SECRETS} | {
    "clientCertificate": _PLUS["nginxRepoCrt"],
    "clientKey": _PLUS["nginxRepoKey"],
    "authorization": "Bearer token",
    "tempoStorageAccountKey": golden.configuration("bucket-azure")["tempoStorageAccountKey"],
    "tempoStorageServiceAccountKey": golden.configuration("bucket-gcs")["tempoStorageServiceAccountKey"],
}
"""The file that a command reads, by the key that the command sets."""


def _complete(case: dict[str, Any]) -> dict[str, Any]:
    """Fills a case of NGINX Plus up from a valid configuration, without the keys that the case sets to null."""
    if "plus" not in case:
        return case
    valid = {key: _PLUS[key] for key in ("edition", *_SECRETS)}
    valid["plus"] = {"repository": _PLUS["plus"]["repository"]} | case["plus"]
    valid["plus"] = {key: value for key, value in valid["plus"].items() if value is not None}
    both = {key: value for key, value in (valid | case["configuration"]).items() if value is not None}
    secrets: list[str] = case.get("secret", _SECRETS)
    return {"configuration": both, "secret": [key for key in secrets if key in both], "says": case["says"]}


CASES: list[dict[str, Any]] = [
    _complete(case) for case in yaml.safe_load((Path(__file__).parent / "bad_input.yaml").read_text())
]


def refusal(values: dict[str, Any], secrets: list[str]) -> str:
    """Returns the program's report of a configuration; an empty text if it accepts it."""
    text = golden.as_pulumi_passes_it(values)
    set_all_config(
        {f"nginx-tracing:{key}": value for key, value in text.items()}, [f"nginx-tracing:{key}" for key in secrets]
    )
    try:
        settings.load()
    except pulumi.RunError as error:
        return str(error)
    return ""


def title(case: dict[str, Any]) -> str:
    """Returns a case's name: the place of the error, and its message."""
    where, what, *_ = case["says"].splitlines()
    return f"{where.removeprefix('nginx-tracing:').split(' = ')[0]} {what}"[:100]


@pytest.mark.parametrize("case", CASES, ids=title)
def test_an_error_is_reported_exactly(case: dict[str, Any]) -> None:
    said = "".join(f"\n  {'  ' if number else ''}{line}" for number, line in enumerate(case["says"].splitlines()))
    head = "1 error in the configuration of stack test; nothing was changed.\n"
    assert refusal(case["configuration"], case.get("secret", [])) == head + said


@pytest.mark.parametrize("case", CASES, ids=title)
def test_the_offered_command_fixes_it(case: dict[str, Any]) -> None:
    where, what, *offered = case["says"].splitlines()
    if not offered:
        return
    (command,) = offered
    values, secrets = json.loads(json.dumps(case["configuration"])), list(case.get("secret", []))
    written = where.removeprefix("nginx-tracing:").removesuffix(" = [secret]")
    place = path_of(written)
    around, shown = _at(values, place[:-1]), _at(values, place)
    neighbours = set[Any](around or [])
    run_config_command(command, values, secrets)
    if where.endswith(" = [secret]") and shown is not None and written in command:
        # It replaces or removes the secret: under another spelling of the key, the old one would stay in the file.
        assert _at(values, place) != shown or (shown in FILES.values() and str(place[0]) in secrets)
        assert set[Any](_at(values, place[:-1]) or []) <= neighbours
    after = refusal(values, secrets)
    # One error may hide another, at its own place or elsewhere, but this one must be gone.
    key = re.escape(where.partition(" = ")[0])
    assert not re.search(rf"^  {key}( = .*)?\n    {re.escape(what)}$", after, re.MULTILINE)
    assert "canary" not in after


def _at(values: Any, place: list[str | int]) -> Any:
    """Returns the value at a place; None if there is none."""
    for part in place:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _exporting(**exporter: Any) -> dict[str, Any]:
    return {"collector": {"exporters": {"vendor": {"endpoint": "otlp.vendor.example:4317"} | exporter}}}


def _nginx_exporting(**headers: str) -> dict[str, Any]:
    exporter = {"endpoint": "https://otlp.vendor.example:443", "headers": headers}
    nginx = {"image": "nginx:1.27.5-otel", "exporter": exporter}
    return {"nginx": nginx, "collector": {"enabled": False}, "tempo": {"enabled": False}}


_PROXIED = {"proxy": {"url": "http://proxy.example:3128", "username": "collector", "password": "canary"}}


@pytest.mark.parametrize(
    "values",
    [
        _exporting(headers={"X-Scope-OrgID": "canary"}),
        _exporting(headers={"x-scope-orgid": "canary"}),
        _exporting(headers={"X-Scope-OrgID": "canary-old", "x-scope-orgid": "canary-new"}),
        _exporting(headers={"API.Key": "canary", "api_key": "canary", "x": "canary"}),
        _exporting(headers={"X-A": "canary", "x-A": "canary", "x-a": "canary"}),
        {"collector": _exporting(headers={"X-A": "canary"})["collector"] | _PROXIED},
        _exporting(tls={"clientCertificate": _PLUS["nginxRepoCrt"], "clientKey": _PLUS["nginxRepoKey"] + "canary"}),
        _nginx_exporting(**{"X-Token": "canary"}),
        _nginx_exporting(**{"X-Token": "canary", "X-TOKEN": "canary", "other.One": "canary"}),
        {"registryUsername": "puller", "registryPassword": "canary", "imageRegistry": "registry.example"},
    ],
    ids=repr,
)
def test_after_every_offered_command_no_secret_is_left_in_plain_text(values: dict[str, Any]) -> None:
    values, secrets = json.loads(json.dumps(values)), list[str]()
    while said := refusal(values, secrets):
        # As a person does: run all offered commands, then try once more. Pulumi tells only that a top-level key has a
        # secret in it, so the first report must offer the commands for all secrets of a key.
        for command in (line.strip() for line in said.splitlines() if line.startswith("    pulumi ")):
            run_config_command(command, values, secrets)
    assert "canary" not in json.dumps(values)


def test_a_secret_in_plain_text_beside_an_encrypted_one_is_found_in_the_stack_s_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = _exporting(headers={"X-Scope-OrgID": "canary", "api-key": "secret", "seven": 7})
    in_file = json.loads(json.dumps(values))
    in_file["collector"]["exporters"]["vendor"]["headers"]["api-key"] = {"secure": "v1:abc"}
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(yaml.safe_dump({"config": {"nginx-tracing:collector": in_file["collector"]}}))
    monkeypatch.chdir(tmp_path)
    said = refusal(values, ["collector"])
    assert said.startswith("2 errors ")
    for header in ("X-Scope-OrgID", "seven"):
        assert f"pulumi config set --secret --path collector.exporters.vendor.headers.{header} < file" in said
    assert "canary" not in said
    for unreadable in ("", "[", "config: 7", "config: {nginx-tracing:collector: 7}"):
        file.write_text(unreadable)
        assert refusal(values, ["collector"]) == ""


@pytest.mark.parametrize(
    "endpoint",
    [
        "10.96.0.12:4317",
        "172.31.255.1:4317",
        "192.168.1.20:4317",
        "[fd00::1]:4317",
        "100.127.255.1:4317",
        "198.19.0.1:4317",
        "127.0.0.1:4317",
        "otel.office.local:4317",
        "collector-0.collector.shop.svc:4317",
        "tempo-distributor.tempo.svc.cluster.local:4317",
        "tempo-distributor.tempo.svc:4317",
        "collector.corp.internal:4317",
        "host.docker.internal:4317",
        "[::ffff:10.0.0.5]:4317",
        "Tempo.Monitoring.SVC:4317",
        "tempo.monitoring.svc.cluster.local.:4317",
        "tempo:4317",
    ],
)
def test_tls_by_default_to_a_cluster_or_a_private_network_is_refused_with_both_commands(endpoint: str) -> None:
    said = refusal({"collector": {"exporters": {"mine": {"endpoint": endpoint}}}}, [])
    assert f'nginx-tracing:collector.exporters.mine.endpoint = "{endpoint}"\n' in said
    for enabled in (False, True):
        assert f"pulumi config set --path collector.exporters.mine.tls.enabled {str(enabled).lower()}" in said
        chosen = {"endpoint": endpoint, "tls": {"enabled": enabled}}
        assert refusal({"collector": {"exporters": {"mine": chosen}}}, []) == ""


@pytest.mark.parametrize(
    "endpoint",
    [
        "otlp.vendor.example:4317",
        "vendor.com:4317",
        "vendor.io:443",
        "vendor.cloud:443",
        "https://tempo.monitoring.svc:4317",
        "https://10.96.0.12:4317",
        # TLS by default is what these ports are for.
        "10.0.0.5:443",
        "tempo.observability.svc:8443",
        # A Service or a public name: a warning tells of it.
        "tempo-distributor.monitoring:4317",
        "uptrace.dev:4317",
        "otlp.eu.svc.example.com:443",
        "otlp.eu.svc.example.com:4317",
        "192.0.2.1:4317",
        "172.32.0.1:4317",
        "100.128.0.1:4317",
        "[2001:db8::1]:4317",
    ],
)
def test_tls_by_default_to_others_is_what_is_meant(endpoint: str) -> None:
    assert refusal({"collector": {"exporters": {"mine": {"endpoint": endpoint}}}}, []) == ""


def _maps(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every map of a model whose keys are the user's: its place, and its annotation."""
    for name, field in aliased(model).items():
        annotation, here = field.rebuild_annotation(), f"{place}{name}"
        bare = bare_type(annotation)
        if get_origin(bare) is dict:
            yield here, bare
        inner = item_type(bare) if get_origin(bare) in {dict, list} else bare
        if is_model(inner):
            yield from _maps(inner, f"{here}.")


@pytest.mark.parametrize(("place", "annotation"), list(_maps(settings.Settings)), ids=lambda value: str(value)[:60])
def test_no_two_keys_of_a_map_become_one(place: str, annotation: Any) -> None:
    keys = TypeAdapter(get_args(annotation)[0])
    for spelling in ("a", "A", "a-B", "A-b", "a_b", "A.b", "a.b", "X-Scope-OrgID", "x-scope-orgid", " a", "a "):
        try:
            read = keys.validate_python(spelling)
        except ValidationError:
            continue
        assert read == spelling, f"{place}: {spelling!r} is read as {read!r}, and so may another key be"


def run_config_command(command: str, values: dict[str, Any], secrets: list[str]) -> None:
    """Changes a configuration as `pulumi config set` or `rm` does, by a command that a person gives to a shell."""
    if len(steps := command.split(" && pulumi config ")) > 1:
        for number, step in enumerate(steps):
            run_config_command(f"pulumi config {step}" if number else step, values, secrets)
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_text(in_file(command))
        script = f"pulumi() {{ printf '%s\\0' \"$@\"; [ -t 0 ] || cat; }}\n{command}"
        ran = subprocess.run(
            ["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
        )
    config, action, *rest, piped = ran.stdout.split("\0")
    assert config == "config"
    options = {word for word in rest if word in {"--path", "--secret", "--"}}
    key, *given = (word for word in rest if word not in options)
    place = path_of(key) if "--path" in options else [key]
    if "--secret" in options:
        secrets.append(str(place[0]))
    if action == "rm":
        around = values
        for part in place[:-1]:
            around = around[part]
        del around[place[-1]]
        return
    assert action == "set"
    # Pulumi removes the last line end of piped text.
    written = given[0] if given else piped.removesuffix("\n")
    if "--path" in options and re.fullmatch(r"true|false|\d+", written):
        # `--path` stores them as a boolean or a number.
        written = json.loads(written)
    around: Any = values
    for part, following in itertools.pairwise(place):
        empty: Any = [] if isinstance(following, int) else {}
        around = around.setdefault(part, empty) if isinstance(part, str) else around[part]
    if place[-1] == len(around):
        # The place is after the last element.
        around.append(None)
    around[place[-1]] = written


def in_file(command: str) -> str:
    """Returns the file that a command reads."""
    place = command.removesuffix(" < file").rsplit(maxsplit=1)[-1].strip("'")
    return FILES.get(place.rsplit(".", maxsplit=1)[-1], "from-a-file")


def path_of(written: str) -> list[str | int]:
    """Splits a path of `pulumi config set --path`, which supports no other escape than that of a quote."""
    parts = re.findall(r'\[(\d+)\]|\["((?:[^"\\]|\\"|\\)*?)"\]|([^.\[\]]+)', written)
    return [int(number) if number else plain or quoted.replace('\\"', '"') for number, quoted, plain in parts]


def test_there_are_at_least_sixty_cases_none_of_them_twice() -> None:
    assert len({json.dumps(case["configuration"]) + str(case.get("secret")) for case in CASES}) == len(CASES) >= 60


def test_errors_of_values_and_of_rules_are_reported_together() -> None:
    configuration: dict[str, Any] = {
        "namespace": "Tracing",
        "versions": "tutorial",
        "nginx": {"replica": 2, "exporter": {"headers": {"api-key": "canary-header"}}},
        "collector": {"distribution": "core", "sampling": {"tail": {}}, "batch": {"timeout": "5"}},
        "tempo": {"retention": "1m"},
    }
    said = refusal(configuration, ["nginx"])
    assert said.startswith("7 errors in the configuration of stack test; nothing was changed.\n")
    for part in (
        "nginx-tracing:namespace = ",
        "nginx-tracing:nginx.replica\n",
        "nginx-tracing:nginx.exporter.headers\n",
        "nginx-tracing:collector.sampling.tail\n",
        "nginx-tracing:collector.batch.timeout = ",
        "nginx-tracing:tempo.retention = ",
    ):
        assert part in said
    assert "canary" not in said


def test_no_rule_judges_a_value_that_is_itself_an_error() -> None:
    said = refusal({"tempo": {"retention": "1 minute", "flush": {"blocklistPoll": "5m"}}}, [])
    assert said.startswith("1 error ")
    assert "blocklistPoll" not in said


def test_a_key_of_a_map_that_is_called_as_pydantic_calls_keys_does_not_take_the_map_with_it() -> None:
    said = refusal({"labels": {"[key]": "a", "team": "a"}}, [])
    assert """nginx-tracing:labels["[key]"]\n""" in said
    assert said.splitlines()[-1] == """    pulumi config rm --path 'labels["[key]"]'"""


def test_no_value_of_a_secret_is_ever_shown() -> None:
    said = refusal({"namespace": "canary Namespace", "nginx": {"serviceName": "canary\n"}}, ["namespace", "nginx"])
    assert said.count("[secret]") == 2
    assert "canary" not in said
