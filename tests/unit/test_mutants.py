"""The list of mutants, and which of them are refused before any test runs."""

from pathlib import Path

import pytest

from tests.mutants.__main__ import Mutant, MutantError, load, place_of


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of two files."""
    for file, text in (("components/one.py", "a = 1\nb = 2\n"), ("settings/two.py", "b = 2\n")):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text)
    return tmp_path


def test_there_are_more_than_a_hundred_and_each_breaks_another_thing() -> None:
    mutants = load()
    assert len(mutants) > 100
    assert len({(mutant.old, mutant.new) for mutant in mutants}) == len(mutants)
    assert [mutant for mutant in mutants if mutant.old == mutant.new] == []


def test_a_mutant_is_made_where_its_text_is(program: Path) -> None:
    assert place_of(Mutant(old="a = 1", new="a = 2"), program) == program / "components" / "one.py"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("c = 3", "c = 4", "must be in the program once, and is 0 times: nowhere"),
        ("b = 2", "b = 3", "is 2 times: components/one.py, settings/two.py"),
        ("a = 1", "a =", "is no Python"),
    ],
)
def test_a_mutant_that_is_somewhere_else_or_no_program_is_refused(program: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(MutantError, match=said):
        place_of(Mutant(old=old, new=new), program)
