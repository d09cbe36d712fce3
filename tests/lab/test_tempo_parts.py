"""Tests Tempo in parts on the lab: the change from one process, then each part that is killed, rolled or scaled down.

Meanwhile traces are looked up and searched. The blocks are on an S3 server of this machine. The tests of this module
share one stack and run in the order that they are written in.
"""

import contextlib
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from components.documents.tempo import OTLP_PORT
from components.documents.tempo_parts import GOSSIP_PORT, GRPC_PORT
from components.plan.labels import part_labels
from lab.build.targets import S3_SERVER, VEGETA
from lab.cluster.network import HOST_ADDRESS
from settings.tempo_parts import COMPACTOR, DISTRIBUTOR, INGESTER, METRICS_GENERATOR, PART_KEYS, QUERIER, QUERY_FRONTEND
from tests.lab.conftest import LITTLE_CPU, Stack, connects, deploy, laid_out, objects, probe, provide, remove_namespaces
from tests.lab.test_previews import drift
from tests.readers.storage import Bucket
from tests.waiting import wait_for
from tools.lab_bucket import KEYS
from tools.measure.faults.buckets import PARTS_RATE, workload
from tools.measure.faults.inject import all_pods, kill, pods, roll, scale
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic, send_for

# tests/readers/test_tempo_parts.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-parts"

UPDATE_RATE = 50
"""Requests a second beside `pulumi up`, which needs the two cores too."""

ASKED_SECONDS = 0.2
"""The time between two questions. Each is a look-up by ID and a search."""

UNREADY_SECONDS = 5
"""For so long a Service may lead to a pod that was killed. The kubelet sees the end within a second or two."""


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


def ending(part: str) -> set[str]:
    """Returns the names of a part's pods that were told to end, and have not ended."""
    there = all_pods(NAMESPACE, part_labels(part))
    return {pod["metadata"]["name"] for pod in there if "deletionTimestamp" in pod["metadata"]}


@dataclass(frozen=True)
class Refusal:
    """A question without an answer."""

    at: float
    """When it was asked, by the monotonic clock."""

    asked: str
    said: str


@contextlib.contextmanager
def asking(tempo_url: str, trace_id: str) -> Generator[list[Refusal]]:
    """Looks a trace up and searches, over and over, each time by a new connection; yields what was refused."""
    refused: list[Refusal] = []
    ended = threading.Event()

    def ask(path: str, **parameters: str | int) -> None:
        at = time.monotonic()
        try:
            answer = httpx.get(f"{tempo_url}{path}", params=parameters, timeout=30, trust_env=False)
        except httpx.HTTPError as error:
            refused.append(Refusal(at, path, repr(error)))
        else:
            if not answer.is_success:
                refused.append(Refusal(at, path, f"{answer.status_code} {answer.text[:200]}"))

    def go_on() -> None:
        while not ended.wait(ASKED_SECONDS):
            now = int(time.time())
            ask(f"/api/traces/{trace_id}")
            ask("/api/search", q="{}", limit=20, start=now - 60, end=now + 60)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield refused
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def under_load(stack: Stack, rate: float = PARTS_RATE) -> Generator[list[Refusal]]:
    """Sends requests and asks for traces while a test ends pods, and then finds each trace; yields what was refused."""
    outputs = stack.outputs()
    before = send_for(1, outputs["nginxUrl"], 20)
    found(stack, before)
    with Traffic(outputs["nginxUrl"], rate) as traffic, asking(outputs["tempoUrl"], before.answered[0]) as refused:
        time.sleep(2)
        yield refused
        time.sleep(2)
    found(stack, traffic.sent)


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


def test_an_update_goes_on_while_ingesters_cannot_write_what_they_hold(in_parts: Stack, bucket: Bucket) -> None:
    resources: dict[str, Any] = {"cpu": LITTLE_CPU}
    change(in_parts, ingester={"replicas": 4, "resources": resources})
    in_parts.up()
    with patient_for_a_minute(in_parts), Traffic(in_parts.outputs()["nginxUrl"], UPDATE_RATE) as traffic:
        time.sleep(2)
        with bucket.away():
            change(in_parts, ingester={"replicas": 3, "resources": resources})
            in_parts.up()
            wait_for("the first word to tempo-3", lambda: "tempo-3" in ending(INGESTER))
        wait_for("the end of tempo-3", lambda: not ending(INGESTER), seconds=240)
        # Each of the three is replaced; the first one cannot write for longer than that.
        bucket.stop()
        change(in_parts, ingester={"replicas": 3, "resources": resources | {"memory": "129Mi"}})
        back = threading.Timer(90, bucket.start)
        back.start()
        try:
            in_parts.up()
        finally:
            back.join()
        time.sleep(2)
    found(in_parts, traffic.sent)


@contextlib.contextmanager
def patient_for_a_minute(stack: Stack) -> Generator[None]:
    """Lets the stack's copy of the program wait a minute for pods without progress instead of five."""
    file = stack.folder / "components" / "cluster" / "rollouts.py"
    text = file.read_text()
    assert "ATTEMPT_SECONDS = 100\n" in text
    file.write_text(text.replace("ATTEMPT_SECONDS = 100\n", "ATTEMPT_SECONDS = 20\n"))
    try:
        yield
    finally:
        file.write_text(text)


def test_the_cluster_lets_only_parts_reach_parts(in_parts: Stack) -> None:
    address = {part: pods_of(part)[0]["status"]["podIP"] for part in PART_KEYS}
    for name in ("nginx", "otel-collector"):
        first, *_ = objects("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={name}")
        address[name] = first["status"]["podIP"]
    reached = {
        (caller, called, port)
        for caller, called, port in (
            *((DISTRIBUTOR, called, GRPC_PORT) for called in (INGESTER, METRICS_GENERATOR, QUERY_FRONTEND)),
            *((QUERIER, called, GRPC_PORT) for called in (INGESTER, METRICS_GENERATOR, QUERY_FRONTEND, DISTRIBUTOR)),
            *((caller, INGESTER, GRPC_PORT) for caller in (QUERY_FRONTEND, COMPACTOR, "otel-collector", "nginx")),
            *((caller, INGESTER, GOSSIP_PORT) for caller in (COMPACTOR, DISTRIBUTOR, "otel-collector", "nginx")),
            *((caller, DISTRIBUTOR, OTLP_PORT) for caller in ("otel-collector", QUERIER, "nginx")),
            ("otel-collector", DISTRIBUTOR, GRPC_PORT),
        )
        if connects(address[caller], address[called], port)
    }
    assert reached == {
        (DISTRIBUTOR, INGESTER, GRPC_PORT),
        (DISTRIBUTOR, METRICS_GENERATOR, GRPC_PORT),
        (QUERIER, INGESTER, GRPC_PORT),
        (QUERIER, METRICS_GENERATOR, GRPC_PORT),
        (QUERIER, QUERY_FRONTEND, GRPC_PORT),
        (COMPACTOR, INGESTER, GOSSIP_PORT),
        (DISTRIBUTOR, INGESTER, GOSSIP_PORT),
        ("otel-collector", DISTRIBUTOR, OTLP_PORT),
    }


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_or_refused_when_a_process_of_a_part_is_killed(part: str, in_parts: Stack) -> None:
    with under_load(in_parts) as refused:
        at = time.monotonic()
        kill(pods_of(part)[0])
    # The gateway of a query-frontend that was killed answers 502 until the Service leads elsewhere.
    allowed = UNREADY_SECONDS if part == QUERY_FRONTEND else 0
    assert [refusal for refusal in refused if refusal.at > at + allowed or not allowed] == []


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_or_refused_in_a_rollout_of_a_part(part: str, in_parts: Stack) -> None:
    with under_load(in_parts) as refused:
        roll(NAMESPACE, workload(part))
    assert refused == []


@pytest.mark.parametrize("part", PART_KEYS)
def test_nothing_is_lost_or_refused_when_a_part_gets_fewer_pods(part: str, in_parts: Stack) -> None:
    before = len(pods_of(part))
    scale(NAMESPACE, workload(part), before + 1, part_labels(part))
    with under_load(in_parts) as refused:
        scale(NAMESPACE, workload(part), before, part_labels(part))
    assert refused == []


def test_a_wrong_key_of_running_parts_refuses_and_loses_nothing(in_parts: Stack) -> None:
    with under_load(in_parts, UPDATE_RATE) as refused:
        in_parts.configure({}, {**KEYS, "tempoStorageSecretKey": "wrong"})
        done = in_parts.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "The request signature we calculated does not match" in done.stdout
        # One pod of each part has ended at most, and was not replaced.
        in_parts.configure({}, KEYS)
        in_parts.up()
    assert refused == []


def test_parts_become_one_process_without_a_trace_lost(in_parts: Stack) -> None:
    with Traffic(in_parts.outputs()["nginxUrl"], 50) as traffic:
        time.sleep(2)
        change(in_parts, mode=None, **dict.fromkeys(PART_KEYS.values()))
        in_parts.up()
        time.sleep(2)
    found(in_parts, traffic.sent)
    named = drift(in_parts).stdout
    for claim in ("data-tempo-1", "data-tempo-2", "data-tempo-metrics-generator-0"):
        assert f"kubectl delete persistentvolumeclaim {claim} --namespace {NAMESPACE}" in named
