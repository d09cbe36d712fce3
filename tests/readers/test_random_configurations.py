"""Tests with random configurations that NGINX, the Collector and Tempo read what the program accepts."""

import pytest

from settings.tempo_parts import PART_KEYS
from tests import golden
from tools.measure.configurations.check import check
from tools.measure.configurations.documents import LAB_COLLECTORS, Document, documents

pytestmark = pytest.mark.usefixtures("programs")

COUNT = 200
"""The count takes about five seconds; `make reliability` tries 10 000."""


def test_every_document_of_an_accepted_configuration_is_read_by_its_program() -> None:
    outcome = check(COUNT, seed=7)
    assert outcome.refusals == []
    # The generator would be of no use if nearly all were refused, or all had the same documents.
    assert outcome.accepted > COUNT / 10
    assert min(outcome.read[program] for program in ("nginx", "collector", "tempo")) >= 5
    # Off by default, and it has few keys.
    assert outcome.read["prometheus"] >= 1


def test_each_part_of_a_distributed_tempo_reads_the_document() -> None:
    parts = {document.part for document in documents(golden.settings_of("distributed")) if document.program == "tempo"}
    assert parts == set(PART_KEYS)


@pytest.mark.parametrize(
    "wrong",
    [
        Document("nginx", (("nginx.conf", "events {}\nhttp { gzip maybe; }\n"),)),
        *(Document("collector", (("config.yaml", "receivers: 1\n"),), collector=image) for image in LAB_COLLECTORS),
        Document("tempo", (("tempo.yaml", "ingestion: {}\n"),)),
        Document("prometheus", (("prometheus.yaml", "scrape_configs: 1\n"),)),
    ],
    ids=lambda document: document.program,
)
def test_a_document_that_its_program_does_not_read_is_told(wrong: Document) -> None:
    assert wrong.error()
