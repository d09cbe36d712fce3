"""Tests a stack whose traces are in a bucket: an S3 server on this machine, outside of the pods, which may be away.

The tests of this module share one stack, but for the last one, and run in the order that they are written in.
"""

import contextlib
import json
import re
import secrets
import subprocess
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
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


def test_a_wrong_key_of_a_stack_that_runs_loses_nothing(stack: Stack) -> None:
    outputs = stack.outputs()
    with Traffic(outputs["nginxUrl"], 50) as traffic:
        time.sleep(2)
        set_keys(stack, WRONG)
        done = stack.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "The request signature we calculated does not match" in done.stdout
        # The pod with the volume has ended. Spans wait in the Collectors, also for its next start.
        set_keys(stack, SECRET)
        stack.up()
        time.sleep(2)
    assert not traffic.sent.failed
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=150) == []


MOVED = "tracing-move"


@pytest.fixture
def moved(server: Server, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
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


def test_the_how_to_s_job_moves_the_traces_of_a_volume_to_the_bucket(moved: Stack, server: Server) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "store-traces-in-a-bucket.md").read_text()
    _, _, section = page.partition("## Move from the disk to a bucket\n")
    section = section.partition("\n## ")[0]
    secret, blocks, meta, purge = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (manifest,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    # Another stack of this module has the prefix of `Bucket`.
    storage = server.bucket.storage | {"prefix": "tracing/move"}
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
        set_keys(moved, SECRET)
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
