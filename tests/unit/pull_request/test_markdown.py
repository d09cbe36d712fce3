"""Any text becomes code that Markdown's standard reads as that text and nothing else."""

from hypothesis import given
from hypothesis.strategies import text

from tests.unit.pull_request.making import parsed
from tools.pull_request import markdown

# Marks and what surrounds them, more often than chance has it.
TEXTS = text(alphabet="`~\n <>-_*|\\\r\x1b\u202ea@#")


@given(TEXTS)
def test_a_fence_holds_its_text_and_ends_after_it(content: str) -> None:
    first, *others = parsed(f"{markdown.fence(content)}\n\nafter")
    assert first.type == "fence"
    assert first.content.strip("\n") == markdown.clean(content).strip("\n")
    assert [token.type for token in others] == ["paragraph_open", "inline", "text", "paragraph_close"]


@given(TEXTS)
def test_code_in_a_line_is_one_piece(content: str) -> None:
    parts = [token for token in parsed(f"before {markdown.code(content)} after") if token.type != "inline"]
    assert [token.type for token in parts] == ["paragraph_open", "text", "code_inline", "text", "paragraph_close"]
    assert parts[2].content.replace("\u200b", "") == (" ".join(markdown.clean(content).split()) or "-")


def test_colours_do_not_count_when_a_text_is_shortened() -> None:
    assert markdown.shorten("\x1b[31mred\x1b[0m", 3) == "red"
    assert markdown.shorten("beginning, middle, end", 12).splitlines() == [
        "beginn",
        "… 10 characters are left out here …",
        "e, end",
    ]
