"""What people write in `extraConfig`, checked before anything is created."""

from typing import Any

import pytest

from tests.snippets import CORPUS, refusals, settings_of


def test_the_corpus_has_at_least_eighty_snippets_none_of_them_twice() -> None:
    assert len({str(case["nginx"]) for case in CORPUS}) == len({case["about"] for case in CORPUS}) == len(CORPUS) >= 80


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["about"])
def test_a_snippet_is_taken_or_refused_by_its_line_with_the_reason(case: dict[str, Any]) -> None:
    upstream = "127.0.0.1:19999"
    says = [said.replace("UPSTREAM", upstream) for said in case.get("says", [])]
    assert refusals(settings_of(case, upstream)) == says
