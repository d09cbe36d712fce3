"""Every object of every golden case, as the program makes it now."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.paths import REPOSITORY
from settings.reference import keys as reference_keys
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Run
from tools.pull_request.differences import BlockDumper


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
    return {key: _masked(value[key]) for key in sorted(value)} if isinstance(value, dict) else golden.MASK  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def rendered(program: Program) -> dict[str, str]:
    """The files of a case, as the program makes them."""
    files: dict[str, str] = {}
    for token, resources in program.resources.items():
        if not token.startswith(("kubernetes:", "docker-build:")):
            continue
        for resource in resources:
            inputs: Any = plain(resource.inputs)  # pyright: ignore[reportUnknownMemberType]
            if token.startswith("docker-build:"):
                inputs = {
                    "apiVersion": token.rsplit(":", 1)[0],
                    "kind": token.rsplit(":", 1)[1],
                    "metadata": {},
                } | inputs
            inputs["metadata"].setdefault("name", f"{resource.name}-1a2b3c4d")
            head = {key: inputs.pop(key) for key in ("apiVersion", "kind", "metadata")}
            files[f"{head['kind']}-{resource.name}.yaml"] = yaml.dump(
                head | inputs, Dumper=BlockDumper, sort_keys=False, allow_unicode=True
            )
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
    assert there == made, "`make golden` regenerates them; `git diff tests/golden` shows what that changes"


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a checkout of git's, which knows the files")
def test_no_file_is_in_the_golden_folders_that_git_does_not_know() -> None:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "tests/golden"],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    known = {Path(name) for name in listed.stdout.splitlines()}
    there = {path.relative_to(REPOSITORY) for path in golden.FOLDER.rglob("*.yaml")}
    assert there - known == set(), "git add tests/golden"


def set_keys(value: Any, path: str, known: set[str]) -> set[str]:
    """The keys of the reference that a configuration sets."""
    found = {path} & known
    if isinstance(value, list):
        found |= set[str]().union(*(set_keys(item, f"{path}[]", known) for item in value))  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(value, dict):
        for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            named = f"{path}.{name}".removeprefix(".")
            is_key = any(f"{key}.".startswith((f"{named}.", f"{named}[]")) for key in known)
            found |= set_keys(item, named if is_key else f"{path}.<name>", known)
    return found


def test_the_cases_set_every_key_that_there_is() -> None:
    known = {key.path for key in reference_keys()}
    used = set[str]().union(*(set_keys(golden.configuration(case), "", known) for case in golden.cases()))
    assert known - used == set()
