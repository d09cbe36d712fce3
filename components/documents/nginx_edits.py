"""Edits the text of a document of NGINX by its directives, and leaves all else as it is written."""

import re
from dataclasses import dataclass, field

from settings.nginx_syntax import TOKEN
from settings.nginx_tree import Directive, parse


@dataclass
class Part:
    """A text with its directives, which collects edits and makes them all at the end."""

    text: str
    directives: tuple[Directive, ...] = field(init=False)
    edits: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])

    def __post_init__(self) -> None:
        self.directives = parse(self.text)

    def source(self, directive: Directive) -> str:
        """Returns the text of a directive."""
        return self.text[directive.start : directive.end]

    def replace(self, start: int, end: int, by: str) -> None:
        """Replaces what is between two places of the text as it is now."""
        self.edits.append((start, end, by))

    def insert_line(self, at: int, line: str) -> None:
        """Inserts a line at the start of a block's inside, with the indentation of the next line."""
        if re.match(r"[ \t]*\n", self.text[at:]):
            indent = re.match(r"[ \t]*\n([ \t]*)", self.text[at:])
            self.replace(at, at, f"\n{indent[1] if indent else ''}{line}")
        else:
            self.replace(at, at, f" {line}")

    def remove(self, directive: Directive) -> None:
        """Removes a directive with its line, and with the comment above it that is about no other directive."""
        start = self.text.rfind("\n", 0, directive.start) + 1
        end = self.text.find("\n", directive.end) + 1
        following = self.text[end : self.text.find("\n", end)].strip()
        if following.split(" ")[0] != directive.name:
            start = self._start_of_comment(start)
        before, after = self.text[:start].splitlines()[-1:], self.text[end:].splitlines()[:1]
        if before and after and not before[0].strip() and not after[0].strip():
            end = self.text.find("\n", end) + 1
        self.replace(start, end, "")

    def _start_of_comment(self, start: int) -> int:
        while start > 0:
            above = self.text.rfind("\n", 0, start - 1) + 1
            line = self.text[above:start].strip()
            if not line.startswith("#") or line.startswith("#:"):
                return start
            start = above
        return start

    def edited(self) -> str:
        """Returns the text with all edits."""
        text = self.text
        for start, end, by in sorted(self.edits, reverse=True):
            text = text[:start] + by + text[end:]
        return text


def indented(text: str, indent: str) -> str:
    """Returns directives moved to the right, but for lines that begin within quotes."""
    # A line may end within quotes, or after a backslash within a word.
    whole = [(token.start(), token.end()) for token in TOKEN.finditer(text) if token["quoted"] or token["word"]]
    lines: list[tuple[str, bool]] = []
    at = 0
    # Lines end with `\n` alone, as NGINX has it: Python's other ends of lines are parts of words to NGINX.
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        lines.append((line, any(start < at < end for start, end in whole)))
        at += len(line)
    free = [line for line, is_quoted in lines if line.strip() and not is_quoted]
    least = min((len(line) - len(line.lstrip(" \t")) for line in free), default=0)
    moved = "".join(
        line if is_quoted else f"{indent}{line[least:]}" if line.strip() else "\n" for line, is_quoted in lines
    ).strip("\n")
    return f"{moved}\n" if moved.strip() else ""
