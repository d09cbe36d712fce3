"""Tests a stack whose traces are in a bucket: an S3 server on this machine, outside of the pods, which may be away.

The tests of this module share one stack and run in the order that they are written in.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import Stack, answers, deploy, laid_out, provide
from tests.lab.marks import Marked, Search
from tests.readers.storage import ACCESS, SECRET, Bucket
from tests.waiting import wait_for
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

# tests/readers/test_storage.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-bucket"
RATE = 200
WRONG = f"canary-{secrets.token_hex(8)}"


@dataclass
class Server:
    """The S3 server, which tests stop and start."""

    bucket: Bucket
    _runs: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Starts it."""
        self._runs.enter_context(self.bucket.served())

    def stop(self) -> None:
        """Stops it at once."""
        self._runs.close()


@pytest.fixture(scope="module")
def server(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Runs an S3 server on the address by which pods reach this machine."""
    provide(request, targets=[S3_SERVER, VEGETA])
    made = Server(Bucket(tmp_path_factory.mktemp("s3"), address=HOST_ADDRESS))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stack(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Lays the stack out, without its keys."""
    folder: Path = tmp_path_factory.mktemp("stack") / "program"
    with laid_out(folder, "bucket", NAMESPACE) as made:
        named = {f"tempo.storage.{key}": str(value) for key, value in server.bucket.storage.items()}
        made.configure(named | {"tempo.persistence.size": "1Gi", "tempo.flush.maxBlockDuration": "10s"})
        yield made


def set_keys(stack: Stack, secret: str) -> None:
    keys = {"tempoStorageAccessKey": ACCESS, "tempoStorageSecretKey": secret}
    stack.must("config", "set-all", *(f"--secret={name}={key}" for name, key in keys.items()))


def test_up_says_that_the_key_is_wrong_and_no_secret_is_shown(stack: Stack) -> None:
    set_keys(stack, WRONG)
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


def test_traces_are_found_after_the_volume_is_gone(stack: Stack, server: Server) -> None:
    set_keys(stack, SECRET)
    outputs = deploy(stack)
    with Traffic(outputs["nginxUrl"], 20) as traffic:
        time.sleep(3)
    assert not traffic.sent.failed
    # After a start that failed, the Collectors' gRPC dials again within two minutes and a half.
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=150) == []
    wait_for("a block in the bucket", server.bucket.blocks, seconds=60)
    lose_the_volume(outputs["tempoUrl"])
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []


@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.deep)])
def test_nothing_is_lost_while_the_bucket_is_away(seconds: int, stack: Stack, server: Server) -> None:
    outputs = stack.outputs()
    with Traffic(outputs["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        server.stop()
        time.sleep(seconds)
        server.start()
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
