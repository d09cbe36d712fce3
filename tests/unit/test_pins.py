"""Tests that what is downloaded is pinned, and that Renovate finds what it is to update."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lab.paths import MODULES, REPOSITORY
from settings.versions import SETS
from settings.versions.sets import Set

GITHUB = REPOSITORY / ".github"
REQUIREMENTS = sorted(REPOSITORY.glob("requirements*.txt"))


def requirements(file: Path) -> list[str]:
    """Returns the requirements of a file, each with its lines joined."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return re.sub(r"\\\n", "", "\n".join(lines)).splitlines()


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_library_has_a_version_and_a_hash(file: Path) -> None:
    listed = requirements(file)
    assert len(listed) > 30
    assert [line for line in listed if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_every_package_of_npm_has_a_version_and_a_hash_and_names_no_registry() -> None:
    lock = json.loads((MODULES / "azurite" / "package-lock.json").read_text())
    listed = {name: package for name, package in lock["packages"].items() if name}
    assert len(listed) > 30
    assert [name for name, package in listed.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in listed.items() if not package["version"] or "resolved" in package] == []


def test_every_action_is_pinned_by_its_commit_and_says_its_version() -> None:
    used = [
        f"{file.name}: {line.strip()}"
        for file in sorted(GITHUB.rglob("*.yaml"))
        for line in file.read_text().splitlines()
        if re.match(r"\s*(- )?uses:", line) and "uses: ./" not in line
    ]
    assert len(used) > 10
    assert [line for line in used if not re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def managers() -> list[dict[str, Any]]:
    """Returns Renovate's own patterns, by which it finds the versions in this repository's files."""
    return json.loads((GITHUB / "renovate.json").read_text())["customManagers"]


def found_by(manager: dict[str, Any]) -> list[str]:
    """Returns what a manager finds: each pattern searches what the one before it found."""
    (pattern,) = manager["managerFilePatterns"]
    files = [
        path
        for path in REPOSITORY.glob("*/**/*.py")
        if re.search(pattern.strip("/"), path.relative_to(REPOSITORY).as_posix())
    ]
    assert len(files) == 1, pattern
    texts = [files[0].read_text()]
    for pattern in manager["matchStrings"]:
        expression = re.compile(pattern.replace("(?<", "(?P<"))
        texts = [match[0] for text in texts for match in expression.finditer(text)]
    return texts


def test_renovate_proposes_images_of_registries_that_tell_no_dates() -> None:
    renovate = json.loads((GITHUB / "renovate.json").read_text())
    assert renovate["minimumReleaseAge"], "without it, dates do not matter"
    assert {manager["datasourceTemplate"] for manager in managers()} == {"docker"}
    assert [
        rule["minimumReleaseAgeBehaviour"]
        for rule in renovate["packageRules"]
        if rule.get("matchDatasources") == ["docker"]
    ] == ["timestamp-optional"]


@pytest.mark.parametrize("manager", managers(), ids=lambda manager: manager["description"])
def test_renovate_finds_each_version_once(manager: dict[str, Any]) -> None:
    assert len(found_by(manager)) == 1


NOT_PROPOSED = {
    "plus": "F5's registry shows its tags to subscribers alone; a release's folder of packages gets the fixes itself",
    "collector_registry": "a folder, not a version",
}
"""The fields of a set that Renovate leaves to people, with the reason."""


def test_renovate_finds_every_version_of_the_current_set() -> None:
    found = "\n".join(text for manager in managers() for text in found_by(manager))
    missing = {
        field.name
        for field in fields(Set)
        if f"= {getattr(SETS['current'], field.name)}" not in found.replace("=(", "= (")
    }
    assert missing == set(NOT_PROPOSED)
