"""Random configurations: what the program takes, NGINX, the Collector and Tempo read."""

import pytest

from lab.build.builder import build
from lab.build.targets import NGINX_PLUS
from lab.progress import Progress
from tools.measure.configurations.check import check
from tools.measure.configurations.documents import Document

COUNT = 200
"""Some five seconds' worth; `make reliability` tries 10 000."""


@pytest.fixture(scope="module", autouse=True)
def _readers(lab: None) -> None:  # pyright: ignore[reportUnusedFunction]
    build([NGINX_PLUS], Progress())


def test_every_document_of_an_accepted_configuration_is_read_by_its_program() -> None:
    outcome = check(COUNT, seed=7)
    assert outcome.refusals == []
    # The generator would be of no use if nearly all were refused, or all had the same documents.
    assert outcome.accepted > COUNT / 10
    assert min(outcome.read[program] for program in ("nginx", "collector", "tempo")) >= 5


@pytest.mark.parametrize(
    ("program", "file", "text"),
    [
        ("nginx", "nginx.conf", "events {}\nhttp { gzip maybe; }\n"),
        ("collector", "config.yaml", "receivers: 1\n"),
        ("tempo", "tempo.yaml", "ingestion: {}\n"),
    ],
)
def test_a_document_that_its_program_does_not_read_is_told(program: str, file: str, text: str) -> None:
    assert Document(program, ((file, text),)).error()
