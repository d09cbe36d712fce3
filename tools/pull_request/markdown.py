"""Quotes foreign text inside Markdown, so that it can neither end its block nor mention a person.

GitHub reads no mention, Markdown or HTML inside code. All foreign text is therefore code, between marks that are longer
than any in the text.
"""

import html
import re

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)", re.DOTALL)
_PULUMI_COLOR = re.compile(r"<\{%.*?%\}>")
# Control characters, and the marks that change the direction of text: a line with those reads otherwise than it is.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_BACKTICKS = re.compile("`+")
_ZERO_WIDTH_SPACE = "\u200b"


def clean(text: str) -> str:
    """Removes colours and makes control characters visible."""
    return _UNSEEN.sub("\ufffd", _PULUMI_COLOR.sub("", _ANSI.sub("", text.replace("\r\n", "\n"))))


def fence(text: str, language: str = "") -> str:
    """Returns text as a block of code."""
    body = clean(text).strip("\n")
    marks = _marks(body, at_least=3)
    return f"{marks}{language}\n{body}\n{marks}"


def code(text: str) -> str:
    """Returns text as code within a line of Markdown."""
    body = _one_line(text)
    marks = _marks(body, at_least=1)
    # Spaces keep a backtick at an end apart from the marks; Markdown removes one space at each end.
    space = " " if "`" in body else ""
    return f"{marks}{space}{body}{space}{marks}"


def code_in_html(text: str) -> str:
    """Returns text as code within HTML, such as a summary, where Markdown is not read."""
    return f"<code>{html.escape(_one_line(text))}</code>"


def without(text: str, mark: str) -> str:
    """Breaks every occurrence of a mark in a text, which looks the same afterwards."""
    return text.replace(mark, mark[:1] + _ZERO_WIDTH_SPACE + mark[1:])


def shorten(text: str, limit: int) -> str:
    """Returns the beginning and the end of a text that is longer than a limit, with the number of characters between.

    Args:
        text: the text.
        limit: characters to keep.
    """
    # Colours are removed first: one that is cut in two would stay.
    text = clean(text)
    missing = len(text) - limit
    if missing <= 0:
        return text
    note = f"… {missing} characters are left out here …"
    head, tail = text[: limit - limit // 2], text[len(text) - limit // 2 :]
    return "\n".join(part for part in (head, note, tail) if part)


def _marks(text: str, *, at_least: int) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    return "`" * max(at_least, longest + 1)


def _one_line(text: str) -> str:
    return " ".join(clean(text).split()).replace("@", "@" + _ZERO_WIDTH_SPACE) or "-"
