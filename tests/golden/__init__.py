"""What the program makes of typical configurations: one folder a case, one file a Kubernetes object.

`config.yaml` is a case's configuration, the case `dev` has that of `Pulumi.dev.yaml`. The other files are written by
`make golden`, with secrets masked; `tests/unit/test_golden.py` checks them against the program, and
`tests/lab/test_readers.py` has the deployed programs read them.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from lab.paths import REPOSITORY
from settings import Settings

FOLDER = Path(__file__).parent
MASK = "[secret]"


def cases() -> list[str]:
    """The names of the cases."""
    return sorted({path.parent.name for path in FOLDER.glob("*/config.yaml")} | {"dev"})


def configuration(case: str) -> dict[str, Any]:
    """A case's configuration, by its keys."""
    if case == "dev":
        return of_stack_file((REPOSITORY / "Pulumi.dev.yaml").read_text())
    return yaml.safe_load((FOLDER / case / "config.yaml").read_text())


def of_stack_file(text: str) -> dict[str, Any]:
    """The program's configuration in a stack's file, by its keys."""
    return {key.removeprefix("nginx-tracing:"): value for key, value in yaml.safe_load(text)["config"].items()}


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
