"""Parses a document of NGINX, or a part of one, into a tree of directives with their places in the text.

It reads words as `ngx_conf_read_token` does. The text must have passed `settings.nginx_syntax.snippet`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from settings.nginx_syntax import TOKEN

_ESCAPED = re.compile(r"""\\(["'\\ \t\r\n;]|[trn])""")
_LETTERS = {"t": "\t", "r": "\r", "n": "\n"}


@dataclass(frozen=True)
class Directive:
    """A directive, with its block if it has one."""

    name: str
    arguments: tuple[str, ...]
    """The arguments as NGINX takes them: without quotes and escapes."""

    start: int
    end: int
    """Its place in the text: from its name to the end of its `;` or `}`."""

    line: int
    """The number of its line, from 1."""

    body: tuple[int, int] | None = None
    """The place of its block's inside; none if it has no block."""

    inside: tuple["Directive", ...] = ()
    """The directives of its block."""

    def all_inside(self) -> Iterator["Directive"]:
        """Returns the directives of its block, and of the blocks in it."""
        for directive in self.inside:
            yield directive
            yield from directive.all_inside()


@dataclass(frozen=True)
class Comment:
    """A comment, from its `#` to the end of the line."""

    text: str
    start: int


def parse(text: str) -> tuple[Directive, ...]:
    """Returns the directives of a valid text; a block contains its own."""
    return _Parser(text).block()


def comments(text: str) -> list[Comment]:
    """Returns the comments of a valid text."""
    return [Comment(found[0], found.start()) for found in TOKEN.finditer(text) if found["comment"]]


class _Parser:
    """Reads a text from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = (token for token in TOKEN.finditer(text) if not token["space"] and not token["comment"])

    def block(self) -> tuple[Directive, ...]:
        """Reads up to the end of the block, or of the text."""
        found: list[Directive] = []
        words: list[re.Match[str]] = []
        for token in self._tokens:
            if not token["mark"]:
                words.append(token)
                continue
            if token["mark"] == "}":
                self.block_end = token.start()
                break
            found.append(self._directive(words, token))
            words = []
        return tuple(found)

    def _directive(self, words: list[re.Match[str]], mark: re.Match[str]) -> Directive:
        # NGINX takes no block without a name. It gets an empty name here, and is refused later.
        start = words[0].start() if words else mark.start()
        texts = [_unquoted(word) for word in words] or [""]
        line = self._text.count("\n", 0, start) + 1
        if mark["mark"] == ";":
            return Directive(texts[0], tuple(texts[1:]), start, mark.end(), line)
        inside = self.block()
        body = (mark.end(), self.block_end)
        return Directive(texts[0], tuple(texts[1:]), start, self.block_end + 1, line, body, inside)

    block_end = 0
    """The place of the `}` of the block that was read last."""


def _unquoted(token: re.Match[str]) -> str:
    text = token[0][1:-1] if token["quoted"] else token[0]
    return _ESCAPED.sub(lambda found: _LETTERS.get(found[1], found[1]), text)
