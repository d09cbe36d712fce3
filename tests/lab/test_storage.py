"""Tests a stack whose traces are in a bucket: an S3 server on this machine, outside of the pods, which may be away.

The tests of this module share one stack, but for the last one, and run in the order that they are written in.
"""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.documents.tempo_gateway import INSIDE_PORT
from lab.build import images
from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster import lifecycle
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from lab.paths import REPOSITORY
from lab.progress import Progress
from tests.lab.conftest import Stack, answers, deploy, laid_out, provide
from tests.lab.marks import Marked, Search
from tests.processes import Shared
from tests.readers.storage import Bucket
from tests.waiting import wait_for
from tools.lab_bucket import ACCESS, KEYS, SECRET
from tools.measure.faults.buckets import SHORT_BLOCKS
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

# tests/readers/test_storage.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-bucket"
RATE = 200
WRONG = f"canary-{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def bucket(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bucket]:
    """Runs an S3 server on the address by which pods reach this machine."""
    provide(request, targets=[S3_SERVER, VEGETA])
    made = Bucket(tmp_path_factory.mktemp("s3"), address=HOST_ADDRESS)
    with made.served():
        yield made


@pytest.fixture(scope="module")
def stack(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Lays the stack out, without its keys."""
    folder: Path = tmp_path_factory.mktemp("stack") / "program"
    with laid_out(folder, "bucket", NAMESPACE) as made:
        made.configure(bucket.configuration | SHORT_BLOCKS)
        yield made


def test_up_says_that_the_key_is_wrong_and_no_secret_is_shown(stack: Stack) -> None:
    stack.configure({}, {**KEYS, "tempoStorageSecretKey": WRONG})
    preview = stack.must("preview", "--diff")
    done = stack.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "error: tempo does not become Ready: " in done.stdout
    assert "The request signature we calculated does not match" in done.stdout
    state = stack.must("stack", "export")
    read = ("configmaps", "pods", "statefulsets", "events")
    objects = kubectl("get", ",".join(read), f"--namespace={NAMESPACE}", "--output=json").stdout
    logs = kubectl("logs", f"--namespace={NAMESPACE}", "tempo-0", "--container=tempo", "--previous").stdout
    search = Search([Marked("the secret", WRONG), Marked("the file's", SECRET)])
    for place, text in {
        "preview": preview,
        "up": done.stdout + done.stderr,
        "state": state,
        "objects": objects,
    }.items():
        search.text(place, text)
    search.text("log", logs)
    assert search.found == [], search.report()


def test_traces_are_found_after_the_volume_is_gone(stack: Stack, bucket: Bucket) -> None:
    stack.configure({}, KEYS)
    outputs = deploy(stack)
    with Traffic(outputs["nginxUrl"], 20) as traffic:
        time.sleep(3)
    assert not traffic.sent.failed
    # After a start that failed, the Collectors' gRPC dials again within two minutes and a half.
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=150) == []
    wait_for("all traces in the bucket", lambda: stored(bucket) >= traffic.sent.count, seconds=120)
    lose_the_volume(outputs["tempoUrl"])
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []


def test_nothing_is_lost_while_the_bucket_is_away(stack: Stack, bucket: Bucket) -> None:
    # `make reliability` measures five minutes.
    outputs = stack.outputs()
    with Traffic(outputs["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        with bucket.away():
            time.sleep(30)
        time.sleep(2)
    assert not traffic.sent.failed
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []


def test_a_wrong_key_of_a_stack_that_runs_loses_nothing(stack: Stack) -> None:
    outputs = stack.outputs()
    with Traffic(outputs["nginxUrl"], 50) as traffic:
        time.sleep(2)
        stack.configure({}, {**KEYS, "tempoStorageSecretKey": WRONG})
        done = stack.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "The request signature we calculated does not match" in done.stdout
        # The pod with the volume has ended. Spans wait in the Collectors, also for its next start.
        stack.configure({}, KEYS)
        stack.up()
        time.sleep(2)
    assert not traffic.sent.failed
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=150) == []


MOVED = "tracing-move"


@pytest.fixture
def moved(bucket: Bucket, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack that keeps its traces on a volume, in small blocks."""
    shared.install(Progress(), {"rclone": "rclone"})
    image = images.rclone_image()
    images.push([image], Progress())
    lifecycle.pull([image], Progress())
    folder: Path = tmp_path_factory.mktemp("moved") / "program"
    with laid_out(folder, "move", MOVED) as made:
        flush = {"maxBlockDuration": "10s", "blocklistPoll": "5s"}
        made.configure({"tempo.persistence.size": "1Gi", **{f"tempo.flush.{key}": it for key, it in flush.items()}})
        deploy(made)
        yield made


def test_the_how_to_s_job_moves_the_traces_of_a_volume_to_the_bucket(moved: Stack, bucket: Bucket) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "store-traces-in-a-bucket.md").read_text()
    _, _, section = page.partition("## Move from the disk to a bucket\n")
    section = section.partition("\n## ")[0]
    secret, blocks, meta, purge = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (manifest,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    # Another stack of this module has the prefix of `Bucket`.
    storage = bucket.storage | {"prefix": "tracing/move"}
    files = {"access-key": ACCESS, "secret-key": SECRET, "copy-blocks.yaml": _of_the_lab(manifest, storage)}
    for name, text in files.items():
        (moved.folder / name).write_text(text)
    outputs = moved.outputs()
    with Traffic(outputs["nginxUrl"], 50) as before:
        wait_for("a block on the volume", lambda: _flushed() >= 1, seconds=60)
    run(moved, secret)
    run(moved, blocks)
    with Traffic(outputs["nginxUrl"], 50) as traffic:
        moved.configure({f"tempo.storage.{key}": str(value) for key, value in storage.items()})
        moved.configure({}, KEYS)
        assert "tempo.storage: Tempo's blocks are in another place: Tempo's own disk." in moved.must("preview")
        moved.up()
        run(moved, blocks)
        run(moved, meta)
    sent = (before.sent, traffic.sent)
    assert [missing(outputs["tempoUrl"], each, patience_seconds=150) for each in sent] == [[], []]
    run(moved, purge)
    assert [missing(outputs["tempoUrl"], each, patience_seconds=60) for each in sent] == [[], []]
    assert moved.planned() == {}


def _of_the_lab(manifest: str, storage: Mapping[str, Any]) -> str:
    """Returns the how-to's Job with the lab's image, its server and another prefix, and nothing else changed."""
    places = {
        r"rclone/rclone:\S+": images.rclone_image().reference,
        r"bucket:traces/tracing/prod": f"bucket:{storage['bucket']}/{storage['prefix']}",
        r"https://minio\.storage\.svc:9000": storage["endpoint"],
    }
    for old, new in places.items():
        manifest, count = re.subn(old, new, manifest)
        assert count == 1, old
    return manifest


def _flushed() -> int:
    """Returns how many blocks Tempo has finished since its start."""
    page = kubectl("get", "--raw", f"/api/v1/namespaces/{MOVED}/pods/tempo-0:{INSIDE_PORT}/proxy/metrics").stdout
    found = re.findall(r"^tempo_ingester_blocks_flushed_total(?:{.*})? (\S+)", page, re.MULTILINE)
    return int(sum(map(float, found)))


def run(stack: Stack, commands: str) -> None:
    """Runs commands of the how-to in the stack's namespace; fails the test if one fails, or warns of a standard."""
    line = commands.replace("--namespace tracing", f"--namespace {MOVED}")
    done = subprocess.run(
        ["/bin/sh", "-ec", line],
        check=False,
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stdout + done.stderr


def stored(bucket: Bucket) -> int:
    """Returns the number of traces in the bucket's blocks."""
    return sum(json.loads((block / "meta.json").read_text())["totalObjects"] for block in bucket.blocks())


def lose_the_volume(tempo_url: str) -> None:
    """Deletes Tempo's claim and pod, and waits for the ones that take their places."""
    pod = ("pod/tempo-0", f"--namespace={NAMESPACE}")
    before = uid(*pod)
    kubectl("delete", "pvc/data-tempo-0", f"--namespace={NAMESPACE}", "--wait=false")
    # It was asked for traces, and would take its whole grace period: its ingester stops within a few seconds.
    assert kubectl("delete", *pod, "--timeout=90s").returncode == 0
    wait_for("another pod", lambda: uid(*pod) not in {None, before}, seconds=60)
    assert kubectl("wait", *pod, "--for=condition=Ready", "--timeout=90s").returncode == 0
    wait_for("Tempo", lambda: answers(f"{tempo_url}/ready"), seconds=60)
    assert httpx.get(f"{tempo_url}/api/echo").is_success


def uid(*named: str) -> str | None:
    """Returns an object's UID; None if it does not exist."""
    found = kubectl("get", *named, "--output=json")
    return json.loads(found.stdout)["metadata"]["uid"] if found.returncode == 0 else None
