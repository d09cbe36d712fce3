"""Tests Tempo in parts on the lab: the change from one process, then each part that is killed, rolled or scaled down.

The blocks are on an S3 server of this machine. The tests of this module share one stack and run in the order that they
are written in.
"""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from settings.tempo_parts import DISTRIBUTOR, INGESTER, METRICS_GENERATOR, PART_KEYS
from tests.lab.conftest import LITTLE_CPU, Stack, deploy, laid_out, objects, probe, provide
from tests.lab.test_storage import Server
from tests.readers.storage import ACCESS, SECRET, Bucket
from tests.waiting import wait_for
from tools.measure.faults.inject import kill, roll
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic

# tests/readers/test_tempo_parts.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-parts"
STATEFUL = {INGESTER: "statefulset/tempo", METRICS_GENERATOR: "statefulset/tempo-metrics-generator"}
WORKLOADS = {part: STATEFUL.get(part, f"deployment/tempo-{part}") for part in PART_KEYS}
RATE = 500
"""Requests a second, each with one span."""


@pytest.fixture(scope="module")
def server(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Runs an S3 server, which a test stops and starts."""
    provide(request, targets=[S3_SERVER, VEGETA])
    made = Server(Bucket(tmp_path_factory.mktemp("s3"), address=HOST_ADDRESS))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stack(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack with a monolithic Tempo, whose blocks are in the bucket."""
    folder: Path = tmp_path_factory.mktemp("stack") / "program"
    with laid_out(folder, "parts", NAMESPACE) as made:
        named = {f"tempo.storage.{key}": str(value) for key, value in server.bucket.storage.items()}
        made.configure(named | {"tempo.persistence.size": "1Gi", "collector.replicas": "2"})
        keys = {"tempoStorageAccessKey": ACCESS, "tempoStorageSecretKey": SECRET}
        made.must("config", "set-all", *(f"--secret={name}={key}" for name, key in keys.items()))
        deploy(made)
        # Tests scale by kubectl, too, and Pulumi takes the field back.
        made.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
        yield made


@pytest.fixture
def in_parts(stack: Stack) -> Stack:
    """Returns the stack with a distributed Tempo."""
    if not pods_of(DISTRIBUTOR):
        to_parts(stack)
    return stack


def to_parts(stack: Stack) -> None:
    """Changes Tempo to parts."""
    change(stack, mode="distributed", resources=None, **parts())
    stack.up()


def change(stack: Stack, **tempo: Any) -> None:
    """Sets keys of `tempo`; None removes one."""
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    document = yaml.safe_load(file.read_text())
    merged = document["config"]["nginx-tracing:tempo"] | tempo
    document["config"]["nginx-tracing:tempo"] = {key: value for key, value in merged.items() if value is not None}
    file.write_text(yaml.safe_dump(document))


def parts() -> dict[str, Any]:
    """Returns the keys of the parts, each with little CPU."""
    return {key: {"resources": {"cpu": LITTLE_CPU}} for key in PART_KEYS.values()}


def found(stack: Stack, sent: Sent) -> None:
    """Fails the test unless each request was answered, and each of their traces is found."""
    assert sent.reasons() == {}
    assert missing(stack.outputs()["tempoUrl"], sent, patience_seconds=60) == []


def pods_of(part: str) -> list[dict[str, Any]]:
    """Returns the pods of a part."""
    return objects("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/component={part}")


def test_one_process_becomes_parts_in_one_update_without_a_trace_lost(stack: Stack) -> None:
    with Traffic(stack.outputs()["nginxUrl"], 50) as traffic:
        time.sleep(2)
        to_parts(stack)
        time.sleep(2)
    found(stack, traffic.sent)
    code, result = probe(stack, "--requests=20")
    assert (code, result["found_by_id"], result["found_by_search"]) == (0, 20, 20)
    assert [hop["unreadable"] for hop in result["hops"]] == [None] * 3
    assert [len(pods_of(part)) for part in PART_KEYS] == [2, 3, 2, 2, 1, 1]
    assert stack.planned() == {}


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_when_a_process_of_a_part_is_killed(part: str, in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        kill(pods_of(part)[0])
        time.sleep(2)
    found(in_parts, traffic.sent)


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_in_a_rollout_of_a_part(part: str, in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        roll(NAMESPACE, WORKLOADS[part])
        time.sleep(2)
    found(in_parts, traffic.sent)


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_when_a_part_gets_fewer_pods(part: str, in_parts: Stack) -> None:
    before = len(pods_of(part))
    scale(part, before + 1)
    with Traffic(in_parts.outputs()["nginxUrl"], RATE) as traffic:
        time.sleep(2)
        scale(part, before)
        time.sleep(2)
    found(in_parts, traffic.sent)


def test_up_waits_for_no_ingester_that_ends_while_the_bucket_is_away(in_parts: Stack, server: Server) -> None:
    own = parts()["ingester"]
    change(in_parts, ingester=own | {"replicas": 4})
    in_parts.up()
    with Traffic(in_parts.outputs()["nginxUrl"], 50) as traffic:
        time.sleep(2)
        server.stop()
        change(in_parts, ingester=own)
        # The provider alone would wait for the fourth pod, and give up after five minutes.
        in_parts.up()
        assert len(pods_of(INGESTER)) == 4
        server.start()
        # Tempo tries a block again after two minutes at most.
        wait_for("the end of the ingester", lambda: len(pods_of(INGESTER)) == 3, seconds=300)
        time.sleep(2)
    found(in_parts, traffic.sent)


def test_parts_become_one_process_without_a_trace_lost(in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], 50) as traffic:
        time.sleep(2)
        change(in_parts, mode=None, **dict.fromkeys(PART_KEYS.values()))
        in_parts.up()
        time.sleep(2)
    found(in_parts, traffic.sent)


def scale(part: str, replicas: int) -> None:
    """Sets the number of a part's pods, and waits until they are Ready and no other is left."""
    command = ("scale", WORKLOADS[part], f"--namespace={NAMESPACE}", f"--replicas={replicas}")
    assert kubectl(*command).returncode == 0
    wait_for(f"{replicas} pods of {part}", lambda: _are_ready(part, replicas), seconds=180)


def _are_ready(part: str, replicas: int) -> bool:
    statuses = [pod["status"].get("containerStatuses", []) for pod in pods_of(part)]
    return len(statuses) == replicas and all(each and all(one["ready"] for one in each) for each in statuses)
