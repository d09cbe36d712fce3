"""Tests two tiers of Collectors on the cluster: three pods decide, and each trace with an error is found whole."""

import json
import secrets
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yaml

from components.documents.collector import OTLP_PORT
from lab.cluster.lifecycle import kubectl
from settings.demo import FAILED_STATUS
from tests.lab.conftest import PARENT_ID, connects, deploy, laid_out, objects
from tests.waiting import wait_for
from tools.lab_stack import Stack

# tests/readers/test_tiers.py runs the same documents without a cluster; goldens hold the objects.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-tiers"
REQUESTS = 150


@pytest.fixture(scope="module")
def stack(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys two Collectors that receive spans and three that decide, with the demo's services behind NGINX."""
    with laid_out(tmp_path_factory.mktemp("tiers") / "program", "tiers", NAMESPACE) as made:
        file = made.folder / f"Pulumi.{made.name}.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"]["nginx-tracing:demo"] = {"enabled": True}
        document["config"]["nginx-tracing:collector"] |= {
            "replicas": 2,
            "trafficDistribution": "PreferClose",
            "sampling": {"tail": {"decisionWait": "3s", "replicas": 3}},
        }
        file.write_text(yaml.safe_dump(document))
        deploy(made)
        yield made


def test_each_trace_with_an_error_is_found_whole_and_no_other_one(stack: Stack) -> None:
    outputs = stack.outputs()
    url, whole = f"{outputs['nginxUrl']}{outputs['demo']['path']}", outputs["demo"]["spans"]

    def answered(trace_id: str) -> int:
        headers = {"traceparent": f"00-{trace_id}-{PARENT_ID}-01"}
        return httpx.get(url, headers=headers, timeout=30, trust_env=False).status_code

    ids = [secrets.token_hex(16) for _ in range(REQUESTS)]
    # The three NGINX of a request send their spans to the two Collectors as it comes.
    with ThreadPoolExecutor(10) as pool:
        status = dict(zip(ids, pool.map(answered, ids), strict=True))
    failed = [trace_id for trace_id, code in status.items() if code == FAILED_STATUS]
    assert failed

    def found(trace_id: str) -> int:
        answer = httpx.get(f"{outputs['tempoUrl']}/api/traces/{trace_id}", timeout=30, trust_env=False)
        batches: list[Any] = answer.json()["batches"] if answer.is_success else []
        return sum(len(scope["spans"]) for batch in batches for scope in batch["scopeSpans"])

    def lacking() -> dict[str, int]:
        return {trace_id: spans for trace_id in failed if (spans := found(trace_id)) != whole}

    wait_for(f"all of {len(failed)} traces, whole", lambda: not lacking(), 30)
    assert {trace_id for trace_id in ids if status[trace_id] != FAILED_STATUS and found(trace_id)} == set()


def test_every_decider_has_decided_and_the_first_tier_reaches_nothing_else(stack: Stack) -> None:
    of = {
        name: objects("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={name}")
        for name in ("otel-collector", "otel-collector-decider", "tempo")
    }
    for pod in of["otel-collector-decider"]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:8888/proxy/metrics"
        page = kubectl("get", "--raw", path).stdout
        assert "otelcol_processor_tail_sampling_new_trace_id_received" in page
        assert "otelcol_exporter_sent_spans" in page
    (first, *_), (decider, *_), (tempo,) = (
        [pod["status"]["podIP"] for pod in of[name]] for name in ("otel-collector", "otel-collector-decider", "tempo")
    )
    assert connects(first, decider, OTLP_PORT)
    assert not connects(first, tempo, OTLP_PORT)
    assert connects(decider, tempo, OTLP_PORT)
    assert not connects(decider, first, OTLP_PORT)


def test_the_cluster_sends_to_the_nearest_collector(stack: Stack) -> None:
    found = kubectl("get", "service", "otel-collector", f"--namespace={NAMESPACE}", "--output=json")
    assert json.loads(found.stdout)["spec"]["trafficDistribution"] == "PreferClose"
