"""Every object of every golden case, as the program makes it now."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from lab.paths import REPOSITORY
from settings import Settings
from settings.mistakes import aliased, bare_type
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Run


class _Dumper(yaml.SafeDumper):
    """Documents as blocks, so that a difference is one of lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)


def plain(value: Any) -> Any:
    """Inputs without secrets, and with whole numbers as such: the wire knows only floats."""
    if isinstance(value, dict):
        if SECRET_MARK in value:
            return _masked(value["value"])  # pyright: ignore[reportUnknownArgumentType]
        # The wire keeps no order.
        return {key: plain(value[key]) for key in sorted(value)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _masked(value: Any) -> Any:
    return {key: _masked(item) for key, item in value.items()} if isinstance(value, dict) else golden.MASK  # pyright: ignore[reportUnknownVariableType]


def rendered(program: Program) -> dict[str, str]:
    """The files of a case, as the program makes them."""
    files: dict[str, str] = {}
    for token, resources in program.resources.items():
        if not token.startswith("kubernetes:"):
            continue
        for resource in resources:
            inputs: Any = plain(resource.inputs)  # pyright: ignore[reportUnknownMemberType]
            inputs["metadata"].setdefault("name", f"{resource.name}-1a2b3c4d")
            head = {key: inputs.pop(key) for key in ("apiVersion", "kind", "metadata")}
            files[f"{head['kind']}-{resource.name}.yaml"] = yaml.dump(head | inputs, Dumper=_Dumper, sort_keys=False)
    return files


@pytest.mark.parametrize("case", golden.cases())
def test_every_object_is_the_golden_one(case: str, run_program: Run, request: pytest.FixtureRequest) -> None:
    values = golden.configuration(case)
    made = rendered(run_program(golden.as_pulumi_passes_it(values), secrets=list(values)))
    folder = golden.FOLDER / case
    if request.config.getoption("--write-golden", default=False):
        folder.mkdir(exist_ok=True)
        for name in golden.objects(case):
            (folder / name).unlink()
        for name, text in made.items():
            (folder / name).write_text(text)
    there = {path.name: path.read_text() for path in folder.glob("*.yaml") if path.name != "config.yaml"}
    assert there == made, "`make golden` writes them anew; `git diff tests/golden` shows what that changes"


def test_no_file_is_in_the_golden_folders_that_git_does_not_know() -> None:
    known = {Path(name) for name in _git("ls-files", "tests/golden")}
    there = {path.relative_to(REPOSITORY) for path in golden.FOLDER.rglob("*.yaml")}
    assert there - known == set(), "git add tests/golden"


def _git(*arguments: str) -> list[str]:
    listed = subprocess.run(["git", *arguments], check=True, cwd=REPOSITORY, capture_output=True, text=True)
    return listed.stdout.splitlines()


def keys_of(model: type[BaseModel]) -> set[str]:
    """Every key that can be set, lists as `[]` and maps as `{}`."""
    found: set[str] = set()
    for name, field in aliased(model).items():
        inner, suffix = bare_type(field.annotation), ""
        arguments = getattr(inner, "__args__", ())
        if arguments and isinstance(bare_type(arguments[-1]), type) and issubclass(bare_type(arguments[-1]), BaseModel):
            inner, suffix = bare_type(arguments[-1]), "[]" if len(arguments) == 1 else "{}"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{name}{suffix}.{key}" for key in keys_of(inner)}
        else:
            found.add(name)
    return found


def set_keys(model: type[BaseModel], value: Any) -> set[str]:
    """The keys of a model that a configuration sets."""
    found: set[str] = set()
    for name, item in value.items():
        inner = bare_type(aliased(model)[name].annotation)
        arguments = getattr(inner, "__args__", ())
        if arguments and isinstance(bare_type(arguments[-1]), type) and issubclass(bare_type(arguments[-1]), BaseModel):
            inner, suffix = bare_type(arguments[-1]), "[]" if len(arguments) == 1 else "{}"
            items = item if suffix == "[]" else item.values()
            found |= {f"{name}{suffix}.{key}" for one in items if isinstance(one, dict) for key in set_keys(inner, one)}
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{name}.{key}" for key in set_keys(inner, item)} if isinstance(item, dict) else set()
        else:
            found.add(name)
    return found


def test_the_cases_set_every_key_that_there_is() -> None:
    used = set[str]().union(*(set_keys(Settings, golden.configuration(case)) for case in golden.cases()))
    assert keys_of(Settings) - used == set()
