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

from components.plan.labels import part_labels
from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster.network import HOST_ADDRESS
from settings.tempo_parts import DISTRIBUTOR, PART_KEYS
from tests.lab.conftest import LITTLE_CPU, Stack, deploy, laid_out, probe, provide, remove_namespaces
from tests.readers.storage import Bucket
from tools.lab_bucket import KEYS
from tools.measure.faults.buckets import PARTS_RATE, workload
from tools.measure.faults.inject import kill, pods, roll, scale
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic

# tests/readers/test_tempo_parts.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-parts"


@pytest.fixture(scope="module")
def bucket(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bucket]:
    """Runs an S3 server on the address by which pods reach this machine."""
    provide(request, targets=[S3_SERVER, VEGETA])
    made = Bucket(tmp_path_factory.mktemp("s3"), address=HOST_ADDRESS)
    with made.served():
        yield made


@pytest.fixture(scope="module")
def stack(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack with a monolithic Tempo, whose blocks are in the bucket."""
    folder: Path = tmp_path_factory.mktemp("stack") / "program"
    with laid_out(folder, "parts", NAMESPACE) as made:
        # Tests scale by kubectl, too, and Pulumi takes the field back.
        made.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
        made.configure(bucket.configuration | {"collector.replicas": "2"}, KEYS)
        deploy(made)
        yield made
        # Ingesters write what they hold before they end, and the bucket ends with the tests.
        remove_namespaces(NAMESPACE, wait=True)


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
    return pods(NAMESPACE, part_labels(part))


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
    with Traffic(in_parts.outputs()["nginxUrl"], PARTS_RATE) as traffic:
        time.sleep(2)
        kill(pods_of(part)[0])
        time.sleep(2)
    found(in_parts, traffic.sent)


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_in_a_rollout_of_a_part(part: str, in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], PARTS_RATE) as traffic:
        time.sleep(2)
        roll(NAMESPACE, workload(part))
        time.sleep(2)
    found(in_parts, traffic.sent)


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_when_a_part_gets_fewer_pods(part: str, in_parts: Stack) -> None:
    before = len(pods_of(part))
    scale(NAMESPACE, workload(part), before + 1, part_labels(part))
    with Traffic(in_parts.outputs()["nginxUrl"], PARTS_RATE) as traffic:
        time.sleep(2)
        scale(NAMESPACE, workload(part), before, part_labels(part))
        time.sleep(2)
    found(in_parts, traffic.sent)


def test_parts_become_one_process_without_a_trace_lost(in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], 50) as traffic:
        time.sleep(2)
        change(in_parts, mode=None, **dict.fromkeys(PART_KEYS.values()))
        in_parts.up()
        time.sleep(2)
    found(in_parts, traffic.sent)
