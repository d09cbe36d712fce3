"""Runs the commands that error messages offer with the real Pulumi CLI on a stack's file."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.paths import BIN
from tests.unit.test_bad_input import CASES, in_file, run_config_command, title

_PASSPHRASE = {"PULUMI_CONFIG_PASSPHRASE": "protects nothing", "PULUMI_SKIP_UPDATE_CHECK": "true"}


def _cases() -> list[dict[str, Any]]:
    """Returns cases with secrets, places in lists, and names that a path has to quote.

    One of each shape of command: two that differ in words alone are one to Pulumi, and each run of it takes a second.
    """
    shapes: dict[tuple[str, bool], dict[str, Any]] = {}
    for case in CASES:
        where, _, *offered = case["says"].splitlines()
        command = "".join(offered)
        is_secret = where.endswith(" = [secret]")
        if command and (is_secret or "[" in command):
            flags = " ".join(re.findall(r"pulumi config (?:set|rm)|--[a-z]+|-- ", command))
            words = re.sub(r"[A-Za-z_][\w-]*", "a", command.removeprefix(flags))
            path = re.sub(r"([./]a)\1*", r"\1", re.sub(r"a://[^ ']+", "a", words))
            shapes.setdefault((f"{flags} {path}", is_secret), case)
    return list(shapes.values())


@pytest.fixture(scope="module")
def stack(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a stack without a program, whose file each test writes."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "Pulumi.yaml").write_text("name: nginx-tracing\nruntime: python\n")
    _pulumi(folder, "pulumi stack init mine")
    return folder


def _pulumi(folder: Path, command: str) -> str:
    environment = {
        **os.environ,
        **_PASSPHRASE,
        "PULUMI_BACKEND_URL": f"file://{folder}?metadata=skip",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    ran = subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _values(folder: Path) -> tuple[dict[str, Any], set[str]]:
    """Returns each key's value as the program would get it, and the keys that have secrets."""
    listed = json.loads(_pulumi(folder, "pulumi config --json --show-secrets"))
    named = {key.removeprefix("nginx-tracing:"): value for key, value in listed.items()}
    values = {key: value.get("objectValue", value.get("value")) for key, value in named.items()}
    return values, {key for key, value in named.items() if value["secret"]}


def _as_text(values: dict[str, Any]) -> dict[str, Any]:
    """Converts top-level values that are no objects to text, as the engine passes them."""
    return {key: value if isinstance(value, str | dict | list) else json.dumps(value) for key, value in values.items()}


@pytest.mark.parametrize("case", _cases(), ids=title)
def test_pulumi_does_to_the_file_what_the_unit_tests_take_it_to_do(case: dict[str, Any], stack: Path) -> None:
    command = case["says"].splitlines()[2]
    (stack / "file").write_text(in_file(command))
    configured = {f"nginx-tracing:{key}": value for key, value in case["configuration"].items()}
    file = stack / "Pulumi.mine.yaml"
    head = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key != "config"}
    file.write_text(yaml.safe_dump(head | {"config": configured}))
    expected, secrets = json.loads(json.dumps(case["configuration"])), list[str]()
    run_config_command(command, expected, secrets)
    _pulumi(stack, command)
    values, encrypted = _values(stack)
    assert _as_text(values) == _as_text(expected)
    assert encrypted == set(secrets)
    if secrets:
        assert in_file(command).strip() not in file.read_text()
