"""The list of mutants, and which of them are refused before any test runs."""

from pathlib import Path

import pytest

from lab.paths import REPOSITORY
from tests.mutants.__main__ import (
    NOT_OF_THE_PROGRAM,
    Mutant,
    MutantError,
    Verdict,
    chosen,
    first_and_rest,
    judged,
    load,
    place_of,
)


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


@pytest.mark.parametrize(
    ("code", "summary", "verdict"),
    [
        (0, "2132 passed in 29.38s", Verdict.SURVIVES),
        (1, "FAILED tests/unit/test_golden.py::test_it[dev] - AssertionError: `make golden`", Verdict.NOTICED),
        (1, "FAILED tests/unit/test_golden.py::test_it - Failed: DID NOT RAISE", Verdict.NOTICED),
        (1, "ERROR tests/unit/test_golden.py - pydantic.errors.PydanticUserError: …", Verdict.UNDECIDED),
        (1, "FAILED tests/unit/test_golden.py::test_it - NameError: name 'ratoi' is not defined", Verdict.UNDECIDED),
        (2, "!!! KeyboardInterrupt !!!", Verdict.UNDECIDED),
        (-9, "", Verdict.UNDECIDED),
    ],
)
def test_only_a_test_that_ran_and_failed_notices_a_mutant(code: int, summary: str, verdict: Verdict) -> None:
    assert judged(code, f"....\n{summary}\n")[0] is verdict


def test_words_choose_the_mutants_whose_place_has_one_of_them() -> None:
    words = ("DNS_PORTS", "max_surge")
    mutants, stale = chosen(words)
    assert stale == 0
    assert [mutant for mutant in mutants if not any(word in mutant.old for word in words)] == []
    assert len(mutants) >= len(words)


def test_every_test_of_the_program_runs_once_and_the_most_probable_first() -> None:
    first, rest = first_and_rest(REPOSITORY / "components" / "cluster" / "quotas.py", REPOSITORY)
    assert first == [f"tests/unit/test_{name}.py" for name in ("quotas", "golden", "dependencies")]
    assert not set(first) & set(rest)
    names = {path.name for path in (REPOSITORY / "tests" / "unit").glob("test_*.py")}
    assert {Path(file).name for file in (*first, *rest)} == names - NOT_OF_THE_PROGRAM
    assert names >= NOT_OF_THE_PROGRAM
