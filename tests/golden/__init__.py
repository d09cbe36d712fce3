"""What the program makes of typical configurations: one folder a case, one file a Kubernetes object.

`config.yaml` is a case's configuration; the cases `dev`, `staging`, `prod` and `tutorial` have those of
`Pulumi.<case>.yaml`, with the secrets that its comment asks for. The other files are written by `make golden`, with
secrets masked;
`tests/unit/test_golden.py` checks them against the program, and `tests/readers` has the deployed programs
read them.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from lab.paths import REPOSITORY
from settings import Settings

FOLDER = Path(__file__).parent
MASK = "[secret]"
ENVIRONMENTS = ("dev", "staging", "prod")
"""The example stacks, in the order in which they are deployed."""

STACK_FILES = (*ENVIRONMENTS, "tutorial")
"""The stacks whose files are in the top folder."""


def cases() -> list[str]:
    """The names of the cases."""
    return sorted({path.parent.name for path in FOLDER.glob("*/config.yaml")} | set(STACK_FILES))


def configuration(case: str) -> dict[str, Any]:
    """A case's configuration, by its keys."""
    if case in STACK_FILES:
        text = (REPOSITORY / f"Pulumi.{case}.yaml").read_text()
        examples = configuration("plus") if secrets_to_add(text) else {}
        return of_stack_file(text) | {key: examples[key] for key in secrets_to_add(text)}
    return yaml.safe_load((FOLDER / case / "config.yaml").read_text())


def of_stack_file(text: str) -> dict[str, Any]:
    """The program's configuration in a stack's file, by its keys."""
    return {key.removeprefix("nginx-tracing:"): value for key, value in yaml.safe_load(text)["config"].items()}


def secrets_to_add(text: str) -> list[str]:
    """The secrets that a stack file's comment says are to be added."""
    return re.findall(r"^#   pulumi config set --secret (\w+)", text, re.MULTILINE)


def as_pulumi_passes_it(values: dict[str, Any]) -> dict[str, str]:
    """A configuration as the engine gives it to the program: text, objects as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def settings_of(case: str) -> Settings:
    """A case's settings."""
    return Settings.model_validate(configuration(case))


def objects(case: str) -> dict[str, dict[str, Any]]:
    """A case's golden objects by the names of their files."""
    files = [path for path in (FOLDER / case).glob("*.yaml") if path.name != "config.yaml"]
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted(files)}
