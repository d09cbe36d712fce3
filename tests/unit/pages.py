"""Reads the Markdown pages: code with its place, links, headings as GitHub makes anchors of them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.paths import REPOSITORY

_FENCE = re.compile(r"^ *```(.*)$")
_ROOMS = ("docs", "lab", "tools")


@dataclass(frozen=True)
class Code:
    """A block of code, or code within a sentence."""

    page: Path
    line: int
    """Where its text begins."""

    language: str
    """Of a block: what stands after its fence. Of code within a sentence: `inline`."""

    text: str

    @property
    def place(self) -> str:
        """File and line, as every message begins."""
        return place(self.page, self.line)


def pages() -> list[Path]:
    """Returns every page: those of the top folder, and those of the rooms."""
    found = [*REPOSITORY.glob("*.md"), *(file for room in _ROOMS for file in (REPOSITORY / room).rglob("*.md"))]
    return sorted(file for file in found if "target" not in file.parts)


def place(page: Path, line: int) -> str:
    """Returns file and line, for a message."""
    return f"{page.relative_to(REPOSITORY)}:{line}"


def blocks(page: Path) -> Iterator[Code]:
    """Yields the blocks of code, without the indentation that a list gives them."""
    begun: tuple[int, str] | None = None
    held: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and begun:
            yield Code(page, begun[0] + 1, begun[1], textwrap.dedent("\n".join(held)))
            begun, held = None, []
        elif fence:
            begun = number, fence[1].strip()
        elif begun:
            held.append(line)
    assert begun is None, f"{place(page, begun[0])}: the block has no end"


def prose(page: Path) -> str:
    """Returns the page with empty lines in place of its blocks, so that lines keep their numbers."""
    kept: list[str] = []
    within = False
    for line in page.read_text().splitlines():
        is_fence = _FENCE.match(line) is not None
        kept.append("" if within or is_fence else line)
        within = within != is_fence
    return "\n".join(kept)


def inline(page: Path) -> Iterator[Code]:
    """Yields the code within sentences, which may go over a line's end."""
    text = prose(page)
    for found in re.finditer(r"(?<!`)`((?:[^`\n]|\n(?!\s*\n))+)`", text):
        yield Code(page, text.count("\n", 0, found.start()) + 1, "inline", " ".join(found[1].split()))


def code(page: Path) -> Iterator[Code]:
    """Yields all code of a page."""
    yield from blocks(page)
    yield from inline(page)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yields the place and the target of each link but those to other sites."""
    text = re.sub(r"`[^`\n]*`", lambda found: " " * len(found[0]), prose(page))
    for found in re.finditer(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", found[1]):
            yield place(page, text.count("\n", 0, found.start()) + 1), found[1]


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", prose(page), re.MULTILINE):
        # Of a link its text counts.
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (one := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(one)
    return found
