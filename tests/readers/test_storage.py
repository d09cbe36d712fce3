"""Tests on loopback that Tempo keeps traces in a bucket: without its disk, while the bucket is away, and after a move."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import S3_SERVER, TEMPO
from lab.progress import Progress
from tests.readers.authority import Authority
from tests.readers.loopback import ask
from tests.readers.spans import requests
from tests.readers.storage import ACCESS, KEYS, SECRET, Bucket, tempo_with
from tests.readers.tempo import RunningTempo
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module", autouse=True)
def s3_server(programs: None) -> None:
    """Builds the S3 server, which only these tests and those of the lab use."""
    build([S3_SERVER], Progress())


def send(tempo: RunningTempo, count: int) -> list[str]:
    """Sends traces of a span each. Returns their IDs."""
    spans = requests(count)
    tempo.send(spans)
    return [span.trace_id for span in spans]


def missing(tempo: RunningTempo, traces: list[str]) -> list[str]:
    """Returns the traces that Tempo does not find by their IDs."""
    return [trace for trace in traces if not tempo.spans(trace)]


def searched(tempo: RunningTempo) -> set[str]:
    """Returns the traces that a search finds. Tempo leaves the zeros at an ID's beginning out."""
    found = ask(f"{tempo.url}/api/search", q="{}", limit=1000)
    return {trace["traceID"].zfill(32) for trace in found.get("traces", [])}


def flushed(tempo: RunningTempo) -> None:
    """Has Tempo close its block, and waits until it is in the bucket."""
    before = tempo.counted("tempo_ingester_blocks_flushed_total")
    close_block(tempo)
    wait_for("a block in the bucket", lambda: tempo.counted("tempo_ingester_blocks_flushed_total") > before, 60)


def close_block(tempo: RunningTempo) -> None:
    """Has Tempo close its block now, which it does after `max_block_duration` otherwise."""
    subprocess.run(["curl", "-sSf", f"{tempo.url}/flush"], check=True)


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "with an authority of its own"])
def test_a_tempo_that_lost_its_disk_finds_everything_its_last_one_ended_with(has_tls: bool, tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "s3", authority=Authority() if has_tls else None)
    disk = tmp_path / "tempo"
    with bucket.served():
        with tempo_with(bucket, disk) as tempo:
            traces = send(tempo, 300)
            tempo.end()
        assert bucket.blocks()
        shutil.rmtree(disk)
        with tempo_with(bucket, disk) as tempo:
            assert searched(tempo) == set(traces)
            assert missing(tempo, traces) == []


def test_what_tempo_takes_while_the_bucket_is_away_gets_there(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "s3")
    disk = tmp_path / "tempo"
    with contextlib.ExitStack() as while_it_is_there:
        while_it_is_there.enter_context(bucket.served())
