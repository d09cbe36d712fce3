"""The sources of the stack's outputs, and the probe's messages where they fail."""

import io
import json
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.probe import outputs
from tools.pulumi_cli import PulumiCli

GOOD = {"nginxUrl": "http://192.0.2.1:30080", "tempoUrl": "http://[2001:db8::1]:31000", "namespace": "tracing"}


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` that is the only one on PATH; a test writes its script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "pulumi"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_cli_is_asked_in_the_projects_folder_for_the_stack_that_is_named(pulumi: Path) -> None:
    asked = pulumi.parent / "asked"
    write(pulumi, f"echo \"$PWD $*\" > '{asked}'\necho '{json.dumps(GOOD)}'")
    found = outputs.from_pulumi(PulumiCli("dev"))
    assert (found.nginx_url, found.tempo_url, found.namespace) == tuple(GOOD.values())
    folder, _, command = asked.read_text().strip().partition(" ")
    assert Path(folder) == REPOSITORY
    assert "stack output --json" in command
    assert command.endswith("--stack dev")


def test_without_the_cli_the_message_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="there is no `pulumi` on PATH") as error:
        outputs.from_pulumi(PulumiCli())
    assert "make probe" in str(error.value)
    assert "python -m tools probe --outputs outputs.json" in str(error.value)


def test_what_the_cli_complains_about_is_passed_on(pulumi: Path) -> None:
    write(pulumi, "echo \"error: no stack named 'dve' found\" >&2\nexit 255")
    with pytest.raises(ToolError) as error:
        outputs.from_pulumi(PulumiCli("dve"))
    assert "`pulumi stack output --json --stack dve` prints:\n  error: no stack named 'dve' found\n" in str(error.value)
    assert "`pulumi stack ls`" in str(error.value)


def test_a_stack_that_is_not_up_is_told_with_the_outputs_that_it_lacks(pulumi: Path) -> None:
    write(pulumi, "echo '{}'")
    with pytest.raises(ToolError) as error:
        outputs.from_pulumi(PulumiCli())
    lines = str(error.value).splitlines()
    assert lines[0] == "`pulumi stack output --json` does not hold the outputs that the probe needs:"
    assert lines[1] == "  nginxUrl: Field required (the URL of NGINX, such as http://192.0.2.10:30080)"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["nginxUrl", "namespace"]
    assert lines[-1] == "They exist once the stack is up: `pulumi up` (or `make up`)."


def test_outputs_come_from_standard_input_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(GOOD)))
    assert outputs.from_file("-").namespace == "tracing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not JSON", "is not the JSON of `pulumi stack output --json`"),
        ("[]", "does not hold the outputs that the probe needs"),
        (json.dumps({**GOOD, "nginxUrl": "192.0.2.1"}), "nginxUrl: String should match pattern"),
        (json.dumps({**GOOD, "tempoUrl": "[secret]"}), "tempoUrl: String should match pattern"),
    ],
)
def test_a_file_without_the_outputs_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(text)
    with pytest.raises(ToolError) as error:
        outputs.from_file(str(file))
    assert str(file) in str(error.value)
    assert message in str(error.value)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"outputs\.json cannot be read: .*No such file"):
        outputs.from_file(str(tmp_path / "outputs.json"))


def test_the_password_is_that_of_the_stack_that_the_outputs_are_of(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEMPO_PASSWORD", raising=False)
    asked = pulumi.parent / "asked"
    write(pulumi, f"echo \"$*\" > '{asked}'\necho 'of the stack'")
    assert outputs.tempo_password(PulumiCli("dev"), None) == "of the stack"
    assert "config get tempoPassword" in asked.read_text()
    assert asked.read_text().endswith("--stack dev\n")
    # Somebody else's Tempo is not given it.
    with pytest.raises(ToolError, match="the probe does not know it"):
        outputs.tempo_password(None, None)
    monkeypatch.setenv("TEMPO_PASSWORD", "of the environment")
    assert outputs.tempo_password(PulumiCli("dev"), None) == "of the environment"


def test_a_password_that_pulumi_does_not_give_is_asked_for(pulumi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPO_PASSWORD", raising=False)
    write(pulumi, "echo 'error: canary' >&2\nexit 255")
    with pytest.raises(ToolError, match="TEMPO_PASSWORD") as error:
        outputs.tempo_password(PulumiCli(), None)
    assert "canary" not in str(error.value)
