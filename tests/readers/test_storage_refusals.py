"""Tests on loopback what Tempo does with a bucket that refuses it something: nothing is lost, and an alert names it.

The S3 server's owner takes a right from Tempo's key, its disk is full, or it locks objects.
"""

import contextlib
import re
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
import yaml

from lab.paths import REPOSITORY
from tests.readers.owned_bucket import OwnedBucket, small_disk
from tests.readers.storage import how_to, tempo_with
from tests.readers.stored import close_block, has, searched, searched_recently, send
from tests.readers.tempo import RunningTempo
from tests.waiting import wait_for

pytestmark = [pytest.mark.usefixtures("s3_server"), pytest.mark.deep]

OFTEN = {"blocklistPoll": "5s", "completeBlockTimeout": "1h"}
PATIENCE = 180
"""Seconds: Tempo repeats each request for up to a minute, and then the whole block after 30 s."""


def rights() -> set[str]:
    """Returns the rights that the how-to's table names for S3."""
    (row,) = re.findall(r"^\| S3 \| (.*) \|$", how_to(), re.MULTILINE)
    return set(re.findall(r"`(s3:\w+)`", row))


def alerts() -> Mapping[str, set[str]]:
    """Returns the counters that each alert about the storage looks at."""
    (group,) = yaml.safe_load((REPOSITORY / "monitoring" / "alerts.yaml").read_text())["groups"]
    return {
        rule["alert"]: set(re.findall(r"\btempo(?:db)?_\w+", rule["expr"]))
        for rule in group["rules"]
        if re.fullmatch("TempoCannot.*", rule["alert"])
    }


def firing(tempo: RunningTempo) -> set[str]:
    """Returns the alerts whose counters have counted something."""
    return {alert for alert, counters in alerts().items() if any(map(tempo.counted, counters))}


def store(tempo: RunningTempo, blocks: int) -> set[str]:
    """Has Tempo write blocks to the bucket. Returns the traces in them."""
    traces: set[str] = set()
    for number in range(1, blocks + 1):
        traces |= take(tempo)
        wait_for("a block", lambda: tempo.counted("tempo_ingester_blocks_flushed_total") >= number, 60)  # noqa: B023
    return traces


def take(tempo: RunningTempo) -> set[str]:
    """Sends traces and has Tempo close the block with them. Returns them."""
    traces = send(tempo, 100)
    wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
    close_block(tempo)
    return traces


def join_and_delete(bucket: OwnedBucket, disk: Path) -> None:
    """Has Tempo join blocks and delete them after the retention, which the bucket does not refuse."""
    with tempo_with(bucket, disk, flush=OFTEN) as tempo:
        store(tempo, 2)
        wait_for("joined blocks", lambda: tempo.counted("tempodb_compaction_blocks_total") == 2, 90)
        assert firing(tempo) == set()
    with tempo_with(bucket, disk, flush=OFTEN, retention="3s") as tempo:
        wait_for("an end", lambda: tempo.counted("tempodb_retention_marked_for_deletion_total"), 90)
        assert firing(tempo) == set()


def test_the_rights_that_the_how_to_names_suffice(tmp_path: Path) -> None:
    bucket = OwnedBucket(tmp_path / "s3")
    with bucket.served():
        bucket.allow(rights())
        join_and_delete(bucket, tmp_path / "tempo")
    assert not bucket.blocks()


@contextlib.contextmanager
def refusing(folder: Path, right: str | None) -> Generator[tuple[OwnedBucket, contextlib.AbstractContextManager[None]]]:
    """Runs a server, with a way to have it refuse for a while: a right that Tempo's key has, or all that needs room."""
    with contextlib.nullcontext() if right else small_disk(folder, "8m"):
        bucket = OwnedBucket(folder)
        with bucket.served():
            bucket.allow(rights())
            yield bucket, bucket.without(right, rights()) if right else bucket.full()


REFUSED: Mapping[str, tuple[str | None, set[str]]] = {
    "may not write": ("s3:PutObject", {"TempoCannotStoreBlocks", "TempoCannotReadStorage"}),
    "may not read": ("s3:GetObject", {"TempoCannotReadStorage"}),
    "may not delete": ("s3:DeleteObject", {"TempoCannotDeleteBlocks"}),
    "is full": (None, {"TempoCannotStoreBlocks", "TempoCannotReadStorage", "TempoCannotDeleteBlocks"}),
}
"""By what Tempo meets: the right that its key loses, none for a full disk, and the alerts that name it."""


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_is_lost_while_the_bucket_refuses_and_an_alert_names_it(what: str, tmp_path: Path) -> None:
    right, named = REFUSED[what]
    disk = tmp_path / "tempo"
    with refusing(tmp_path / "s3", right) as (bucket, refused):
        with tempo_with(bucket, disk, flush=OFTEN) as tempo:
            traces = store(tempo, 2)
            assert firing(tempo) == set()
        # It starts: with the right to list, and nothing else, it is Ready. `up` does not see what is missing.
        with refused, tempo_with(bucket, disk, flush=OFTEN) as tempo:
            traces |= take(tempo)
            wait_for(f"{named}", lambda: named <= firing(tempo), PATIENCE)
            assert traces <= searched_recently(tempo)
        with tempo_with(bucket, disk, flush=OFTEN) as tempo:
            traces |= take(tempo)
            left = 1 + ("TempoCannotStoreBlocks" in named)
            wait_for("all blocks", lambda: tempo.counted("tempo_ingester_blocks_flushed_total") == left, PATIENCE)
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert has(tempo, traces)
            assert firing(tempo) == set()


def test_a_tempo_that_may_not_read_does_not_say_that_it_finds_too_little(tmp_path: Path) -> None:
    with refusing(tmp_path / "s3", "s3:GetObject") as (bucket, refused):
        with tempo_with(bucket, tmp_path / "tempo", flush=OFTEN) as tempo:
            traces = store(tempo, 1)
        with refused, tempo_with(bucket, tmp_path / "other disk", flush=OFTEN) as tempo:
            wait_for("the alert", lambda: "TempoCannotReadStorage" in firing(tempo), 60)
            assert searched(tempo) == set()
            assert tempo.spans(min(traces)) == []


def test_a_bucket_that_grew_by_copies_shrinks_once_the_key_may_delete(tmp_path: Path) -> None:
    with (
        refusing(tmp_path / "s3", "s3:DeleteObject") as (bucket, refused),
        tempo_with(bucket, tmp_path / "tempo", flush=OFTEN) as tempo,
    ):
        with refused:
            traces = store(tempo, 2)
            wait_for("copies of the same blocks", lambda: len(bucket.blocks()) > 4, PATIENCE)
            grown = len(bucket.blocks())
        # Not down to one: Tempo joins blocks of the same level alone, and copies of copies have another one.
        wait_for("fewer blocks", lambda: len(bucket.blocks()) < grown, PATIENCE)
        assert has(tempo, traces)


def test_a_bucket_that_keeps_what_is_deleted_refuses_nothing(tmp_path: Path) -> None:
    bucket = OwnedBucket(tmp_path / "s3", is_locked=True, has_versions=True)
    with bucket.served():
        bucket.allow(rights())
        join_and_delete(bucket, tmp_path / "tempo")
    # The old versions take room for ever, unless a rule of the bucket deletes them.
    assert len(list((bucket.folder / "versions").rglob("*"))) > 10


def test_a_bucket_whose_objects_are_locked_loses_nothing_and_grows(tmp_path: Path) -> None:
    bucket, disk = OwnedBucket(tmp_path / "s3", is_locked=True), tmp_path / "tempo"
    with bucket.served():
        bucket.allow(rights())
        with tempo_with(bucket, disk, flush=OFTEN) as tempo:
            traces = store(tempo, 2)
            wait_for("the alerts", lambda: {"TempoCannotReadStorage", "TempoCannotDeleteBlocks"} <= firing(tempo), 90)
            wait_for("copies of the same blocks", lambda: len(bucket.blocks()) > 3, 90)
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert has(tempo, traces)
