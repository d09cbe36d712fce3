"""Tests of the rooms: which may import which. Arrows point one way, and the program knows no tools and no lab."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.paths import REPOSITORY

PARTS = ("components/documents", "components/plan", "components/cluster", "components/kubernetes")

MAY_IMPORT = {
    "settings": {"settings"},
    "components/documents": {"components/documents", "settings"},
    "components/plan": {"components/plan", "components/documents", "settings"},
    "components/cluster": {"components/cluster", "components/plan", "settings"},
    "components/kubernetes": {"components/kubernetes", "components/cluster", "components/plan", "settings"},
    "components": {"components", *PARTS, "settings"},
    "policy": set[str](),
    "lab": {"lab", "components", *PARTS, "settings"},
    "tools": {"tools", "lab", "components", *PARTS, "settings"},
}
"""By room, the rooms of this project that its modules may import. The pack of policies runs in a process of its own."""


def room_of(module: str) -> str | None:
    """Returns the room of a module of this project: the longest path that fits."""
    path = module.replace(".", "/")
    return max((room for room in MAY_IMPORT if f"{path}/".startswith(f"{room}/")), key=len, default=None)


def imports(file: Path) -> Iterator[str]:
    """Yields the modules that a file imports, within functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_those_alone_that_it_may(room: str) -> None:
    seen, refused = 0, list[str]()
    for file in sorted((REPOSITORY / room).rglob("*.py")):
        path = file.relative_to(REPOSITORY).with_suffix("")
        if room_of(".".join(path.parts)) != room:
            continue
        seen += 1
        for module in imports(file):
            imported = room_of(module)
            if imported is not None and imported not in MAY_IMPORT[room]:
                refused.append(f"{path} imports {module}")
    assert seen
    assert refused == []


@pytest.mark.parametrize("room", ["settings", "components/documents", "components/plan", "components/cluster"])
def test_what_runs_before_the_registration_imports_no_part_of_the_kubernetes_sdk(room: str) -> None:
    # The SDK takes 0.7 s to import, which the program does while the API server answers.
    importing = [
        f"{file.relative_to(REPOSITORY)} imports {module}"
        for file in sorted((REPOSITORY / room).rglob("*.py"))
        for module in imports(file)
        if module.startswith("pulumi_kubernetes")
    ]
    assert importing == []


@pytest.mark.parametrize("room", ["settings", "components", "policy", "tools"])
def test_no_docstring_begins_with_a_headless_what(room: str) -> None:
    # CONTRIBUTING.md, "How we write": a verb, or the thing itself.
    texts = {file: file.read_text() for file in (REPOSITORY / room).rglob("*.py")}
    assert [str(file.relative_to(REPOSITORY)) for file, text in texts.items() if '"""What ' in text] == []


MOST_LINES = 300
"""Our choice: a file that is read in one sitting."""

PEOPLE_WRITE = {".py", ".j2", ".sh", ".template", ".js", ".css", ".html"}


@pytest.mark.parametrize("room", ["settings", "components", "policy", "tools"])
def test_no_file_of_the_program_and_its_tools_is_longer_than_one_sitting(room: str) -> None:
    files = [file for file in (REPOSITORY / room).rglob("*") if file.suffix in PEOPLE_WRITE]
    assert files
    lines = {str(file.relative_to(REPOSITORY)): len(file.read_text().splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
