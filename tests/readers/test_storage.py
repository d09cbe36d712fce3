"""Tests on loopback that Tempo keeps traces in a bucket: without its disk, without the bucket, and after a move."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from components.documents import Document
from lab.build.builder import build
from lab.build.targets import AZURE_SERVER, GCS_SERVER
from lab.errors import LabError
from lab.progress import Progress
from tests.processes import Shared
from tests.readers.authority import Authority
from tests.readers.storage import ACCOUNT_KEY, AzureBucket, Bucket, GoogleBucket, how_to, tempo_with
from tests.readers.stored import close_block, has, searched, searched_recently, send
from tests.readers.tempo import running_tempo
from tests.waiting import wait_for
from tools.lab_bucket import ACCESS, BUCKET, KEYS, PREFIX, SECRET

pytestmark = pytest.mark.usefixtures("s3_server")


@pytest.mark.parametrize(
    "has_tls", [False, pytest.param(True, marks=pytest.mark.deep)], ids=["plain", "with an authority of its own"]
)
def test_a_tempo_without_its_disk_finds_everything_that_the_last_one_had(has_tls: bool, tmp_path: Path) -> None:
    bucket, disk = Bucket(tmp_path / "s3", authority=Authority() if has_tls else None), tmp_path / "tempo"
    with bucket.served():
        with tempo_with(bucket, disk) as tempo:
            traces = send(tempo, 300)
            tempo.end()
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert has(tempo, traces)


@pytest.mark.deep
def test_google_s_protocol_keeps_traces_too(tmp_path: Path) -> None:
    build([GCS_SERVER], Progress())
    bucket, disk = GoogleBucket(tmp_path / "gcs"), tmp_path / "tempo"
    with bucket.served():
        with tempo_with(bucket, disk, {}) as tempo:
            traces = send(tempo, 100)
            tempo.end()
        shutil.rmtree(disk)
        with tempo_with(bucket, disk, {}) as tempo:
            assert has(tempo, traces)


@pytest.mark.deep
def test_azure_s_protocol_keeps_traces_too(tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("azurite, the emulator of Azure Blob Storage, needs Node.js 20 or later and npm on PATH")
    build([AZURE_SERVER], Progress())
    bucket, disk, keys = AzureBucket(tmp_path / "azure"), tmp_path / "tempo", {"tempoStorageAccountKey": ACCOUNT_KEY}
    with bucket.served():
        with tempo_with(bucket, disk, keys) as tempo:
            traces = send(tempo, 100)
            tempo.end()
        shutil.rmtree(disk)
        with tempo_with(bucket, disk, keys) as tempo:
            assert has(tempo, traces)


@pytest.mark.deep
def test_what_tempo_took_while_the_bucket_was_away_is_in_the_bucket_afterwards(tmp_path: Path) -> None:
    bucket, disk = Bucket(tmp_path / "s3"), tmp_path / "tempo"
    with contextlib.ExitStack() as before:
        before.enter_context(bucket.served())
        with tempo_with(bucket, disk) as tempo:
            before.close()
            traces = send(tempo, 300)
            wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
        # It is killed here, as it would be at the end of the grace period.
    with bucket.served():
        with tempo_with(bucket, disk) as tempo:
            traces |= send(tempo, 10)
            wait_for("a block in the bucket", lambda: tempo.counted("tempo_ingester_blocks_flushed_total"), 60)
            tempo.end()
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert has(tempo, traces)


@pytest.mark.deep
def test_traces_leave_the_bucket_after_the_retention(tmp_path: Path) -> None:
    bucket, poll = Bucket(tmp_path / "s3"), {"blocklistPoll": "1s"}

    def delete_soon(document: Document) -> None:
        # The default is an hour, in which queriers that list the bucket later may still read the block.
        document["compactor"]["compaction"]["compacted_block_retention"] = "1s"

    with bucket.served(), tempo_with(bucket, tmp_path / "tempo", edit=delete_soon, retention="3s", flush=poll) as tempo:
        traces = send(tempo, 10)
        wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
        close_block(tempo)
        wait_for("a block in the bucket", lambda: tempo.counted("tempo_ingester_blocks_flushed_total"), 60)
        assert objects_of_blocks(bucket)
        wait_for("a block that is marked for deletion", lambda: not bucket.blocks(), 30)
        assert tempo.counted("tempodb_retention_marked_for_deletion_total")
        wait_for("a bucket without the block's objects", lambda: not objects_of_blocks(bucket), 30)
        assert tempo.counted("tempodb_retention_deleted_total")
        assert not tempo.counted("tempodb_retention_errors_total")


def objects_of_blocks(bucket: Bucket) -> list[Path]:
    """Returns the objects of all blocks: their data, their indexes and their marks."""
    return [file for file in (bucket.folder / "buckets" / BUCKET / PREFIX).glob("*/*/*") if file.is_file()]


@pytest.mark.deep
def test_a_tempo_that_runs_repeats_until_the_bucket_is_back_and_counts_its_failures(tmp_path: Path) -> None:
    bucket, disk = Bucket(tmp_path / "s3"), tmp_path / "tempo"
    with contextlib.ExitStack() as before:
        before.enter_context(bucket.served())
        with tempo_with(bucket, disk, flush={"blocklistPoll": "5s", "completeBlockTimeout": "1h"}) as tempo:
            before.close()
            traces = send(tempo, 300)
            wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
            close_block(tempo)
            wait_for("a failed write", lambda: tempo.counted("tempo_ingester_failed_flushes_total"), 90)
            wait_for("a failed look", lambda: tempo.counted("tempodb_blocklist_poll_errors_total"), 90)
            assert "\ntempodb_retention_errors_total 0\n" in tempo.counters()
            # The kubelet must not start it again: it would not start without the bucket.
            assert httpx.get(f"{tempo.url}/ready", trust_env=False).status_code == 200
            # Tempo answers for what it still has.
            assert traces <= searched_recently(tempo)
            with bucket.served():
                wait_for("a block in the bucket", lambda: tempo.counted("tempo_ingester_blocks_flushed_total"), 150)
                assert bucket.blocks()


WRONG: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "secret": (
        {**KEYS, "tempoStorageSecretKey": "canary-other"},
        {},
        "The request signature we calculated does not match",
    ),
    "ID of the key": (
        {**KEYS, "tempoStorageAccessKey": "canary-unknown"},
        {},
        "No user exists with the provided access key ID",
    ),
    "bucket": (KEYS, {"bucket": "elsewhere"}, "The specified bucket does not exist"),
    "server": (KEYS, {"endpoint": "http://127.0.0.1:1"}, "connection refused"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_tempo_with_a_wrong_key_or_bucket_ends_and_says_why(what: str, tmp_path: Path) -> None:
    keys, other, says = WRONG[what]
    bucket = Bucket(tmp_path / "s3", other=other)
    with bucket.served(), pytest.raises(LabError), tempo_with(bucket, tmp_path / "tempo", keys):
        pass
    log = (tmp_path / "tempo" / "log").read_text()
    (line,) = (line for line in log.splitlines() if "error running Tempo" in line)
    assert says in line
    assert f"unexpected error from ListObjects on {other.get('bucket', BUCKET)}" in line
    assert SECRET not in log


@pytest.mark.deep
def test_with_google_s_protocol_too_a_tempo_with_a_wrong_bucket_ends_and_says_why(tmp_path: Path) -> None:
    build([GCS_SERVER], Progress())
    bucket = GoogleBucket(tmp_path / "gcs", other={"bucket": "elsewhere"})
    with bucket.served(), pytest.raises(LabError), tempo_with(bucket, tmp_path / "tempo", {}):
        pass
    log = (tmp_path / "tempo" / "log").read_text()
    (line,) = (line for line in log.splitlines() if "error running Tempo" in line)
    assert "storage: bucket doesn't exist" in line


def copier(bucket: Bucket, disk: Path) -> Callable[[str], None]:
    """Returns a function that runs the how-to's Job, edited by one of its commands, with this machine's rclone."""
    (manifest,) = re.findall(r"```yaml\n(\s+apiVersion: batch/v1\n.*?)```", how_to(), re.DOTALL)
    places = {"/data/blocks": str(disk / "blocks"), "https://minio.storage.svc:9000": bucket.storage["endpoint"]}

    def copy(edit: str) -> None:
        assert f"sed '{edit}' copy-blocks.yaml" in how_to()
        edited = subprocess.run(["sed", edit], input=manifest, capture_output=True, text=True, check=True).stdout
        (container,) = yaml.safe_load(edited)["spec"]["template"]["spec"]["containers"]
        text = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
        keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
        assert {variable["name"] for variable in container["env"]} == {*text, *keys}
        text |= {name: places.get(value, value) for name, value in text.items()}
        arguments = [places.get(argument, argument) for argument in container["args"]]
        # With the Job's variables alone: this machine's own may name other authorities.
        subprocess.run(["rclone", *arguments], check=True, env={"PATH": os.environ["PATH"]} | text | keys)

    return copy


BLOCKS, META = "s/WHICH/exclude={meta.json,index.*}/", "s/WHICH/include=meta.json/"
PURGE = r"s/args: .*/args: [purge, \/data\/blocks]/; s/, readOnly: true//"


@pytest.mark.deep
def test_a_move_from_the_disk_to_a_bucket_loses_no_trace(shared: Shared, tmp_path: Path) -> None:
    shared.install(Progress(), {"rclone": "rclone"})
    bucket, disk = Bucket(tmp_path / "s3"), tmp_path / "tempo"
    # The page names the prefix of `Bucket`.
    assert f"bucket:{BUCKET}/{PREFIX}" in how_to()
    copy = copier(bucket, disk)
    with bucket.served():
        with running_tempo(disk) as tempo:
            traces = send(tempo, 300)
            wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
            close_block(tempo)
            wait_for("a block", lambda: tempo.counted("tempo_ingester_blocks_flushed_total"), 60)
            copy(BLOCKS)
            assert not bucket.blocks()
            # A block that is finished after the first copy, and spans that are in none.
            traces |= send(tempo, 300)
            wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
            close_block(tempo)
            wait_for("a block", lambda: tempo.counted("tempo_ingester_blocks_flushed_total") == 2, 60)
            traces |= send(tempo, 300)
            wait_for("the spans on the disk", lambda: traces <= searched_recently(tempo))
        with tempo_with(bucket, disk, flush={"blocklistPoll": "1s"}) as tempo:
            traces |= send(tempo, 100)
            copy(BLOCKS)
            copy(META)
            wait_for("everything", lambda: traces <= searched(tempo), 30)
            copy(PURGE)
            close_block(tempo)
            # The one that the disk held at the move, and the one since.
            wait_for("both blocks", lambda: tempo.counted("tempo_ingester_blocks_flushed_total") == 2, 60)
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert has(tempo, traces)
