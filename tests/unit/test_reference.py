"""Checks the reference against the program: the generated pages, and by hand: outputs, versions, rooms."""

import re

import pulumi
import pytest

from lab.paths import REPOSITORY
from settings import reference
from settings.version import VERSION
from tests.unit.conftest import Run
from tests.unit.test_rooms import MAY_IMPORT
from tools.__main__ import VERBS
from tools.reference import PARSERS, written

OUTPUTS = (REPOSITORY / "docs" / "reference" / "outputs.md").read_text()
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text()


def test_the_reference_is_that_of_the_models_the_parsers_and_the_policy_pack() -> None:
    for file, text in written().items():
        assert file.read_text() == text, f"{file}: `make reference` regenerates it"


def test_each_verb_has_a_parser_in_the_reference() -> None:
    assert list(PARSERS) == list(VERBS)


def test_the_reference_has_every_key_with_its_type_and_meaning() -> None:
    listed = list(reference.keys())
    assert len({key.path for key in listed}) == len(listed) > 90
    assert [key.path for key in listed if not key.kind or not key.meaning.endswith((".", ")"))] == []


def test_the_page_of_outputs_has_each_with_its_type(run_program: Run) -> None:
    given = {
        "tempoPassword": "long enough",
        "grafanaPassword": "long enough",
        "grafana": '{"enabled": true}',
        "demo": '{"enabled": true}',
    }
    outputs = run_program(given, secrets=["tempoPassword", "grafanaPassword"]).outputs
    names = {str: "text", int: "number", dict: "object"}
    types = {name: names[type(value)] for name, value in outputs.items()}
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", OUTPUTS, re.MULTILINE)) == types
    assert f"version {VERSION}," in OUTPUTS


@pytest.mark.parametrize(
    ("configuration", "absent"),
    [
        ({}, {"tempoUser", "grafanaUrl", "demo"}),
        ({"tempo": '{"service": {"type": "ClusterIP"}}'}, {"tempoUser", "tempoNodePort", "grafanaUrl", "demo"}),
        (
            {"tempo": '{"enabled": false}', "collector": '{"exporters": {"a": {"endpoint": "a.example:4317"}}}'},
            {"tempoUser", "tempoUrl", "tempoNodePort", "grafanaUrl", "demo"},
        ),
        (
            {
                "nodeAddress": "192.0.2.9",
                "kubernetes:renderYamlToDirectory": "rendered",
                "nginx": '{"nodePort": 30080}',
            },
            {"tempoUser", "tempoUrl", "tempoNodePort", "grafanaUrl", "demo"},
        ),
    ],
)
def test_outputs_are_absent_when_their_page_says_so(
    configuration: dict[str, str], absent: set[str], run_program: Run
) -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", OUTPUTS, re.MULTILINE))
    assert named - set(run_program(configuration).outputs) == absent


def test_the_changelog_begins_with_this_version_and_each_has_upgrade_notes() -> None:
    versions = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]
    released = [version for version in versions if "unreleased" not in version.splitlines()[0]]
    assert released[0].startswith(f"{VERSION} ")
    # There was nothing to upgrade from before the first.
    for version in versions[:-1]:
        assert "### Upgrade notes" in version, f"CHANGELOG.md: {version.splitlines()[0]} has none"


def test_up_prints_the_version_and_a_preview_does_not(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", printed.append)
    run_program(preview=True)
    assert printed == []
    run_program()
    assert printed == [
        f"nginx-tracing {VERSION} is deployed; this checks that spans arrive: .venv/bin/python -m tools probe"
    ]


def test_files_are_not_said_to_be_deployed(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", printed.append)
    run_program({"kubernetes:renderYamlToDirectory": "rendered", "nodeAddress": "192.0.2.9"})
    assert printed == [
        f"nginx-tracing {VERSION} is in files; once somebody has applied them, this checks that spans arrive: "
        ".venv/bin/python -m tools probe"
    ]


def test_the_table_of_rooms_is_the_one_that_is_enforced() -> None:
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]* \| ([^|]*) \|$", CONTRIBUTING, re.MULTILINE)
    assert {room: set(re.findall(r"`([\w/]+)`", imported)) for room, imported in rows} == MAY_IMPORT
