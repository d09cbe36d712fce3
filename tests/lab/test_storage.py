"""Tests a stack whose traces are in a bucket: an S3 server on this machine, outside of the pods, which may be away.

The tests of this module share one stack and run in the order that they are written in.
"""

import json
import secrets
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import Stack, answers, deploy, laid_out, provide
from tests.lab.marks import Marked, Search
from tests.readers.storage import Bucket
from tests.waiting import wait_for
from tools.lab_bucket import KEYS, SECRET
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
    wait_for("a block in the bucket", bucket.blocks, seconds=60)
    lose_the_volume(outputs["tempoUrl"])
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.deep)])
def test_nothing_is_lost_while_the_bucket_is_away(seconds: int, stack: Stack, bucket: Bucket) -> None:
    outputs = stack.outputs()
    with Traffic(outputs["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        bucket.stop()
        time.sleep(seconds)
        bucket.start()
        time.sleep(2)
    assert not traffic.sent.failed
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []


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
